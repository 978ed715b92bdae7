package storage

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/awake"
	"cairn/p2p/wire"
	"cairn/share"
)

// putWait is how long a failed write waits for the receiver to learn the peer's reason.
const putWait = time.Second

// A writeStream is one stream on which one upload at a time goes to the peer. A receiver waits for what the peer says,
// so that a refusal is noticed while blocks are still being sent.
type writeStream struct {
	client  *Client
	stream  network.Stream
	write   deadline
	answers chan writeAnswer // at most one is owed
	heard   atomic.Int64     // when the peer last said something, in nanoseconds since 1970 began
	sent    atomic.Int64     // blocks of the upload
	taken   atomic.Int64     // how many of them the peer said to have appended
	end     context.Context
	kill    context.CancelCauseFunc // ends the stream with a reason
}

// A writeAnswer is what the peer says to Have, Commit and Release.
type writeAnswer struct {
	kind   wire.Kind
	blocks int64
}

func newWriteStream(c *Client, stream network.Stream) *writeStream {
	s := &writeStream{
		client: c, stream: stream, answers: make(chan writeAnswer, 1),
		write: deadline{set: stream.SetWriteDeadline, timeout: c.options.WriteTimeout},
	}
	s.end, s.kill = context.WithCancelCause(c.ctx)
	return s
}

// begin makes the stream ready for another upload.
func (s *writeStream) begin() {
	s.sent.Store(0)
	s.taken.Store(0)
}

// put writes p, or returns the reason for which the stream ended.
func (s *writeStream) put(p []byte) error {
	s.write.extend()
	_, err := s.stream.Write(p)
	if err == nil {
		return nil
	}
	// The peer gave its reason before it closed the stream, but it may have arrived after the news of that.
	timer := time.NewTimer(putWait)
	defer timer.Stop()
	select {
	case <-s.end.Done():
		return context.Cause(s.end)
	case <-timer.C:
		return err
	}
}

// wait returns the peer's answer. It fails when the context or the stream ends, or when the peer says nothing at all for
// as long as patience.
func (s *writeStream) wait(ctx context.Context, patience time.Duration) (writeAnswer, error) {
	since := time.Now()
	pause := min(suspectAfter, patience)
	due := since.Add(pause)
	var still awake.Watch
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case a := <-s.answers:
			return a, nil
		case <-ctx.Done():
			return writeAnswer{}, ctx.Err()
		case <-s.end.Done():
			return writeAnswer{}, context.Cause(s.end)
		case <-timer.C:
			if heard := time.Unix(0, s.heard.Load()); heard.After(since) {
				since = heard
			}
			now := time.Now()
			if still.Stood(due, now) {
				since, due = now, now.Add(pause)
				timer.Reset(pause)
				continue
			}
			left := patience - now.Sub(since)
			if left <= 0 {
				return writeAnswer{}, fmt.Errorf("%w: no answer for %s", share.ErrUnavailable, patience)
			}
			s.client.suspect()
			due = now.Add(left)
			timer.Reset(left)
		}
	}
}

// receive hears the peer until the stream ends.
func (s *writeStream) receive() {
	defer context.AfterFunc(s.end, func() { _ = s.stream.Reset() })()
	in := wire.NewReader(s.stream)
	defer in.Free()
	err := protect(func() error {
		for {
			if err := s.hear(in); err != nil {
				return err
			}
		}
	})
	s.kill(err)
	s.client.write.remove(s)
	_ = s.stream.Reset()
}

// hear takes one frame. Its error ends the stream.
func (s *writeStream) hear(in *wire.Reader) error {
	kind, n, err := in.Next()
	if err != nil {
		return err
	}
	s.heard.Store(time.Now().UnixNano())
	a := writeAnswer{kind: kind}
	switch kind {
	case wire.KindAppended:
		m, err := wire.Receive[wire.Appended](in, n)
		if err != nil {
			return err
		}
		// Progress must be progress: a peer cannot keep a commit waiting by talking.
		if m.Count <= s.taken.Load() || m.Count > s.sent.Load() {
			return fmt.Errorf("%w: %d of %d blocks appended, %d before", share.ErrCorrupt, m.Count, s.sent.Load(), s.taken.Load())
		}
		s.taken.Store(m.Count)
		return nil
	case wire.KindError:
		m, err := wire.Receive[wire.Error](in, n)
		if err == nil {
			err = m
		}
		return err
	case wire.KindBlocks:
		m, err := wire.Receive[wire.Blocks](in, n)
		if err != nil {
			return err
		}
		a.blocks = m.Count
	case wire.KindDone:
		if _, err := wire.Receive[wire.Done](in, n); err != nil {
			return err
		}
	default:
		return unexpectedKind(kind)
	}
	select {
	case s.answers <- a:
		return nil
	default:
		return unexpectedKind(kind)
	}
}
