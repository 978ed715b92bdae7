package mutable

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/head"
)

// A standing is what one server says of a name.
type standing struct {
	server headServer
	head   head.Head // Sequence 0 when it holds none
	shares []share.WholeShare
	err    error
}

// A survey asks the head servers of a name what they hold. It is used from one goroutine.
type survey struct {
	m       *Files
	name    share.Name
	servers []headServer
	missing int // servers that are not on the list any more
	shares  bool
	begun   time.Time

	ctx     context.Context
	cancel  context.CancelFunc
	asking  sync.WaitGroup
	answers chan standing
	pending int
	down    []headServer // not asked so far
	got     map[share.ServerID]standing
}

// newSurvey asks the servers that are up. The caller closes the survey.
func (m *Files) newSurvey(ctx context.Context, name share.Name, shares bool) *survey {
	s := &survey{
		m: m, name: name, servers: m.headServers(ctx, name), shares: shares, begun: time.Now(),
		got: map[share.ServerID]standing{},
	}
	s.missing = m.missing(name, s.servers)
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.answers = make(chan standing, len(s.servers))
	for _, server := range s.servers {
		if server.Down {
			s.down = append(s.down, server)
		} else {
			s.ask(server)
		}
	}
	return s
}

// close ends all questions and waits for that.
func (s *survey) close() {
	s.cancel()
	s.asking.Wait()
}

func (s *survey) ask(server headServer) {
	s.pending++
	s.asking.Go(func() {
		ctx, cancel := awake.WithTimeout(s.ctx, askTimeout)
		defer cancel()
		held, err := server.heads.Heads(ctx, []share.Name{s.name}, s.shares)
		a := standing{server: server, err: inTime(ctx, err)}
		if err == nil && len(held) != 1 {
			a.err = fmt.Errorf("%w: answered %d names, asked for one", share.ErrCorrupt, len(held))
		}
		if a.err == nil && held[0].Record != nil {
			a.shares = held[0].Shares
			a.head, a.err = s.m.parse(s.name, sha256.Sum256(held[0].Record), held[0].Record)
		}
		s.answers <- a
	})
}

// take records an answer. Whoever shows a head that does not verify has not answered.
func (s *survey) take(a standing) {
	s.pending--
	s.got[a.server.ID] = a
	if a.err != nil && s.ctx.Err() == nil {
		level := s.m.env.Logger.Debug
		if errors.Is(a.err, share.ErrCorrupt) {
			level = s.m.env.Logger.Warn
		}
		level("a server gave no head", "server", a.server.String(), "name", s.name.String(), "error", a.err)
	}
}

// most waits for the answers of most servers that are up, and a short time more for the others.
func (s *survey) most(ctx context.Context) error {
	up := s.pending
	var grace <-chan time.Time
	for s.pending > 0 {
		if grace == nil && 2*s.answered() > up {
			timer := time.NewTimer(max(minGrace, time.Since(s.begun)))
			defer timer.Stop()
			grace = timer.C
		}
		select {
		case a := <-s.answers:
			s.take(a)
		case <-grace:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// await waits for the other servers that are up, but no longer than a limit.
func (s *survey) await(ctx context.Context, limit time.Duration) error {
	timer := awake.NewTimer(limit)
	defer timer.Stop()
	for s.pending > 0 {
		select {
		case a := <-s.answers:
			s.take(a)
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// all waits for every answer, and then asks those that are believed down.
func (s *survey) all(ctx context.Context) error {
	for {
		for s.pending > 0 {
			select {
			case a := <-s.answers:
				s.take(a)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if len(s.down) == 0 {
			return nil
		}
		for _, server := range s.down {
			s.ask(server)
		}
		s.down = nil
	}
}

// complete reports whether nobody is left to hear from.
func (s *survey) complete() bool { return s.pending == 0 && len(s.down) == 0 }

// answered returns how many servers gave an answer of use.
func (s *survey) answered() int {
	n := 0
	for _, a := range s.got {
		if a.err == nil {
			n++
		}
	}
	return n
}

// silent returns how many servers may hold anything.
func (s *survey) silent() int { return len(s.servers) - s.answered() + s.missing }

// A candidate is a head that servers hold as the newest.
type candidate struct {
	head   head.Head
	shares []offer
	count  int // holders
}

// An offer is a share that a server gave along with a head.
type offer struct {
	server headServer
	share.WholeShare
}

// candidates returns the heads that were found. The newest comes first; of two with the same sequence, the one that more
// servers hold: what was acknowledged is held by most.
func (s *survey) candidates() []candidate {
	byDigest := map[share.Digest]*candidate{}
	for _, a := range s.got {
		if a.err != nil || a.head.Sequence == 0 {
			continue
		}
		c := byDigest[a.head.Digest]
		if c == nil {
			c = &candidate{head: a.head}
			byDigest[a.head.Digest] = c
		}
		c.count++
		for _, w := range a.shares {
			if w.Index == a.head.Root {
				c.shares = append(c.shares, offer{a.server, w})
			}
		}
	}
	all := make([]candidate, 0, len(byDigest))
	for _, c := range byDigest {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.head.Sequence, a.head.Sequence), cmp.Compare(b.count, a.count),
			bytes.Compare(b.head.Digest[:], a.head.Digest[:]))
	})
	return all
}

// held returns what the next version replaces on servers that hold something else than the chosen head and are simply behind, or
// hold what is gone: no head for those that hold none.
func (s *survey) held(chosen head.Head, gone map[share.Digest]int) map[share.ServerID]head.Head {
	held := map[share.ServerID]head.Head{}
	for id, a := range s.got {
		if _, dead := gone[a.head.Digest]; a.err == nil && (a.head.Sequence == 0 || dead || slices.Contains(chosen.Parents, a.head.Digest)) {
			held[id] = a.head
		}
	}
	return held
}

// causes returns why servers did not answer.
func (s *survey) causes() []error {
	var causes []error
	for _, server := range s.servers {
		if a, ok := s.got[server.ID]; ok && a.err != nil {
			causes = append(causes, &ServerError{server.Server, a.err})
		}
	}
	return causes
}
