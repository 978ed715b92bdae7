package disk

import (
	"context"
	"errors"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/head"
	"cairn/share/storetest"
)

// A workload is a few uploads of all kinds: into the journal, into one file in one go, with rows too many for memory,
// and one that stops in the middle and goes on; then a batch of small shares, some versions of a name, and a collection of
// what the past versions had.
type workload struct {
	files    []*storetest.File
	batch    []*storetest.File
	versions []*storetest.File
	name     testName

	acked     map[*storetest.File]bool
	version   int // the highest that was acknowledged
	collected CollectReport
}

// workloadSteps is how many steps of a workload are acknowledged.
const workloadSteps = 4 + 1 + 3

func newWorkload(t testing.TB) *workload {
	t.Helper()
	w, err := makeWorkload()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func makeWorkload() (*workload, error) {
	w := &workload{name: newName(1)}
	for i, shape := range []struct{ needed, total, blockSize, size int }{
		{1, 3, 4 << 10, 500}, {1, 3, 32 << 10, 20_000}, {2, 256, 4 << 10, 9*(8<<10) + 5}, {1, 3, 64 << 10, 200_000},
	} {
		f, err := storetest.MakeFile(uint64(i), shape.needed, shape.total, shape.blockSize, shape.size)
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, f)
	}
	small, err := storetest.MakeFile(10, 1, 3, 4<<10, 900)
	if err != nil {
		return nil, err
	}
	for i := range uint64(3) {
		batch, _ := small.Renamed(i)
		version, _ := small.Renamed(100 + i)
		w.batch, w.versions = append(w.batch, batch), append(w.versions, version)
	}
	return w.again(), nil
}

// again returns the same workload with nothing acknowledged.
func (w *workload) again() *workload {
	again := *w
	again.acked, again.version = map[*storetest.File]bool{}, 0
	return &again
}

const workloadShare = share.Number(2)

// acknowledge notes that a step was acknowledged.
func (w *workload) acknowledge(step int) {
	switch {
	case step < len(w.files):
		w.acked[w.files[step]] = true
	case step == len(w.files):
		for _, f := range w.batch {
			w.acked[f] = true
		}
	default:
		w.version = max(w.version, step-len(w.files))
	}
}

// run does every step once; acknowledged is called as soon as one is. Versions that the store has are not written again.
func (w *workload) run(ctx context.Context, store *Store, acknowledged func(step int)) error {
	var errs []error
	tell := func(step int, err error) {
		if err == nil {
			w.acknowledge(step)
			acknowledged(step)
		}
		errs = append(errs, err)
	}
	for i, f := range w.files {
		if i == 3 {
			tell(i, interrupted(ctx, store, f))
		} else {
			tell(i, f.Put(ctx, store, workloadShare, "alice"))
		}
	}
	tell(len(w.files), w.putBatch(ctx, store))
	newest, err := w.newest(ctx, store)
	errs = append(errs, err)
	for i := newest; i < len(w.versions) && err == nil; i++ {
		var before *storetest.File
		if i > 0 {
			before = w.versions[i-1]
		}
		u := w.name.update(uint64(i+1), w.versions[i], before, share.Retention{Versions: 1})
		u.Shares[0].Number, u.Shares[0].Data = workloadShare, w.versions[i].Share(workloadShare)
		err = store.SetHead(ctx, u)
		tell(len(w.files)+1+i, err)
	}
	// A day is enough for what a version let go of, and too little for a lease that ended.
	w.collected, err = store.Collect(ctx, time.Now().Add(2*24*time.Hour))
	return errors.Join(append(errs, err)...)
}

func (w *workload) putBatch(ctx context.Context, store *Store) error {
	var shares []share.WholeShare
	for _, f := range w.batch {
		shares = append(shares, share.WholeShare{Index: f.Index, Number: workloadShare, Data: f.Share(workloadShare)})
	}
	verdicts, err := store.Put(ctx, shares, monthLease("alice"))
	return errors.Join(append(verdicts, err)...)
}

// newest returns the newest version that a store has.
func (w *workload) newest(ctx context.Context, store *Store) (int, error) {
	held, err := store.Heads(ctx, []share.Name{w.name.name}, false)
	if err != nil || held[0].Record == nil {
		return 0, err
	}
	h, err := head.Parse(w.name.name, held[0].Record)
	return int(h.Sequence), err
}

// interrupted uploads a file with two writers, one after the other.
func interrupted(ctx context.Context, store *Store, f *storetest.File) error {
	for _, end := range []int64{2, f.Segments()} {
		w, err := store.Create(ctx, f.Upload(workloadShare, "alice"))
		if err != nil {
			return err
		}
		defer w.Close()
		have, err := w.Have(ctx)
		if err != nil {
			return err
		}
		if err := f.Append(ctx, w, workloadShare, have, end); err != nil {
			return err
		}
		if end == f.Segments() {
			return w.Commit(ctx, f.Root)
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// check opens a directory after the workload met its fate: what was acknowledged is there, the rest is whole or absent,
// nothing is in quarantine, and everything can be uploaded now.
func (w *workload) check(t *testing.T, dir string) {
	t.Helper()
	store := mustOpen(t, dir, Options{})
	wantCounted(t, store)
	for i, f := range append(w.files[:len(w.files):len(w.files)], w.batch...) {
		err := f.Check(t.Context(), store, workloadShare)
		if err != nil && (w.acked[f] || !errors.Is(err, share.ErrNotFound)) {
			t.Errorf("file %d, acknowledged: %t: %v", i, w.acked[f], err)
		}
	}
	w.checkVersions(t, store)
	report, err := store.Scrub(t.Context(), 0)
	if err != nil || report.Quarantined != 0 {
		t.Errorf("scrub: %+v, %v", report, err)
	}
	if err := w.run(t.Context(), store, func(int) {}); err != nil {
		t.Errorf("upload again: %v", err)
	}
	held := append(append(w.files[:len(w.files):len(w.files)], w.batch...), w.versions[2])
	for i, f := range held {
		if err := f.Check(t.Context(), store, workloadShare); err != nil {
			t.Errorf("file %d, uploaded again: %v", i, err)
		}
	}
	stats, err := store.Stats(t.Context())
	if err != nil || stats.Files != int64(len(held)) || stats.Shares != stats.Files || stats.Unfinished != 0 || stats.Names != 1 {
		t.Errorf("stats: %+v, %v", stats, err)
	}
	wantEmpty(t, store.uploads)
	wantCounted(t, store)
	if err := store.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// checkVersions checks that the newest version is no older than the one that was acknowledged, and has its share.
func (w *workload) checkVersions(t *testing.T, store *Store) {
	t.Helper()
	newest, err := w.newest(t.Context(), store)
	if err != nil || newest < w.version {
		t.Errorf("version %d is the newest, %d was acknowledged: %v", newest, w.version, err)
	}
	if newest == 0 {
		return
	}
	if err := w.versions[newest-1].Check(t.Context(), store, workloadShare); err != nil {
		t.Errorf("the share of version %d, of which %d was acknowledged: %v", newest, w.version, err)
	}
	if held, err := store.Heads(t.Context(), []share.Name{w.name.name}, true); err != nil || len(held[0].Shares) != 1 {
		t.Errorf("the head with its share: %v, %v", held, err)
	}
}
