package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cairn/node/vfs"
	"cairn/share"
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
		if got := readAll(t, file); got != string(model) {
			r.Fatalf("%d bytes, want %d, or others", len(got), len(model))
		}
		must(t, file.Close())
		must(t, f.Close(t.Context()))
	})
}

// TestManyAtOnce has readers, writers, renamers and removers on few names, with storing in the background. Every file is whole: it
// holds one byte, again and again.
func TestManyAtOnce(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, func(c *vfs.Config) { c.WriteAfter = time.Millisecond; c.FreshFor = time.Millisecond })
	must(t, f.Mkdir(t.Context(), "a"))
	must(t, f.Mkdir(t.Context(), "b"))
	end := time.Now().Add(2 * time.Second)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			name := func() string { return fmt.Sprintf("%c/%d", 'a'+rng.IntN(2), rng.IntN(4)) }
			for time.Now().Before(end) {
				if err := step(t, f, rng, name); err != nil && !expected(err) {
					t.Errorf("worker %d: %v", w, err)
					return
				}
			}
		})
	}
	all.Wait()
	must(t, f.Sync(t.Context()))
	other := g.open(t, nil)
	for _, d := range []string{"a", "b"} {
		if mine, theirs := names(t, f, d), names(t, other, d); mine != theirs {
			t.Errorf("in %s: here %q, in the grid %q", d, mine, theirs)
		}
	}
}

func expected(err error) bool {
	return errors.Is(err, share.ErrNotFound) || errors.Is(err, share.ErrExists)
}

func step(t *testing.T, f *vfs.FS, rng *rand.Rand, name func() string) error {
	switch rng.IntN(6) {
	case 0, 1:
		path := name()
		file, err := f.Open(t.Context(), path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return err
		}
		_, err = file.WriteAt(t.Context(), bytes.Repeat([]byte{'a' + byte(rng.IntN(26))}, 1000), 0)
		return errors.Join(err, file.Close())
	case 2:
		return f.Rename(t.Context(), name()+".new", name())
	case 3:
		return f.Remove(t.Context(), name())
	case 4:
		return f.Rename(t.Context(), name(), name())
	default:
		file, err := f.Open(t.Context(), name(), os.O_RDONLY)
		if err != nil {
			return err
		}
		p := make([]byte, 1000)
		n, err := file.ReadAt(t.Context(), p, 0)
		if n > 0 && !bytes.Equal(p[:n], bytes.Repeat(p[:1], n)) {
			return errors.New("a mixture of two files")
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return errors.Join(err, file.Close())
	}
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
