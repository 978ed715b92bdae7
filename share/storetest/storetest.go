// Package storetest is the conformance suite for Stores: what share.Store promises, as tests.
//
// An implementation's test is its constructor and one call of Test. The package also makes whole encoded files in
// memory (NewFile), for tests of everything that stores, reads or repairs them.
package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"cairn/share"
)

// A Suite says what is tested and what the Store at hand cannot do by its nature.
type Suite struct {
	// Open returns an empty store, and closes it when the test ends.
	Open func(t *testing.T) share.Store
	// Reopen closes a store and opens it again with what it holds; nil for a store that forgets.
	Reopen func(t *testing.T, store share.Store) share.Store
	// Owner is the only owner that the store knows: that of an authenticated connection. Empty means that leases
	// are kept for whatever owner they name.
	Owner string
	// Collect makes the store do what it does as time passes, as if so much of it had passed; nil for a store that never deletes a share.
	Collect func(t *testing.T, store share.Store, ahead time.Duration)
	// Damage changes what a store that is open has of a share behind its back, nil for a store that cannot be damaged. It reports
	// whether this store keeps the share where it can be damaged so.
	Damage func(t *testing.T, store share.Store, f *File, n share.Number, damage Damage) bool
	// NoResume is set for a store that keeps no unfinished uploads.
	NoResume bool
}

// Test runs the suite against the stores that open returns. Resumption, space, usage, heads, batches and moving are tested when the
// store implements share.Resumer, share.Spacer, share.Accounter, share.HeadStore, share.Batcher, share.Mover and share.Rechecker.
func Test(t *testing.T, open func(t *testing.T) share.Store) {
	Suite{Open: open}.Run(t)
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(Suite, *testing.T)
	}{
		{"Numbers", Suite.testNumbers},
		{"NumbersAbsent", Suite.testNumbersAbsent},
		{"RoundTrip", Suite.testRoundTrip},
		{"UnknownSize", Suite.testUnknownSize},
		{"ManySegments", Suite.testManySegments},
		{"OpenAbsent", Suite.testOpenAbsent},
		{"ReadEverywhere", Suite.testReadEverywhere},
		{"ReadConcurrently", Suite.testReadConcurrently},
		{"InvisibleBeforeCommit", Suite.testInvisible},
		{"CommitTwice", Suite.testCommitTwice},
		{"CommitHeld", Suite.testCommitHeld},
		{"AfterClose", Suite.testAfterClose},
		{"WrongBlock", Suite.testWrongBlock},
		{"WrongRow", Suite.testWrongRow},
		{"AppendAll", Suite.testAppendAll},
		{"AppendAllRefused", Suite.testAppendAllRefused},
		{"WrongRoot", Suite.testWrongRoot},
		{"ShortBlock", Suite.testShortBlock},
		{"TooFewSegments", Suite.testTooFewSegments},
		{"Limits", Suite.testLimits},
		{"Leases", Suite.testLeases},
		{"Renew", Suite.testRenew},
		{"Cancelled", Suite.testCancelled},
		{"ManyWriters", Suite.testManyWriters},
		{"TakeOver", Suite.testTakeOver},
		{"Resume", Suite.testResume},
		{"ResumeUnasked", Suite.testResumeUnasked},
		{"ResumeOtherShape", Suite.testResumeOtherShape},
		{"Uploads", Suite.testUploads},
		{"Space", Suite.testSpace},
		{"Usage", Suite.testUsage},
		{"UsageOfUploads", Suite.testUsageOfUploads},
		{"LeaseCost", Suite.testLeaseCost},
		{"UsageReopened", Suite.testUsageReopened},
		{"Reopen", Suite.testReopen},
		{"Batch", Suite.testBatch},
		{"BatchRefused", Suite.testBatchRefused},
		{"BatchFetchLarge", Suite.testBatchFetchLarge},
		{"BatchLeases", Suite.testBatchLeases},
		{"BatchConcurrent", Suite.testBatchConcurrent},
		{"Heads", Suite.testHeads},
		{"HeadHistory", Suite.testHeadHistory},
		{"HeadConflicts", Suite.testHeadConflicts},
		{"HeadRefused", Suite.testHeadRefused},
		{"HeadSetters", Suite.testHeadSetters},
		{"HeadReopened", Suite.testHeadReopened},
		{"ReleaseByVersions", Suite.testReleaseByVersions},
		{"ReleaseByAge", Suite.testReleaseByAge},
		{"ReleaseOfOthers", Suite.testReleaseOfOthers},
		{"ReleaseReopened", Suite.testReleaseReopened},
		{"Collect", Suite.testCollect},
		{"List", Suite.testList},
		{"Drop", Suite.testDrop},
		{"Release", Suite.testRelease},
		{"MoveName", Suite.testMoveName},
		{"Recheck", Suite.testRecheck},
		{"RecheckDamaged", Suite.testRecheckDamaged},
		{"RecheckAtOnce", Suite.testRecheckAtOnce},
		{"DamageRead", Suite.testDamageRead},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(s, t) })
	}
}

const blockSize = 4 << 10

func (s Suite) owner() string {
	if s.Owner != "" {
		return s.Owner
	}
	return "alice"
}

// put stores one share or ends the test.
func (s Suite) put(t *testing.T, store share.Store, f *File, n share.Number) {
	t.Helper()
	if err := f.Put(t.Context(), store, n, s.owner()); err != nil {
		t.Fatalf("put share %d: %v", n, err)
	}
}

func (s Suite) create(t *testing.T, store share.Store, upload share.Upload) share.Writer {
	t.Helper()
	w, err := store.Create(t.Context(), upload)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// upload is an upload that may fail at any step: it returns the first error, wherever a store reports it.
func upload(ctx context.Context, store share.Store, u share.Upload, rows [][]share.Digest, blocks [][]byte, root []byte) error {
	w, err := store.Create(ctx, u)
	if err != nil {
		return err
	}
	defer w.Close()
	for i := range rows {
		if err := w.Append(ctx, rows[i], blocks[i]); err != nil {
			return err
		}
	}
	return w.Commit(ctx, root)
}

// column returns copies of the rows and blocks of one share, to be spoiled.
func (f *File) column(n share.Number) (rows [][]share.Digest, blocks [][]byte) {
	for i := range f.rows {
		rows = append(rows, slices.Clone(f.rows[i]))
		blocks = append(blocks, slices.Clone(f.blocks[i][n]))
	}
	return rows, blocks
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// wantHeld checks which numbers the store lists for a file.
func wantHeld(t *testing.T, store share.Store, f *File, want ...share.Number) {
	t.Helper()
	held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index})
	if err != nil {
		t.Fatalf("numbers: %v", err)
	}
	if len(held) != 1 || !slices.Equal(held[0].Numbers, want) {
		t.Fatalf("held: %v, want shares %v", held, want)
	}
}

func wantCheck(t *testing.T, store share.Store, f *File, numbers ...share.Number) {
	t.Helper()
	for _, n := range numbers {
		if err := f.Check(t.Context(), store, n); err != nil {
			t.Errorf("file of %d bytes, share %d: %v", f.Size, n, err)
		}
	}
}

// leaser is a store that tells the leases it has.
type leaser interface {
	Leases(ctx context.Context, index share.StorageIndex) ([]share.Lease, error)
}

func lease(owner string, d time.Duration) share.Lease {
	return share.Lease{Owner: owner, Expires: time.Now().Add(d)}
}
