package file

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// A lane carries one share to one server, and to another one where the first fails in time.
type lane struct {
	u      *upload
	number share.Number
	copies bool // it carries a share of the copy that Copy gets beside
	queue  chan *encoding.Segment

	// server is the zero Server when none has room. giveUp ends the attempt under way, which began then, for a reason. Only
	// the lane's goroutine changes them, with u.mu held.
	server share.Server
	giveUp context.CancelCauseFunc
	began  time.Time

	// kept are segments taken from the queue and not yet released: as long as it holds all of them, the share can be
	// sent to another server.
	kept     []*encoding.Segment
	released bool
	skipped  int64 // bytes that the server had

	taken atomic.Int64 // segments done with
	lost  atomic.Bool
	done  atomic.Bool  // acknowledged
	moved atomic.Int64 // when it last got on, in nanoseconds since 1970 began
	phase atomic.Int32
}

// What a lane is doing.
const (
	sending    int32 = iota
	waiting          // for the encoder
	committing       // for the server, once it has everything
)

// move notes that the lane gets on.
func (l *lane) move(phase int32) {
	l.phase.Store(phase)
	l.moved.Store(time.Now().UnixNano())
}

func (l *lane) lastMove() time.Time { return time.Unix(0, l.moved.Load()) }

// run sends the share until a server has acknowledged it or none is left.
func (l *lane) run() {
	defer l.drain()
	for l.server.Store != nil {
		err := l.attempt()
		if err == nil {
			l.u.acknowledge(l)
			return
		}
		if !l.u.replace(l, err) {
			break
		}
	}
	l.lost.Store(true)
	l.u.gotOn()
	if l.u.hopeless() {
		l.u.stopEncoding()
	}
}

// drain lets go of the segments that the lane has, and of those that are still to come.
func (l *lane) drain() {
	for _, s := range l.kept {
		s.Release()
	}
	l.kept = nil
	for {
		select {
		case s, ok := <-l.queue:
			if !ok {
				return
			}
			s.Release()
		case <-l.u.ctx.Done():
			return
		}
	}
}

// attempt sends the share to the lane's server.
func (l *lane) attempt() error {
	ctx, cancel := context.WithCancelCause(l.u.ctx)
	defer cancel(nil)
	l.u.mu.Lock()
	l.giveUp, l.began = cancel, time.Now()
	l.u.began = append(l.u.began, beginning{l.server, l.number})
	l.u.mu.Unlock()
	l.skipped = 0
	l.move(sending)
	err := l.send(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && l.u.ctx.Err() == nil {
		return cause
	}
	return err
}

func (l *lane) send(ctx context.Context) error {
	have, err := l.past(ctx)
	if err != nil {
		return err
	}
	if have.IsZero() {
		return l.write(ctx)
	}
	// The server has the whole share, if it is the same file: that is known at the end.
	if err := l.stream(ctx, nil, math.MaxInt64); err != nil {
		return err
	}
	if share.IndexOf(l.u.root) != have {
		return fmt.Errorf("%w: holds another file under this upload", share.ErrCorrupt)
	}
	return nil
}

// past returns the storage index under which the lane's server has the share from an earlier upload, with the lease
// renewed, or zero when it does not have it.
func (l *lane) past(ctx context.Context) (share.StorageIndex, error) {
	p := l.u.pasts[l.server.ID]
	if p == nil {
		return share.StorageIndex{}, nil
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return share.StorageIndex{}, ctx.Err()
	}
	index := p.stored[l.number]
	if p.err != nil || index.IsZero() {
		return share.StorageIndex{}, p.err
	}
	defer l.expectAnswer()()
	l.noteFresh(ctx, index)
	err := l.server.Store.Renew(ctx, []share.StorageIndex{index}, l.lease())
	if errors.Is(err, share.ErrNotFound) {
		return share.StorageIndex{}, nil // it has forgotten it
	}
	return index, err
}

func (l *lane) lease() share.Lease {
	return share.Lease{Owner: l.u.o.Owner, Expires: time.Now().Add(l.u.o.Lease)}
}

// expectAnswer gives the server up unless the function it returns is called in time.
func (l *lane) expectAnswer() (answered func()) {
	giveUp := l.giveUp
	timer := awake.AfterFunc(askTimeout, func() { giveUp(errNoAnswer) })
	return func() { timer.Stop() }
}

// write sends the share, or what the server lacks of it.
func (l *lane) write(ctx context.Context) error {
	w, have, err := l.create(ctx)
	if err != nil {
		return err
	}
	if !l.u.small() {
		w = inBulk(w, l.u.o.BlockSize)
	}
	defer w.Close()
	for _, s := range l.kept {
		if err := w.Append(ctx, s.Digests, s.Block(l.number)); err != nil {
			return fmt.Errorf("segment %d: %w", s.Index, err)
		}
	}
	if err := l.stream(ctx, w, have); err != nil {
		return err
	}
	l.noteFresh(ctx, share.IndexOf(l.u.root))
	l.move(committing)
	return w.Commit(ctx, l.u.root)
}

// create begins the upload, and asks the server how much of the share it has. That also tells whether it takes the
// share at all, before anything is sent that could not be sent again to another server.
func (l *lane) create(ctx context.Context) (share.Writer, int64, error) {
	defer l.expectAnswer()()
	upload := share.Upload{
		ID: l.u.id, Number: l.number, Needed: l.u.o.Params.Needed, Total: l.u.o.Params.Total, BlockSize: l.u.o.BlockSize,
		Size: l.u.o.Size, Lease: l.lease(),
	}
	w, err := l.server.Store.Create(ctx, upload)
	if err != nil || l.u.small() {
		return w, 0, err
	}
	have, err := w.Have(ctx)
	if err != nil {
		w.Close()
		return nil, 0, err
	}
	if l.credible(have) {
		return w, have, nil
	}
	// A writer that is not asked begins anew.
	w.Close()
	w, err = l.server.Store.Create(ctx, upload)
	return w, 0, err
}

// credible reports whether a server can have that many blocks.
func (l *lane) credible(have int64) bool {
	switch {
	case have < 0 || have > 0 && !l.u.o.Resume:
		return false
	case l.u.o.Size >= 0:
		return have <= l.u.layout.Segments()
	}
	return true
}

// stream sends the segments from the queue except those before have, which the server has.
func (l *lane) stream(ctx context.Context, w share.Writer, have int64) error {
	for {
		l.move(waiting)
		var s *encoding.Segment
		select {
		case next, ok := <-l.queue:
			if !ok {
				return nil
			}
			s = next
		case <-ctx.Done():
			return ctx.Err()
		}
		l.move(sending)
		if err := l.pass(ctx, w, s, s.Index < have); err != nil {
			return err
		}
	}
}

// pass sends one segment, or skips it, and lets go of it unless it is the only one.
func (l *lane) pass(ctx context.Context, w share.Writer, s *encoding.Segment, skip bool) (err error) {
	index := s.Index
	if skip {
		l.skipped += int64(len(s.Block(l.number)))
	} else {
		err = w.Append(ctx, s.Digests, s.Block(l.number))
	}
	if l.u.small() {
		l.kept = append(l.kept, s)
	} else {
		l.released = true
		s.Release()
	}
	l.taken.Add(1)
	l.u.gotOn()
	if err != nil {
		return fmt.Errorf("segment %d: %w", index, err)
	}
	return nil
}

// acknowledge notes that a lane's share is on stable storage.
func (u *upload) acknowledge(l *lane) {
	l.done.Store(true)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.skipped += l.skipped
	if !l.copies {
		u.placed[l.number] = l.server
	}
}
