package localtree

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
)

// A Source is an open file of a Tree.
type Source struct {
	*os.File
	entry Entry
}

// Open opens a file that a walk has visited. It returns ErrChanged when there is another file, or something else, now.
func (t *Tree) Open(e Entry) (*Source, error) {
	if e.Kind != File {
		return nil, fmt.Errorf("open %s: %w", e.Path, ErrKind)
	}
	// Whatever was put in the file's place since the walk must not block: a pipe would.
	f, err := t.root.OpenFile(e.Path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		if now, failed := t.root.Lstat(e.Path); failed == nil && !now.Mode().IsRegular() {
			err = ErrChanged // the error is about what is there instead
		}
		return nil, Problem{e.Path, cause(err)}
	}
	s := &Source{f, e}
	if err := s.Check(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// Stat returns a file's entry as it is now, for somebody who has met ErrChanged. It returns ErrKind for anything but a file.
func (t *Tree) Stat(at string) (Entry, error) {
	info, err := t.root.Lstat(at)
	if err != nil {
		return Entry{}, Problem{at, cause(err)}
	}
	if !info.Mode().IsRegular() {
		return Entry{}, Problem{at, ErrKind}
	}
	return EntryOf(at, info), nil
}

// Check returns ErrChanged if the file is not any more what it was when the walk came by. Whoever has read to the end
// calls it, so that a mixture of two versions is not taken for a file.
func (s *Source) Check() error {
	info, err := s.Stat()
	if err != nil {
		return Problem{s.entry.Path, cause(err)}
	}
	if !info.Mode().IsRegular() || !EntryOf(s.entry.Path, info).Same(s.entry) {
		return Problem{s.entry.Path, ErrChanged}
	}
	return nil
}

const (
	cacheTag  = "CACHEDIR.TAG"
	cacheSign = "Signature: 8a477f597d28d172789f06886806bc55"
)

// isCache reports whether a folder says of itself that it is a cache.
func (t *Tree) isCache(folder Entry) bool {
	f, err := t.root.OpenFile(path.Join(folder.Path, cacheTag), os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	sign := make([]byte, len(cacheSign))
	_, err = io.ReadFull(f, sign)
	return err == nil && bytes.Equal(sign, []byte(cacheSign))
}
