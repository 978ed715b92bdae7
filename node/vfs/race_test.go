package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"cairn/node/vfs/vfstest"
)

// TestModel makes random calls on a file and compares it with bytes in memory, with syncs and other handles in between.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newGrid(t).open(t, nil)
		var model []byte
		file, err := f.Open(t.Context(), "file", os.O_RDWR|os.O_CREATE)
		must(t, err)
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			off := rapid.IntRange(0, 700<<10).Draw(r, "off")
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0, 1:
				data := bytes.Repeat([]byte{byte(rapid.IntRange(1, 255).Draw(r, "byte"))}, rapid.IntRange(1, 300<<10).Draw(r, "length"))
				_, err := file.WriteAt(t.Context(), data, int64(off))
				must(t, err)
				if missing := off + len(data) - len(model); missing > 0 {
					model = append(model, make([]byte, missing)...)
				}
				copy(model[off:], data)
			case 2:
				must(t, file.Truncate(t.Context(), int64(off)))
				model = append(model, make([]byte, max(0, off-len(model)))...)[:off]
			case 3:
				must(t, f.Sync(t.Context()))
			case 4:
				must(t, file.Close())
				file, err = f.Open(t.Context(), "file", os.O_RDWR)
				must(t, err)
			case 5:
				p := make([]byte, 100<<10)
				n, err := file.ReadAt(t.Context(), p, int64(off))
				want := model[min(off, len(model)):min(off+len(p), len(model))]
				if !bytes.Equal(p[:n], want) || (n < len(p)) != errors.Is(err, io.EOF) {
					r.Fatalf("read %d bytes at %d, %v; want %d", n, off, err, len(want))
				}
			}
		}
		if got := vfstest.ReadAll(t, file); got != string(model) {
			r.Fatalf("%d bytes, want %d, or others", len(got), len(model))
		}
		must(t, file.Close())
		must(t, f.Close(t.Context()))
	})
}

// TestSyncUnderWriters returns although others never stop writing.
func TestSyncUnderWriters(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	file, err := f.Open(t.Context(), "file", os.O_RDWR|os.O_CREATE)
	must(t, err)
	_, err = file.WriteAt(t.Context(), make([]byte, 100<<10), 0)
	must(t, err)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := file.WriteAt(t.Context(), []byte{1}, 7); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	must(t, file.Sync(t.Context()))
	close(stop)
	all.Wait()
	must(t, file.Close())
}
