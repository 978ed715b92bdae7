package vfstest

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

	"cairn/node/vfs"
	"cairn/share"
)

// testManyAtOnce has readers, writers, renamers and removers on few names, with storing in the background. Every file is whole: it
// holds one byte, again and again.
func testManyAtOnce(t *testing.T, g *place) {
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
