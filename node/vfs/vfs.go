// Package vfs is a person's tree of directories as a file system: files that are opened, read and written at any place,
// truncated, renamed and removed, with caches in between. Every gateway stands on it.
//
// What is read goes through a cache of blocks in memory, with read-ahead. What is written goes to a file on this machine's disk
// first (the spool) and from there to the grid, as a whole, some moments after the last writer has closed the file or when
// somebody asks for it with Sync:
//
//   - A write, truncation or rename is seen at once by everybody who uses the same FS.
//   - Sync returns nil when the file's contents and its name are on stable storage in the grid.
//   - Close returns before that, when it has closed the last handle that writes. What was closed survives the end of the program, killed
//     or not, and is stored after the next start. It does not survive the loss of this machine, nor a power cut within the moments that
//     the system keeps files in memory: what is stored afterwards may be noise then, and what was is in the directory's history.
//   - What was written and neither closed nor synced is lost with the program. The name keeps its former contents, stored or closed. To
//     that end a file that was closed and is not stored yet is copied within the spool when it is written to again.
//   - The spool is encrypted with a key that the owner of the FS keeps: who copies the disk reads neither names nor contents.
//   - Making, renaming and removing directories, and removing or renaming files, goes to the grid before the call returns.
//
// Others who use the same directories through other nodes see a change when it is stored, and theirs are seen here
// after at most Config.FreshFor. When two write one file, the one whose version is stored last wins; the other version stays in the
// directory's history.
package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/grid/turn"
	"cairn/share/capability"
)

// What holds where the configuration says nothing.
const (
	DefaultMaxDirty   = 4 << 30
	DefaultCacheBytes = 64 << 20
	DefaultWriteAfter = time.Second
	DefaultFreshFor   = 2 * time.Second
)

// ErrNotEmpty says that a directory cannot be removed or replaced because it is not empty.
var ErrNotEmpty = errors.New("the directory is not empty")

// A Reader reads one file of the grid. It is safe for concurrent use.
type Reader interface {
	Size() int64
	// ReadAt fills p from offset off; io.EOF says that the file ends first.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	Close() error
}

// Files are the files of the grid.
type Files interface {
	// Open opens a file for reading: an immutable one, or the newest version of a mutable one.
	Open(ctx context.Context, c capability.Capability) (Reader, error)
	// Put stores an immutable file. It may read it twice.
	Put(ctx context.Context, file io.ReadSeeker, size int64) (capability.Capability, error)
	// PutSmall stores many small immutable files at once and returns the capability of each, in the same order.
	PutSmall(ctx context.Context, files [][]byte) ([]capability.Capability, error)
	// Overwrite stores the next version of a mutable file.
	Overwrite(ctx context.Context, c capability.Capability, file io.ReadSeeker, size int64) error
}

// Config is what a file system works with.
type Config struct {
	Dirs  *dir.Dirs
	Files Files
	// Root is the directory at the top.
	Root capability.Capability
	// Spool is a folder of this FS alone, for what was written and is not stored yet.
	Spool string
	// SpoolKey encrypts what is in the spool. Another FS on the same spool needs the same.
	SpoolKey [32]byte
	// MaxDirty bounds the bytes that were written and are not stored yet: who writes more waits, so it bounds a file that is written in
	// one piece too. On the disk they take up to twice as much while files are written to again that were closed, and a page of 4 KiB
	// each where they are scattered. 0 is DefaultMaxDirty.
	MaxDirty int64
	// CacheBytes bounds the memory of the cache of what was read. 0 is DefaultCacheBytes.
	CacheBytes int64
	// WriteAfter is how long a closed file waits for being opened again before it is stored. 0 is DefaultWriteAfter.
	WriteAfter time.Duration
	// FreshFor is how long what was seen of a directory is relied on. 0 is DefaultFreshFor, and less is not at all.
	FreshFor time.Duration
	Logger   *slog.Logger
	// Failed, if set, is told of a file that could not be stored; storing it is tried again.
	Failed func(path string, err error)
}

func (c *Config) fill() {
	if c.MaxDirty == 0 {
		c.MaxDirty = DefaultMaxDirty
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	if c.WriteAfter == 0 {
		c.WriteAfter = DefaultWriteAfter
	}
	if c.FreshFor == 0 {
		c.FreshFor = DefaultFreshFor
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Failed == nil {
		c.Failed = func(string, error) {}
	}
}

// An FS is a file system. It is safe for concurrent use. Paths are those of package tree: names with slashes between
// them, "" or "/" for the top.
type FS struct {
	Config
	spool  *spool
	blocks *blocks
	seen   *seen

	ctx    context.Context // of the work in the background
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{}      // holds a token when a file may have to be stored
	turns  turn.Turns[string] // of directories, by their IDs

	mu     sync.Mutex // guards what follows
	inodes map[place]*inode
	closed bool
}

// New returns a file system. Files that were closed before an earlier FS on the same spool ended are stored by this one. The
// caller closes it.
func New(c Config) (*FS, error) {
	c.fill()
	s, records, err := openSpool(c.Spool, c.MaxDirty, c.SpoolKey)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	f := &FS{
		Config: c, spool: s, blocks: newBlocks(c.CacheBytes), seen: newSeen(c.Dirs, c.FreshFor),
		wake: make(chan struct{}, 1), inodes: map[place]*inode{},
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	for _, r := range records {
		f.revive(r)
	}
	f.work.Go(f.writeBack)
	f.poke()
	return f, nil
}

// Close stores what is dirty, for as long as the context allows, and ends the file system. What could not be stored stays in
// the spool. Open files give errors afterwards.
func (f *FS) Close(ctx context.Context) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.mu.Unlock()
	err := f.Sync(ctx)
	f.cancel()
	f.work.Wait()
	f.blocks.close()
	return err
}

// poke lets the writer look for what to store.
func (f *FS) poke() {
	select {
	case f.wake <- struct{}{}:
	default: // it will look anyway
	}
}
