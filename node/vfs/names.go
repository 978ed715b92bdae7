package vfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
)

// Info describes a file or directory.
type Info struct {
	Name       string
	Directory  bool
	Size       int64
	Modified   time.Time
	Created    time.Time
	Executable bool
	// ContentType is what its writer said, if anything.
	ContentType string
	// Capability is the strongest that is held, zero for a file that is not stored yet.
	Capability capability.Capability
	// Dirty says that it was changed and is not stored yet.
	Dirty bool
}

// Writable reports whether what the Info describes can be changed: a directory by its capability, a file by replacing it.
func (i Info) Writable() bool { return !i.Directory || i.Capability.Kind() == capability.KindDir }

func infoOf(e dir.Entry) Info {
	return Info{
		Name: e.Name, Directory: tree.IsDirectory(e.Capability), Size: e.Size, Modified: e.Modified, Created: e.Created,
		Executable: e.Executable, ContentType: e.ContentType, Capability: e.Capability,
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// open says that the file system is closed, if so.
func (f *FS) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fmt.Errorf("file system: %w", share.ErrClosed)
	}
	return nil
}

// A spot is where a path leads: a name in a directory.
type spot struct {
	at     place
	parent capability.Capability
	x      *dir.Directory // of parent; nil at the top, which has no name
	path   string
}

// find returns the spot of a path and its names. The directories on the way have to be there.
func (f *FS) find(ctx context.Context, path string) (spot, error) {
	if err := f.open(); err != nil {
		return spot{}, err
	}
	names, _, err := tree.Split(path)
	if err != nil {
		return spot{}, err
	}
	s := spot{parent: f.Root, path: tree.Join(names)}
	for i, name := range names {
		x, err := f.directory(ctx, s.parent, names[:i])
		if err != nil {
			return spot{}, err
		}
		s.x, s.at = x, place{tree.ID(s.parent), name}
		if i == len(names)-1 {
			break
		}
		entry, err := x.Lookup(ctx, name)
		if err != nil {
			return spot{}, wrong("find", names[:i+1], err)
		}
		s.parent = entry.Capability
	}
	return s, nil
}

// directory opens a directory by its capability.
func (f *FS) directory(ctx context.Context, c capability.Capability, names []string) (*dir.Directory, error) {
	if !tree.IsDirectory(c) {
		return nil, wrong("open", names, tree.ErrNotDirectory)
	}
	x, err := f.seen.open(ctx, c)
	return x, wrong("open", names, err)
}

// wrong says what was done to what.
func wrong(what string, names []string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: what, Path: "/" + tree.Join(names), Err: err}
}

func (s spot) wrong(what string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: what, Path: "/" + s.path, Err: err}
}

// Stat describes what a path leads to. Errors of an FS are *fs.PathErrors; what is not there is share.ErrNotFound.
func (f *FS) Stat(ctx context.Context, path string) (Info, error) {
	for {
		s, err := f.find(ctx, path)
		if err != nil {
			return Info{}, err
		}
		if s.x == nil {
			return Info{Name: "/", Directory: true, Capability: f.Root}, nil
		}
		if n := f.inode(s.at); n != nil {
			return n.info(), nil
		}
		entry, err := s.x.Lookup(ctx, s.at.name)
		if f.seen.current(s.x) { // otherwise the file may have been stored just now
			return infoOf(entry), s.wrong("stat", err)
		}
	}
}

// inode returns the inode that has a place, nil when no file there is open or dirty.
func (f *FS) inode(at place) *inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inodes[at]
}

// inodesIn returns the inodes that have places in a directory, by their names.
func (f *FS) inodesIn(id string) map[string]*inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := map[string]*inode{}
	for at, n := range f.inodes {
		if at.dir == id {
			in[at.name] = n
		}
	}
	return in
}

// ReadDir returns at most limit entries of a directory behind a name, in the order of their names; all for a limit of 0.
func (f *FS) ReadDir(ctx context.Context, path, after string, limit int) ([]Info, error) {
	c, names, err := f.listed(ctx, path)
	if err != nil {
		return nil, err
	}
	open := f.inodesIn(tree.ID(c)) // before the directory: what is stored in between is in both, not in neither
	x, err := f.directory(ctx, c, names)
	if err != nil {
		return nil, err
	}
	var infos []Info
	for last := after; limit == 0 || len(infos) < limit; {
		entries, err := x.List(ctx, last, 1000)
		if err != nil {
			return nil, wrong("list", names, err)
		}
		for _, e := range entries {
			last = e.Name
			if n := open[e.Name]; n != nil {
				delete(open, e.Name)
				infos = append(infos, n.info())
			} else {
				infos = append(infos, infoOf(e))
			}
		}
		if len(entries) < 1000 {
			break
		}
	}
	for name, n := range open {
		if name > after {
			infos = append(infos, n.info())
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	if limit > 0 && len(infos) > limit {
		infos = infos[:limit]
	}
	return infos, nil
}

// listed returns what a path leads to, for being listed.
func (f *FS) listed(ctx context.Context, path string) (capability.Capability, []string, error) {
	s, err := f.find(ctx, path)
	if err != nil || s.x == nil {
		return f.Root, nil, err
	}
	names := strings.Split(s.path, "/")
	if f.inode(s.at) != nil {
		return capability.Capability{}, names, wrong("list", names, tree.ErrNotDirectory)
	}
	entry, err := s.x.Lookup(ctx, s.at.name)
	return entry.Capability, names, s.wrong("list", err)
}

// Mkdir makes a directory. It returns share.ErrExists when something has the name.
func (f *FS) Mkdir(ctx context.Context, path string) error {
	s, err := f.find(ctx, path)
	if err != nil {
		return err
	}
	if s.x == nil || f.inode(s.at) != nil {
		return s.wrong("make directory", share.ErrExists)
	}
	if err := tree.Writable(s.parent); err != nil {
		return s.wrong("make directory", err)
	}
	unlock, err := f.lockDirs(ctx, s.at.dir)
	if err != nil {
		return s.wrong("make directory", err)
	}
	defer unlock()
	var made capability.Capability
	err = f.seen.update(ctx, s.parent, func(e *dir.Editor) error {
		if _, err := e.Get(s.at.name); !errors.Is(err, share.ErrNotFound) {
			return cmp.Or(err, share.ErrExists)
		}
		if made.IsZero() {
			if made, err = f.Dirs.Create(ctx, none); err != nil {
				return err
			}
		}
		now := time.Now()
		return e.Set(dir.Entry{Name: s.at.name, Capability: made, Metadata: dir.Metadata{Modified: now, Created: now, Changed: now}})
	})
	return s.wrong("make directory", err)
}

// none are no entries.
func none(func(dir.Entry, error) bool) {}

// Remove removes a file or an empty directory. Who has the file open goes on using it, until the last one closes it.
func (f *FS) Remove(ctx context.Context, path string) error {
	return f.remove(ctx, path, false)
}

// RemoveAll removes a file, or a directory with what is in it. What is not there is no error.
func (f *FS) RemoveAll(ctx context.Context, path string) error {
	err := f.remove(ctx, path, true)
	if errors.Is(err, share.ErrNotFound) {
		return nil
	}
	return err
}

func (f *FS) remove(ctx context.Context, path string, all bool) error {
	s, err := f.find(ctx, path)
	if err != nil {
		return err
	}
	if s.x == nil {
		return s.wrong("remove", fs.ErrInvalid)
	}
	if err := tree.Writable(s.parent); err != nil {
		return s.wrong("remove", err)
	}
	unlock, err := f.lockDirs(ctx, s.at.dir)
	if err != nil {
		return s.wrong("remove", err)
	}
	defer unlock()
	n := f.inode(s.at)
	err = f.seen.update(ctx, s.parent, func(e *dir.Editor) error {
		entry, err := e.Get(s.at.name)
		if errors.Is(err, share.ErrNotFound) && n != nil {
			return nil // it was never stored
		}
		if err == nil && !all {
			err = f.emptyOrFile(ctx, entry)
		}
		if err != nil {
			return err
		}
		return e.Remove(entry.Name)
	})
	if err == nil && n != nil {
		f.unname(n)
	}
	return s.wrong("remove", err)
}

// emptyOrFile returns ErrNotEmpty for a directory that holds something.
func (f *FS) emptyOrFile(ctx context.Context, entry dir.Entry) error {
	if !tree.IsDirectory(entry.Capability) {
		return nil
	}
	f.seen.forget(entry.Capability)
	x, err := f.seen.open(ctx, entry.Capability)
	if err != nil {
		return err
	}
	if x.Len() > 0 || len(f.inodesIn(tree.ID(entry.Capability))) > 0 {
		return ErrNotEmpty
	}
	return nil
}

// unname takes the name from an inode.
func (f *FS) unname(n *inode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if f.inodes[n.at] == n {
		delete(f.inodes, n.at)
	}
	n.gone = true
	if n.handles == 0 {
		f.letGo(n)
	} else if n.over != nil {
		if err := n.over.forget(); err != nil {
			f.Logger.Warn("a file that was removed would come back after a crash", "path", n.path, "error", err)
		}
	}
}

// letGo frees what an inode without handles holds. Both locks are held.
func (f *FS) letGo(n *inode) {
	if n.over != nil {
		if err := n.over.drop(); err != nil {
			f.Logger.Warn("a file could not be removed from the spool", "path", n.path, "error", err)
		}
		n.over = nil
	}
	n.dropBase()
}

// SetModified sets the time of a file's or directory's last change, and SetExecutable whether it is a program.
func (f *FS) SetModified(ctx context.Context, path string, t time.Time) error {
	return f.attribute(ctx, path, func(e *dir.Entry) { e.Modified = t })
}

// SetExecutable says whether a file is a program.
func (f *FS) SetExecutable(ctx context.Context, path string, executable bool) error {
	return f.attribute(ctx, path, func(e *dir.Entry) { e.Executable = executable })
}

func (f *FS) attribute(ctx context.Context, path string, change func(*dir.Entry)) error {
	s, err := f.find(ctx, path)
	if err != nil || s.x == nil {
		return err
	}
	return f.attributeAt(ctx, s, change)
}

func (f *FS) attributeAt(ctx context.Context, s spot, change func(*dir.Entry)) error {
	if err := tree.Writable(s.parent); err != nil {
		return s.wrong("change", err)
	}
	unlock, err := f.lockDirs(ctx, s.at.dir)
	if err != nil {
		return s.wrong("change", err)
	}
	defer unlock()
	n := f.inode(s.at)
	stored := true
	if n != nil {
		n.mu.Lock()
		change(&n.entry)
		n.gen++
		stored = !n.entry.Capability.IsZero()
		var failed error
		if n.dirty() && n.over.recorded {
			failed = n.over.save(n.record())
		}
		n.mu.Unlock()
		if failed != nil {
			return s.wrong("change", failed)
		}
	}
	if !stored {
		return nil // it gets there with the contents
	}
	err = f.seen.update(ctx, s.parent, func(e *dir.Editor) error {
		entry, err := e.Get(s.at.name)
		if err != nil {
			return err
		}
		change(&entry)
		entry.Changed = time.Now()
		return e.Set(entry)
	})
	return s.wrong("change", err)
}

// Truncate makes a file as long as size.
func (f *FS) Truncate(ctx context.Context, path string, size int64) error {
	file, err := f.Open(ctx, path, os.O_WRONLY)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(ctx, size), file.Close())
}

// lockDirs lets nobody else of this FS change the directories with these IDs until the function it returns is called: files that
// get their names while they are stored, and those who rename and remove them, take turns.
func (f *FS) lockDirs(ctx context.Context, ids ...string) (unlock func(), err error) {
	slices.Sort(ids)
	var ends []func()
	unlock = func() {
		for _, end := range ends {
			end()
		}
	}
	for _, id := range slices.Compact(ids) {
		end, err := f.turns.Take(ctx, id)
		if err != nil {
			unlock()
			return nil, err
		}
		ends = append(ends, end)
	}
	return unlock, nil
}
