// Package file stores and reads immutable files across servers.
//
// Upload streams a file through the encoder and hands column j of it to the server that the placement chose for
// share j. A Source finds the shares of a file and gives verified blocks of it, from the fastest holders and around
// those that fail, stall or lie; it needs a verify capability only. A Reader adds the key.
package file

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/share"
)

// Times that bound what a person waits for. They concern servers that do not answer; nothing waits for them where
// enough others do.
const (
	// askTimeout bounds one question to one server.
	askTimeout = 3 * time.Second
	// minGrace and the time already spent decide how long enough answers wait for the rest.
	minGrace = 30 * time.Millisecond
	// lackTime is how long the servers that are up may take to show enough shares before those believed down are asked.
	lackTime = time.Second
)

// An answer is what one server said.
type answer[T any] struct {
	server share.Server
	value  T
	err    error
}

// ask puts a question to all servers at once and hands the answers, in the order in which they come, to take. It returns
// when every server has answered or failed, after askTimeout at the latest, or soon after ctx is cancelled.
func ask[T any](
	ctx context.Context, servers []share.Server, question func(context.Context, share.Server) (T, error), take func(answer[T]),
) {
	answers := make(chan answer[T], len(servers))
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, server := range servers {
		asking.Go(func() {
			ctx, cancel := awake.WithTimeout(ctx, askTimeout)
			defer cancel()
			value, err := question(ctx, server)
			answers <- answer[T]{server, value, inTime(ctx, err)}
		})
	}
	for range servers {
		take(<-answers)
	}
}

// errNoAnswer says that a server did not answer a question.
var errNoAnswer = fmt.Errorf("%w: no answer for %s", share.ErrUnavailable, askTimeout)

// inTime says what it means when an error is that of a context which has ended by its time.
func inTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errNoAnswer
	}
	return err
}

// split returns the servers that are up and those believed down. Of two with the same id the first counts.
func split(servers []share.Server) (up, down []share.Server) {
	seen := make(map[share.ServerID]bool, len(servers))
	for _, s := range servers {
		switch {
		case seen[s.ID]:
		case s.Down:
			down = append(down, s)
		default:
			up = append(up, s)
		}
		seen[s.ID] = true
	}
	return up, down
}

func wrapServer(s share.Server, err error) error {
	return &ServerError{Server: s.ID, Nickname: s.Nickname, Err: err}
}

// A ServerError says which server an error came from.
type ServerError struct {
	Server   share.ServerID
	Nickname string
	Err      error
}

func (e *ServerError) Error() string {
	return "server " + share.Server{ID: e.Server, Nickname: e.Nickname}.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ServerError) Unwrap() error { return e.Err }

// ServerID returns the server.
func (e *ServerError) ServerID() share.ServerID { return e.Server }

// Silent reports whether the server was given up because it did not answer, or took nothing for too long.
func (e *ServerError) Silent() bool {
	for _, silent := range []error{errNoAnswer, errSilent, errLagging, errStalled, errStuck} {
		if errors.Is(e.Err, silent) {
			return true
		}
	}
	return errors.Is(e.Err, context.DeadlineExceeded)
}
