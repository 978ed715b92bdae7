package storage

import (
	"context"
	"time"

	"cairn/internal/awake"
	"cairn/p2p/wire"
)

// A transfer is an exchange whose question or answer has a body. It has no deadline as a whole, because a body may go over a slow way:
// the peer has a time for each part.
type transfer struct {
	*askStream
	message wire.Message
	body    []byte
	limit   *awake.Timer // of what is being read; nil before it is
	// patience is how long the answer may take to begin, and takes how long the peer may take for each part of either body.
	patience, takes time.Duration
}

// transfer asks a question with a body and hears the answer with answer, which returns the peer's error as it is.
func (c *Client) transfer(ctx context.Context, pool *askPool, t transfer, answer func(*transfer) error) error {
	if err := ctx.Err(); err != nil {
		return c.cause(ctx, err)
	}
	return c.onStream(ctx, pool, func(s *askStream) error {
		t := t
		t.askStream = s
		return c.transferOn(ctx, pool, &t, answer)
	})
}

// transferOn is one attempt on one stream, which it keeps or resets.
func (c *Client) transferOn(ctx context.Context, pool *askPool, t *transfer, answer func(*transfer) error) error {
	reset := func() { _ = t.stream.Reset() }
	stop := context.AfterFunc(ctx, reset)
	stopClosed := context.AfterFunc(c.ctx, reset)
	late := awake.AfterFunc(suspectAfter, c.suspect)
	defer late.Stop()
	err := t.ask()
	if err == nil {
		t.wait(t.patience)
		err = answer(t)
	}
	whole := stop()
	if t.limit != nil {
		whole = t.limit.Stop() && whole
	}
	if stopClosed() && whole && answered(err) && t.in.Buffered() == 0 {
		pool.put(t.askStream)
	} else {
		t.reset()
	}
	return err
}

// ask sends the question: with a small body in one piece.
func (t *transfer) ask() error {
	out, err := wire.Append(t.out[:0], t.message)
	if err != nil {
		return err
	}
	for body := t.body; ; {
		part := body[:min(len(body), wire.MaxData)]
		body = body[len(part):]
		out = wire.AppendBody(out, part)
		// An error of a deadline says that the stream is closed, which the write says as well.
		_ = t.stream.SetWriteDeadline(time.Now().Add(t.takes))
		if _, err := t.stream.Write(out); err != nil {
			return err
		}
		if len(body) == 0 {
			break
		}
		out = out[:0]
	}
	if cap(out) <= wire.MaxControl { // what is larger is not kept for an idle stream
		t.out = out[:0]
	}
	return nil
}

// wait gives the peer a time for what comes next.
func (t *transfer) wait(d time.Duration) {
	if t.limit != nil {
		t.limit.Reset(d)
		return
	}
	t.limit = awake.AfterFunc(d, func() { _ = t.stream.SetReadDeadline(time.Unix(1, 0)) })
}

// hear reads the body of the answer.
func (t *transfer) hear(n int) ([]byte, error) {
	t.wait(t.takes)
	return t.in.ReadBody(n, func() { t.wait(t.takes) })
}
