package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/storetest"
)

// scrubOne verifies one share the way the scrub does.
func scrubOne(t *testing.T, store *Store, f *storetest.File, n share.Number) error {
	t.Helper()
	record, err := store.index.file(f.Index)
	if err != nil {
		t.Fatal(err)
	}
	held, ok := record.share(n)
	if !ok {
		t.Fatal("the share is not held")
	}
	p := &scrub{Store: store, limiter: unlimited()}
	return p.verify(t.Context(), record, held, f.Index)
}

// TestEveryBitFlipInFile flips a bit of every byte of a share file.
func TestEveryBitFlipInFile(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 8<<10, 4500)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	_, name := store.names(f.Index, 1)
	flipEach(t, name, 0, func(i int) {
		if err := scrubOne(t, store, f, 1); !isDamage(err) {
			t.Errorf("a bit of byte %d is flipped and the share verifies: %v", i, err)
		}
	})
	if err := scrubOne(t, store, f, 1); err != nil {
		t.Errorf("the undamaged share: %v", err)
	}
}

// TestEveryBitFlipInJournal flips a bit of every byte of a record that holds a small share.
func TestEveryBitFlipInJournal(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 100)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	flipEach(t, store.journal.name(1), len(journalMagic), func(i int) {
		if err := scrubOne(t, store, f, 1); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("a bit of byte %d is flipped and the share verifies: %v", i, err)
		}
	})
	if err := scrubOne(t, store, f, 1); err != nil {
		t.Errorf("the undamaged share: %v", err)
	}
}

// flipEach flips a bit of each byte of a file from one on, calls check, and flips it back.
func flipEach(t *testing.T, name string, from int, check func(i int)) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for i := from; i < len(data) && !t.Failed(); i++ {
		write := func(b byte) {
			if _, err := file.WriteAt([]byte{b}, int64(i)); err != nil {
				t.Fatal(err)
			}
		}
		write(data[i] ^ 1<<(i%8))
		check(i)
		write(data[i])
	}
}

// TestScrub quarantines what does not verify, and tells.
func TestScrub(t *testing.T) {
	var told []Quarantined
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{OnQuarantine: func(q Quarantined) { told = append(told, q) }})
	good, small := storetest.NewFile(t, 1, 1, 3, 4<<10, 30_000), storetest.NewFile(t, 2, 1, 3, 4<<10, 100)
	flipped, cut, gone := storetest.NewFile(t, 3, 1, 3, 4<<10, 30_000), storetest.NewFile(t, 4, 1, 3, 4<<10, 30_000), storetest.NewFile(t, 5, 1, 3, 4<<10, 30_000)
	tail := storetest.NewFile(t, 6, 1, 3, 4<<10, 30_000)
	for _, f := range []*storetest.File{good, small, flipped, cut, gone, tail} {
		for _, n := range []share.Number{0, 2} {
			if err := f.Put(t.Context(), store, n, "alice"); err != nil {
				t.Fatal(err)
			}
		}
	}
	spoil(t, store.fileName(flipped.Index, 2), func(data []byte) []byte { data[5000] ^= 1; return data })
	spoil(t, store.fileName(cut.Index, 2), func(data []byte) []byte { return data[:20_000] })
	spoil(t, store.fileName(tail.Index, 2), func(data []byte) []byte { data[len(data)-20] ^= 1; return data })
	if err := os.Remove(store.fileName(gone.Index, 2)); err != nil {
		t.Fatal(err)
	}
	spoil(t, store.journal.name(1), func(data []byte) []byte {
		at := bytes.LastIndex(data, small.Block(0, 2)[:50])
		data[at] ^= 1
		return data
	})
	before, err := store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := store.Scrub(t.Context(), 0)
	if err != nil || report.Shares != 12 || report.Quarantined != 5 || report.Adopted != 0 || report.Bytes < 6*30_000 {
		t.Errorf("scrub: %+v, %v", report, err)
	}
	if len(told) != 5 {
		t.Errorf("told of %d shares: %v", len(told), told)
	}
	for _, f := range []*storetest.File{good, small, flipped, cut, gone, tail} {
		held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index})
		want := []share.Number{0}
		if f == good {
			want = []share.Number{0, 2}
		}
		if err != nil || !slices.Equal(held[0].Numbers, want) {
			t.Errorf("held after the scrub: %v, %v; want %v", held, err, want)
		}
		for _, n := range want {
			if err := f.Check(t.Context(), store, n); err != nil {
				t.Error(err)
			}
		}
		if progress, err := store.Uploads(t.Context(), "alice", f.Key.UploadID()); err != nil || len(progress) != len(want) {
			t.Errorf("uploads: %v, %v; want those of %v", progress, err, want)
		}
	}
	kept, err := os.ReadDir(store.quarantine)
	if err != nil || len(kept) != 3 {
		t.Errorf("quarantine: %v, %v; want the flipped, the cut and the badly ending share", kept, err)
	}
	after, err := store.Stats(t.Context())
	if err != nil || after.Shares != before.Shares-5 || after.Bytes >= before.Bytes {
		t.Errorf("stats: %+v, %v; before %+v", after, err, before)
	}
	if report, err := store.Scrub(t.Context(), 0); err != nil || report.Shares != 7 || report.Quarantined != 0 {
		t.Errorf("second scrub: %+v, %v", report, err)
	}
	// What was removed does not come back with the index.
	store.Close()
	stats, err := Rebuild(dir, Options{})
	if err != nil || stats.Shares != 7 {
		t.Errorf("rebuild: %+v, %v", stats, err)
	}
}

func (s *Store) fileName(index share.StorageIndex, n share.Number) string {
	_, name := s.names(index, n)
	return name
}

func spoil(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTornFile cuts a share file at many lengths: opening it or reading it says so, the scrub moves it aside, and a new
// index does not know it.
func TestTornFile(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	f := storetest.NewFile(t, 1, 1, 3, 8<<10, 4500)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	name := store.fileName(f.Index, 1)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for length := 0; length < len(whole); length += 97 {
		if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
			t.Fatal(err) // what could not be read was moved aside
		}
		if err := os.WriteFile(name, whole[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := scrubOne(t, store, f, 1); !isDamage(err) {
			t.Errorf("cut to %d bytes: %v", length, err)
		}
		r, err := store.Open(t.Context(), f.Index, 1)
		if err == nil {
			err = encoding.Verify(t.Context(), r, f.Index, 1, f.Root)
			r.Close()
		}
		if length < len(f.Share(1)) && !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d bytes, opened and read: %v", length, err)
		}
		held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index})
		if cut := length < len(f.Share(1)); err != nil || cut != (len(held[0].Numbers) == 0) {
			t.Errorf("cut to %d bytes, and read: %v is held, %v", length, held[0].Numbers, err)
		}
	}
	if err := os.WriteFile(name, whole[:1000], 0o600); err != nil {
		t.Fatal(err)
	}
	store.Close()
	stats, err := Rebuild(dir, Options{})
	if err != nil || stats.Shares != 1 {
		t.Errorf("rebuild: %+v, %v; the journal still tells of it", stats, err)
	}
}

// TestCutWhileOpen reads from a file that is cut under the reader.
func TestCutWhileOpen(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 8<<10, 4500)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	r, err := store.Open(t.Context(), f.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(store.fileName(f.Index, 1), 1000); err != nil {
		t.Fatal(err)
	}
	if n, err := r.ReadAt(t.Context(), make([]byte, 100), 950); n != 50 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read over the cut: %d, %v", n, err)
	}
	if held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || len(held[0].Numbers) != 0 {
		t.Errorf("the share is held: %v, %v", held, err)
	}
	if !r.(share.Staler).Stale() {
		t.Error("the reader does not know that its file was moved aside")
	}
}

// TestEIOOnce has a read fail once, and then always: only then the share is moved aside.
func TestEIOOnce(t *testing.T) {
	failing := &failingReads{files: systemFiles{}}
	store := mustOpen(t, t.TempDir(), Options{files: failing})
	f := storetest.NewFile(t, 1, 1, 3, 8<<10, 30_000)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		fails int64
		held  int
	}{{1, 1}, {2, 1}, {1 << 40, 0}} {
		r, err := store.Open(t.Context(), f.Index, 1)
		if err != nil {
			t.Fatal(err)
		}
		failing.left.Store(test.fails)
		if _, err := r.ReadAt(t.Context(), make([]byte, 100), 9000); !errors.Is(err, syscall.EIO) {
			t.Errorf("read: %v", err)
		}
		failing.left.Store(0)
		r.Close()
		if held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || len(held[0].Numbers) != test.held {
			t.Errorf("after %d failures %v is held, %v", test.fails, held[0].Numbers, err)
		}
	}
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	failing.left.Store(1)
	if report, err := store.Scrub(t.Context(), 0); err != nil || report.Quarantined != 0 {
		t.Errorf("a scrub with one failure: %+v, %v", report, err)
	}
	if err := f.Check(t.Context(), store, 1); err != nil {
		t.Error(err)
	}
}

// failingReads has some reads of share files fail.
type failingReads struct {
	files
	left atomic.Int64
}

type failingRead struct {
	file
	left *atomic.Int64
}

func (f *failingReads) Open(name string, flag int) (file, error) {
	opened, err := f.files.Open(name, flag)
	if err != nil || flag != openRead || !strings.Contains(name, string(filepath.Separator)+"shares"+string(filepath.Separator)) {
		return opened, err
	}
	return failingRead{opened, &f.left}, nil
}

func (f failingRead) ReadAt(p []byte, off int64) (int, error) {
	if f.left.Add(-1) >= 0 {
		return 0, syscall.EIO
	}
	return f.file.ReadAt(p, off)
}

// TestGoneDirectory has the whole directory be another one: nothing that was in it is given up.
func TestGoneDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "storage")
	store := mustOpen(t, dir, Options{})
	f := storetest.NewFile(t, 1, 1, 3, 8<<10, 30_000)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), f.Index, 1); err == nil {
		t.Error("a share that is not there is opened")
	}
	if _, err := store.Recheck(t.Context(), f.Index, 1, 0); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("recheck: %v", err)
	}
	if _, err := store.Scrub(t.Context(), 0); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("scrub: %v", err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), store, 1); err != nil {
		t.Error(err)
	}
}

// TestCondemnReplaced has a share be stored again between the moment in which it was found damaged and that in which it would be moved aside.
func TestCondemnReplaced(t *testing.T) {
	store := mustOpen(t, t.TempDir(), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 8<<10, 30_000)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	spoil(t, store.fileName(f.Index, 1), func(data []byte) []byte { data[100] ^= 4; return data })
	reads := 0
	found, err := store.recheck(t.Context(), f.Index, 1, func(r share.Reader, root []byte) error {
		err := encoding.Verify(t.Context(), r, f.Index, 1, root)
		if reads++; reads == 2 {
			if err := f.PutAs(t.Context(), store, 1, "alice", share.UploadID{1}); err != nil {
				t.Fatal(err)
			}
		}
		return err
	})
	if err != nil || found != good || reads != 3 {
		t.Errorf("found %d after %d reads, %v", found, reads, err)
	}
	if err := f.Check(t.Context(), store, 1); err != nil {
		t.Error(err)
	}
}

// TestAdopt finds a share file that an upload left without telling the index, and another one that is bad.
func TestAdopt(t *testing.T) {
	from := mustOpen(t, t.TempDir(), Options{})
	store := mustOpen(t, t.TempDir(), Options{})
	good, bad := storetest.NewFile(t, 1, 1, 3, 8<<10, 30_000), storetest.NewFile(t, 2, 1, 3, 8<<10, 30_000)
	for _, f := range []*storetest.File{good, bad} {
		if err := f.Put(t.Context(), from, 1, "alice"); err != nil {
			t.Fatal(err)
		}
		_, name, err := store.place(f.Index, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from.fileName(f.Index, 1), name); err != nil {
			t.Fatal(err)
		}
	}
	spoil(t, store.fileName(bad.Index, 1), func(data []byte) []byte { data[100] ^= 4; return data })
	if report, err := store.Scrub(t.Context(), 0); err != nil || report.Adopted != 1 || report.Quarantined != 1 {
		t.Errorf("scrub: %+v, %v", report, err)
	}
	if err := good.Check(t.Context(), store, 1); err != nil {
		t.Errorf("the adopted share: %v", err)
	}
	if progress, err := store.Uploads(t.Context(), "alice", good.Key.UploadID()); err != nil || len(progress) != 1 {
		t.Errorf("uploads: %v, %v", progress, err)
	}
	if held, err := store.Numbers(t.Context(), []share.StorageIndex{bad.Index}); err != nil || len(held[0].Numbers) != 0 {
		t.Errorf("the bad share is held: %v, %v", held, err)
	}
}

// TestRebuildOlderFile computes the index anew where a damaged share file lies beside what was stored since, and where one was left over
// when the share was found damaged.
func TestRebuildOlderFile(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	again, removed := storetest.NewFile(t, 1, 1, 3, 8<<10, 30_000), storetest.NewFile(t, 2, 1, 3, 8<<10, 30_000)
	whole := storetest.NewFile(t, 3, 1, 3, 8<<10, 30_000)
	for _, f := range []*storetest.File{again, removed, whole} {
		if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	left := map[string][]byte{}
	for _, f := range []*storetest.File{again, removed} {
		name := store.fileName(f.Index, 1)
		spoil(t, name, func(data []byte) []byte { data[5000] ^= 1; return data })
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		left[name] = data
	}
	if held, err := store.Recheck(t.Context(), removed.Index, 1, 0); err != nil || held {
		t.Fatalf("recheck: %v, %v", held, err)
	}
	if err := store.Drop(t.Context(), whole.Index, []share.Number{1}); err != nil {
		t.Fatal(err)
	}
	verdicts, err := store.Put(t.Context(), []share.WholeShare{again.Whole(1)}, share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)})
	if err := errors.Join(append(verdicts, err)...); err != nil {
		t.Fatal(err)
	}
	for name, data := range left { // as a process leaves them that is killed before it has moved them
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store.Close()
	store = mustOpen(t, dir, Options{RebuildIndex: true})
	if err := again.Check(t.Context(), store, 1); err != nil {
		t.Errorf("the share that was stored again: %v", err)
	}
	for _, f := range []*storetest.File{removed, whole} {
		if held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || len(held[0].Numbers) != 0 {
			t.Errorf("a share that was removed is held: %v, %v", held, err)
		}
	}
	if report, err := store.Scrub(t.Context(), 0); err != nil || report.Quarantined != 2 || report.Shares != 1 {
		t.Errorf("scrub: %+v, %v", report, err)
	}
	if err := again.Check(t.Context(), store, 1); err != nil {
		t.Errorf("the share that was stored again, after a scrub: %v", err)
	}
}

// TestRebuild loses the index, and parts of the journal with it.
func TestRebuild(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	var files []*storetest.File
	for i := range 20 {
		f := storetest.NewFile(t, uint64(i), 1, 3, 4<<10, i*600)
		if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	before, err := store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leases, err := store.Leases(t.Context(), files[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	if err := os.RemoveAll(store.indexDir()); err != nil {
		t.Fatal(err)
	}
	store = mustOpen(t, dir, Options{})
	if after, err := store.Stats(t.Context()); err != nil || after != before {
		t.Errorf("stats: %+v, %v; want %+v", after, err, before)
	}
	for i, f := range files {
		if err := f.Check(t.Context(), store, 1); err != nil {
			t.Errorf("file %d: %v", i, err)
		}
		if progress, err := store.Uploads(t.Context(), "alice", f.Key.UploadID()); err != nil || len(progress) != 1 || progress[0].Index != f.Index {
			t.Errorf("uploads: %v, %v", progress, err)
		}
	}
	again, err := store.Leases(t.Context(), files[0].Index)
	if err != nil || len(again) != 1 || again[0].Owner != "alice" || !again[0].Expires.After(leases[0].Expires) {
		t.Errorf("leases: %v, %v; want some longer than %v", again, err, leases)
	}
	store.Close()

	// Without the journal the files are found, with a damaged one everything but the damaged record.
	spoil(t, filepath.Join(dir, "journal", "00000001.log"), func(data []byte) []byte {
		at := bytes.Index(data, files[1].Block(0, 1)[:100])
		copy(data[at:], make([]byte, 300))
		return data
	})
	stats, err := Rebuild(dir, Options{})
	if err != nil || stats.Shares != 19 {
		t.Errorf("rebuild from a damaged journal: %+v, %v", stats, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	stats, err = Rebuild(dir, Options{})
	if err != nil || stats.Shares != 13 {
		t.Errorf("rebuild without a journal: %+v, %v", stats, err)
	}
}

// TestDamagedIndex spoils each file of the index: Open finds out and computes a new one, or does without the file.
func TestDamagedIndex(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	var files []*storetest.File
	base := storetest.NewFile(t, 1, 1, 3, 4<<10, 500)
	for i := range uint64(100) {
		f, id := base.Renamed(i)
		if err := f.PutAs(t.Context(), store, 1, "alice", id); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	store.Close()
	saved := filepath.Join(t.TempDir(), "saved")
	if err := os.CopyFS(saved, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(store.indexDir())
	if err != nil || len(entries) < 3 {
		t.Fatalf("index: %v, %v", entries, err)
	}
	for _, e := range entries {
		for name, change := range map[string]func([]byte) []byte{
			"flipped": func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
			"cut":     func(data []byte) []byte { return data[:len(data)/2] },
			"zeroed":  func(data []byte) []byte { return make([]byte, len(data)) },
		} {
			t.Run(e.Name()+"/"+name, func(t *testing.T) {
				dir := filepath.Join(quickDir(t), "copy")
				if err := os.CopyFS(dir, os.DirFS(saved)); err != nil {
					t.Fatal(err)
				}
				spoil(t, filepath.Join(dir, "index", e.Name()), func(data []byte) []byte {
					if len(data) == 0 {
						return data
					}
					return change(data)
				})
				checkAfterDamage(t, dir, files)
			})
		}
	}
}

// TestDamagedRecord spoils one value in the index: the file cannot be found until the index is computed again, all
// others can.
func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	base := storetest.NewFile(t, 1, 1, 3, 4<<10, 500)
	var indexes []share.StorageIndex
	for i := range uint64(3) {
		f, id := base.Renamed(i)
		if err := f.PutAs(t.Context(), store, 1, "alice", id); err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, f.Index)
	}
	if err := store.index.write([]change{{fileKey(indexes[1]), []byte("noise")}}); err != nil {
		t.Fatal(err)
	}
	held, err := store.Numbers(t.Context(), indexes)
	if err != nil || len(held[0].Numbers) != 1 || len(held[1].Numbers) != 0 || len(held[2].Numbers) != 1 {
		t.Errorf("held: %v, %v", held, err)
	}
	if _, err := store.Open(t.Context(), indexes[1], 1); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
	store.Close()
	store = mustOpen(t, dir, Options{})
	held, err = store.Numbers(t.Context(), indexes)
	if err != nil || len(held[1].Numbers) != 1 {
		t.Errorf("held after the next start: %v, %v", held, err)
	}
}

// checkAfterDamage opens a store whose index was spoiled; a scrub may be what finds the damage, and a second Open what
// mends it.
func checkAfterDamage(t *testing.T, dir string, files []*storetest.File) {
	t.Helper()
	store := mustOpen(t, dir, Options{})
	if _, err := store.Scrub(t.Context(), 0); err != nil {
		t.Logf("the scrub says: %v", err)
		store.Close()
		store = mustOpen(t, dir, Options{})
	}
	for i, f := range files {
		if err := f.Check(t.Context(), store, 1); err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
	}
	if stats, err := store.Stats(t.Context()); err != nil || stats.Shares != int64(len(files)) {
		t.Errorf("stats: %+v, %v", stats, err)
	}
	store.Close()
}
