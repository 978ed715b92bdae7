package node

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"cairn/node/control"
	"cairn/node/vfs"
)

const (
	// spoolFolder is where the file system keeps what it has not stored yet.
	spoolFolder = "spool"
	// closeFiles is how long a node that stops goes on storing.
	closeFiles = 10 * time.Second
	// reviveEvery is how often a node that was started anew tries to store what is left of before.
	reviveEvery = time.Minute
	// infoSpool makes of the root directory's key, which is sealed where the keys are locked, that of the spool.
	infoSpool = "cairn/v1/spool"
)

// A fileSystem is the person's tree as files, opened when somebody first asks for it.
type fileSystem struct {
	n *Node

	mu     sync.Mutex // guards what follows
	fs     *vfs.FS
	closed bool
}

var errStopping = errors.New("the node is stopping")

// openFileSystem prepares the file system. What an earlier run has left in the spool is stored in the background.
func (n *Node) openFileSystem(context.Context) error {
	n.files = &fileSystem{n: n}
	ctx, cancel := context.WithCancel(context.Background())
	var task sync.WaitGroup
	task.Go(func() { n.files.revive(ctx) })
	n.opened(closerFunc(func() error {
		cancel()
		task.Wait()
		return n.files.close()
	}))
	return nil
}

// revive opens the file system if there is anything left to store.
func (f *fileSystem) revive(ctx context.Context) {
	left, err := os.ReadDir(f.n.dir.file(spoolFolder))
	if err != nil || len(left) == 0 {
		return
	}
	for {
		if _, err = f.open(ctx); err == nil || ctx.Err() != nil {
			return
		}
		f.n.log.Warn("files that were written before cannot be stored yet", "part", "files", "error", err)
		if !pause(ctx, reviveEvery) {
			return
		}
	}
}

// Files returns the tree of home: as a file system. It is closed with the node.
func (n *Node) Files(ctx context.Context) (*vfs.FS, error) { return n.files.open(ctx) }

func (f *fileSystem) open(ctx context.Context) (*vfs.FS, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errStopping
	case f.fs != nil:
		return f.fs, nil
	}
	if err := f.n.home.make(ctx); err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, f.n.home.key[:], nil, infoSpool, 32)
	if err != nil {
		return nil, err
	}
	fs, err := vfs.New(vfs.Config{
		Dirs: f.n.grid.Dirs(), Root: f.n.home.capability(), Spool: f.n.dir.file(spoolFolder), SpoolKey: [32]byte(key), Logger: f.n.log.With("part", "files"),
		Files: gridFiles{grid: f.n.grid, may: func() error { return f.n.mayStore(f.n.company()) }}, Failed: f.n.notStored,
	})
	if err != nil {
		return nil, fmt.Errorf("open the files of %s: %w", control.HomeAlias+":", err)
	}
	f.fs = fs
	return fs, nil
}

// close stores what can be stored in a short time; the rest stays in the spool for the next start.
func (f *fileSystem) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.fs == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeFiles)
	defer cancel()
	if err := f.fs.Close(ctx); err != nil {
		f.n.log.Warn("files that were written are not stored yet; they are when the node runs again", "part", "files", "bytes", f.fs.Dirty(), "error", err)
	}
	return nil
}

// notStored tells of a file that was written and could not be stored.
func (n *Node) notStored(path string, err error) {
	n.history.add(control.Event{
		Kind: control.KindStoreFailed, Text: control.HomeAlias + ":" + path + " could not be stored; it is kept on this machine and tried again",
		Reason: err.Error(),
	})
}
