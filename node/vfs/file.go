package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/share"
	"cairn/share/encoding"
)

// A File is an open file. It is safe for concurrent use; one read or write may see a part of another that is under way at the
// same time and overlaps it.
type File struct {
	n     *inode
	flag  int
	mu    sync.Mutex // guards what follows
	next  int64      // where the last read ended
	ahead int64      // how far ahead of it blocks are fetched
	done  bool
}

func (f *File) reads() bool  { return f.flag&(os.O_WRONLY|os.O_RDWR) != os.O_WRONLY }
func (f *File) writes() bool { return f.flag&(os.O_WRONLY|os.O_RDWR) != 0 }

// check says why a file cannot be used, if so.
func (f *File) check(allowed bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return fmt.Errorf("file: %w", fs.ErrClosed)
	}
	if !allowed {
		return fmt.Errorf("file: it was not opened for this: %w", share.ErrDenied)
	}
	return f.n.fs.open()
}

// Info describes the file as it is now.
func (f *File) Info() Info { return f.n.info() }

// ReadAt fills p from offset off; io.EOF says that the file ends first.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.check(f.reads()); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, fs.ErrInvalid)
	}
	f.readAhead(off, int64(len(p)))
	n, err := f.n.readAt(ctx, p, off)
	return n, f.named("read", err)
}

// readAhead begins to fetch what comes next while somebody reads from one end to the other. How far doubles with each read.
func (f *File) readAhead(off, n int64) {
	f.mu.Lock()
	if off != f.next && off != 0 {
		f.next, f.ahead = off+n, 0
		f.mu.Unlock()
		return
	}
	f.next = off + n
	f.ahead = min(max(2*f.ahead, blockSize), maxAhead*blockSize)
	from, to := f.next, f.next+f.ahead
	f.mu.Unlock()
	f.n.mu.RLock()
	c := f.n.base
	if c != nil && f.n.over == nil {
		c.use()
	} else {
		c = nil
	}
	f.n.mu.RUnlock()
	if c != nil {
		f.n.fs.blocks.prefetch(c, from, to)
		c.release(f.n.fs.blocks)
	}
}

// WriteAt writes p at offset off, or at the end of a file that was opened with os.O_APPEND. What lies between the end of the file
// and off becomes zeros. It waits while too much is dirty; share.ErrNoSpace says that it has waited long enough.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.check(f.writes()); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("write at %d: %w", off, fs.ErrInvalid)
	}
	if off > encoding.MaxSize-int64(len(p)) {
		return 0, f.n.named("write", errTooLarge)
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := f.n.writeAt(ctx, p, off, f.flag&os.O_APPEND != 0)
		if !errors.Is(err, errAgain) {
			return n, f.named("write", err)
		}
	}
}

var errTooLarge = fmt.Errorf("%w: a file has at most %d bytes", share.ErrTooLarge, int64(encoding.MaxSize))

// Truncate makes the file as long as size: what is behind it goes, what is missing becomes zeros.
func (f *File) Truncate(ctx context.Context, size int64) error {
	if err := f.check(f.writes()); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("truncate to %d: %w", size, fs.ErrInvalid)
	}
	if size > encoding.MaxSize {
		return f.n.named("truncate", errTooLarge)
	}
	for {
		err := f.n.truncate(ctx, size)
		if !errors.Is(err, errAgain) {
			return f.named("truncate", err)
		}
	}
}

// Sync returns nil when all that was written before is on stable storage in the grid, under the file's name.
func (f *File) Sync(ctx context.Context) error {
	if err := f.check(true); err != nil {
		return err
	}
	return f.named("sync", f.n.fs.storeNow(ctx, f.n))
}

// SetModified sets the time of the last change, which later writes set anew.
func (f *File) SetModified(ctx context.Context, t time.Time) error {
	if err := f.check(f.writes()); err != nil {
		return err
	}
	f.n.mu.Lock()
	f.n.entry.Modified = t
	f.n.gen++
	s := spot{at: f.n.at, parent: f.n.parent, path: strings.TrimPrefix(f.n.path, "/")}
	done := f.n.dirty() || f.n.gone
	f.n.mu.Unlock()
	if done {
		return nil // it gets there with the contents, or never
	}
	return f.n.fs.attributeAt(ctx, s, func(e *dir.Entry) { e.Modified = t })
}

// Close ends the use of the file. What was written is stored some moments later; who has to know that it is calls Sync before. Its
// error says that what was written may not outlive the program.
func (f *File) Close() error {
	f.mu.Lock()
	done := f.done
	f.done = true
	f.mu.Unlock()
	if done {
		return fmt.Errorf("file: %w", fs.ErrClosed)
	}
	return f.named("close", f.n.fs.leave(f.n, f.writes()))
}

// named says which file an error is about. io.EOF is none.
func (f *File) named(what string, err error) error {
	if err == nil || isEOF(err) {
		return err
	}
	return f.n.named(what, err)
}

func (n *inode) named(what string, err error) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return &fs.PathError{Op: what, Path: n.path, Err: err}
}
