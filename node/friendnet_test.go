package node

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"cairn/grid/placement"
	"cairn/introducer"
	"cairn/introducer/fairuse"
	"cairn/share"
)

// A friendNet is a grid of a dozen people with one server each, on paper: placement decides where shares go, fair use who
// may have them.
type friendNet struct {
	lenders []fairuse.Lender
	table   *fairuse.Table
	params  share.Params
	used    []map[string]int64 // by server: what each account has there
	random  *rand.Rand
}

func newFriendNet(lends []int64) *friendNet {
	n := &friendNet{params: share.DefaultParams(len(lends)), random: rand.New(rand.NewPCG(1, 2))}
	for i, offer := range lends {
		n.lenders = append(n.lenders, fairuse.Lender{ID: share.ServerID(fmt.Sprint("server-", i)), Account: fmt.Sprint("friend-", i), Lends: offer})
		n.used = append(n.used, map[string]int64{})
	}
	policy := introducer.Policy{Kind: introducer.Proportional, Percent: 100, Floor: 20e9}
	n.table = fairuse.NewTable(policy, n.params.Total, n.lenders)
	return n
}

func (n *friendNet) free(server int) int64 {
	free := n.lenders[server].Lends
	for _, used := range n.used[server] {
		free -= used
	}
	return free
}

// refuses reports whether a server takes no share of that size from a friend.
func (n *friendNet) refuses(server, friend int, size int64) bool {
	l := n.lenders[friend]
	limit := n.table.Limit(n.lenders[server].ID, l.Account, 0)
	return n.free(server) < size || share.Standing{Used: n.used[server][l.Account], Limit: limit}.Check(size) != nil
}

// put stores a file as an upload does: by plan, and with a substitute for each server that refuses. It reports whether the
// file is happy; otherwise nothing of it stays.
func (n *friendNet) put(friend int, seed []byte, size int64) bool {
	servers := make([]placement.Server, len(n.lenders))
	for i, l := range n.lenders {
		servers[i] = placement.Server{ID: l.ID, Free: n.free(i)}
	}
	plan, err := placement.New(seed, n.params, size, servers)
	if err != nil {
		return false
	}
	at := map[share.ServerID]int{}
	for i := range servers {
		at[servers[i].ID] = i
	}
	for number, id := range plan.Assign {
		servers[at[id]].Holds = append(servers[at[id]].Holds, number)
		servers[at[id]].Free -= size
	}
	taken := map[share.ServerID][]share.Number{}
	for number := range share.Number(n.params.Total) {
		id, ok := plan.Assign[number]
		for ok && n.refuses(at[id], friend, size*int64(1+len(taken[id]))) {
			servers[at[id]].Full = true
			id, ok = placement.Replace(seed, size, servers, number)
			if ok {
				servers[at[id]].Holds = append(servers[at[id]].Holds, number)
				servers[at[id]].Free -= size
			}
		}
		if ok {
			taken[id] = append(taken[id], number)
		}
	}
	if placement.Happiness(taken) < n.params.Happy {
		return false
	}
	for id, numbers := range taken {
		n.used[at[id]][n.lenders[friend].Account] += size * int64(len(numbers))
	}
	return true
}

// TestFriendNet lets one friend after the other store files of all sizes until the grid refuses, beside others that use what
// they are entitled to: everybody gets that, and nobody gets much more.
func TestFriendNet(t *testing.T) {
	for name, lends := range map[string][]int64{
		"equal":   {100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9},
		"unequal": {400e9, 50e9, 100e9, 100e9, 200e9, 100e9, 100e9, 150e9, 250e9, 100e9, 80e9, 0},
		"extreme": {2000e9, 1000e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9, 100e9},
	} {
		t.Run(name, func(t *testing.T) {
			for friend := range lends {
				n := newFriendNet(lends)
				account := n.lenders[friend].Account
				entitled := n.table.Entitlement(account, 0)
				var stored, outside int64
				for i := range 100_000 {
					size := 1 + n.random.Int64N(entitled/200)
					if !n.put(friend, fmt.Appendf(nil, "%d/%d", friend, i), size) {
						break
					}
					stored, outside = 0, 0
					for server := range n.used {
						stored += n.used[server][account]
						if server != friend {
							outside += n.used[server][account]
						}
					}
				}
				// The others can only give what they have on distinct servers.
				most := n.capacity(friend)
				if want := min(entitled, most) * 95 / 100; outside < want {
					t.Errorf("friend %d lends %d, is entitled to %d, and was refused with %d on others' servers, which could take %d",
						friend, lends[friend], entitled, outside, most)
				}
				if limit := entitled * (fairuse.Slack*10 + 12) / 10; outside > limit {
					t.Errorf("friend %d is entitled to %d and got %d", friend, entitled, outside)
				}
			}
		})
	}
}

// capacity returns how many bytes of shares the servers of the others can take of files that are happy: with x bytes of each
// share number, a server counts for x at most, and as many of them as the files have to be on must be there.
func (n *friendNet) capacity(friend int) int64 {
	fits := func(x int64) bool {
		var sum int64
		for i, l := range n.lenders {
			if i != friend {
				sum += min(l.Lends, x)
			}
		}
		return sum >= x*int64(n.params.Total-1)
	}
	low, high := int64(0), int64(1<<50)
	for high-low > 1 {
		if middle := (low + high) / 2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low * int64(n.params.Total-1)
}

// TestFriendNetTogether lets all friends store at the same time up to what they are entitled to.
func TestFriendNetTogether(t *testing.T) {
	lends := []int64{150e9, 120e9, 100e9, 100e9, 90e9, 100e9, 100e9, 110e9, 100e9, 100e9, 80e9, 150e9}
	n := newFriendNet(lends)
	for round := range 90 { // each is a hundredth of the entitlement
		for friend := range lends {
			size := n.table.Entitlement(n.lenders[friend].Account, 0) / 100 / int64(n.params.Total)
			if !n.put(friend, fmt.Appendf(nil, "%d/%d", friend, round), size) {
				t.Fatalf("friend %d was refused in round %d", friend, round)
			}
		}
	}
}
