package vfs

import (
	"errors"
	"io"
	"os"
)

// An overlay is what was written to a file since it was stored: bytes in the spool that lie over those of the grid. It is
// guarded by its inode.
type overlay struct {
	spool   *spool
	id      string
	file    *os.File
	size    int64   // of the file as a whole
	baseLen int64   // how far the bytes of the grid still count
	written extents // what is in the spool
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
	f, err := s.open(r.id)
	if err != nil {
		return nil, err
	}
	return &overlay{spool: s, id: r.id, file: f, size: r.Size, baseLen: r.BaseLen, written: r.Written}, nil
}

// drop removes the overlay from the spool.
func (o *overlay) drop() error {
	o.spool.release(o.written.bytes())
	return errors.Join(o.file.Close(), o.spool.remove(o.id))
}

// write puts bytes into the spool, for which room has been reserved; what of it was not needed is given back.
func (o *overlay) write(p []byte, off, reserved int64) (int, error) {
	n, err := o.file.WriteAt(p, off)
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
		if info, err := o.file.Stat(); err == nil && info.Size() > size {
			if err := o.file.Truncate(size); err != nil {
				return err
			}
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
