package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/share"
	"cairn/share/capability"
)

// A place is where a file has its name: the directory, by its ID, and the name. It stays the same when directories above are
// renamed.
type place struct{ dir, name string }

// An inode is a file that is open or dirty. All who have it open share it.
type inode struct {
	fs *FS
	// still is held by a Sync that writers have to wait for; they hold it shared.
	still sync.RWMutex
	// storing holds a token while the inode is stored.
	storing chan struct{}

	mu     sync.RWMutex // guards what follows
	at     place
	parent capability.Capability // of the directory, by which it is changed
	entry  dir.Entry             // as it is in the directory; without capability when it is not there yet
	path   string                // for messages
	gone   bool                  // has no name any more, and is never stored

	base  *content              // once it was needed, of under, or of the capability in entry while nothing was written
	over  *overlay              // nil while nothing was written
	under capability.Capability // of what over lies over; entry may lead to something newer by now

	handles int
	writers int
	// gen counts the changes of contents and attributes; kept is the last one that is stored.
	gen   uint64
	kept  uint64
	due   time.Time // when it is to be stored; zero while it has writers
	tries int       // to store it that have failed
}

// dirty reports whether there is something to store.
func (n *inode) dirty() bool { return n.over != nil && !n.gone }

// size returns the length of the file.
func (n *inode) size() int64 {
	switch {
	case n.over != nil:
		return n.over.size
	case n.base != nil:
		return n.base.Size()
	}
	return n.entry.Size
}

// info describes the file.
func (n *inode) info() Info {
	n.mu.RLock()
	defer n.mu.RUnlock()
	i := infoOf(n.entry)
	i.Size = n.size()
	i.Dirty = n.dirty()
	return i
}

// basis is the capability of the contents in the grid that count.
func (n *inode) basis() capability.Capability {
	if n.over != nil {
		return n.under
	}
	return n.entry.Capability
}

// content returns the open contents in the grid, with one more use. The caller releases it.
func (n *inode) content(ctx context.Context) (*content, error) {
	n.mu.RLock()
	if n.base != nil {
		defer n.mu.RUnlock()
		return n.base.use(), nil
	}
	c := n.basis()
	n.mu.RUnlock()
	r, err := n.fs.Files.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	opened := newContent(n.fs.ctx, r)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.base == nil && n.basis().Equal(c) {
		n.base = opened.use()
	}
	return opened, nil
}

// dropBase forgets the open contents.
func (n *inode) dropBase() {
	if n.base != nil {
		n.base.release(n.fs.blocks)
		n.base = nil
	}
}

// readAt fills p from offset off; io.EOF says that the file ends first.
func (n *inode) readAt(ctx context.Context, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		m, err := n.readPiece(ctx, p[done:], off+int64(done))
		done += m
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// readPiece reads as far as the bytes come from one source. What has to come from the grid is read without the lock.
func (n *inode) readPiece(ctx context.Context, p []byte, off int64) (int, error) {
	n.mu.RLock()
	if n.over == nil {
		n.mu.RUnlock()
		return n.readGrid(ctx, p, off)
	}
	if off >= n.over.size {
		n.mu.RUnlock()
		return 0, io.EOF
	}
	from, to := n.over.piece(off, off+int64(len(p)))
	p = p[:to-off]
	if from == fromGrid {
		n.mu.RUnlock()
		return n.readGrid(ctx, p, off)
	}
	defer n.mu.RUnlock()
	if from == fromNowhere {
		clear(p)
		return len(p), nil
	}
	return n.over.read(p, off)
}

func (n *inode) readGrid(ctx context.Context, p []byte, off int64) (int, error) {
	c, err := n.content(ctx)
	if err != nil {
		return 0, err
	}
	defer c.release(n.fs.blocks)
	return n.fs.blocks.readAt(ctx, c, p, off)
}

// change prepares the inode for being changed: it gets an overlay. Its base is open from here on, because what the overlay does
// not have has to come from the same version, whatever happens to the name meanwhile.
func (n *inode) change(ctx context.Context, keep bool) error {
	n.mu.RLock()
	ready := n.over != nil
	n.mu.RUnlock()
	if ready {
		return nil
	}
	var c *content
	var length int64
	if keep {
		var err error
		if c, err = n.content(ctx); err != nil {
			return err
		}
		defer c.release(n.fs.blocks)
		length = c.Size()
	}
	o, err := n.fs.spool.overlay(length)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over != nil { // somebody was faster
		return o.drop()
	}
	if keep && n.base != c { // it was stored meanwhile
		return errors.Join(errAgain, o.drop())
	}
	n.over, n.under = o, n.entry.Capability
	return nil
}

func (n *inode) writeAt(ctx context.Context, p []byte, off int64, end bool) (int, error) {
	if err := n.change(ctx, true); err != nil {
		return 0, err
	}
	reserved := int64(len(p))
	if err := n.fs.spool.reserve(ctx, reserved); err != nil {
		return 0, err
	}
	n.still.RLock()
	defer n.still.RUnlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over == nil { // stored in this moment
		n.fs.spool.release(reserved)
		return 0, errAgain
	}
	if err := n.changeable(n.over.size); err != nil {
		n.fs.spool.release(reserved)
		return 0, err
	}
	if end {
		off = n.over.size
	}
	m, err := n.over.write(p, off, reserved)
	n.touched()
	return m, err
}

func (n *inode) truncate(ctx context.Context, size int64) error {
	if err := n.change(ctx, size > 0); err != nil {
		return err
	}
	n.still.RLock()
	defer n.still.RUnlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over == nil {
		return errAgain
	}
	if err := n.changeable(size); err != nil {
		return err
	}
	err := n.over.truncate(size)
	n.touched()
	return err
}

// changeable prepares the overlay for a change after which at most size bytes of it still count. The lock is held.
func (n *inode) changeable(size int64) error {
	o, err := n.over.changeable(size)
	if o != nil {
		n.over = o
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// touched notes a change.
func (n *inode) touched() {
	n.gen++
	n.entry.Modified = time.Now()
	n.tries = 0
	if n.writers == 0 {
		n.due = time.Now().Add(n.fs.WriteAfter)
	}
}

// errAgain says that a file was stored between two steps of a change, which begins anew.
var errAgain = fmt.Errorf("the file was stored meanwhile: %w", share.ErrBusy)

// recordID returns the id of the record in the spool that tells of the file, "" where there is none.
func (n *inode) recordID() string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.over == nil {
		return ""
	}
	return n.over.recordID()
}

// record describes the inode for the spool.
func (n *inode) record() record {
	r := record{
		id: n.over.id, Parent: n.parent.Text(), Name: n.at.name, BaseLen: n.over.baseLen, Size: n.over.size, Written: n.over.written,
		Modified: n.entry.Modified, Executable: n.entry.Executable, parent: n.parent, gen: n.gen,
	}
	if !n.under.IsZero() {
		r.Base = n.under.Text()
	}
	return r
}
