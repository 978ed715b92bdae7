package storage

import (
	"io"

	"cairn/p2p/wire"
)

// serveRead answers reads in the order of the requests, which the peer need not send one at a time.
func (c *conn) serveRead() error {
	for {
		kind, n, err := c.next()
		if err != nil {
			return err
		}
		switch kind {
		case wire.KindOpen:
			m, err := wire.Receive[wire.Open](c.in, n)
			if err != nil {
				return err
			}
			size, err := c.open(m)
			if err := c.answer(wire.Opened{Size: size}, err); err != nil {
				return err
			}
		case wire.KindRead:
			m, err := wire.Receive[wire.Read](c.in, n)
			if err != nil {
				return err
			}
			if err := c.readShare(m); err != nil {
				return err
			}
		default:
			return unexpectedKind(kind)
		}
	}
}

func (c *conn) open(m wire.Open) (int64, error) {
	r, err := c.server.readers.acquire(c.server.ctx, shareID{m.Index, m.Number})
	if err != nil {
		return 0, err
	}
	defer c.server.readers.release(r)
	return r.Size(), nil
}

// readShare answers one read. Its error ends the stream.
func (c *conn) readShare(m wire.Read) error {
	c.server.reads <- struct{}{}
	defer func() { <-c.server.reads }()
	r, err := c.server.readers.acquire(c.server.ctx, shareID{m.Index, m.Number})
	if err != nil {
		return c.fail(err)
	}
	defer c.server.readers.release(r)
	buf := wire.GetBuffer(wire.HeaderSize + min(m.Length, wire.MaxData))
	defer buf.Free()
	for off, left := m.Offset, m.Length; left > 0; {
		want := min(left, wire.MaxData)
		n, err := r.ReadAt(c.server.ctx, buf.B[wire.HeaderSize:][:want], off)
		n = min(n, want)
		if n < want && err == nil {
			err = io.ErrUnexpectedEOF
		}
		if n > 0 {
			wire.PutHeader(buf.B, wire.KindData, n)
			if err := c.put(buf.B[:wire.HeaderSize+n]); err != nil {
				return err
			}
		}
		if n < want {
			if err != io.ErrUnexpectedEOF {
				c.server.readers.drop(r)
			}
			return c.fail(err)
		}
		off, left = off+int64(n), left-n
	}
	return nil
}
