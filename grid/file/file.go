// Package file stores and reads immutable files across servers.
//
// Upload streams a file through the encoder and hands column j of it to the server that the placement chose for
// share j. A Source finds the shares of a file and gives verified blocks of it, from the fastest holders and around
// those that fail, stall or lie; it needs a verify capability only. A Reader adds the key.
package file

import (
	"context"
	"sync"
	"time"

	"cairn/share"
)

// Times that bound what a person waits for. They concern servers that do not answer; nothing waits for them where
// enough others do.
const (
	// askTimeout bounds one question to one server.
	askTimeout = 3 * time.Second
	// minGrace and the time already spent decide how long enough answers wait for the rest.
	minGrace = 30 * time.Millisecond
	// blockTimeout bounds the wait for one block from one server, while others are asked too.
	blockTimeout = 15 * time.Second
	// minHedge is the shortest time after which a block is asked of another server as well, firstHedge the time
	// while nothing is known of how long blocks take.
	minHedge   = 100 * time.Millisecond
	firstHedge = 500 * time.Millisecond
)

// An answer is what one server said.
type answer[T any] struct {
	server share.Server
	value  T
	err    error
}

// ask puts a question to all servers at once and returns the channel of their answers, which is closed after the last.
// Every server has answered or failed after askTimeout, or soon after ctx is cancelled.
func ask[T any](ctx context.Context, servers []share.Server, question func(context.Context, share.Server) (T, error)) <-chan answer[T] {
	answers := make(chan answer[T], len(servers))
	var asked sync.WaitGroup
	for _, server := range servers {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			value, err := question(ctx, server)
			answers <- answer[T]{server, value, err}
		})
	}
	go func() {
		asked.Wait()
		close(answers)
	}()
	return answers
}
