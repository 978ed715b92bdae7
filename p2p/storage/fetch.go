package storage

import "cairn/p2p/wire"

// A fetch is one request on a read stream and the place for its answer.
type fetch struct {
	frame []byte // the request
	open  bool   // the answer is Opened, and not data
	p     []byte // where the data goes
	done  chan error

	// What follows belongs to the receiver of the stream; the caller may look at it after done.
	filled int
	size   int64

	// What follows is guarded by the mutex of the stream.
	sent      bool
	abandoned bool          // nobody waits for the answer any more
	busy      bool          // the receiver uses p
	free      chan struct{} // closed when an abandoned fetch is no longer busy
}

// newFetch returns a fetch for a request that keeps the limits of the protocol.
func newFetch(request wire.Message, p []byte) (*fetch, error) {
	frame, err := wire.Append(nil, request)
	if err != nil {
		return nil, err
	}
	return &fetch{frame: frame, open: request.Kind() == wire.KindOpen, p: p, done: make(chan error, 1)}, nil
}

// reset makes the fetch ready for another stream, after it failed on one.
func (f *fetch) reset() {
	f.filled, f.size, f.sent, f.abandoned, f.busy, f.free = 0, 0, false, false, false, nil
}
