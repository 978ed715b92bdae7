package storage

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/p2p/wire"
	"cairn/share"
)

// writePool keeps the streams of finished uploads for the next ones, and knows those of uploads in progress.
type writePool struct {
	mu     sync.Mutex // guards what follows
	idle   []*writeStream
	active map[uploadKey]*writeStream
	turn   int64 // of the last create

	series wire.Series // of the creates of this client
}

type uploadKey struct {
	id     share.UploadID
	number share.Number
}

// enter makes the stream that of the upload and returns the turn of its create. An earlier one loses the upload, as it would
// if the peer had seen both in this order, which it may not because what is created is sent late.
func (p *writePool) enter(key uploadKey, s *writeStream) (turn int64) {
	p.mu.Lock()
	old := p.active[key]
	p.active[key] = s
	p.turn++
	turn = p.turn
	p.mu.Unlock()
	if old != nil {
		old.kill(fmt.Errorf("%w: another writer of the same upload has taken over", share.ErrBusy))
	}
	return turn
}

func (p *writePool) leave(key uploadKey, s *writeStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active[key] == s {
		delete(p.active, key)
	}
}

func (p *writePool) get() *writeStream {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		s := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if s.end.Err() == nil && !outdated(s.stream) {
			return s
		}
		s.kill(errLost)
	}
	return nil
}

// put keeps the stream; it returns false when there are enough.
func (p *writePool) put(s *writeStream, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= limit {
		return false
	}
	p.idle = append(p.idle, s)
	return true
}

func (p *writePool) remove(s *writeStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.idle {
		if p.idle[i] == s {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return
		}
	}
}

// Create implements share.Store. It does not wait for the peer, whose refusal is reported by the first call on the
// Writer that follows it. The context governs this call only, and so with every call on the Writer.
func (c *Client) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, c.wrap(fmt.Sprintf("create share %d", upload.Number), c.cause(ctx, err))
	}
	s := c.write.get()
	if s == nil {
		var err error
		if s, err = c.openWriteStream(ctx); err != nil {
			return nil, c.wrap(fmt.Sprintf("create share %d", upload.Number), c.cause(ctx, err))
		}
	}
	w := &writer{client: c, stream: s, key: uploadKey{upload.ID, upload.Number}, out: wire.GetBuffer(flushAt)}
	s.begin()
	w.ctx = ctx
	m := wire.CreateOf(upload, time.Now())
	m.Series, m.Turn = c.write.series, c.write.enter(w.key, s)
	w.out.B, w.err = wire.Append(w.out.B[:0], m)
	return w, nil
}

func (c *Client) openWriteStream(ctx context.Context) (*writeStream, error) {
	stream, err := c.stream(ctx, Write)
	if err != nil {
		return nil, err
	}
	s := newWriteStream(c, stream)
	if !c.start(s.receive) {
		_ = stream.Reset()
		return nil, share.ErrClosed
	}
	return s, nil
}

// flushAt is how many bytes are gathered before they are written: the payload of one frame of the stream multiplexer.
// Larger pieces of a block are written from the caller's memory, in whole frames.
const flushAt = 64<<10 - 12

// A writer is one upload to the peer.
type writer struct {
	client *Client
	stream *writeStream
	key    uploadKey
	out    *wire.Buffer // gathered, not yet written
	err    error        // sticks
	ctx    context.Context
	stop   func() bool // ends the watch over ctx
	done   bool
}

// watch resets the stream when the context ends, until unwatch.
func (w *writer) watch(ctx context.Context) {
	w.unwatch()
	w.ctx = ctx
	w.stop = context.AfterFunc(ctx, func() { w.stream.kill(context.Cause(ctx)) })
}

// unwatch returns false when the context has ended the stream.
func (w *writer) unwatch() (whole bool) {
	if w.stop == nil {
		return true
	}
	whole = w.stop()
	w.stop = nil
	return whole
}

// fail makes an error stick and gives it its meaning.
func (w *writer) fail(err error) error {
	if w.err == nil {
		w.err = w.client.cause(w.ctx, err)
	}
	w.stream.kill(w.err)
	return w.err
}

// check returns why the upload cannot go on, if it cannot.
func (w *writer) check(ctx context.Context) error {
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return share.ErrClosed
	case w.stream.end.Err() != nil:
		return w.fail(context.Cause(w.stream.end))
	}
	w.watch(ctx)
	if err := ctx.Err(); err != nil {
		return w.fail(err)
	}
	return nil
}

// Have implements share.Writer.
func (w *writer) Have(ctx context.Context) (int64, error) {
	count, err := w.have(ctx)
	return count, w.client.wrap(fmt.Sprintf("resume share %d", w.key.number), err)
}

func (w *writer) have(ctx context.Context) (int64, error) {
	defer w.unwatch()
	if err := w.check(ctx); err != nil {
		return 0, err
	}
	w.out.B, _ = wire.Append(w.out.B, wire.Have{}) // has no limits to exceed
	if err := w.flush(nil); err != nil {
		return 0, w.fail(err)
	}
	a, err := w.stream.wait(ctx, w.client.options.ReadTimeout)
	switch {
	case err != nil:
		return 0, w.fail(err)
	case a.kind != wire.KindBlocks:
		return 0, w.fail(unexpectedKind(a.kind))
	}
	return a.blocks, nil
}

// Append implements share.Writer. It waits only while the peer does not take what was sent.
func (w *writer) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	return w.client.wrap(fmt.Sprintf("write share %d", w.key.number), w.append(ctx, digests, block))
}

func (w *writer) append(ctx context.Context, digests []share.Digest, block []byte) (err error) {
	defer w.unwatch()
	if err := w.check(ctx); err != nil {
		return err
	}
	w.stream.sent.Add(1)
	if w.out.B, err = wire.AppendRow(w.out.B, len(block), digests); err != nil {
		return w.fail(err)
	}
	for len(block) > 0 {
		data := block[:min(len(block), wire.MaxData)]
		block = block[len(data):]
		w.out.B = wire.AppendHeader(w.out.B, wire.KindData, len(data))
		if len(w.out.B)+len(data) <= flushAt {
			w.out.B = append(w.out.B, data...)
			continue
		}
		first := len(data) % flushAt
		w.out.B = append(w.out.B, data[:first]...)
		if err := w.flush(data[first:]); err != nil {
			return w.fail(err)
		}
	}
	return nil
}

// flush writes what was gathered, and rest behind it.
func (w *writer) flush(rest []byte) error {
	if len(w.out.B) > 0 {
		if err := w.stream.put(w.out.B); err != nil {
			return err
		}
		w.out.B = w.out.B[:0]
	}
	if len(rest) == 0 {
		return nil
	}
	return w.stream.put(rest)
}

// Commit implements share.Writer.
func (w *writer) Commit(ctx context.Context, root []byte) error {
	err := w.commit(ctx, root)
	if err == nil {
		w.client.refused.Store(0)
	}
	return w.client.wrap(fmt.Sprintf("commit share %d", w.key.number), err)
}

func (w *writer) commit(ctx context.Context, root []byte) (err error) {
	defer w.unwatch()
	if err := w.check(ctx); err != nil {
		return err
	}
	if w.out.B, err = wire.Append(w.out.B, wire.Commit{Root: root}); err != nil {
		return w.fail(err)
	}
	return w.finish(ctx, w.client.options.WriteTimeout)
}

// finish sends what was gathered and waits until the peer is done with the upload.
func (w *writer) finish(ctx context.Context, patience time.Duration) error {
	if err := w.flush(nil); err != nil {
		return w.fail(err)
	}
	a, err := w.stream.wait(ctx, patience)
	switch {
	case err != nil:
		return w.fail(err)
	case a.kind != wire.KindDone:
		return w.fail(unexpectedKind(a.kind))
	}
	w.release()
	return nil
}

// release gives the stream back after an upload that ended well. A stream whose context ended meanwhile is lost.
func (w *writer) release() {
	whole := w.leave()
	if !whole || !w.client.write.put(w.stream, w.client.options.IdleUploads) {
		w.stream.kill(errLost)
	}
}

// leave ends the use of the stream; it returns false when the context has ended the stream.
func (w *writer) leave() (whole bool) {
	w.done = true
	w.out.Free()
	w.client.write.leave(w.key, w.stream)
	return w.unwatch()
}

// Close implements share.Writer. After an upload that was not committed it waits, for the time of a question at most,
// until the peer has let go of it, so that it can be resumed at once.
func (w *writer) Close() error {
	if w.done {
		return nil
	}
	ctx, cancel := awake.WithTimeout(w.client.ctx, w.client.options.AskTimeout)
	defer cancel()
	if w.err == nil && w.stream.end.Err() == nil {
		w.watch(ctx)
		w.out.B, _ = wire.Append(w.out.B, wire.Release{}) // has no limits to exceed
		_ = w.finish(ctx, w.client.options.AskTimeout)    // the peer lets go on its own when the stream ends
	}
	if !w.done {
		w.leave()
		w.stream.kill(errLost)
	}
	return nil
}
