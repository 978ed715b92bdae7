package vfs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
)

// Open opens a file. The flag is made of os.O_RDONLY, os.O_WRONLY or os.O_RDWR with os.O_CREATE, os.O_EXCL, os.O_TRUNC and
// os.O_APPEND. It returns share.ErrNotFound, share.ErrExists for O_EXCL, tree.ErrIsDirectory, and capability.ErrAuthority or
// share.ErrReadOnly for writing in a directory that is open for reading only.
func (f *FS) Open(ctx context.Context, path string, flag int) (*File, error) {
	file := &File{flag: flag}
	for {
		s, err := f.find(ctx, path)
		if err != nil {
			return nil, err
		}
		if s.x == nil {
			return nil, s.wrong("open", tree.ErrIsDirectory)
		}
		if file.writes() {
			if err := tree.Writable(s.parent); err != nil {
				return nil, s.wrong("open", err)
			}
		}
		n, err := f.take(ctx, s, flag)
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return nil, s.wrong("open", err)
		}
		file.n = n
		break
	}
	if file.writes() && flag&os.O_TRUNC != 0 {
		if err := file.Truncate(ctx, 0); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return file, nil
}

// take returns the inode of a spot with one more handle.
func (f *FS) take(ctx context.Context, s spot, flag int) (*inode, error) {
	n := f.inode(s.at)
	if n != nil {
		return n, f.takeOpen(ctx, n, s, flag)
	}
	entry, err := s.x.Lookup(ctx, s.at.name)
	switch {
	case errors.Is(err, share.ErrNotFound) && flag&os.O_CREATE != 0:
		return f.create(s, flag)
	case err != nil:
		return nil, err
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, share.ErrExists
	case tree.IsDirectory(entry.Capability):
		return nil, tree.ErrIsDirectory
	}
	return f.enter(&inode{fs: f, at: s.at, parent: s.parent, entry: entry, path: "/" + s.path}, s, flag)
}

// takeOpen gives an inode one more handle. One that is clean gives way when its name leads elsewhere by now: somebody else has
// replaced the file, and who opened it before goes on reading what it was.
func (f *FS) takeOpen(ctx context.Context, n *inode, s spot, flag int) error {
	entry, err := s.x.Lookup(ctx, s.at.name)
	f.mu.Lock()
	defer f.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone || f.inodes[n.at] != n || n.at != s.at || !f.seen.current(s.x) {
		return errAgain
	}
	if n.over == nil && n.writers == 0 && !n.entry.Capability.IsZero() && (err != nil || !entry.Capability.Equal(n.entry.Capability)) {
		if err != nil && !errors.Is(err, share.ErrNotFound) {
			return err
		}
		delete(f.inodes, n.at)
		n.gone = true
		return errAgain
	}
	if flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0 {
		return share.ErrExists
	}
	n.hold(flag)
	return nil
}

// hold counts a handle.
func (n *inode) hold(flag int) {
	n.handles++
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		n.writers++
		n.due = time.Time{}
	}
}

// create makes a new, empty file. It is in the grid's directory when it has been stored.
func (f *FS) create(s spot, flag int) (*inode, error) {
	if err := tree.Writable(s.parent); err != nil {
		return nil, err
	}
	o, err := f.spool.overlay(0)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	n, err := f.enter(&inode{
		fs: f, at: s.at, parent: s.parent, path: "/" + s.path, over: o, gen: 1,
		entry: dir.Entry{Name: s.at.name, Metadata: dir.Metadata{Modified: now, Created: now}},
	}, s, flag)
	if err != nil {
		err = errors.Join(err, o.drop())
	}
	return n, err
}

// enter makes an inode known, with one handle, for what was found at a spot.
func (f *FS) enter(n *inode, s spot, flag int) (*inode, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, share.ErrClosed
	}
	if f.inodes[n.at] != nil || !f.seen.current(s.x) {
		return nil, errAgain // somebody was faster, or what was found has been stored anew since
	}
	n.storing = make(chan struct{}, 1)
	n.hold(flag)
	f.inodes[n.at] = n
	return n, nil
}

// leave takes a handle from an inode. With the last writer what was written gets its record in the spool and is due after a while.
func (f *FS) leave(n *inode, writer bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handles--
	var err error
	if writer {
		n.writers--
	}
	if n.writers == 0 && n.dirty() && (writer || !n.over.recorded) { // one that only reads may have made the file
		err = n.over.save(n.record())
		n.due = time.Now().Add(f.WriteAfter)
		f.poke()
	}
	f.settle(n)
	return err
}

// settle frees an inode that nobody uses and that is stored. Both locks are held.
func (f *FS) settle(n *inode) {
	if n.handles > 0 || n.dirty() {
		return
	}
	if f.inodes[n.at] == n {
		delete(f.inodes, n.at)
	}
	f.letGo(n)
}

// revive makes an inode of a record that an earlier FS has left.
func (f *FS) revive(r record) {
	parent, err := capability.Parse(r.Parent)
	base, bad := parseOptional(r.Base)
	var o *overlay
	if err = errors.Join(err, bad); err == nil {
		o, err = f.spool.reopen(r)
	}
	if err != nil {
		f.Logger.Warn("a file in the spool cannot be stored; it stays there", "name", r.Name, "spool", f.spool.path(r.id, ""), "error", err)
		return
	}
	n := &inode{
		fs: f, at: place{tree.ID(parent), r.Name}, parent: parent, path: r.Name, over: o, under: base, gen: 1, storing: make(chan struct{}, 1), due: time.Now(),
		entry: dir.Entry{Name: r.Name, Capability: base, Metadata: dir.Metadata{Size: r.Size, Modified: r.Modified, Executable: r.Executable}},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inodes[n.at] != nil { // an older one of the same name
		f.Logger.Warn("two files in the spool have one name; one stays there", "name", r.Name, "spool", f.spool.path(r.id, ""))
		return
	}
	f.inodes[n.at] = n
}

// Rename gives a file or directory another name, in the same directory or another. A file takes the place of a file, and a
// directory that of an empty directory; otherwise the error is tree.ErrIsDirectory, tree.ErrNotDirectory or ErrNotEmpty. In one
// directory it is one step, between two the new name is there first.
func (f *FS) Rename(ctx context.Context, from, to string) error {
	a, err := f.find(ctx, from)
	if err != nil {
		return err
	}
	b, err := f.find(ctx, to)
	if err != nil {
		return err
	}
	if a.x == nil || b.x == nil || inside(b.path, a.path) {
		return a.wrong("rename", fs.ErrInvalid)
	}
	for _, s := range []spot{a, b} {
		if err := tree.Writable(s.parent); err != nil {
			return s.wrong("rename", err)
		}
	}
	if a.at == b.at {
		_, err := f.Stat(ctx, from)
		return err
	}
	if err := f.storeReplaced(ctx, a, b); err != nil {
		return a.wrong("rename", err)
	}
	unlock, err := f.lockDirs(ctx, a.at.dir, b.at.dir)
	if err != nil {
		return a.wrong("rename", err)
	}
	defer unlock()
	return a.wrong("rename", f.rename(ctx, a, b))
}

// storeReplaced stores what takes no record's place when it is replaced: if the program ended after the grid has the new name, the record of the
// older file would have the name again, and without that record the name would lose what was closed. What cannot be stored now is replaced all
// the same.
func (f *FS) storeReplaced(ctx context.Context, a, b spot) error {
	n, over := f.inode(a.at), f.inode(b.at)
	if over == nil || over.recordID() == "" || n != nil && n.recordID() != "" {
		return nil
	}
	if err := f.storeNow(ctx, over); err != nil && ctx.Err() == nil {
		f.Logger.Warn("a file that is replaced could not be stored before; a crash at this moment would bring it back", "path", b.path, "error", err)
	}
	return ctx.Err()
}

// inside reports whether a path goes through another.
func inside(path, other string) bool {
	return len(path) > len(other) && path[:len(other)] == other && path[len(other)] == '/'
}

func (f *FS) rename(ctx context.Context, a, b spot) error {
	n, over := f.inode(a.at), f.inode(b.at)
	var err error
	if a.at.dir == b.at.dir {
		err = f.seen.update(ctx, a.parent, func(e *dir.Editor) error {
			moved, err := e.Get(a.at.name)
			if unstored(n, err) {
				return f.clear(ctx, e, dir.Entry{}, b.at.name, over)
			}
			if err == nil {
				err = f.clear(ctx, e, moved, b.at.name, over)
			}
			if err == nil {
				err = e.Rename(a.at.name, b.at.name, true)
			}
			return err
		})
	} else {
		err = f.move(ctx, a, b, n, over)
	}
	if err != nil {
		return err
	}
	if n != nil {
		f.rekey(n, b, over)
	}
	if over != nil { // not earlier: if the program ended in between, nothing would have the name
		f.unname(over)
	}
	return nil
}

// unstored reports whether a name that could not be found in the grid is that of a file which gets there when it is stored.
func unstored(n *inode, err error) bool { return n != nil && errors.Is(err, share.ErrNotFound) }

// clear returns an error unless what has the new name may be replaced by what is moved there, now or when it is stored.
func (f *FS) clear(ctx context.Context, e *dir.Editor, moved dir.Entry, name string, over *inode) error {
	folder := tree.IsDirectory(moved.Capability)
	if over != nil && folder {
		return tree.ErrNotDirectory
	}
	was, err := e.Get(name)
	switch {
	case errors.Is(err, share.ErrNotFound):
		return nil
	case err != nil:
		return err
	case tree.IsDirectory(was.Capability) && !folder:
		return tree.ErrIsDirectory
	case !tree.IsDirectory(was.Capability) && folder:
		return tree.ErrNotDirectory
	}
	return f.emptyOrFile(ctx, was)
}

// move gives what is stored in one directory a name in another.
func (f *FS) move(ctx context.Context, a, b spot, n, over *inode) error {
	var moved dir.Entry
	x, err := f.seen.open(ctx, a.parent)
	if err == nil {
		moved, err = x.Lookup(ctx, a.at.name)
	}
	stays := unstored(n, err)
	if err != nil && !stays {
		return err
	}
	err = f.seen.update(ctx, b.parent, func(e *dir.Editor) error {
		if err := f.clear(ctx, e, moved, b.at.name, over); err != nil || stays {
			return err
		}
		entry := moved
		entry.Name, entry.Changed = b.at.name, time.Now()
		return e.Set(entry)
	})
	if err != nil || stays {
		return err
	}
	return f.seen.update(ctx, a.parent, func(e *dir.Editor) error {
		entry, err := e.Get(a.at.name)
		if errors.Is(err, share.ErrNotFound) || err == nil && !entry.Capability.Equal(moved.Capability) {
			return nil // somebody else has removed or replaced it meanwhile
		}
		if err != nil {
			return err
		}
		return e.Remove(entry.Name)
	})
}

// rekey moves an inode to its new place, which another one may have had: from then on its record takes the place of the other one's.
func (f *FS) rekey(n *inode, to spot, over *inode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	replaced := ""
	if over != nil {
		replaced = over.recordID()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if f.inodes[n.at] == n {
		delete(f.inodes, n.at)
	}
	n.at, n.parent, n.path, n.entry.Name = to.at, to.parent, "/"+to.path, to.at.name
	n.gen++
	f.inodes[n.at] = n
	if n.dirty() {
		if err := n.over.renamed(n.record(), replaced); err != nil {
			f.Logger.Warn("a renamed file that is not stored yet would get its former name back after a crash", "path", n.path, "error", err)
		}
	}
}
