package vfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
)

const (
	// smallFile is the longest file that is stored together with others; batchFiles and batchBytes bound how many.
	smallFile  = 64 << 10
	batchFiles = 256
	batchBytes = 4 << 20
	// largeAtOnce is how many large files are stored at a time.
	largeAtOnce = 2
	// firstRetry and lastRetry are how long a file that could not be stored waits.
	firstRetry = 5 * time.Second
	lastRetry  = 5 * time.Minute
	// storeTries is how often Sync begins anew because the file is written to meanwhile, before writers have to wait.
	storeTries = 3
)

// writeBack stores files when they are due.
func (f *FS) writeBack() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, next := f.dueInodes(time.Now())
		if len(due) > 0 {
			f.storeAll(f.ctx, due, false)
			continue
		}
		timer.Reset(next)
		select {
		case <-f.ctx.Done():
			return
		case <-f.wake:
		case <-timer.C:
		}
	}
}

// dueInodes returns the files to store now, and how long to wait for the next one.
func (f *FS) dueInodes(now time.Time) (due []*inode, next time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next = time.Hour
	if f.ctx.Err() != nil {
		return nil, next
	}
	for _, n := range f.inodes {
		n.mu.RLock()
		if n.dirty() && n.writers == 0 {
			if wait := n.due.Sub(now); wait <= 0 {
				due = append(due, n)
			} else {
				next = min(next, wait)
			}
		}
		n.mu.RUnlock()
	}
	return due, next
}

// Sync returns nil when everything that was written before is on stable storage in the grid.
func (f *FS) Sync(ctx context.Context) error {
	f.mu.Lock()
	var dirty []*inode
	for _, n := range f.inodes {
		n.mu.RLock()
		if n.dirty() {
			dirty = append(dirty, n)
		}
		n.mu.RUnlock()
	}
	f.mu.Unlock()
	f.storeAll(ctx, dirty, false)
	var errs []error
	for _, n := range dirty {
		if err := f.storeNow(ctx, n); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Dirty returns how many bytes wait for being stored.
func (f *FS) Dirty() int64 { return f.spool.dirty() }

// storeNow returns when what an inode is now has been stored. While others write to it without end it makes them wait.
func (f *FS) storeNow(ctx context.Context, n *inode) error {
	n.mu.RLock()
	want := n.gen
	n.mu.RUnlock()
	for try := 1; ; try++ {
		n.mu.RLock()
		clean := !n.dirty() || n.kept >= want
		n.mu.RUnlock()
		if clean {
			return nil
		}
		if err := f.storeAll(ctx, []*inode{n}, true)[n]; err != nil && !errors.Is(err, errChanged) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if try == storeTries {
			n.still.Lock() // writers take it shared
			defer n.still.Unlock()
		}
	}
}

// errChanged says that a file was written to while it was stored.
var errChanged = errors.New("changed while it was stored")

// A storing is one file on its way to the grid.
type storing struct {
	n     *inode
	gen   uint64
	size  int64
	entry dir.Entry
	at    place
	to    capability.Capability // the directory
	c     capability.Capability // what the file was stored as
	data  []byte                // of a small file
	err   error
}

// storeAll stores inodes, small ones together, and gives them their names. Those that are being stored already it waits for, or
// leaves out. It returns what went wrong with each.
func (f *FS) storeAll(ctx context.Context, inodes []*inode, wait bool) map[*inode]error {
	var all, small, large []*storing
	for _, n := range inodes {
		if wait {
			n.storing.Lock()
		} else if !n.storing.TryLock() {
			continue
		}
		defer n.storing.Unlock()
		s := n.begin()
		if s == nil {
			continue
		}
		all = append(all, s)
		if s.size <= smallFile && s.entry.Capability.Kind() != capability.KindMutable {
			small = append(small, s)
		} else {
			large = append(large, s)
		}
	}
	f.putSmall(ctx, small)
	f.putLarge(ctx, large)
	f.link(ctx, all)
	errs := map[*inode]error{}
	for _, s := range all {
		if s.err == nil {
			s.err = f.stored(s)
		}
		if s.err != nil {
			errs[s.n] = s.err
			f.postpone(s)
		}
	}
	return errs
}

// begin returns what there is to store of an inode, nil if nothing is.
func (n *inode) begin() *storing {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.dirty() {
		return nil
	}
	return &storing{n: n, gen: n.gen, size: n.over.size, entry: n.entry, at: n.at, to: n.parent}
}

// unchanged returns errChanged if the inode is not any more what was begun to be stored.
func (s *storing) unchanged() error {
	s.n.mu.RLock()
	defer s.n.mu.RUnlock()
	if s.n.gen != s.gen || s.n.gone {
		return errChanged
	}
	return nil
}

func (f *FS) putSmall(ctx context.Context, small []*storing) {
	var batch []*storing
	var bytes int64
	flush := func() {
		f.putBatch(ctx, batch)
		batch, bytes = nil, 0
	}
	for _, s := range small {
		s.data = make([]byte, s.size)
		if n, err := s.n.readAt(ctx, s.data, 0); err != nil && !isEOF(err) || int64(n) < s.size {
			s.err = cmp.Or(s.unchanged(), cmp.Or(err, io.ErrUnexpectedEOF))
			continue
		}
		if s.err = s.unchanged(); s.err != nil {
			continue
		}
		if batch = append(batch, s); len(batch) >= batchFiles || bytes+s.size >= batchBytes {
			flush()
			continue
		}
		bytes += s.size
	}
	flush()
}

func (f *FS) putBatch(ctx context.Context, batch []*storing) {
	if len(batch) == 0 {
		return
	}
	contents := make([][]byte, len(batch))
	for i, s := range batch {
		contents[i] = s.data
	}
	caps, err := f.Files.PutSmall(ctx, contents)
	for i, s := range batch {
		s.data = nil
		if s.err = err; err == nil {
			s.c = caps[i]
		}
	}
}

func (f *FS) putLarge(ctx context.Context, large []*storing) {
	slots := make(chan struct{}, largeAtOnce)
	var all sync.WaitGroup
	for _, s := range large {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			f.putOne(ctx, s)
		})
	}
	all.Wait()
}

func (f *FS) putOne(ctx context.Context, s *storing) {
	r := &sequential{ctx: ctx, n: s.n, size: s.size}
	if s.entry.Capability.Kind() == capability.KindMutable {
		s.c = s.entry.Capability
		s.err = f.Files.Overwrite(ctx, s.c, r, s.size)
	} else {
		s.c, s.err = f.Files.Put(ctx, r, s.size)
	}
	s.err = cmp.Or(s.unchanged(), s.err)
}

// sequential reads an inode from one end to the other.
type sequential struct {
	ctx  context.Context
	n    *inode
	off  int64
	size int64
}

func (r *sequential) Read(p []byte) (int, error) {
	if r.off >= r.size {
		return 0, io.EOF
	}
	n, err := r.n.readAt(r.ctx, p[:min(int64(len(p)), r.size-r.off)], r.off)
	r.off += int64(n)
	if n > 0 && isEOF(err) {
		err = nil
	} else if isEOF(err) {
		err = io.ErrUnexpectedEOF // it has become shorter
	}
	return n, err
}

func (r *sequential) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	r.off = offset
	return offset, nil
}

// link gives stored files their names, those of one directory in one step.
func (f *FS) link(ctx context.Context, all []*storing) {
	groups := map[string][]*storing{}
	for _, s := range all {
		if s.err == nil {
			groups[s.at.dir] = append(groups[s.at.dir], s)
		}
	}
	for id, group := range groups {
		f.linkIn(ctx, id, group)
	}
}

func (f *FS) linkIn(ctx context.Context, id string, group []*storing) {
	unlock := f.lockDirs(id)
	defer unlock()
	group = slices.DeleteFunc(group, func(s *storing) bool {
		s.err = s.unchanged() // also when it has lost its name, or got another
		return s.err != nil
	})
	if len(group) == 0 {
		return
	}
	slices.SortFunc(group, func(a, b *storing) int { return strings.Compare(a.at.name, b.at.name) })
	err := f.seen.update(ctx, group[0].to, func(e *dir.Editor) error {
		for _, s := range group {
			if err := s.set(e); err != nil {
				return err
			}
		}
		return nil
	})
	for _, s := range group {
		s.err = err
	}
}

// set gives a stored file its name.
func (s *storing) set(e *dir.Editor) error {
	entry := s.entry
	entry.Name, entry.Capability, entry.Size, entry.Changed = s.at.name, s.c, s.size, time.Now()
	was, err := e.Get(entry.Name)
	switch {
	case err == nil && tree.IsDirectory(was.Capability): // somebody else made one meanwhile
		entry.Name = fmt.Sprintf("%s (conflict %s)", entry.Name, entry.Changed.UTC().Format("2006-01-02 15.04.05"))
	case err == nil:
		entry.Created, entry.User = was.Created, was.User
	case !errors.Is(err, share.ErrNotFound):
		return err
	}
	return e.Set(entry)
}

// stored notes that what was begun to be stored has been.
func (f *FS) stored(s *storing) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := s.n
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept, n.tries = s.gen, 0
	if n.gone {
		return nil
	}
	n.entry.Capability, n.entry.Size = s.c, s.size
	if n.gen != s.gen { // what came since is stored next
		if n.over.saved > s.gen {
			return nil
		}
		return n.over.forget() // after a crash a record of something older would take the place of what is stored
	}
	n.dropBase()
	err := n.over.drop()
	n.over = nil
	f.settle(n)
	return err
}

// postpone lets a file wait before it is tried again.
func (f *FS) postpone(s *storing) {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	if errors.Is(s.err, errChanged) || f.ctx.Err() != nil {
		return
	}
	wait := min(firstRetry<<min(s.n.tries, 10), lastRetry)
	s.n.tries++
	s.n.due = time.Now().Add(wait)
	f.Logger.Warn("a file could not be stored and is tried again", "path", s.n.path, "after", wait, "error", s.err)
	f.Failed(s.n.path, s.err)
}
