package storage

import (
	"context"
	"fmt"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

// receive reads answers until the stream ends, and then fails what is left.
func (s *readStream) receive() {
	in := wire.NewReader(s.stream)
	defer in.Free()
	err := protect(func() error {
		for {
			if err := s.answer(in); err != nil {
				return err
			}
		}
	})
	if !violation(err) {
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	s.kill(err)
	s.client.read.remove(s)
	s.failAll(context.Cause(s.end))
}

// failAll ends every request with the reason for which the stream ended.
func (s *readStream) failAll(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchdog != nil {
		s.watchdog.Stop()
	}
	for _, f := range s.queue {
		f.done <- err
		<-s.slots
	}
	s.queue = nil
}

// answer reads one frame. Its error ends the stream.
func (s *readStream) answer(in *wire.Reader) error {
	kind, n, err := in.Next()
	if err != nil {
		return err
	}
	f := s.head()
	switch {
	case f == nil:
		return unexpectedKind(kind)
	case kind == wire.KindData && !f.open:
		if n == 0 || n > len(f.p)-f.filled {
			return fmt.Errorf("%d bytes of data where %d are missing: %w", n, len(f.p)-f.filled, share.ErrCorrupt)
		}
		if err := s.data(in, f, n); err != nil {
			return err
		}
		if f.filled < len(f.p) {
			s.advance(nil, nil)
		} else {
			s.advance(f, nil)
		}
		return nil
	case kind == wire.KindOpened && f.open:
		m, err := wire.Receive[wire.Opened](in, n)
		if err != nil {
			return err
		}
		f.size = m.Size
		s.advance(f, nil)
		return nil
	case kind == wire.KindError:
		m, err := wire.Receive[wire.Error](in, n)
		if err != nil {
			return err
		}
		s.advance(f, m)
		return nil
	}
	return unexpectedKind(kind)
}

// head returns the request whose answer comes next.
func (s *readStream) head() *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || !s.queue[0].sent {
		return nil
	}
	return s.queue[0]
}

// advance notes that a frame was finished, and with it the request f unless that is nil.
func (s *readStream) advance(f *fetch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = time.Now()
	if f == nil {
		return
	}
	f.done <- err
	s.queue[0] = nil
	s.queue = s.queue[1:]
	<-s.slots
}

// data reads n bytes of data into the place that the caller gave, or past it once the caller gave up.
func (s *readStream) data(in *wire.Reader, f *fetch, n int) error {
	var scratch *wire.Buffer
	defer func() {
		if scratch != nil {
			scratch.Free()
		}
	}()
	for n > 0 {
		// The wait happens here, while the caller may still take its buffer back: what follows finds bytes waiting.
		if err := in.Wait(); err != nil {
			return err
		}
		into := f.p[f.filled:][:n]
		if !s.begin(f) {
			if scratch == nil {
				scratch = wire.GetBuffer(wire.MaxData)
			}
			into = scratch.B[:n]
		}
		m, err := in.Burst(into)
		s.release(f, m)
		f.filled += m
		n -= m
		if err != nil {
			return err
		}
	}
	return nil
}

// begin takes the buffer of the caller; it returns false when the caller gave up.
func (s *readStream) begin(f *fetch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.busy = !f.abandoned
	return f.busy
}

// minRate is how many bytes a second a peer must send to count as alive while a frame is on its way.
const minRate = 4 << 10

// release gives the buffer back, after n more bytes came.
func (s *readStream) release(f *fetch, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.busy = false
	if f.free != nil {
		close(f.free)
		f.free = nil
	}
	earned := s.progress.Add(time.Duration(n) * time.Second / minRate)
	if now := time.Now(); earned.After(now) {
		earned = now
	}
	s.progress = earned
}
