package fairuse_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"cairn/introducer"
	"cairn/introducer/fairuse"
	"cairn/share"
)

const gb = 1_000_000_000

// evenly returns servers of as many accounts, named after what they are, that lend so much each.
func evenly(lends ...int64) []fairuse.Lender {
	var all []fairuse.Lender
	for i, n := range lends {
		all = append(all, fairuse.Lender{ID: serverID(i), Account: accountOf(i), Lends: n})
	}
	return all
}

func serverID(i int) share.ServerID { return share.ServerID(fmt.Sprintf("server-%d", i)) }
func accountOf(i int) string        { return fmt.Sprintf("account-%d", i) }

func TestLimits(t *testing.T) {
	proportional := introducer.Policy{Kind: introducer.Proportional, Percent: 100, Floor: 10 * gb}
	fixed := introducer.Policy{Kind: introducer.Fixed, Quota: 30 * gb}
	for _, c := range []struct {
		what              string
		policy            introducer.Policy
		lenders           []fairuse.Lender
		server, account   int
		quota             int64
		entitled, granted int64
	}{
		{"equal disks", proportional, evenly(100*gb, 100*gb, 100*gb, 100*gb, 100*gb), 0, 1, 0, 100 * gb, 50 * gb},
		{"a large disk", proportional, evenly(100*gb, 100*gb, 300*gb), 2, 1, 0, 100 * gb, 100 * gb},
		{"a small disk", proportional, evenly(1*gb, 100*gb, 300*gb), 0, 1, 0, 100 * gb, 10 * gb},
		{"who lends nothing", proportional, evenly(0, 100*gb, 100*gb), 1, 0, 0, 10 * gb, 10 * gb},
		{"a stranger to the table", proportional, evenly(100*gb, 100*gb, 200*gb), 1, 7, 0, 10 * gb, 5 * gb},
		{"a quota", proportional, evenly(100*gb, 100*gb, 200*gb), 1, 0, 3 * gb, 3 * gb, 2 * gb},
		{"a larger quota", proportional, evenly(1*gb, 100*gb, 200*gb), 2, 0, 3000 * gb, 3000 * gb, 3000 * gb},
		{"a fixed policy", fixed, evenly(1*gb, 200*gb, 400*gb, 1400*gb), 1, 0, 0, 30 * gb, 6 * gb},
		{"an unlimited policy", introducer.Policy{Kind: introducer.Unlimited}, evenly(gb, gb), 0, 1, 0, share.NoLimit, share.NoLimit},
		{"a quota in an unlimited policy", introducer.Policy{Kind: introducer.Unlimited}, evenly(gb, gb), 0, 1, 5, 5, 5},
		{"the own server", proportional, evenly(100*gb, 100*gb), 1, 1, 0, 100 * gb, share.NoLimit},
		{"nobody lends anything", proportional, nil, 0, 1, 0, 10 * gb, 1 * gb},
		{"claims beyond all measure", proportional, evenly(math.MaxInt64, math.MaxInt64, math.MaxInt64), 0, 1, 0, 1 << 50, 1 << 50},
	} {
		table := fairuse.NewTable(c.policy, 10, c.lenders)
		if got := table.Entitlement(accountOf(c.account), c.quota); got != c.entitled {
			t.Errorf("%s: entitled to %d, want %d", c.what, got, c.entitled)
		}
		if got := table.Limit(serverID(c.server), accountOf(c.account), c.quota); got != c.granted {
			t.Errorf("%s: granted %d, want %d", c.what, got, c.granted)
		}
	}
}

// TestDeviceTwice counts a server once, for the account that was named first.
func TestDeviceTwice(t *testing.T) {
	lenders := append(evenly(100*gb, 100*gb), fairuse.Lender{ID: serverID(0), Account: "mallory", Lends: 500 * gb})
	table := fairuse.NewTable(introducer.DefaultPolicy(), 10, lenders)
	if got := table.Lends("mallory"); got != 0 {
		t.Errorf("mallory lends %d with another's server", got)
	}
	if got := table.Lends(accountOf(0)); got != 100*gb {
		t.Errorf("the owner lends %d", got)
	}
}

func drawPolicy(t *rapid.T) introducer.Policy {
	switch kind := rapid.SampledFrom([]introducer.PolicyKind{introducer.Proportional, introducer.Fixed}).Draw(t, "kind"); kind {
	case introducer.Fixed:
		return introducer.Policy{Kind: kind, Quota: rapid.Int64Range(0, 1<<45).Draw(t, "quota")}
	default:
		return introducer.Policy{
			Kind: kind, Percent: rapid.IntRange(0, 400).Draw(t, "percent"), Floor: rapid.Int64Range(0, 1<<40).Draw(t, "floor"),
		}
	}
}

func drawLenders(t *rapid.T) []fairuse.Lender {
	accounts := rapid.IntRange(1, 12).Draw(t, "accounts")
	var all []fairuse.Lender
	for i := range rapid.IntRange(1, 40).Draw(t, "servers") {
		all = append(all, fairuse.Lender{
			ID: serverID(i), Account: accountOf(rapid.IntRange(0, accounts-1).Draw(t, "account")),
			Lends: rapid.OneOf(rapid.Int64Range(0, 1<<44), rapid.Int64()).Draw(t, "lends"),
		})
	}
	return all
}

// TestSums: together the servers that do not belong to an account grant it as much as it is entitled to, if they are at least
// N or lend anything at all, and never more than Slack + n/N times as much.
func TestSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 30).Draw(t, "N")
		lenders := drawLenders(t)
		table := fairuse.NewTable(drawPolicy(t), total, lenders)
		e := table.Entitlement(accountOf(0), 0)
		sum, others, lent := 0.0, 0, false
		for _, l := range lenders {
			limit := table.Limit(l.ID, accountOf(0), 0)
			if l.Account == accountOf(0) {
				if limit != share.NoLimit {
					t.Fatalf("the own server grants %d", limit)
				}
				continue
			}
			if limit < 0 || limit > e {
				t.Fatalf("%s grants %d of %d", l.ID, limit, e)
			}
			if limit < e/int64(total) {
				t.Fatalf("%s grants %d, less than one share of a file of %d", l.ID, limit, e)
			}
			sum, others, lent = sum+float64(limit), others+1, lent || l.Lends > 0
		}
		if slack := 1e-9*float64(e) + float64(others); others >= total || lent && others > 0 {
			if sum < float64(e)-slack {
				t.Fatalf("%d servers grant %.0f of %d together", others, sum, e)
			}
		}
		if most := float64(e) * (fairuse.Slack + float64(others)/float64(total)); sum > most*(1+1e-9)+float64(others) {
			t.Fatalf("%d servers grant %.0f of %d together", others, sum, e)
		}
	})
}

// TestMonotone: who lends more may use no less, anywhere, and never less than the floor.
func TestMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy, lenders := drawPolicy(t), drawLenders(t)
		before := fairuse.NewTable(policy, 10, lenders)
		account := lenders[0].Account
		if e := before.Entitlement(account, 0); policy.Kind == introducer.Proportional && e < policy.Floor {
			t.Fatalf("entitled to %d, the floor is %d", e, policy.Floor)
		}
		more := append([]fairuse.Lender(nil), lenders...)
		more[0].Lends = max(more[0].Lends, rapid.Int64().Draw(t, "more"))
		after := fairuse.NewTable(policy, 10, more)
		for _, l := range lenders {
			if was, is := before.Limit(l.ID, account, 0), after.Limit(l.ID, account, 0); is < was {
				t.Fatalf("%s granted %d, and %d after its owner lends more", l.ID, was, is)
			}
		}
		quota := rapid.Int64Range(1, 1<<45).Draw(t, "quota")
		if got := after.Entitlement(account, quota); got != quota {
			t.Fatalf("with a quota of %d entitled to %d", quota, got)
		}
	})
}
