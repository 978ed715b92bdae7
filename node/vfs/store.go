package vfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
	// largeAtOnce is how many larger files are stored at a time; largeFiles and largeBytes bound how many get their names together.
	largeAtOnce = 2
	largeFiles  = 16
	largeBytes  = 64 << 20
	// largeRounds is how many rounds of larger files are stored at a time in the background.
	largeRounds = 2
	// firstRetry and lastRetry are how long a file that could not be stored waits.
	firstRetry = 5 * time.Second
	lastRetry  = 5 * time.Minute
	// storeTries is how often Sync begins anew because the file is written to meanwhile, before writers have to wait.
	storeTries = 3
	// maxTold is how many files an error of Sync tells of.
	maxTold = 10
)

// writeBack stores files when they are due, larger ones beside it.
func (f *FS) writeBack() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	large := make(chan struct{}, largeRounds)
	for {
		due, next := f.dueInodes(time.Now(), len(large) == cap(large))
		for _, round := range slices.Backward(rounds(f.begin(due))) {
			if round[0].small() {
				f.store(f.ctx, round)
				continue
			}
			select {
			case large <- struct{}{}:
				f.work.Go(func() {
					f.store(f.ctx, round)
					<-large
					f.poke()
				})
			default:
				for _, s := range round {
					s.end()
				}
			}
		}
		if len(due) > 0 {
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

// dueInodes returns the files to store now that nobody stores already, and how long to wait for the next one.
func (f *FS) dueInodes(now time.Time, onlySmall bool) (due []*inode, next time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next = time.Hour
	if f.ctx.Err() != nil {
		return nil, next
	}
	for _, n := range f.inodes {
		n.mu.RLock()
		if n.dirty() && n.writers == 0 && len(n.storing) == 0 && (!onlySmall || n.small()) {
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
	errs := map[*inode]error{}
	for _, round := range rounds(f.begin(dirty)) {
		maps.Copy(errs, f.store(ctx, round))
	}
	var told []error
	failed := 0
	for _, n := range dirty {
		err := errs[n]
		if err == nil || errors.Is(err, errChanged) {
			err = f.storeNow(ctx, n)
		}
		if err != nil {
			if failed++; failed <= maxTold {
				told = append(told, n.named("store", err))
			}
		}
	}
	if failed > maxTold {
		told = append(told, fmt.Errorf("and %d more files could not be stored", failed-maxTold))
	}
	return errors.Join(told...)
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
		select {
		case n.storing <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s := n.begin(); s != nil {
			if err := f.store(ctx, []*storing{s})[n]; err != nil && !errors.Is(err, errChanged) {
				return err
			}
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

// small reports whether the file is stored together with others.
func (n *inode) small() bool {
	return n.size() <= smallFile && n.entry.Capability.Kind() != capability.KindMutable
}

func (s *storing) small() bool {
	return s.size <= smallFile && s.entry.Capability.Kind() != capability.KindMutable
}

// begin returns what there is to store of inodes that nobody stores already.
func (f *FS) begin(inodes []*inode) (all []*storing) {
	for _, n := range inodes {
		select {
		case n.storing <- struct{}{}:
			if s := n.begin(); s != nil {
				all = append(all, s)
			}
		default:
		}
	}
	return all
}

// begin returns what there is to store of an inode whose turn was taken; nil, and the turn ends, if nothing is.
func (n *inode) begin() *storing {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.dirty() {
		<-n.storing
		return nil
	}
	return &storing{n: n, gen: n.gen, size: n.over.size, entry: n.entry, at: n.at, to: n.parent}
}

func (s *storing) end() { <-s.n.storing }

// rounds parts files into those that are stored and get their names together: none waits for one that takes much longer.
func rounds(all []*storing) (parts [][]*storing) {
	slices.SortFunc(all, func(a, b *storing) int {
		if a.small() != b.small() {
			if a.small() {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.size, b.size)
	})
	for len(all) > 0 {
		n, bytes := 1, all[0].size
		for n < len(all) && all[n].small() == all[0].small() && (all[0].small() || n < largeFiles && bytes+all[n].size <= largeBytes) {
			bytes += all[n].size
			n++
		}
		parts, all = append(parts, all[:n]), all[n:]
	}
	return parts
}

// store stores a round of files, gives them their names and ends their turns. It returns what went wrong with each.
func (f *FS) store(ctx context.Context, round []*storing) map[*inode]error {
	if round[0].small() {
		f.putSmall(ctx, round)
	} else {
		f.putLarge(ctx, round)
	}
	f.link(ctx, round)
	errs := map[*inode]error{}
	for _, s := range round {
		if s.err == nil {
			s.err = f.stored(s)
		}
		if s.err != nil {
			errs[s.n] = s.err
			f.postpone(ctx, s)
		}
		s.end()
	}
	f.poke()
	return errs
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
	r := &sequential{ctx: ctx, s: s}
	if s.entry.Capability.Kind() == capability.KindMutable {
		s.c = s.entry.Capability
		s.err = f.Files.Overwrite(ctx, s.c, r, s.size)
	} else {
		s.c, s.err = f.Files.Put(ctx, r, s.size)
	}
	s.err = cmp.Or(s.unchanged(), s.err)
}

// sequential reads a file that is stored from one end to the other. It ends where the file was changed: no mixture of two contents is
// stored, and nothing in vain.
type sequential struct {
	ctx context.Context
	s   *storing
	off int64
}

func (r *sequential) Read(p []byte) (int, error) {
	if r.off >= r.s.size {
		return 0, io.EOF
	}
	n, err := r.s.n.readAt(r.ctx, p[:min(int64(len(p)), r.s.size-r.off)], r.off)
	if changed := r.s.unchanged(); changed != nil {
		return 0, changed
	}
	r.off += int64(n)
	return n, err
}

func (r *sequential) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.s.size
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
	unlock, err := f.lockDirs(ctx, id)
	if err != nil {
		for _, s := range group {
			s.err = err
		}
		return
	}
	defer unlock()
	group = slices.DeleteFunc(group, func(s *storing) bool {
		s.err = s.unchanged() // also when it has lost its name, or got another
		return s.err != nil
	})
	if len(group) == 0 {
		return
	}
	slices.SortFunc(group, func(a, b *storing) int { return strings.Compare(a.at.name, b.at.name) })
	err = f.seen.update(ctx, group[0].to, func(e *dir.Editor) error {
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
func (f *FS) postpone(ctx context.Context, s *storing) {
	if errors.Is(s.err, errChanged) || ctx.Err() != nil {
		return // that says nothing about the grid
	}
	s.n.mu.Lock()
	wait := min(firstRetry<<min(s.n.tries, 10), lastRetry)
	s.n.tries++
	s.n.due = time.Now().Add(wait)
	path := s.n.path
	s.n.mu.Unlock()
	f.Logger.Warn("a file could not be stored and is tried again", "path", path, "after", wait, "error", s.err)
	f.Failed(path, s.err)
}
