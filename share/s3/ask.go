package s3

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const (
	// quietAfter is how long an answer says that the server is there, and awayFor how long it is not asked again that was not.
	quietAfter = 2 * time.Second
	awayFor    = 10 * time.Second
	// askWithin is how long the server has to answer whether it is there. An upload gives up a server that does not take its share within three
	// seconds, and then knows no reason.
	askWithin = 2500 * time.Millisecond
)

// asking is what is known of a server that was asked whether it is there.
type asking struct {
	gate gate // held while it is asked
	away atomic.Pointer[away]
}

// An away says that a server was away.
type away struct {
	err error
	at  time.Time
}

// Ask returns an error when the server does not answer within a few seconds, for who is about to give it something and does not want to
// wait for its whole patience. A server that has answered a moment ago is not asked, nor is one that was just found to be away.
func (s *Store) Ask(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.bucket.meter.quiet() < quietAfter {
		return nil
	}
	x := &s.asking
	if err := x.gate.lock(ctx); err != nil {
		return err
	}
	defer x.gate.unlock()
	if s.bucket.meter.quiet() < quietAfter {
		return nil
	}
	if err := s.away(); err != nil {
		return err
	}
	hasty := *s.bucket
	hasty.timeout, hasty.stall = askWithin, 2*askWithin
	_, _, err := hasty.getAll(ctx, lockName, markerLimit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errNoKey) || s.bucket.meter.quiet() < quietAfter { // it answers; what is wrong the request itself will tell
		err = nil
	}
	if err != nil {
		x.away.Store(&away{err, time.Now()})
	}
	return err
}

// away returns why the server was away when it was asked a moment ago, nil when that was not so or it has answered since.
func (s *Store) away() error {
	was := s.asking.away.Load()
	if was == nil {
		return nil
	}
	since := time.Since(was.at)
	if since >= awayFor || s.bucket.meter.quiet() < since {
		return nil
	}
	return was.err
}
