package disk

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cairn/internal/fault"
	"cairn/share"
	"cairn/share/storetest"
)

// failingFiles puts an Injector in front of the file system.
type failingFiles struct {
	files
	in *fault.Injector
}

type failingFile struct {
	file
	in *fault.Injector
}

var anyContext = context.Background()

func (f failingFiles) Open(name string, flag int) (file, error) {
	if flag != openRead {
		if err := f.in.Step(anyContext, "open"); err != nil {
			return nil, err
		}
	}
	inner, err := f.files.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return failingFile{inner, f.in}, nil
}

func (f failingFiles) Mkdir(name string) error {
	if _, err := os.Stat(name); err == nil {
		return f.files.Mkdir(name)
	}
	if err := f.in.Step(anyContext, "mkdir"); err != nil {
		return err
	}
	return f.files.Mkdir(name)
}

func (f failingFiles) Rename(from, to string) error {
	if err := f.in.Step(anyContext, "rename"); err != nil {
		return err
	}
	return f.files.Rename(from, to)
}

func (f failingFiles) Remove(name string) error {
	if err := f.in.Step(anyContext, "remove"); err != nil {
		return err
	}
	return f.files.Remove(name)
}

func (f failingFiles) SyncDir(name string) error {
	if err := f.in.Step(anyContext, "sync directory"); err != nil {
		return err
	}
	return f.files.SyncDir(name)
}

func (f failingFile) WriteAt(p []byte, off int64) (int, error) {
	return f.in.Write(anyContext, "write", p, func(p []byte) (int, error) { return f.file.WriteAt(p, off) })
}

func (f failingFile) Truncate(size int64) error {
	if err := f.in.Step(anyContext, "truncate"); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f failingFile) Sync() error {
	if err := f.in.Step(anyContext, "sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

// testMemTable keeps the index of a test small: most tests open several.
const testMemTable = 1 << 20

// testInline has shares of some KiB be files in most tests.
const testInline = 4 << 10

// testSegment has a workload fill some segments of the journal.
const testSegment = 3 << 10

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("%s: %v, %v; want it empty", dir, entries, err)
	}
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	o.memTable, o.inline = testMemTable, cmp.Or(o.inline, testInline)
	store, err := Open(dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// quickDir is a temporary directory, in memory where the machine has room for that: where the test makes the faults, the
// disk below does not matter.
func quickDir(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	if free, err := freeBytes(memory); err != nil || free < 4*indexHeadroom {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "cairn-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestEveryFault fails each operation of the file system in turn.
func TestEveryFault(t *testing.T) {
	all := newWorkload(t)
	for name, action := range map[string]fault.Action{"error": {Err: syscall.EIO}, "short write": {Truncate: true}} {
		t.Run(name, func(t *testing.T) {
			fault.Loop(t, action, func(t *testing.T, in *fault.Injector) {
				if action.Truncate {
					in.Only("write")
				}
				dir, w := quickDir(t), all.again()
				store, err := Open(dir, Options{files: failingFiles{systemFiles{}, in}, memTable: testMemTable, inline: testInline, segment: testSegment})
				if err == nil {
					w.run(t.Context(), store, func(int) {})
					store.Close()
				}
				w.check(t, dir)
			})
		})
	}
}

// TestFullFromThenOn lets the disk be full from some operation on.
func TestFullFromThenOn(t *testing.T) {
	all := newWorkload(t)
	for n := int64(1); ; n += 5 {
		in := fault.From(n, fault.Action{Err: syscall.ENOSPC})
		dir, w := quickDir(t), all.again()
		store, err := Open(dir, Options{files: failingFiles{systemFiles{}, in}, memTable: testMemTable, inline: testInline, segment: testSegment})
		if err == nil {
			err = w.run(t.Context(), store, func(int) {})
			err = errors.Join(err, store.Close())
		}
		if err != nil && !errors.Is(err, share.ErrNoSpace) {
			t.Errorf("a full disk gives %v", err)
		}
		collected := w.collected
		w.check(t, dir)
		if len(in.Fired()) == 0 {
			if err != nil || len(w.acked) != 7 || w.version != 3 {
				t.Errorf("without a fault: %d files and version %d acknowledged, %v", len(w.acked), w.version, err)
			}
			if collected.Shares != 2 || collected.Segments == 0 {
				t.Errorf("without a fault: collected %+v, want what versions 1 and 2 had, and segments", collected)
			}
			return
		}
		if t.Failed() {
			t.Fatalf("full from operation %d on: %v", n, in.Fired()[0])
		}
	}
}

// TestFailedSyncForgets checks that nobody asks a disk twice whether a write has arrived: after a failed sync the
// upload begins anew.
func TestFailedSyncForgets(t *testing.T) {
	in := fault.At(2, fault.Action{Err: syscall.EIO}).Only("sync") // the first is that of the mark in Open
	dir := t.TempDir()
	mustOpen(t, dir, Options{}).Close()
	store := mustOpen(t, dir, Options{files: failingFiles{systemFiles{}, in}, memTable: testMemTable, inline: testInline})
	f := storetest.NewFile(t, 1, 1, 3, 32<<10, 20_000)
	if err := f.Put(t.Context(), store, 0, "alice"); !errors.Is(err, syscall.EIO) || len(in.Fired()) != 1 {
		t.Fatalf("put: %v, %v", err, in.Fired())
	}
	wantEmpty(t, store.uploads)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatalf("put again: %v", err)
	}
	if err := f.Check(t.Context(), store, 0); err != nil {
		t.Error(err)
	}
}

// TestJournalSegments checks that a segment that may be torn is never written again.
func TestJournalSegments(t *testing.T) {
	dir := t.TempDir()
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 500)
	in := fault.At(3, fault.Action{Truncate: true}).Only("write") // after the mark in Open and the magic
	mustOpen(t, dir, Options{}).Close()
	store := mustOpen(t, dir, Options{files: failingFiles{systemFiles{}, in}, memTable: testMemTable, inline: testInline})
	if err := f.Put(t.Context(), store, 0, "alice"); !errors.Is(err, fault.ErrInjected) {
		t.Fatalf("put: %v", err)
	}
	torn, err := os.ReadFile(filepath.Join(dir, "journal", "00000001.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatalf("put again: %v", err)
	}
	now, err := os.ReadFile(filepath.Join(dir, "journal", "00000001.log"))
	if err != nil || string(now) != string(torn) {
		t.Errorf("the torn segment was written again: %v", err)
	}
	store.Close()
	if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), mustOpen(t, dir, Options{}), 0); err != nil {
		t.Errorf("after the index was lost: %v", err)
	}
	if !strings.HasPrefix(string(torn), journalMagic) {
		t.Error("the segment has no magic")
	}
}
