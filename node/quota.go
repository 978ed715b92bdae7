package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cairn/introducer"
	"cairn/introducer/fairuse"
	"cairn/node/config"
	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/share"
)

// tableFresh is how long a node goes by what others said that they lend, before it looks again.
const tableFresh = 10 * time.Second

// removalMargin is by how many bytes at most an account may exceed what it may use here in order to remove things.
const removalMargin = 16 << 20

// A quota decides how much of the own disk each account may use: by what the grid's policy entitles it to, and by the limits
// that the owner of this node has set for it. It is safe for concurrent use.
type quota struct {
	self     share.ServerID
	store    share.Accounter
	accounts accounts
	space    func(context.Context) share.Space // of the own disk
	peers    func() []p2p.Peer
	params   func() share.Params // zero: by the number of servers
	nobody   bool                // the node lends nothing
	deny     []string
	limits   []config.Limit

	mu   sync.Mutex // guards last
	last look
}

// A look is what is known of the grid for a while. It is immutable.
type look struct {
	taken  time.Time
	policy introducer.Policy
	fair   *fairuse.Table
	// gone are nodes that have something stored here and belong to nobody any more, by the key of their last account.
	gone map[string][]share.ServerID
}

var _ storage.Quota = (*quota)(nil)

func (n *Node) newQuota(of accounts) *quota {
	return &quota{
		self: n.dir.id, store: n.store, accounts: of, space: n.space, peers: n.host.Peers, params: func() share.Params { return n.terms().Params },
		nobody: !n.lends(), deny: n.config.Storage.Deny, limits: n.config.Storage.MemberLimits(),
	}
}

// Standing says how the account of a peer stands with this node. It returns ErrDenied for a peer that belongs to nobody, and
// for a member whose shares this node does not take.
func (q *quota) Standing(ctx context.Context, peer share.ServerID) (share.Standing, error) {
	a, ok := q.accounts.account(peer)
	if !ok {
		return share.Standing{}, fmt.Errorf("%w: node %s belongs to no member of the grid", share.ErrDenied, peer.Short())
	}
	limit, err := q.limit(ctx, a)
	if err != nil {
		return share.Standing{}, err
	}
	used, err := q.used(ctx, a)
	return share.Standing{Used: used, Limit: limit}, err
}

// used returns what the nodes of an account use together, with those that it had before.
func (q *quota) used(ctx context.Context, a person) (int64, error) {
	known, err := q.look(ctx)
	if err != nil {
		return 0, err
	}
	var used int64
	for _, id := range slices.Concat(a.devices, known.gone[a.key]) {
		n, err := q.store.UsageOf(ctx, string(id))
		if err != nil {
			return 0, fmt.Errorf("usage of %s: %w", id.Short(), err)
		}
		used += n
	}
	return used, nil
}

// limit returns how much an account may use here.
func (q *quota) limit(ctx context.Context, a person) (int64, error) {
	own, ok := q.accounts.account(q.self)
	if ok && own.key == a.key {
		return share.NoLimit, nil // its owner's disk
	}
	if q.nobody {
		return 0, fmt.Errorf("%w: this node stores nothing for others", share.ErrDenied)
	}
	if slices.ContainsFunc(q.deny, a.is) {
		return 0, fmt.Errorf("%w: this node stores nothing for %s", share.ErrDenied, a)
	}
	known, err := q.look(ctx)
	if err != nil {
		return 0, err
	}
	limit := known.fair.Limit(q.self, a.key, a.quota)
	if set, ok := q.set(a); ok && (limit == share.NoLimit || set < limit) {
		return set, nil
	}
	return limit, nil
}

// set returns the limit that the owner of this node has set for an account.
func (q *quota) set(a person) (int64, bool) {
	for _, named := range []bool{true, false} {
		for _, l := range q.limits {
			if named && a.is(l.Member) || !named && l.Member == config.Everybody {
				return int64(l.Size), true
			}
		}
	}
	return 0, false
}

// is reports whether the account goes by a name: its nickname, its key, or the id of one of its nodes.
func (a person) is(name string) bool {
	return a.nickname != "" && strings.EqualFold(a.nickname, name) || a.key == name || slices.Contains(a.devices, share.ServerID(name))
}

// String returns what to call the account in a message.
func (a person) String() string {
	if a.nickname != "" {
		return a.nickname
	}
	return "account " + share.ServerID(a.key).Short()
}

// look returns what is known of the grid.
func (q *quota) look(ctx context.Context) (look, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	policy := q.accounts.policy()
	if q.last.fair != nil && time.Since(q.last.taken) < tableFresh && q.last.policy == policy {
		return q.last, nil
	}
	usage, err := q.store.Usage(ctx)
	if err != nil {
		return look{}, fmt.Errorf("usage: %w", err)
	}
	now := look{taken: time.Now(), policy: policy, fair: fairTable(q.accounts, q.params(), q.lenders(ctx)), gone: map[string][]share.ServerID{}}
	for owner := range usage {
		id := share.ServerID(owner)
		if _, belongs := q.accounts.account(id); belongs {
			continue
		}
		if key, known := q.accounts.former(id); known {
			now.gone[key] = append(now.gone[key], id)
		}
	}
	q.last = now
	return now, nil
}

// lenders returns this node and the others that store, with what they say that they lend.
func (q *quota) lenders(ctx context.Context) []lender {
	lenders := []lender{{q.self, q.space(ctx).Offered}}
	return append(lenders, lendersOf(q.peers())...)
}

// A lender is a node with what it says that it lends.
type lender struct {
	id     share.ServerID
	offers int64
}

// lendersOf returns the peers that store. One that is away still counts with what it last said.
func lendersOf(peers []p2p.Peer) []lender {
	var lenders []lender
	for _, p := range peers {
		if p.Storage && p.Problem == "" {
			lenders = append(lenders, lender{p.ID, p.Space.Offered})
		}
	}
	return lenders
}

func fairTable(of accounts, params share.Params, lenders []lender) *fairuse.Table {
	if params.IsZero() {
		params = share.DefaultParams(len(lenders))
	}
	var all []fairuse.Lender
	for _, l := range lenders {
		if a, ok := of.account(l.id); ok {
			all = append(all, fairuse.Lender{ID: l.id, Account: a.key, Lends: l.offers})
		}
	}
	return fairuse.NewTable(of.policy(), params.Total, all)
}
