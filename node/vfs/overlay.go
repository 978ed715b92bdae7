package vfs

import (
	"errors"
	"io"
	"slices"
)

// An overlay is what was written to a file since it was stored: bytes in the spool that lie over those of the grid. It is
// guarded by its inode.
type overlay struct {
	spool   *spool
	id      string
	file    *sectors
	size    int64   // of the file as a whole
	baseLen int64   // how far the bytes of the grid still count
	written extents // what is in the spool
	// recorded says that a record on disk speaks of it, replaces that of another, which holds until this one has its own.
	recorded bool
	replaces string
	saved    uint64 // of which gen of the inode the contents in the record are
}

func (s *spool) overlay(size int64) (*overlay, error) {
	id, f, err := s.create()
	if err != nil {
		return nil, err
	}
	return &overlay{spool: s, id: id, file: f, size: size, baseLen: size}, nil
}

// reopen returns the overlay of a record.
func (s *spool) reopen(r record) (*overlay, error) {
	f, err := s.open(r.id, 0)
	if err != nil {
		return nil, err
	}
	return &overlay{spool: s, id: r.id, file: f, size: r.Size, baseLen: r.BaseLen, written: r.Written, recorded: true}, nil
}

// changeable returns the overlay to be changed. One of which a record speaks stays as it is, for the case that the program ends
// before there is another record: it is copied as far as size.
func (o *overlay) changeable(size int64) (*overlay, error) {
	if !o.recorded {
		return o, nil
	}
	id, f, err := o.spool.create()
	if err != nil {
		return nil, err
	}
	c := &overlay{
		spool: o.spool, id: id, file: f, size: o.size, baseLen: o.baseLen, written: slices.Clone(o.written), replaces: o.id, saved: o.saved,
	}
	for _, x := range slices.Clone(o.written).cut(size) {
		if err := f.copyFrom(o.file, x); err != nil {
			return nil, errors.Join(err, f.Close(), o.spool.remove(id))
		}
	}
	return c, o.file.Close()
}

// save gives the overlay a record, and removes what it replaces.
func (o *overlay) save(r record) error {
	r.Replaces = o.replaces
	if err := o.spool.write(r); err != nil {
		return err
	}
	o.recorded, o.saved = true, r.gen
	return o.dropReplaced()
}

func (o *overlay) dropReplaced() error {
	if o.replaces == "" {
		return nil
	}
	id := o.replaces
	o.replaces = ""
	return o.spool.remove(id)
}

// renamed has the record of a file that is being written to say its new name, and whose record it takes the place of. A file that never had one has
// none now.
func (o *overlay) renamed(r record, replaced string) error {
	switch {
	case o.recorded:
		r.Replaces, o.saved = replaced, r.gen
		return o.spool.write(r)
	case o.replaces != "":
		return o.spool.rename(o.replaces, r.parent, r.Name, replaced)
	}
	return nil
}

// recordID returns the id of the record that tells of the file, "" where there is none.
func (o *overlay) recordID() string {
	if o.recorded {
		return o.id
	}
	return o.replaces
}

// forget removes the records of a file that lost its name, so that it does not come back.
func (o *overlay) forget() error {
	o.recorded = false
	return errors.Join(o.dropReplaced(), o.spool.forget(o.id))
}

// drop removes the overlay from the spool.
func (o *overlay) drop() error {
	o.spool.release(o.written.bytes())
	return errors.Join(o.dropReplaced(), o.file.Close(), o.spool.remove(o.id))
}

// write puts bytes into the spool, for which room has been reserved; what of it was not needed is given back.
func (o *overlay) write(p []byte, off, reserved int64) (int, error) {
	n, err := o.file.WriteAt(p, off)
	if n == 0 {
		o.spool.release(reserved)
		return 0, err
	}
	before := o.written.bytes()
	o.written = o.written.add(extent{off, off + int64(n)})
	o.spool.release(reserved - (o.written.bytes() - before))
	o.size = max(o.size, off+int64(n))
	return n, err
}

// truncate makes the file as long as size.
func (o *overlay) truncate(size int64) error {
	if size < o.size {
		before := o.written.bytes()
		o.written = o.written.cut(size)
		o.spool.release(before - o.written.bytes())
		o.baseLen = min(o.baseLen, size)
		if err := o.file.cut(size); err != nil {
			return err
		}
	}
	o.size = size
	return nil
}

// A source is where a piece of a file comes from.
type source uint8

const (
	fromSpool source = iota
	fromGrid
	fromNowhere // zeros
)

// piece says where the bytes from off on come from, and up to where that is so.
func (o *overlay) piece(off, end int64) (source, int64) {
	end = min(end, o.size)
	in, to := o.written.next(off, end)
	switch {
	case in:
		return fromSpool, to
	case off < o.baseLen:
		return fromGrid, min(to, o.baseLen)
	}
	return fromNowhere, to
}

// read fills p from the spool.
func (o *overlay) read(p []byte, off int64) (int, error) {
	n, err := o.file.ReadAt(p, off)
	if err == io.EOF && n < len(p) {
		err = io.ErrUnexpectedEOF // somebody has changed the spool
	}
	return n, err
}
