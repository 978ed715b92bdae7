package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/awake"
	"cairn/p2p"
	"cairn/share"
)

// ClientOptions are the settings of a Client. The zero value is fit for use.
type ClientOptions struct {
	// AskTimeout bounds a question whose context has no deadline, and the opening of any stream. The default is five
	// seconds.
	AskTimeout time.Duration
	// ReadTimeout is how long the peer may take for the next frame of the read it is at. The default is ten seconds.
	ReadTimeout time.Duration
	// WriteTimeout is how long an upload may wait for the peer to take data, and how long a commit may wait without any
	// sign of life; the same for a head and a batch. The default is one minute.
	WriteTimeout time.Duration
	// Questions is how many questions are asked at a time, each on a stream of its own; so many again about heads, and so many
	// batches. The default is eight.
	Questions int
	// ReadStreams is how many streams are used to read. The default is two.
	ReadStreams int
	// Outstanding is how many reads are under way on one stream. The default is 32.
	Outstanding int
	// IdleUploads is how many streams of finished uploads are kept for the next ones. The default is eight.
	IdleUploads int
}

func (o ClientOptions) withDefaults() ClientOptions {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.AskTimeout, 5 * time.Second}, {&o.ReadTimeout, 10 * time.Second}, {&o.WriteTimeout, time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&o.Questions, 8}, {&o.ReadStreams, 2}, {&o.Outstanding, 32}, {&o.IdleUploads, 8},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return o
}

// A Client is the Store of one peer. It opens streams when they are needed and keeps some of them. It is safe for
// concurrent use.
//
// What a peer of an older version cannot do, which is to keep heads or to take batches, gives ErrVersion.
//
// The errors that the peer reports unwrap to the sentinel errors of package share. A peer that cannot be reached, breaks
// off or does not answer in time gives ErrUnavailable, one that does not speak the protocol ErrVersion, and one that
// speaks it wrongly ErrCorrupt. A context that ends gives its own error; when it ends by its deadline, ErrUnavailable too.
type Client struct {
	opener  StreamOpener
	id      share.ServerID
	options ClientOptions

	ask   askPool
	head  askPool
	batch askPool
	read  readPool
	write writePool

	refused atomic.Int64 // when the peer last refused a share, in nanoseconds since 1970 began; 0 since it took one
	// unbounded is until when whole histories are asked for, in nanoseconds since 1970 began.
	unbounded atomic.Int64

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed, and group against a Wait at the same time
	closed bool
	group  sync.WaitGroup
}

var (
	_ share.Store     = (*Client)(nil)
	_ share.Resumer   = (*Client)(nil)
	_ share.Rechecker = (*Client)(nil)
	_ share.Releaser  = (*Client)(nil)
	_ share.Spacer    = (*Client)(nil)
	_ share.HeadStore = (*Client)(nil)
	_ share.Batcher   = (*Client)(nil)
)

// NewClient returns the store of a peer. It opens no stream before the first use.
func NewClient(streams StreamOpener, id share.ServerID, options ClientOptions) *Client {
	options = options.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{opener: streams, id: id, options: options, ctx: ctx, cancel: cancel}
	for pool, name := range map[*askPool]string{&c.ask: Ask, &c.head: Head, &c.batch: Batch} {
		pool.name, pool.slots = name, make(chan struct{}, options.Questions)
	}
	c.write.active = make(map[uploadKey]*writeStream)
	_, _ = rand.Read(c.write.series[:]) // never fails
	c.read.opening = make(chan struct{}, 1)
	return c
}

// ID returns the peer whose store this is.
func (c *Client) ID() share.ServerID { return c.id }

// Close resets every stream. Calls that are under way fail.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.ask.close()
	c.head.close()
	c.batch.close()
	c.group.Wait()
	return nil
}

// start runs fn in a goroutine that Close waits for. It returns false, and runs nothing, when the client is closed.
func (c *Client) start(fns ...func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	for _, fn := range fns {
		c.group.Go(fn)
	}
	return true
}

// stream opens a stream to the peer.
func (c *Client) stream(ctx context.Context, name string) (network.Stream, error) {
	if c.ctx.Err() != nil {
		return nil, share.ErrClosed
	}
	ctx, cancel := awake.WithTimeout(ctx, c.options.AskTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	stream, err := c.opener.Stream(ctx, c.id, name)
	if err != nil {
		return nil, c.cause(ctx, fmt.Errorf("open stream: %w", err))
	}
	return stream, nil
}

// suspect says that the peer keeps somebody waiting.
func (c *Client) suspect() {
	if s, ok := c.opener.(suspecter); ok {
		s.Suspect(c.id)
	}
}

// cause gives the error of a stream its meaning.
func (c *Client) cause(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case c.ctx.Err() != nil:
		return share.ErrClosed
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", share.ErrUnavailable, ctx.Err())
	}
	if answered(err) || violation(err) {
		return err
	}
	return p2p.Reason(err)
}

// wrap says which peer an error came from.
func (c *Client) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	c.noteRefusal(err)
	return fmt.Errorf("%s: server %s: %w", what, c.id.Short(), err)
}

// refusedFor is how long a peer that refused a share is taken to refuse the next one too.
const refusedFor = 5 * time.Minute

// Refused reports whether the peer lately took no share because of a quota or for lack of room, and has taken none since.
func (c *Client) Refused() bool {
	return time.Since(time.Unix(0, c.refused.Load())) < refusedFor
}

func (c *Client) noteRefusal(err error) {
	if errors.Is(err, share.ErrQuota) || errors.Is(err, share.ErrNoSpace) {
		c.refused.Store(time.Now().UnixNano())
	}
	if errors.Is(err, share.ErrNoSpace) {
		c.suspect() // it has less room than it said: the answer to a greeting tells how much
	}
}
