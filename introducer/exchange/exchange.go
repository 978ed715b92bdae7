// Package exchange spreads the roster: members tell each other the statements that the other lacks, and show their
// credentials to members that do not know them yet.
//
// Two protocols do it (docs/protocol.md, "roster/1" and "present/1"). An Exchange serves both for one host, and runs the first
// with every member that comes up, with all connected members when the roster changes, and with one of them from time to time.
package exchange

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"cairn/introducer"
	"cairn/p2p"
	"cairn/share"
)

// Defaults and limits.
const (
	// DefaultEvery is how often an exchange is run although nothing happened.
	DefaultEvery = 10 * time.Minute
	// within bounds one exchange, messageWithin the next message of the other side.
	within        = 5 * time.Minute
	messageWithin = 15 * time.Second
	// atOnce bounds the exchanges that this side began, served those that others began.
	atOnce = 16
	served = 16
	// retries is how often an exchange that failed is tried again with a member that answers, retryAfter the first pause; the second
	// is twice as long, and so on.
	retries    = 3
	retryAfter = 2 * time.Second
)

// Config describes an exchange. Host and Roster are required.
type Config struct {
	Host   *p2p.Host
	Roster *introducer.Roster
	// Values is the DHT that keeps a copy of the roster for those who meet nobody that knows better; none when nil. Its
	// validator is a Judge.
	Values Values
	// Every is how often an exchange is run with one member, and the DHT is asked, although nothing happened.
	Every time.Duration
	// Logger receives what happens; nothing is logged when nil.
	Logger *slog.Logger
}

// An Exchange keeps the roster of one host in step with those of the members that it meets. It is safe for concurrent use.
type Exchange struct {
	host   *p2p.Host
	roster *introducer.Roster
	values Values
	every  time.Duration
	log    *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	begun  chan struct{} // a place for each exchange that this side began
	serve  chan struct{} // and for each that others began

	mu      sync.Mutex
	closing bool
	tasks   sync.WaitGroup
	// jobs are the exchanges under way or waiting for a place; true asks for another one right after.
	jobs map[share.ServerID]bool
	// agreed is the digest at which a member and this node last held the same statements.
	agreed map[share.ServerID][32]byte
}

// New serves both protocols on the host and begins to keep the roster in step. It tells the host at each change of the roster, and
// when a membership expires, to check its peers again. Close ends it before the host is closed.
func New(cfg Config) (*Exchange, error) {
	if cfg.Host == nil || cfg.Roster == nil {
		return nil, errors.New("roster exchange: host or roster is missing")
	}
	x := &Exchange{
		host: cfg.Host, roster: cfg.Roster, values: cfg.Values, every: cfg.Every, log: cfg.Logger,
		begun: make(chan struct{}, atOnce), serve: make(chan struct{}, served),
		jobs: make(map[share.ServerID]bool), agreed: make(map[share.ServerID][32]byte),
	}
	if x.every <= 0 {
		x.every = DefaultEvery
	}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.host.Handle(rosterName, x.serveRoster)
	x.host.HandleStranger(p2p.PresentName, x.servePresent)
	x.start(x.run)
	if x.values != nil {
		x.start(x.keepRecord)
	}
	return x, nil
}

// Close ends the exchanges that this side began and waits for them.
func (x *Exchange) Close() error {
	x.mu.Lock()
	x.closing = true
	x.mu.Unlock()
	x.cancel()
	x.tasks.Wait()
	return nil
}

// start runs f in a goroutine that Close waits for.
func (x *Exchange) start(f func()) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closing {
		return false
	}
	x.tasks.Go(f)
	return true
}

// run reacts to changes of the roster, to members that come up, and to time.
func (x *Exchange) run() {
	events, cancel := x.host.Subscribe()
	defer cancel()
	tick := time.NewTicker(x.every)
	defer tick.Stop()
	expiry := time.NewTimer(0)
	defer expiry.Stop()
	changed := x.roster.Changed()
	x.reach(x.responsive())
	for {
		select {
		case <-x.ctx.Done():
			return
		case <-changed:
			changed = x.roster.Changed()
			x.recheck(expiry)
			x.reach(x.undecided())
		case <-expiry.C:
			x.recheck(expiry)
		case e, open := <-events:
			if !open {
				return // the host is closed
			}
			if e.Change == p2p.Up {
				x.reach([]share.ServerID{e.Peer.ID})
			}
		case <-tick.C:
			x.reach(oneOf(x.responsive()))
		}
	}
}

// recheck has the host look at its peers again, and sets the timer to when the next membership expires: also to one that does so
// while the host looks.
func (x *Exchange) recheck(expiry *time.Timer) {
	now := time.Now()
	x.host.Recheck()
	if next, ok := x.roster.NextChange(now); ok {
		expiry.Reset(max(time.Until(next), time.Second))
	} else {
		expiry.Stop()
	}
}

// responsive returns the members that are connected and answer.
func (x *Exchange) responsive() []share.ServerID {
	var ids []share.ServerID
	for _, p := range x.host.Peers() {
		if p.Responsive {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// undecided returns those of them that may hold other statements than this node.
func (x *Exchange) undecided() []share.ServerID {
	digest := x.roster.Digest()
	x.mu.Lock()
	agreed := make(map[share.ServerID]bool, len(x.agreed))
	for id, d := range x.agreed {
		agreed[id] = d == digest
	}
	x.mu.Unlock()
	var ids []share.ServerID
	for _, id := range x.responsive() {
		if !agreed[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

func (x *Exchange) agree(id share.ServerID, digest [32]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.agreed) >= introducer.MaxAccounts {
		clear(x.agreed)
	}
	x.agreed[id] = digest
}

// oneOf picks one at random.
func oneOf(ids []share.ServerID) []share.ServerID {
	if len(ids) == 0 {
		return nil
	}
	i, err := rand.Int(rand.Reader, big.NewInt(int64(len(ids))))
	if err != nil {
		return ids[:1]
	}
	return ids[i.Int64():][:1]
}

// reach begins an exchange with each of the members, after the one that is under way with it.
func (x *Exchange) reach(ids []share.ServerID) {
	for _, id := range ids {
		x.mu.Lock()
		_, busy := x.jobs[id]
		x.jobs[id] = busy
		x.mu.Unlock()
		if !busy && !x.start(func() { x.work(id) }) {
			return
		}
	}
}

// work runs exchanges with a member until nobody asks for another one. What failed is tried again: the news that it was about may be
// a revocation, and otherwise it would be told in many minutes only.
func (x *Exchange) work(id share.ServerID) {
	failed := 0
	for again := true; again; {
		select {
		case x.begun <- struct{}{}:
		case <-x.ctx.Done():
			return
		}
		_, err := x.With(x.ctx, id)
		<-x.begun
		if err != nil && x.ctx.Err() == nil {
			x.log.Debug("no roster exchange", "peer", id.Short(), "error", err)
		}
		retry := false
		if failed++; err == nil {
			failed = 0
		} else if failed <= retries && x.answers(id) {
			retry = x.pause(time.Duration(failed) * retryAfter)
		}
		x.mu.Lock()
		if again = x.jobs[id] || retry; again {
			x.jobs[id] = false
		} else {
			delete(x.jobs, id)
		}
		x.mu.Unlock()
	}
}

// answers reports whether a member is connected and answers.
func (x *Exchange) answers(id share.ServerID) bool {
	p, known := x.host.Peer(id)
	return known && p.Responsive
}

// pause waits, and reports whether the exchanges go on.
func (x *Exchange) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.ctx.Done():
		return false
	}
}
