package disk

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/head"
	"cairn/share/storetest"
)

// A testName is a mutable name with its key.
type testName struct {
	key  ed25519.PrivateKey
	name share.Name
}

func newName(seed byte) testName {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return testName{key, share.Name(key.Public().(ed25519.PublicKey))}
}

// record signs a version.
func (n testName) record(sequence uint64, root share.StorageIndex) []byte {
	h := head.Head{Sequence: sequence, Root: root, Written: time.UnixMilli(1_700_000_000_000)}
	record, err := head.Sign(n.key, h)
	if err != nil {
		panic(err)
	}
	return record
}

// update is the version of a name whose file is f, which replaces the one whose file is before.
func (n testName) update(sequence uint64, f, before *storetest.File, r share.Retention) share.HeadUpdate {
	u := share.HeadUpdate{
		Name: n.name, Record: n.record(sequence, f.Index), Adds: []share.StorageIndex{f.Index}, Retention: r, Lease: monthLease("alice"),
		Shares: []share.WholeShare{{Index: f.Index, Number: 1, Data: f.Share(1)}},
	}
	if before != nil {
		u.Replaces = sha256.Sum256(n.record(sequence-1, before.Index))
		u.Drops = []share.StorageIndex{before.Index}
	}
	return u
}

// smallFiles makes files of which each share is small.
func smallFiles(t testing.TB, n int) []*storetest.File {
	t.Helper()
	base := storetest.NewFile(t, 7, 1, 3, 4<<10, 1000)
	files := make([]*storetest.File, n)
	for i := range files {
		files[i], _ = base.Renamed(uint64(i))
	}
	return files
}

// setHeads writes one version after the other.
func setHeads(t *testing.T, store *Store, n testName, files []*storetest.File, r share.Retention) {
	t.Helper()
	var before *storetest.File
	for i, f := range files {
		if err := store.SetHead(t.Context(), n.update(uint64(i+1), f, before, r)); err != nil {
			t.Fatalf("version %d: %v", i+1, err)
		}
		before = f
	}
}

// wantHistory checks which versions are held, newest first.
func wantHistory(t *testing.T, store *Store, n testName, files []*storetest.File, want ...int) {
	t.Helper()
	records, err := store.History(t.Context(), n.name, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, record := range records {
		h, err := head.Parse(n.name, record)
		if err != nil {
			t.Fatal(err)
		}
		if int(h.Sequence) > len(files) || h.Root != files[h.Sequence-1].Index {
			t.Errorf("version %d is of %s", h.Sequence, h.Root)
		}
		got = append(got, int(h.Sequence))
	}
	if !slices.Equal(got, want) {
		t.Errorf("versions %v are held, want %v", got, want)
	}
}

func owners(t *testing.T, store *Store, index share.StorageIndex) []string {
	t.Helper()
	leases, err := store.Leases(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range leases {
		names = append(names, l.Owner)
	}
	return names
}

// TestHeads writes versions, and looks at what is held of them, also after the index was lost.
func TestHeads(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	n, files := newName(1), smallFiles(t, 5)
	setHeads(t, store, n, files, share.Retention{Versions: 3})
	for _, o := range []Options{{}, {RebuildIndex: true}} {
		wantHistory(t, store, n, files, 5, 4, 3)
		for i, f := range files {
			if got := owners(t, store, f.Index); (len(got) == 1) != (i >= 2) {
				t.Errorf("version %d has leases of %v", i+1, got)
			}
		}
		held, err := store.Heads(t.Context(), []share.Name{n.name, newName(2).name}, true)
		if err != nil || len(held) != 2 || held[1].Record != nil || !bytes.Equal(held[0].Record, n.record(5, files[4].Index)) {
			t.Fatalf("heads: %v, %v", held, err)
		}
		if s := held[0].Shares; len(s) != 1 || s[0].Index != files[4].Index || s[0].Number != 1 || !bytes.Equal(s[0].Data, files[4].Share(1)) {
			t.Errorf("shares of the head: %v", s)
		}
		wantCounted(t, store)
		var conflict *share.ConflictError
		err = store.SetHead(t.Context(), n.update(5, files[0], files[1], share.Retention{}))
		if !errors.As(err, &conflict) || !bytes.Equal(conflict.Record, held[0].Record) {
			t.Errorf("a version that was overtaken: %v", err)
		}
		store.Close()
		store = mustOpen(t, dir, o)
	}
	wantHistory(t, store, n, files, 5, 4, 3)
}

// TestHeadRefused gives updates that must change nothing.
func TestHeadRefused(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	n, files := newName(1), smallFiles(t, 2)
	setHeads(t, store, n, files[:1], share.Retention{})
	before, err := store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good := n.update(2, files[1], files[0], share.Retention{})
	for name, c := range map[string]struct {
		change func(*share.HeadUpdate)
		want   error
	}{
		"signature":      {func(u *share.HeadUpdate) { u.Record = bytes.Clone(u.Record); u.Record[10] ^= 1 }, share.ErrCorrupt},
		"other name":     {func(u *share.HeadUpdate) { u.Name = newName(2).name }, share.ErrCorrupt},
		"share":          {func(u *share.HeadUpdate) { u.Shares[0].Data = bytes.Clone(u.Shares[0].Data); u.Shares[0].Data[3] ^= 1 }, share.ErrCorrupt},
		"replaces":       {func(u *share.HeadUpdate) { u.Replaces[3] ^= 1 }, share.ErrConflict},
		"first":          {func(u *share.HeadUpdate) { u.Replaces = share.Digest{} }, share.ErrConflict},
		"lease":          {func(u *share.HeadUpdate) { u.Lease.Owner = "" }, share.ErrDenied},
		"too many drops": {func(u *share.HeadUpdate) { u.Drops = make([]share.StorageIndex, share.MaxHeadIndexes+1) }, share.ErrTooLarge},
	} {
		u := good
		u.Shares = slices.Clone(good.Shares)
		c.change(&u)
		if err := store.SetHead(t.Context(), u); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if after, err := store.Stats(t.Context()); err != nil || after != before {
		t.Errorf("stats: %+v, %v; before %+v", after, err, before)
	}
	wantHistory(t, store, n, files, 1)
	for range 2 { // a record that is held is given again
		if err := store.SetHead(t.Context(), good); err != nil {
			t.Error(err)
		}
		wantHistory(t, store, n, files, 2)
		wantCounted(t, store)
	}
}

// TestReadded drops a file and adds it again before the version that dropped it is the oldest: its lease stays.
func TestReadded(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	n, files := newName(1), smallFiles(t, 7)
	page := files[6]
	if verdicts, err := store.Put(t.Context(), []share.WholeShare{{Index: page.Index, Number: 0, Data: page.Share(0)}}, monthLease("alice")); err != nil || verdicts[0] != nil {
		t.Fatal(verdicts, err)
	}
	var before *storetest.File
	for i, f := range files[:6] {
		u := n.update(uint64(i+1), f, before, share.Retention{Versions: 2})
		switch i {
		case 0, 2:
			u.Adds = append(u.Adds, page.Index)
		case 1, 4:
			u.Drops = append(u.Drops, page.Index)
		}
		if err := store.SetHead(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		before = f
		if got := owners(t, store, page.Index); (len(got) == 1) != (i < 5) {
			t.Errorf("after version %d the page has leases of %v", i+1, got)
		}
	}
}

// TestSharedFile has two names want one file: the version of one of them does not end the lease.
func TestSharedFile(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	a, b, files := newName(1), newName(2), smallFiles(t, 3)
	setHeads(t, store, a, files[:1], share.Retention{})
	setHeads(t, store, b, files[:1], share.Retention{})
	for i, n := range []testName{a, b} {
		if err := store.SetHead(t.Context(), n.update(2, files[i+1], files[0], share.Retention{})); err != nil {
			t.Fatal(err)
		}
		if got := owners(t, store, files[0].Index); len(got) != 1-i {
			t.Errorf("after %d of 2 names have dropped it the file has leases of %v", i+1, got)
		}
	}
}
