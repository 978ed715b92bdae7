package scale_test

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cairn/internal/hosttest"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/p2p"
	"cairn/p2p/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"))
}

// A resident is a running node of a club.
type resident struct {
	host   *p2p.Host
	roster *introducer.Roster
	spread *exchange.Exchange
}

// settle starts a node for each member, connected to few others, and waits until all have the same roster.
func (c *club) settle(t testing.TB, keep int) []*resident {
	t.Helper()
	var all []*resident
	for i := range c.ids {
		r := &resident{roster: introducer.NewRoster(c.grid)}
		if _, err := r.roster.Add(c.statements...); err != nil {
			t.Fatal(err)
		}
		cfg := p2p.Config{
			Key: c.keys[i], Grid: c.grid.ID(), Listen: p2p.LoopbackAddresses(0)[:1], Gate: r.roster, Keep: keep,
			Present: exchange.Present(r.roster, c.ids[i]), Self: func() wire.Hello { return wire.Hello{} },
		}
		if i > 0 {
			cfg.Bootstrap = all[i/10].host.Addresses()
		}
		var err error
		if r.host, err = p2p.Open(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if r.spread, err = exchange.New(exchange.Config{Host: r.host, Roster: r.roster}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.close(t) })
		all = append(all, r)
	}
	waittest.Within(t, 3*time.Minute, "all are connected", func() bool {
		return !slices.ContainsFunc(all, func(r *resident) bool { return hosttest.Responsive(r.host) < min(keep/2, len(all)-1) })
	})
	return all
}

func (r *resident) close(t testing.TB) {
	if err := r.spread.Close(); err != nil {
		t.Error(err)
	}
	if err := r.host.Close(); err != nil {
		t.Error(err)
	}
}

// spreadNews has one node take in a new member, and returns how long half of the others and all of them took to hear of it.
func (c *club) spreadNews(t testing.TB, all []*resident) (half, last time.Duration) {
	t.Helper()
	begin := time.Now()
	if _, err := all[len(all)-1].roster.Add(c.join(t, "newcomer")...); err != nil {
		t.Fatal(err)
	}
	want := all[len(all)-1].roster.Digest()
	know := func() (n int) {
		for _, r := range all {
			if r.roster.Digest() == want {
				n++
			}
		}
		return n
	}
	waittest.Eventually(t, "half know", func() bool { return know() >= len(all)/2 })
	half = time.Since(begin)
	waittest.Eventually(t, "all know", func() bool { return know() == len(all) })
	return half, time.Since(begin)
}

// TestNewsReachesSparselyConnected has twenty nodes that are connected to four others each hear of a new member.
func TestNewsReachesSparselyConnected(t *testing.T) {
	c := newClub(t, 20)
	_, last := c.spreadNews(t, c.settle(t, 4))
	t.Logf("all of 20 knew after %v", last)
}

// BenchmarkSpread measures how a change of the roster spreads among two hundred nodes that are connected to twenty others each.
func BenchmarkSpread(b *testing.B) {
	const count, keep = 200, 20
	c := newClub(b, count)
	all := c.settle(b, keep)
	connections := 0
	for _, r := range all {
		connections += hosttest.Responsive(r.host)
	}
	half, last := c.spreadNews(b, all)
	b.ReportMetric(float64(connections)/count, "connections")
	b.ReportMetric(float64(half.Milliseconds()), "ms/half")
	b.ReportMetric(float64(last.Milliseconds()), "ms/all")
	b.ReportMetric(0, "ns/op")
}
