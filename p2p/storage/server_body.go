package storage

import (
	"context"
	"fmt"

	"cairn/p2p/wire"
	"cairn/share"
)

// largeBody is from how many bytes on a body is large. Of the large ones a peer sends one at a time.
const largeBody = 256 << 10

// limited returns the context of one request.
func (c *conn) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.server.ctx, c.server.options.Timeout)
}

// body reads the body of a request, and returns it with what frees its place. Its error ends the stream.
func (c *conn) body(n int) (body []byte, free func(), err error) {
	free = func() {}
	if n > largeBody {
		ctx, cancel := c.limited()
		defer cancel()
		unlock := c.server.bodies.lock(c.peer)
		select {
		case c.server.large <- struct{}{}:
			free = func() { <-c.server.large; unlock() }
		case <-ctx.Done():
			unlock()
			return nil, nil, failure{fmt.Errorf("%w: too many large requests", share.ErrBusy)}
		}
	}
	c.read.extend()
	body, err = c.in.ReadBody(n, c.read.extend)
	if err != nil {
		free()
		return nil, nil, err
	}
	c.server.stats.received.Add(int64(n))
	return body, free, nil
}

// sendBody answers with a message and its body.
func (c *conn) sendBody(m wire.Message, body []byte) error {
	out, err := wire.Append(c.out[:0], m)
	if err != nil { // the store gave what the protocol cannot say, which is not the peer's fault
		return fmt.Errorf("encode the answer: %v", err)
	}
	for {
		part := body[:min(len(body), wire.MaxData)]
		body = body[len(part):]
		out = wire.AppendBody(out, part)
		if err := c.put(out); err != nil {
			return err
		}
		if len(body) == 0 {
			break
		}
		out = out[:0]
	}
	if cap(out) <= wire.MaxControl { // what is larger is not kept for an idle stream
		c.out = out[:0]
	}
	return nil
}

// stored tells that shares were stored.
func (c *conn) stored(shares []share.WholeShare, errs []error) {
	for i, s := range shares {
		if errs != nil && errs[i] != nil {
			continue
		}
		c.server.stats.commits.Add(1)
		if notify := c.server.options.OnCommit; notify != nil {
			notify(s.Index)
		}
	}
}
