package mutable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

const (
	// patchBuffer is up to how many bytes of a patch are kept, so that it can be applied again after a collision.
	patchBuffer = 1 << 20
	// patchTries bounds how often.
	patchTries = 10
)

// Patch overwrites a part of the newest version with what r yields, from an offset on, and writes the whole as the next
// version. What lies between the old end and the offset is zeros. Where r yields nothing, nothing is written, and the newest version
// is returned.
//
// Every version is encrypted under keys of its own, because two texts under one key stream betray their difference, so a
// patch costs as much as reading the old version and writing the new one, however little it changes. A short patch is applied again
// to the newer version after a collision; a longer one is kept, and returns the *CollisionError.
func (m *Files) Patch(ctx context.Context, key keys.WriteKey, off int64, r io.Reader) (*Version, error) {
	if off < 0 {
		return nil, fmt.Errorf("patch %s at offset %d: negative", capability.NameOf(key), off)
	}
	short, err := io.ReadAll(io.LimitReader(r, patchBuffer+1))
	if err != nil {
		return nil, fmt.Errorf("patch %s: read: %w", capability.NameOf(key), err)
	}
	if len(short) == 0 {
		return m.Read(ctx, capability.Mutable(key))
	}
	for try := 1; ; try++ {
		in := io.Reader(bytes.NewReader(short))
		if len(short) > patchBuffer {
			in = io.MultiReader(in, r)
		}
		v, err := m.patch(ctx, key, off, in, len(short) > patchBuffer || try == patchTries)
		if len(short) > patchBuffer || try == patchTries || !errors.Is(err, share.ErrConflict) {
			return v, err
		}
		select {
		case <-time.After(time.Duration(try) * time.Duration(10+rand.IntN(50)) * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (m *Files) patch(ctx context.Context, key keys.WriteKey, off int64, r io.Reader, keep bool) (*Version, error) {
	base, err := m.Read(ctx, capability.Mutable(key))
	if err != nil {
		return nil, err
	}
	old, err := base.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", base.Head.Name, err)
	}
	defer old.Close()
	patch := &counter{r: r}
	rest := &lazy{make: func() io.Reader { return section(ctx, old, off+patch.n, old.Size()) }}
	whole := io.MultiReader(section(ctx, old, 0, min(off, old.Size())), io.LimitReader(zeros{}, max(0, off-old.Size())), patch, rest)
	return m.Write(ctx, key, base, whole, WriteOptions{Keep: keep})
}

// section returns the bytes of a version from off to end.
func section(ctx context.Context, r Reader, off, end int64) io.Reader {
	return &sectionReader{ctx: ctx, r: r, off: off, end: end}
}

// A sectionReader reads a version in steps that are long enough for several segments.
type sectionReader struct {
	ctx      context.Context
	r        Reader
	off, end int64
	buf      []byte
}

const sectionStep = 4 << 20

func (s *sectionReader) Read(p []byte) (int, error) {
	if len(s.buf) == 0 {
		if s.off >= s.end {
			return 0, io.EOF
		}
		s.buf = make([]byte, min(sectionStep, s.end-s.off))
		n, err := s.r.ReadAt(s.ctx, s.buf, s.off)
		if err != nil && (!errors.Is(err, io.EOF) || n < len(s.buf)) {
			s.buf = nil
			return 0, fmt.Errorf("read the version before: %w", err)
		}
		s.off += int64(n)
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

// A counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A lazy reader is made when it is read.
type lazy struct {
	make func() io.Reader
	r    io.Reader
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.r == nil {
		l.r = l.make()
	}
	return l.r.Read(p)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
