package storage

import (
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

// appendedEvery is how often a peer hears how far its upload is.
const appendedEvery = time.Second

// serveWrite takes one upload after the other.
func (c *conn) serveWrite() error {
	for {
		kind, n, err := c.next()
		if err != nil {
			return err
		}
		if kind != wire.KindCreate {
			return unexpectedKind(kind)
		}
		m, err := wire.Receive[wire.Create](c.in, n)
		if err != nil {
			return err
		}
		if err := c.serveUpload(m); err != nil {
			return err
		}
	}
}

// failure is an error of the store that was meant for the peer and ends a write stream.
type failure struct{ error }

// Unwrap gives access to the error of the store.
func (f failure) Unwrap() error { return f.error }

// serveUpload takes one upload from its creation to its end. Its error ends the stream.
func (c *conn) serveUpload(m wire.Create) error {
	u := m.Upload(string(c.peer), time.Now())
	if err := c.server.uploads.acquire(c.peer); err != nil {
		c.server.stats.refused.Add(1)
		return failure{err}
	}
	writer, err := c.createInOrder(m, u)
	if err != nil {
		c.server.uploads.release(c.peer)
		return failure{err}
	}
	up := upload{conn: c, writer: writer, about: u, told: time.Now()}
	if u.Size >= 0 || c.server.options.Quota == nil { // what a batch holds is counted for nobody
		up.bulk, _ = writer.(share.BulkWriter)
	}
	defer func() { _ = up.close() }() // an upload that is not at its end is resumed, not lost
	for !up.ended {
		if err := up.step(); err != nil {
			return err
		}
	}
	return nil
}

// createInOrder begins an upload unless the client began it anew since, on another stream.
func (c *conn) createInOrder(m wire.Create, u share.Upload) (share.Writer, error) {
	leave, err := c.server.order.enter(c.peer, m)
	if err != nil {
		return nil, err
	}
	defer leave()
	return c.createWithin(c.server.ctx, u)
}

// An upload is one share on its way in.
type upload struct {
	*conn
	about   share.Upload
	writer  share.Writer
	bulk    share.BulkWriter // nil where the store takes one block at a time only
	count   int64            // blocks appended
	told    time.Time        // when the peer last heard of the progress
	digests []share.Digest
	block   *wire.Buffer // for blocks that are appended one by one
	batch   batch
	ended   bool // the peer ended it
	closed  bool
}

// close lets go of the upload, once.
func (u *upload) close() error {
	if u.closed {
		return nil
	}
	u.closed = true
	if u.block != nil {
		u.block.Free()
	}
	_ = u.flush() // of an upload that ends in the middle what has come is kept
	u.batch.free(u.server)
	defer u.server.uploads.release(u.peer)
	return u.writer.Close()
}

// step takes one message.
func (u *upload) step() error {
	kind, n, err := u.next()
	if err != nil {
		return err
	}
	if kind == wire.KindRow {
		return u.append(n)
	}
	if err := u.flush(); err != nil {
		return err
	}
	switch kind {
	case wire.KindHave:
		if _, err := wire.Receive[wire.Have](u.in, n); err != nil {
			return err
		}
		count, err := u.writer.Have(u.server.ctx)
		if err != nil {
			return failure{err}
		}
		return u.send(wire.Blocks{Count: count})
	case wire.KindCommit:
		return u.commit(n)
	case wire.KindRelease:
		if _, err := wire.Receive[wire.Release](u.in, n); err != nil {
			return err
		}
		return u.end(wire.Done{})
	}
	return unexpectedKind(kind)
}

func (u *upload) append(n int) error {
	payload, err := u.in.Payload(n)
	if err != nil {
		return err
	}
	size, digests, err := wire.ParseRow(payload, u.digests)
	if err != nil {
		return err
	}
	u.digests = digests
	block, batched := u.room(len(digests), size)
	if !batched {
		if err := u.flush(); err != nil {
			return err
		}
	}
	if err := u.in.FillBlock(block); err != nil {
		return err
	}
	u.server.stats.received.Add(int64(size))
	if u.about.Size < 0 { // what is counted for the peer grows with each block
		if err := u.mayHave(u.server.ctx, int64(n+size), 0); err != nil {
			return failure{err}
		}
	}
	if batched {
		if !u.batch.add(digests, size, u.about.BlockSize) {
			return nil
		}
		return u.flush()
	}
	if err := u.writer.Append(u.server.ctx, digests, block); err != nil {
		return failure{err}
	}
	return u.appended(1)
}

// room returns where the next block goes, and whether that is in the batch.
func (u *upload) room(digests, size int) (block []byte, batched bool) {
	if u.bulk != nil && digests == u.about.Total && size > 0 && size <= u.about.BlockSize {
		if block := u.batch.room(u.server, u.about, size); block != nil {
			return block, true
		}
	}
	if u.block == nil || cap(u.block.B) < size {
		if u.block != nil {
			u.block.Free()
		}
		u.block = wire.GetBuffer(size)
	}
	return u.block.B[:size], false
}

// flush appends the batch.
func (u *upload) flush() error {
	rows, blocks := u.batch.take()
	if len(blocks) == 0 {
		return nil
	}
	if err := u.bulk.AppendAll(u.server.ctx, rows, blocks); err != nil {
		return failure{err}
	}
	return u.appended(int64(len(rows) / u.about.Total))
}

// appended counts blocks, and tells the peer now and then.
func (u *upload) appended(blocks int64) error {
	u.count += blocks
	if now := time.Now(); now.Sub(u.told) >= appendedEvery {
		u.told = now
		return u.send(wire.Appended{Count: u.count})
	}
	return nil
}

func (u *upload) commit(n int) error {
	m, err := wire.Receive[wire.Commit](u.in, n)
	if err != nil {
		return err
	}
	index := share.IndexOf(m.Root)
	err = u.leaseWithin(u.server.ctx, []share.StorageIndex{index}, func() error { return u.writer.Commit(u.server.ctx, m.Root) })
	if err != nil {
		return failure{err}
	}
	u.server.stats.commits.Add(1)
	if notify := u.server.options.OnCommit; notify != nil {
		notify(index)
	}
	return u.end(wire.Done{})
}

// end lets go of the upload and then answers, so that a peer that has the answer finds the upload and its place free.
func (u *upload) end(m wire.Message) error {
	u.ended = true
	if err := u.close(); err != nil {
		return failure{err}
	}
	return u.send(m)
}
