package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"cairn/internal/awake"
	"cairn/introducer/fairuse"
	"cairn/node/control"
	"cairn/p2p"
	"cairn/share"
)

const (
	// usageWithin bounds how long the other servers are waited for when somebody asks what this node uses.
	usageWithin = time.Second
	// usageFresh is how long an answer is good for.
	usageFresh = 30 * time.Second
	// usageQuestions is how many servers are asked at a time.
	usageQuestions = 32
)

// owners returns who has how much on the own disk, most first.
func (n *Node) owners(ctx context.Context) ([]control.Owner, error) {
	usage, err := n.store.Usage(ctx)
	if err != nil {
		return nil, err
	}
	own, _ := n.accounts.account(n.dir.id)
	found := map[string]*control.Owner{}
	for id, used := range usage {
		a, ok := n.accounts.account(share.ServerID(id))
		if !ok { // the node was removed, or its owner has left
			key, _ := n.accounts.former(share.ServerID(id))
			a = person{key: cmp.Or(key, id), nickname: n.formerName(share.ServerID(id))}
		}
		o := found[a.key]
		if o == nil {
			o = &control.Owner{ID: a.key, Own: a.key == own.key}
			found[a.key] = o
		}
		o.Nickname = cmp.Or(o.Nickname, a.nickname)
		if ok {
			o.Limit, _ = n.quota.limit(ctx, a) // 0 for those who are refused
		}
		o.Used += used
	}
	owners := make([]control.Owner, 0, len(found))
	for _, o := range found {
		if o.Own {
			o.Nickname = cmp.Or(o.Nickname, n.config.Nickname)
		}
		owners = append(owners, *o)
	}
	slices.SortFunc(owners, func(a, b control.Owner) int {
		return cmp.Or(cmp.Compare(b.Used, a.Used), cmp.Compare(a.ID, b.ID))
	})
	return owners, nil
}

// formerName returns what the owner of a node is called, or was, that is no member any more.
func (n *Node) formerName(id share.ServerID) string {
	if n.roster == nil {
		return ""
	}
	m, _ := n.roster.OwnerOf(id, time.Now())
	return m.Nickname
}

// A standing is what one server answered.
type standing struct {
	share.Standing
	known bool // it told
	asked time.Time
}

// standings remember how the node stands with others.
type standings struct {
	mu   sync.Mutex
	last map[share.ServerID]standing
}

func (s *standings) get(id share.ServerID) (standing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.last[id]
	return last, ok && time.Since(last.asked) < usageFresh
}

// set remembers an answer. One that did not come leaves what was known before, to be asked for again.
func (s *standings) set(id share.ServerID, now standing) standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[id]; ok && !now.known {
		now.Standing, now.known = last.Standing, last.known
	}
	if s.last == nil || len(s.last) > 4096 { // members come and go
		s.last = map[share.ServerID]standing{}
	}
	s.last[id] = now
	return now
}

// expire has everybody asked again, because this node has stored something.
func (s *standings) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, last := range s.last {
		last.asked = time.Time{}
		s.last[id] = last
	}
}

// usage asks the other servers how much this node's account uses with them, all at once, and waits a moment at most.
func (n *Node) usage(ctx context.Context) control.Usage {
	ctx, cancel := awake.WithTimeout(ctx, usageWithin)
	defer cancel()
	own, _ := n.accounts.account(n.dir.id)
	var mu sync.Mutex // guards total
	total := control.Usage{Limit: n.entitled(ctx, own)}
	var asking sync.WaitGroup
	slots := make(chan struct{}, usageQuestions)
	for _, p := range n.host.Peers() {
		if !p.Storage || p.Problem != "" || slices.Contains(own.devices, p.ID) {
			continue
		}
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s := n.standing(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			total.Asked++
			if !s.known {
				return
			}
			total.Answered++
			total.Used += s.Used
			if s.Used > 0 {
				total.Servers++
			}
		})
	}
	asking.Wait()
	return total
}

func (n *Node) standing(ctx context.Context, p p2p.Peer) standing {
	if last, ok := n.standings.get(p.ID); ok {
		return last
	}
	now := standing{asked: time.Now()}
	client := n.servers.client(p.ID)
	if client == nil || !p.Responsive {
		now.asked = time.Time{}
		return n.standings.set(p.ID, now)
	}
	var err error
	if now.Standing, err = client.Standing(ctx); err == nil {
		now.known = true
	} else if ctx.Err() != nil {
		now.asked = time.Time{}
	}
	return n.standings.set(p.ID, now)
}

// entitled returns how much an account may use in the whole grid.
func (n *Node) entitled(ctx context.Context, a person) int64 {
	return n.fair(ctx).Entitlement(a.key, a.quota)
}

// fair returns what each account may use, as far as this node knows who lends what.
func (n *Node) fair(ctx context.Context) *fairuse.Table {
	lenders := lendersOf(n.host.Peers())
	if n.lends() {
		lenders = append(lenders, lender{n.dir.id, n.space(ctx).Offered})
	}
	return fairTable(n.accounts, n.terms().Params, lenders)
}

// explainQuota says, where quotas kept a file from being stored, how much this node's person uses and may use in the whole grid. What
// the single servers grant adds up to more than that.
func (n *Node) explainQuota(ctx context.Context, err error) error {
	unhappy, ok := errors.AsType[*share.UnhappyError](err)
	if !ok || !unhappy.OverQuota() {
		return err
	}
	usage := n.usage(ctx)
	if usage.Limit == share.NoLimit {
		return err // the nodes have limits of their own
	}
	e := *control.ErrorOf(err)
	e.Message = fmt.Sprintf("quota reached: you use %s of the %s that the grid grants you, and %d of %d servers take no more of it: "+
		"shares could be placed on %d, %d are needed", humanize.Bytes(uint64(max(usage.Used, 0))), humanize.Bytes(uint64(max(usage.Limit, 0))),
		len(unhappy.Quotas()), unhappy.Servers, unhappy.Happiness, unhappy.Happy)
	return &e
}
