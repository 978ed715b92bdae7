package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/storetest"
)

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, share.ErrBusy) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "stop it") {
		t.Errorf("open a directory that is in use: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, Options{})
}

func TestFormat(t *testing.T) {
	for text, want := range map[string]error{"cairn storage 3\n": share.ErrVersion, "something else": share.ErrVersion, "cairn storage 1\n": nil, "cairn sto": nil, "": nil} {
		dir := t.TempDir()
		mustOpen(t, dir, Options{}).Close()
		if err := os.WriteFile(filepath.Join(dir, "format"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := Open(dir, Options{})
		if !errors.Is(err, want) {
			t.Errorf("format %q: %v, want %v", text, err, want)
		}
		if err == nil {
			store.Close()
		}
	}
}

func TestOpenNowhere(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(name, Options{}); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("open a file: %v", err)
	}
}

// TestCrashWhileOpening finds the mark of processes that ended inside Badger; after two it computes the index again.
func TestCrashWhileOpening(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 300)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	store.Close()
	for _, test := range []struct {
		ended string
		aside int
	}{{"", 0}, {".", 0}, {"..", 1}, {"..", 1}} {
		if err := os.WriteFile(store.openingMark(), []byte(test.ended), 0o600); err != nil {
			t.Fatal(err)
		}
		store = mustOpen(t, dir, Options{})
		aside, err := filepath.Glob(filepath.Join(dir, "index.damaged-*"))
		if err != nil || len(aside) != test.aside {
			t.Errorf("after %d deaths: moved aside: %v, %v", len(test.ended), aside, err)
		}
		if err := f.Check(t.Context(), store, 1); err != nil {
			t.Error(err)
		}
		store.Close()
	}
	for _, mark := range []string{store.openingMark(), store.rebuildMark()} {
		if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", mark, err)
		}
	}
}

// TestClosed uses a store, its readers and writers after it was closed.
func TestClosed(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 30_000)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	r, err := store.Open(t.Context(), f.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	w, err := store.Create(t.Context(), f.Upload(0, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), w, 0, 0, 4); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	_, openErr := store.Open(t.Context(), f.Index, 1)
	_, createErr := store.Create(t.Context(), f.Upload(2, "alice"))
	_, readErr := r.ReadAt(t.Context(), make([]byte, 10), 0)
	_, numbersErr := store.Numbers(t.Context(), []share.StorageIndex{f.Index})
	_, statsErr := store.Stats(t.Context())
	_, spaceErr := store.Space(t.Context())
	_, scrubErr := store.Scrub(t.Context(), 0)
	_, uploadsErr := store.Uploads(t.Context(), "alice", f.Key.UploadID())
	_, haveErr := w.Have(t.Context())
	for name, err := range map[string]error{
		"open": openErr, "create": createErr, "read": readErr, "numbers": numbersErr, "stats": statsErr, "space": spaceErr,
		"scrub": scrubErr, "uploads": uploadsErr, "have": haveErr,
		"append": w.Append(t.Context(), f.Row(4), f.Block(4, 0)),
		"commit": w.Commit(t.Context(), f.Root),
		"renew":  store.Renew(t.Context(), []share.StorageIndex{f.Index}, f.Upload(0, "alice").Lease),
		"each":   store.Each(t.Context(), func(share.StorageIndex) error { return nil }),
	} {
		if !errors.Is(err, share.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(w.Close(), r.Close(), store.Close()); err != nil {
		t.Errorf("close again: %v", err)
	}
	store = mustOpen(t, dir, Options{})
	if got := have(t, store, f, 0); got != 4 {
		t.Errorf("have %d blocks of the upload that was open, want 4", got)
	}
}

// TestCloseWhileBusy closes a store under its readers and writers.
func TestCloseWhileBusy(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	base := storetest.NewFile(t, 1, 1, 3, 4<<10, 300)
	large := storetest.NewFile(t, 2, 1, 3, 4<<10, 20_000)
	var group sync.WaitGroup
	var mu sync.Mutex
	var acked []*storetest.File
	started := make(chan struct{}, 8)
	for g := range uint64(4) {
		group.Go(func() {
			for i := g; ; i += 4 {
				f, id := []*storetest.File{base, large}[i/4%2].Renamed(i)
				if err := f.PutAs(context.Background(), store, 1, "alice", id); err != nil {
					if !errors.Is(err, share.ErrClosed) {
						t.Errorf("put: %v", err)
					}
					return
				}
				mu.Lock()
				acked = append(acked, f)
				mu.Unlock()
				if _, err := store.Numbers(context.Background(), []share.StorageIndex{f.Index}); err != nil && !errors.Is(err, share.ErrClosed) {
					t.Errorf("numbers: %v", err)
				}
				if i == g {
					started <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	if err := store.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	group.Wait()
	store = mustOpen(t, dir, Options{})
	for _, f := range acked {
		if err := f.Check(t.Context(), store, 1); err != nil {
			t.Errorf("one of %d acknowledged shares: %v", len(acked), err)
		}
	}
}

func TestEach(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	base := storetest.NewFile(t, 1, 1, 3, 4<<10, 10)
	var want []share.StorageIndex
	for i := range uint64(50) {
		f, id := base.Renamed(i)
		if err := f.PutAs(t.Context(), store, 1, "alice", id); err != nil {
			t.Fatal(err)
		}
		want = append(want, f.Index)
	}
	slices.SortFunc(want, compare)
	var got []share.StorageIndex
	if err := store.Each(t.Context(), func(index share.StorageIndex) error { got = append(got, index); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d indexes, want %d in order", len(got), len(want))
	}
	enough := errors.New("enough")
	if err := store.Each(t.Context(), func(share.StorageIndex) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("each: %v", err)
	}
	var paged []share.StorageIndex
	var last share.StorageIndex
	for {
		page, err := store.index.after(last, 7)
		if err != nil {
			t.Fatal(err)
		}
		if paged = append(paged, page...); len(page) < 7 {
			break
		}
		last = page[len(page)-1]
	}
	if !slices.Equal(paged, want) {
		t.Errorf("%d indexes in pages, want %d in order", len(paged), len(want))
	}
}

// TestTooManyOwners lets more owners than one file can have ask for it.
func TestTooManyOwners(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 300)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	lease := share.Lease{Expires: time.Now().Add(time.Hour)}
	for i := range MaxLeases - 1 {
		lease.Owner = strings.Repeat("x", i+1)
		if err := store.Renew(t.Context(), []share.StorageIndex{f.Index}, lease); err != nil {
			t.Fatalf("owner %d: %v", i+2, err)
		}
	}
	lease.Owner = "one more"
	if err := store.Renew(t.Context(), []share.StorageIndex{f.Index}, lease); !errors.Is(err, share.ErrDenied) {
		t.Errorf("owner %d: %v", MaxLeases+1, err)
	}
	if err := f.Put(t.Context(), store, 1, "another"); !errors.Is(err, share.ErrDenied) {
		t.Errorf("put by owner %d: %v", MaxLeases+1, err)
	}
	if leases, err := store.Leases(t.Context(), f.Index); err != nil || len(leases) != MaxLeases {
		t.Errorf("%d leases, %v", len(leases), err)
	}
}

// TestHandles opens more shares than stay open, some at the same time.
func TestHandles(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	base := storetest.NewFile(t, 1, 1, 3, 8<<10, 5000)
	var readers []share.Reader
	for i := range uint64(maxIdleHandles + 20) {
		f, id := base.Renamed(i)
		if err := f.PutAs(t.Context(), store, 1, "alice", id); err != nil {
			t.Fatal(err)
		}
		if err := f.Check(t.Context(), store, 1); err != nil {
			t.Fatal(err)
		}
		r, err := store.Open(t.Context(), f.Index, 1)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	store.handles.evict(readers[0].(*reader).handle.name)
	for _, r := range readers {
		if _, err := r.ReadAt(t.Context(), make([]byte, 100), 0); err != nil {
			t.Errorf("read: %v", err)
		}
		r.Close()
		r.Close()
		if _, err := r.ReadAt(t.Context(), make([]byte, 100), 0); !errors.Is(err, share.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
	}
	store.handles.mu.Lock()
	defer store.handles.mu.Unlock()
	if idle, open := store.handles.idle.Len(), len(store.handles.byName); idle != maxIdleHandles || open != idle {
		t.Errorf("%d files are idle, %d open, want %d", idle, open, maxIdleHandles)
	}
}
