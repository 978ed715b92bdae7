package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/share"
	"cairn/share/storetest"
)

// mount gives the test a file system of its own, which only root can do.
func mount(t *testing.T, bytes int64) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("needs to be allowed to mount a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestDiskFull fills a real file system: with shares until the reserve is reached, then with others' data to the last
// byte.
func TestDiskFull(t *testing.T) {
	root := mount(t, indexHeadroom+48<<20)
	dir := filepath.Join(root, "storage")
	store := mustOpen(t, dir, Options{Reserve: 4 << 20})
	small := storetest.NewFile(t, 1, 1, 3, 4<<10, 300)
	if err := small.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	large := storetest.NewFile(t, 2, 1, 3, 128<<10, 3<<20)
	acked := fill(t, store, large)
	if acked < 5 {
		t.Errorf("%d shares fit", acked)
	}
	space, err := store.Space(t.Context())
	if err != nil || space.Free > 8<<20 || space.Used < int64(acked)*3<<20 {
		t.Errorf("space: %+v, %v", space, err)
	}

	junk := filepath.Join(root, "junk")
	fillWithJunk(t, junk)
	if err := small.Put(t.Context(), store, 1, "alice"); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("put on a full disk: %v", err)
	}
	long := share.Lease{Owner: "alice", Expires: large.Upload(0, "alice").Lease.Expires.AddDate(0, 1, 0)}
	if err := store.Renew(t.Context(), []share.StorageIndex{small.Index}, long); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("renew on a full disk: %v", err)
	}
	wantAcked(t, store, small, large, acked)
	store.Close()

	store = mustOpen(t, dir, Options{Reserve: 4 << 20})
	wantAcked(t, store, small, large, acked)
	if err := small.Put(t.Context(), store, 1, "alice"); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("put on a full disk, opened again: %v", err)
	}
	if space, err := store.Space(t.Context()); err != nil || space.Free != 0 {
		t.Errorf("space on a full disk: %+v, %v", space, err)
	}
	store.Close()

	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	store = mustOpen(t, dir, Options{Reserve: -1})
	if err := small.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Errorf("put after space was made: %v", err)
	}
	wantAcked(t, store, small, large, acked)
}

// fill stores shares of unknown size, so that nothing is reserved, until one does not fit.
func fill(t *testing.T, store *Store, f *storetest.File) (acked int) {
	t.Helper()
	put := func(i uint64) error {
		g, id := f.Renamed(i)
		u := g.Upload(0, "alice")
		u.ID, u.Size = id, -1
		w, err := store.Create(t.Context(), u)
		if err != nil {
			return err
		}
		defer w.Close()
		if err := g.Append(t.Context(), w, 0, 0, g.Segments()); err != nil {
			return err
		}
		return w.Commit(t.Context(), g.Root)
	}
	for i := uint64(0); ; i++ {
		if err := put(i); errors.Is(err, share.ErrNoSpace) {
			return int(i)
		} else if err != nil || i > 1000 {
			t.Fatalf("share %d: %v", i, err)
		}
	}
}

func fillWithJunk(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for p := make([]byte, 64<<10); len(p) > 0; {
		if _, err := f.Write(p); errors.Is(err, syscall.ENOSPC) {
			p = p[:len(p)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func wantAcked(t *testing.T, store *Store, small, large *storetest.File, acked int) {
	t.Helper()
	if err := small.Check(t.Context(), store, 0); err != nil {
		t.Errorf("small share: %v", err)
	}
	for i := range acked {
		f, _ := large.Renamed(uint64(i))
		if err := f.Check(t.Context(), store, 0); err != nil {
			t.Errorf("share %d of %d: %v", i, acked, err)
		}
	}
}

// TestReadOnly opens directories on a file system that cannot be written: one that was closed well, one whose process
// was cut off, and one that was never set up.
func TestReadOnly(t *testing.T) {
	root := mount(t, 256<<20)
	w := newWorkload(t)
	closed, cut, empty := filepath.Join(root, "closed"), filepath.Join(root, "cut"), filepath.Join(root, "empty")
	store := mustOpen(t, closed, Options{Reserve: -1})
	if err := w.run(context.Background(), store, func(int) {}); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(cut, os.DirFS(closed)); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("needs to be allowed to mount a file system for reading only: %v", err)
	}
	for _, dir := range []string{closed, cut} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			store := mustOpen(t, dir, Options{})
			for i, f := range w.files {
				if err := f.Check(t.Context(), store, workloadShare); err != nil {
					t.Errorf("file %d: %v", i, err)
				}
			}
			if err := w.files[0].Put(t.Context(), store, 0, "alice"); !errors.Is(err, share.ErrReadOnly) {
				t.Errorf("put: %v", err)
			}
			lease := w.files[0].Upload(0, "alice").Lease
			if err := store.Renew(t.Context(), []share.StorageIndex{w.files[0].Index}, lease); !errors.Is(err, share.ErrReadOnly) {
				t.Errorf("renew: %v", err)
			}
			if _, err := store.Scrub(t.Context(), 0); !errors.Is(err, share.ErrReadOnly) {
				t.Errorf("scrub: %v", err)
			}
			w.version = len(w.versions)
			w.checkVersions(t, store)
			if err := w.putBatch(t.Context(), store); !errors.Is(err, share.ErrReadOnly) {
				t.Errorf("put a batch: %v", err)
			}
			if err := store.SetHead(t.Context(), w.name.update(4, w.files[0], nil, share.Retention{})); !errors.Is(err, share.ErrReadOnly) {
				t.Errorf("set head: %v", err)
			}
			if _, err := store.CollectDue(t.Context(), 0); !errors.Is(err, share.ErrReadOnly) {
				t.Errorf("collect: %v", err)
			}
			held := len(w.files) + len(w.batch) + 1
			listed := 0
			if err := store.Each(t.Context(), func(share.StorageIndex) error { listed++; return nil }); err != nil || listed != held {
				t.Errorf("each: %d, %v", listed, err)
			}
			if stats, err := store.Stats(t.Context()); err != nil || stats.Shares != int64(held) || stats.Names != 1 {
				t.Errorf("stats: %+v, %v", stats, err)
			}
			if space, err := store.Space(t.Context()); err != nil || space.Free != 0 {
				t.Errorf("space: %+v, %v", space, err)
			}
			if err := store.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	if _, err := Open(empty, Options{}); !errors.Is(err, share.ErrReadOnly) {
		t.Errorf("open a directory that was never set up: %v", err)
	}
}
