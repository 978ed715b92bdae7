package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/awake"
	"cairn/share"
)

// abandonWait is how long a caller that gave up waits for the receiver to let go of its buffer before it gives up the
// whole stream.
const abandonWait = 100 * time.Millisecond

// A readStream is one stream on which many callers read at a time. A sender writes the requests as they come; a
// receiver reads the answers, which come in the same order, into the callers' buffers.
type readStream struct {
	client *Client
	stream network.Stream
	slots  chan struct{} // one for each request under way
	wake   chan struct{} // tells the sender that there are requests
	end    context.Context
	kill   context.CancelCauseFunc // ends the stream with a reason

	mu       sync.Mutex // guards what follows
	queue    []*fetch   // in the order of their answers; those not sent yet are last
	progress time.Time  // the peer owes what comes next since then
	watchdog *time.Timer
	due      time.Time // when the watchdog looks
	still    awake.Watch
}

// errLost says that a stream ended for a reason that is not the peer's fault towards this request.
var errLost = errors.New("stream ended")

func newReadStream(c *Client, stream network.Stream) *readStream {
	s := &readStream{
		client: c, stream: stream,
		slots: make(chan struct{}, c.options.Outstanding),
		wake:  make(chan struct{}, 1),
	}
	s.end, s.kill = context.WithCancelCause(c.ctx)
	return s
}

// load returns how many requests are under way.
func (s *readStream) load() int { return len(s.slots) }

// lost reports whether a request failed only because the stream ended.
func (s *readStream) lost(err error) bool { return errors.Is(err, errLost) }

// do sends the request and waits for its answer, for the context, or for the end of the stream.
func (s *readStream) do(ctx context.Context, f *fetch) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.end.Done():
		return errLost
	}
	if !s.enqueue(f) {
		<-s.slots
		return errLost
	}
	select {
	case err := <-f.done:
		return err
	case <-ctx.Done():
		return s.abandon(ctx, f)
	}
}

// enqueue has the request sent; it returns false when the stream has ended.
func (s *readStream) enqueue(f *fetch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.Err() != nil {
		return false
	}
	if len(s.queue) == 0 {
		s.progress = time.Now()
		s.watch(min(suspectAfter, s.client.options.ReadTimeout))
	}
	s.queue = append(s.queue, f)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

// watch has the stream checked after a while. The mutex is held.
func (s *readStream) watch(after time.Duration) {
	s.due = time.Now().Add(after)
	if s.watchdog == nil {
		s.watchdog = time.AfterFunc(after, s.check)
		return
	}
	s.watchdog.Reset(after)
}

// check suspects a peer that owes a frame for long, and ends the stream when it is too long.
func (s *readStream) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.end.Err() != nil {
		return
	}
	limit := s.client.options.ReadTimeout
	if now := time.Now(); s.still.Stood(s.due, now) { // what the peer sent meanwhile is being received only now
		s.progress = now
	}
	switch waited := time.Since(s.progress); {
	case waited >= limit:
		s.kill(fmt.Errorf("%w: no answer for %s", share.ErrUnavailable, limit))
	case waited >= suspectAfter:
		s.client.suspect()
		s.watch(limit - waited)
	default:
		s.watch(min(suspectAfter, limit) - waited)
	}
}

// abandon gives up waiting for an answer. When it returns, the receiver does not use the caller's buffer any more.
func (s *readStream) abandon(ctx context.Context, f *fetch) error {
	s.mu.Lock()
	f.abandoned = true
	if !f.busy {
		s.mu.Unlock()
		return ctx.Err()
	}
	free := make(chan struct{})
	f.free = free // release takes it away again
	s.mu.Unlock()
	timer := time.NewTimer(abandonWait)
	defer timer.Stop()
	select {
	case <-free:
	case <-timer.C:
		s.kill(errLost)
		<-free
	}
	return ctx.Err()
}

// send writes requests until the stream ends.
func (s *readStream) send() {
	// Whoever ends the stream wakes the receiver by resetting it, and the peer by the same.
	defer context.AfterFunc(s.end, func() { _ = s.stream.Reset() })()
	write := deadline{set: s.stream.SetWriteDeadline, timeout: s.client.options.ReadTimeout}
	var out []byte
	for {
		select {
		case <-s.wake:
		case <-s.end.Done():
			_ = s.stream.Reset()
			return
		}
		if out = s.unsent(out[:0]); len(out) == 0 {
			continue
		}
		write.extend()
		if _, err := s.stream.Write(out); err != nil {
			s.kill(fmt.Errorf("%w: %w", errLost, err))
		}
	}
}

// unsent appends the requests that were not sent yet and marks them as sent.
func (s *readStream) unsent(out []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := len(s.queue)
	for first > 0 && !s.queue[first-1].sent {
		first--
	}
	kept := s.queue[:first]
	for _, f := range s.queue[first:] {
		if f.abandoned {
			<-s.slots
			continue
		}
		out = append(out, f.frame...)
		f.sent = true
		kept = append(kept, f)
	}
	clear(s.queue[len(kept):])
	s.queue = kept
	return out
}
