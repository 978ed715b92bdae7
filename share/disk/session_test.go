package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/internal/waittest"
	"cairn/share"
	"cairn/share/storetest"
)

// begin starts an upload, appends segments and leaves it.
func begin(t *testing.T, store *Store, f *storetest.File, n share.Number, id share.UploadID, segments int64) {
	t.Helper()
	u := f.Upload(n, "alice")
	u.ID = id
	w, err := store.Create(t.Context(), u)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if err := f.Append(t.Context(), w, n, 0, segments); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// have asks how far an upload is.
func have(t *testing.T, store *Store, f *storetest.File, n share.Number) int64 {
	t.Helper()
	w, err := store.Create(t.Context(), f.Upload(n, "alice"))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	defer w.Close()
	blocks, err := w.Have(t.Context())
	if err != nil {
		t.Fatalf("have: %v", err)
	}
	return blocks
}

func sessionFiles(s *Store, f *storetest.File, n share.Number) (blocks, rows, about string) {
	path := filepath.Join(s.uploads, sessionKey("alice", f.Key.UploadID(), n))
	return path + blocksSuffix, path + rowsSuffix, path + aboutSuffix
}

// TestResumeDamaged spoils what an interrupted upload left: as much as is good is kept, and the upload ends well.
func TestResumeDamaged(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 20*(4<<10)+9)
	row := int64(3*32 + checksumSize)
	for name, test := range map[string]struct {
		change func(t *testing.T, blocks, rows, about string)
		want   int64
	}{
		"untouched":     {func(*testing.T, string, string, string) {}, 15},
		"block flipped": {flip("blocks", 7*4096+5), 7},
		"row flipped":   {flip("rows", 9*row+40), 9},
		"blocks cut":    {truncate("blocks", 12*4096+100), 12},
		"rows cut":      {truncate("rows", 3*row-1), 2},
		"blocks longer": {truncate("blocks", 16*4096), 15},
		"rows longer":   {truncate("rows", 16*row+3), 15},
		"blocks empty":  {truncate("blocks", 0), 0},
		"rows gone":     {remove("rows"), 0},
		"blocks gone":   {remove("blocks"), 0},
		"about flipped": {flip("about", 10), 0},
		"about gone":    {remove("about"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := mustOpen(t, dir, Options{})
			begin(t, store, f, 1, f.Key.UploadID(), 15)
			blocks, rows, about := sessionFiles(store, f, 1)
			store.Close()
			test.change(t, blocks, rows, about)
			store = mustOpen(t, dir, Options{})
			if got := have(t, store, f, 1); got != test.want {
				t.Errorf("have %d, want %d", got, test.want)
			}
			w, err := store.Create(t.Context(), f.Upload(1, "alice"))
			if err != nil {
				t.Fatal(err)
			}
			first, err := w.Have(t.Context())
			if err != nil || first != test.want {
				t.Fatalf("have again: %d, %v", first, err)
			}
			if err := f.Append(t.Context(), w, 1, first, f.Segments()); err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(t.Context(), f.Root); err != nil {
				t.Fatal(err)
			}
			if err := f.Check(t.Context(), store, 1); err != nil {
				t.Error(err)
			}
			wantEmpty(t, store.uploads)
		})
	}
}

type spoiling = func(t *testing.T, blocks, rows, about string)

func on(which string, do func(t *testing.T, name string)) spoiling {
	return func(t *testing.T, blocks, rows, about string) {
		do(t, map[string]string{"blocks": blocks, "rows": rows, "about": about}[which])
	}
}

func flip(which string, at int64) spoiling {
	return on(which, func(t *testing.T, name string) {
		spoil(t, name, func(data []byte) []byte { data[at] ^= 1; return data })
	})
}

func truncate(which string, size int64) spoiling {
	return on(which, func(t *testing.T, name string) {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	})
}

func remove(which string) spoiling {
	return on(which, func(t *testing.T, name string) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	})
}

// TestStale forgets uploads that nobody went on with, at once and after a restart.
func TestStale(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	f, g := storetest.NewFile(t, 1, 1, 3, 4<<10, 30_000), storetest.NewFile(t, 2, 1, 3, 4<<10, 30_000)
	begin(t, store, f, 1, f.Key.UploadID(), 3)
	begin(t, store, g, 1, g.Key.UploadID(), 3)
	store.sessions.expire(time.Now().Add(SessionAge / 2))
	if got := have(t, store, f, 1); got != 3 {
		t.Errorf("have %d blocks of a fresh upload", got)
	}
	store.sessions.expire(time.Now().Add(SessionAge + time.Hour))
	wantEmpty(t, store.uploads)
	if got := have(t, store, f, 1); got != 0 {
		t.Errorf("have %d blocks of a stale upload", got)
	}
	begin(t, store, g, 1, g.Key.UploadID(), 3)
	_, rows, _ := sessionFiles(store, g, 1)
	store.Close()
	old := time.Now().Add(-SessionAge - time.Hour)
	if err := os.Chtimes(rows, old, old); err != nil {
		t.Fatal(err)
	}
	store = mustOpen(t, dir, Options{})
	wantEmpty(t, store.uploads)
}

// TestOwnersAreBounded lets one owner begin too many uploads: the oldest make room, another owner's stay.
func TestOwnersAreBounded(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 300)
	for i := range MaxOwnerSessions {
		u := f.Upload(0, "alice")
		u.ID[0], u.ID[1] = byte(i), byte(i>>8)
		if _, err := store.Create(t.Context(), u); err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
	}
	u := f.Upload(0, "alice")
	u.ID[2] = 1
	if _, err := store.Create(t.Context(), u); !errors.Is(err, share.ErrBusy) {
		t.Errorf("one upload more while all are in use: %v", err)
	}
	other := f.Upload(0, "bob")
	if _, err := store.Create(t.Context(), other); err != nil {
		t.Errorf("another owner's upload: %v", err)
	}
	for _, s := range store.sessions.all(func(s *session) bool { return s.owner == "alice" && s.id[0] == 7 && s.id[1] == 1 }) {
		s.mu.Lock()
		s.writer = nil
		s.mu.Unlock()
	}
	if _, err := store.Create(t.Context(), u); err != nil {
		t.Errorf("one upload more while one is idle: %v", err)
	}
}

// TestReservations promises space to uploads of known size and takes it back.
func TestReservations(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{Offer: 100_000, Reserve: -1})
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 40_000)
	free := func() int64 {
		t.Helper()
		space, err := store.Space(t.Context())
		if err != nil || space.Offered != 100_000 {
			t.Fatalf("space: %+v, %v", space, err)
		}
		return space.Free
	}
	create := func(n share.Number) (share.Writer, error) { return store.Create(t.Context(), f.Upload(n, "alice")) }
	first, err := create(0)
	if err != nil {
		t.Fatal(err)
	}
	if got := free(); got > 60_000 || got < 55_000 {
		t.Errorf("%d free after one reservation", got)
	}
	second, err := create(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := create(2); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("a third upload: %v", err)
	}
	if err := f.Append(t.Context(), second, 1, 0, 5); err != nil {
		t.Fatal(err)
	}
	second.Close() // keeps what it wrote, gives back the rest
	if got := free(); got < 30_000 || got > 40_000 {
		t.Errorf("%d free with an upload at rest", got)
	}
	if err := f.Append(t.Context(), first, 0, 0, f.Segments()); err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(t.Context(), f.Root); err != nil {
		t.Fatal(err)
	}
	space, err := store.Space(t.Context())
	if want := int64(len(f.Share(0))) + 5*(4096+3*32+checksumSize); err != nil || space.Used != want {
		t.Errorf("space: %+v, %v; want %d used", space, err, want)
	}
	store.sessions.expired = time.Time{}
	store.sessions.expire(time.Now().Add(SessionAge + time.Hour))
	space.Used, space.Free = int64(len(f.Share(0))), 100_000-int64(len(f.Share(0)))
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Errorf("the same share again: %v", err)
	}
	if again, err := store.Space(t.Context()); err != nil || again != space {
		t.Errorf("space after the same share again: %+v, %v", again, err)
	}
}

// TestScrubGoesOn interrupts a scrub, by a bad share of which it tells, and looks where the next one begins.
func TestScrubGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store := mustOpen(t, t.TempDir(), Options{OnQuarantine: func(Quarantined) { cancel() }})
	base := storetest.NewFile(t, 1, 1, 3, 4<<10, 300)
	const files = 3*scrubPage + 10
	for i := range uint64(files) {
		f, id := base.Renamed(i)
		if err := f.PutAs(t.Context(), store, 1, "alice", id); err != nil {
			t.Fatal(err)
		}
	}
	order, err := store.index.after(share.StorageIndex{}, files)
	if err != nil || len(order) != files {
		t.Fatalf("%d files, %v", len(order), err)
	}
	bad, err := store.index.file(order[2*scrubPage+5])
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, store.journal.name(1), func(data []byte) []byte { data[bad.Shares[0].At.Offset+50] ^= 1; return data })
	first, err := store.Scrub(ctx, 0)
	if !errors.Is(err, context.Canceled) || first.Shares != 2*scrubPage+6 || first.Quarantined != 1 {
		t.Errorf("interrupted scrub: %+v, %v", first, err)
	}
	second, err := store.Scrub(t.Context(), 0)
	if err != nil || second.Shares != files-2*scrubPage-1 || second.Quarantined != 0 {
		t.Errorf("the next scrub: %+v, %v", second, err)
	}
	third, err := store.Scrub(t.Context(), 0)
	if err != nil || third.Shares != files-1 {
		t.Errorf("the one after: %+v, %v", third, err)
	}
}

// TestScrubRate checks that a scrub is held back, and that its end is not waited for.
func TestScrubRate(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 128<<10, 6<<20)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	var report ScrubReport
	var err error
	held := false
	for disturbed := true; disturbed && !held; { // the clock goes on while this process stands still, and with it what may be read
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		disturbed = waittest.Disturbed(func() { report, err = store.Scrub(ctx, 1<<20) })
		cancel()
		held = err != nil && report.Bytes <= 4<<20 && report.Quarantined == 0
	}
	if !held {
		t.Errorf("a scrub of 6 MiB at 1 MiB/s for 0.1 s: %+v, %v", report, err)
	}
}
