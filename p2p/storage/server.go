package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/p2p/wire"
	"cairn/share"
)

// ServerOptions are the settings of a Server. The zero value is fit for use.
type ServerOptions struct {
	// Logger takes what goes wrong with peers. The default discards it.
	Logger *slog.Logger
	// OnCommit is called after each successful commit, before the peer hears of it. It must not block.
	OnCommit func(share.StorageIndex)
	// Quota says how much each peer may store. The default sets no limits.
	Quota Quota
	// Margin is by how many bytes at most a peer's account may exceed its quota with versions of names that are no larger than what they
	// drop, so that who has reached the quota can still remove things. It is a sixteenth of the quota where that is less. The
	// default is none.
	Margin int64
	// Timeout is how long a peer may take for one message, to send it or to take it. The default is two minutes.
	Timeout time.Duration
	// Idle is how long a stream may be open between two messages. The default is ten minutes.
	Idle time.Duration
	// Streams limits the streams that are open for questions, and again those for uploads, heads and batches each. The default is 64 per peer and
	// 4096 in total.
	Streams Limit
	// ReadStreams limits the streams that are open to read shares. The default is 16 per peer and 4096 in total.
	ReadStreams Limit
	// Uploads limits the uploads in progress. The default is 64 per peer and 256 in total.
	Uploads Limit
	// Reads is how many reads are served at a time, each with a buffer of 256 KiB; others wait. The default is 256.
	Reads int
	// Bulks is how many uploads append many blocks at a time, each with a buffer of 2 MiB; others append one by one. The default is 16.
	Bulks int
	// Bodies is how many large requests are taken at a time, each with up to 11 MiB of memory; others wait. The default is 16.
	Bodies int
	// Readers is how many shares are kept open for peers that read them. The default is 256.
	Readers int
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	o.Streams = o.Streams.or(Limit{PerPeer: 64, Total: 4096})
	o.ReadStreams = o.ReadStreams.or(Limit{PerPeer: 16, Total: 4096})
	o.Uploads = o.Uploads.or(Limit{PerPeer: 64, Total: 256})
	if o.Reads <= 0 {
		o.Reads = 256
	}
	if o.Bulks <= 0 {
		o.Bulks = 16
	}
	if o.Bodies <= 0 {
		o.Bodies = 16
	}
	if o.Readers <= 0 {
		o.Readers = 256
	}
	return o
}

// A Server serves one Store to peers.
type Server struct {
	store   share.Store
	options ServerOptions
	stats   counters
	uploads *counter
	order   *order
	reads   chan struct{}
	readers *readers
	growing peerLocks // for what is counted for a peer
	// overdrawn is by how much peers have grown beyond the margin.
	overdrawn tally
	bodies    peerLocks // for large bodies
	large     chan struct{}
	bulks     chan struct{}

	complaints peerLocks // for complaints of shares
	rechecks   chan struct{}
	complained *complaintBudget

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	streams map[network.Stream]struct{}
	closed  bool
	group   sync.WaitGroup
}

// NewServer returns a server of the store. It answers nothing before Register.
func NewServer(store share.Store, options ServerOptions) *Server {
	options = options.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		store: store, options: options, ctx: ctx, cancel: cancel,
		uploads:    newCounter("uploads", options.Uploads),
		order:      newOrder(orderKept),
		reads:      make(chan struct{}, options.Reads),
		readers:    newReaders(store, options.Readers),
		growing:    newPeerLocks(),
		overdrawn:  tally{bytes: map[share.ServerID]int64{}},
		bodies:     newPeerLocks(),
		large:      make(chan struct{}, options.Bodies),
		bulks:      make(chan struct{}, options.Bulks),
		complaints: newPeerLocks(),
		rechecks:   make(chan struct{}, rechecksAtOnce),
		complained: newComplaintBudget(),
		streams:    make(map[network.Stream]struct{}),
	}
}

// Register makes the server answer on the protocols of the package, as far as its store can do what they ask.
func (s *Server) Register(h Registrar) {
	h.Handle(Ask, s.handler(newCounter("streams for questions", s.options.Streams), (*conn).serveAsk))
	h.Handle(Read, s.handler(newCounter("streams to read", s.options.ReadStreams), (*conn).serveRead))
	h.Handle(Write, s.handler(newCounter("streams to write", s.options.Streams), (*conn).serveWrite))
	if _, ok := s.store.(share.HeadStore); ok {
		h.Handle(Head, s.handler(newCounter("streams for heads", s.options.Streams), (*conn).serveHead))
	}
	if _, ok := s.store.(share.Batcher); ok {
		h.Handle(Batch, s.handler(newCounter("streams for batches", s.options.Streams), (*conn).serveBatch))
	}
}

// Close resets every stream and returns when no handler runs any more. The store stays open.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	for stream := range s.streams {
		_ = stream.Reset()
	}
	s.mu.Unlock()
	s.group.Wait()
	s.readers.close()
	return nil
}

// enter counts a stream in; it returns false when the server is closed.
func (s *Server) enter(stream network.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.streams[stream] = struct{}{}
	s.group.Add(1)
	return true
}

func (s *Server) leave(stream network.Stream) {
	s.mu.Lock()
	delete(s.streams, stream)
	s.mu.Unlock()
	s.group.Done()
}

// handler returns what serves one stream of a protocol, within the limits, whatever the peer and the store do.
func (s *Server) handler(limit *counter, serve func(*conn) error) func(network.Stream) {
	return func(stream network.Stream) {
		if !s.enter(stream) {
			_ = stream.Reset()
			return
		}
		defer s.leave(stream)
		c := s.newConn(stream)
		defer c.free()
		if err := limit.acquire(c.peer); err != nil {
			c.refuse(err)
			return
		}
		defer limit.release(c.peer)
		s.stats.streams.Add(1)
		defer s.stats.streams.Add(-1)
		c.finish(protect(func() error { return serve(c) }))
	}
}

// protect turns a panic into an error: a peer must not be able to take the node down.
func protect(fn func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &panicError{cause: cause, stack: debug.Stack()}
		}
	}()
	return fn()
}

type panicError struct {
	cause any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.cause) }

// A conn is the server's end of one stream.
type conn struct {
	server *Server
	stream network.Stream
	peer   share.ServerID
	in     *wire.Reader
	out    []byte
	read   deadline
	write  deadline
}

func (s *Server) newConn(stream network.Stream) *conn {
	return &conn{
		server: s, stream: stream,
		peer:  share.ServerID(stream.Conn().RemotePeer().String()),
		in:    wire.NewReader(stream),
		read:  deadline{set: stream.SetReadDeadline, timeout: s.options.Timeout},
		write: deadline{set: stream.SetWriteDeadline, timeout: s.options.Timeout},
	}
}

func (c *conn) free() { c.in.Free() }

// next waits for the next message and returns the header of its first frame. From its first byte on, the peer has the
// timeout for all of it.
func (c *conn) next() (wire.Kind, int, error) {
	if err := c.wait(); err != nil {
		return 0, 0, err
	}
	c.read.extend()
	kind, n, err := c.in.Next()
	if err == nil {
		c.server.stats.requests.Add(1)
		c.server.stats.received.Add(int64(wire.HeaderSize + n))
	}
	return kind, n, err
}

// wait returns when a message begins, or when none did for as long as a stream may be idle.
func (c *conn) wait() error {
	if c.in.Buffered() > 0 {
		return nil
	}
	since := time.Now()
	for {
		c.read.extend()
		err := c.in.Wait()
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(since) >= c.server.options.Idle {
			return err
		}
		if !c.read.passed() { // a peer that is gone is a timeout too over QUIC, and every read says so at once
			return err
		}
	}
}

// send writes one control message.
func (c *conn) send(m wire.Message) error {
	out, err := wire.Append(c.out[:0], m)
	if err != nil { // the store gave what the protocol cannot say, which is not the peer's fault
		return fmt.Errorf("encode the answer: %v", err)
	}
	c.out = out
	return c.put(out)
}

func (c *conn) put(p []byte) error {
	c.write.extend()
	_, err := c.stream.Write(p)
	c.server.stats.sent.Add(int64(len(p)))
	return err
}

// answer reports the error of the store to the peer, or sends m when there is none. Its own error ends the stream.
func (c *conn) answer(m wire.Message, err error) error {
	if err != nil {
		return c.fail(err)
	}
	return c.send(m)
}

// fail reports an error of the store to the peer.
func (c *conn) fail(err error) error {
	c.server.stats.failures.Add(1)
	report := wire.ErrorOf(err)
	if report.Code == wire.CodeInternal {
		c.server.options.Logger.Warn("storage request failed", "peer", c.peer.Short(), "error", err)
	}
	return c.send(report)
}

// refuse tells the peer why nothing is done for it, and closes the stream.
func (c *conn) refuse(err error) {
	c.server.stats.refused.Add(1)
	if c.fail(err) != nil {
		_ = c.stream.Reset()
		return
	}
	_ = c.stream.Close()
}

// finish ends the stream as its handler ended: quietly when the peer closed it or went away, with a reason when the peer
// broke the protocol.
func (c *conn) finish(err error) {
	if err == io.EOF {
		_ = c.stream.Close()
		return
	}
	if p, panicked := errors.AsType[*panicError](err); panicked {
		c.server.options.Logger.Error("storage handler panicked", "peer", c.peer.Short(), "error", p, "stack", string(p.stack))
		_ = c.stream.Reset()
		return
	}
	if f, ok := errors.AsType[failure](err); ok {
		if c.fail(f.error) == nil {
			_ = c.stream.Close()
			return
		}
	}
	if violation(err) {
		c.server.options.Logger.Debug("peer broke the storage protocol", "peer", c.peer.Short(), "error", err)
		c.refuse(err)
		return
	}
	c.server.options.Logger.Debug("storage stream ended", "peer", c.peer.Short(), "error", err)
	_ = c.stream.Reset()
}

// violation reports whether an error of a handler says that the peer sent what the protocol does not allow.
func violation(err error) bool {
	return errors.Is(err, share.ErrCorrupt) || errors.Is(err, share.ErrVersion) || errors.Is(err, share.ErrTooLarge)
}

// unexpectedKind is the error for a frame that the protocol does not allow where it came.
func unexpectedKind(kind wire.Kind) error {
	return fmt.Errorf("frame of kind %#02x is not expected here: %w", byte(kind), share.ErrCorrupt)
}
