// Package fairuse works out how much each server of a grid stores for each account, from the grid's policy and from what
// everybody lends. It is pure: the same policy and lenders give the same limits.
//
// An account is entitled to so many bytes of shares over the whole grid: what its grant says, or what the policy makes of
// what its devices lend. There is nobody who could add up what it uses everywhere, so each server grants a part of the
// entitlement E by itself, from what it knows:
//
//	min(E, max(Slack · E · o / O, E / N))
//
// o is what the server lends, O what all servers lend that do not belong to the account, N how many shares a file has. The
// first term spreads the account over the servers as their space is spread, with slack because placement is not that even:
// it prefers servers with much room, but every file needs many distinct ones. The second makes sure that one file as large
// as the whole entitlement finds servers for its N shares, in a grid of any size and next to disks of any size.
//
// So an account can use what it is entitled to, and never more than Slack + n/N times as much, with n servers: about three
// times in a friend-net of a dozen. An honest node that stays within its entitlement is not limited by any single
// server, unless the others are full.
//
// What servers lend is what they say. One that claims more than it has gains entitlement for its owner, and every other
// server's limits shrink a little; the claim is public, every member hears it with what the server has stored, and a quota in
// the owner's grant ends it. Nobody can claim in the name of another's device, count a device twice, or make a
// server grant more than E. A claim counts MaxLends at most.
package fairuse

import (
	"math/bits"

	"cairn/introducer"
	"cairn/share"
)

const (
	// Slack is how many times more than its even part of an entitlement a server grants.
	Slack = 2
	// MaxLends is as much as one server's offer counts, in bytes.
	MaxLends = 1 << 50
	// maxSum keeps sums and products of what is lent within bounds.
	maxSum = 1 << 61
)

// A Lender is a server that lends space.
type Lender struct {
	ID share.ServerID
	// Account owns the server.
	Account string
	// Lends is how many bytes it says that it lends.
	Lends int64
}

// A Table knows what each account may store. It is immutable.
type Table struct {
	policy   introducer.Policy
	total    int64 // N
	servers  map[share.ServerID]Lender
	accounts map[string]int64 // what its servers lend
	all      int64
}

// NewTable returns the table for a policy and for all servers that are known. Of two lenders with the same id the second is
// ignored. total is N, the number of shares of a file.
func NewTable(policy introducer.Policy, total int, lenders []Lender) *Table {
	t := &Table{
		policy: policy, total: int64(max(total, 1)), servers: make(map[share.ServerID]Lender, len(lenders)), accounts: map[string]int64{},
	}
	for _, l := range lenders {
		if _, twice := t.servers[l.ID]; twice {
			continue
		}
		l.Lends = min(max(l.Lends, 0), MaxLends)
		t.servers[l.ID] = l
		t.accounts[l.Account] = min(t.accounts[l.Account]+l.Lends, maxSum)
		t.all = min(t.all+l.Lends, maxSum)
	}
	return t
}

// Lends returns how many bytes the servers of an account lend.
func (t *Table) Lends(account string) int64 { return t.accounts[account] }

// Entitlement returns how many bytes of shares an account may have in the whole grid, besides those on its own servers, or
// share.NoLimit. quota is that of its grant, 0 for none.
func (t *Table) Entitlement(account string, quota int64) int64 {
	if e := t.policy.Allowance(quota, t.Lends(account)); e >= 0 {
		return e
	}
	return share.NoLimit
}

// Limit returns how many bytes of shares a server stores for an account, or share.NoLimit: for the owner of the server, and
// where the policy sets no limits.
func (t *Table) Limit(server share.ServerID, account string, quota int64) int64 {
	e := t.Entitlement(account, quota)
	s, known := t.servers[server]
	if e == share.NoLimit || known && s.Account == account {
		return share.NoLimit
	}
	return min(e, max(part(e, Slack*s.Lends, t.all-t.accounts[account]), (e+t.total-1)/t.total))
}

// part returns e · n / of, and at most 2⁶¹.
func part(e, n, of int64) int64 {
	if n <= 0 || of <= 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(e), uint64(n))
	if high >= uint64(of) {
		return maxSum
	}
	q, _ := bits.Div64(high, low, uint64(of))
	return int64(min(q, maxSum))
}
