//go:build unix

package discovery_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/share"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// BenchmarkHundredNodes measures lookups in a grid of a hundred nodes in one process, each connected to twenty others at
// most by choice: where a member listens, and who announced a file.
func BenchmarkHundredNodes(b *testing.B) { benchmarkLookups(b, 100) }

// BenchmarkTwoHundredNodes measures the same among two hundred.
func BenchmarkTwoHundredNodes(b *testing.B) { benchmarkLookups(b, 200) }

// TestThirtyNodes: in a grid where everybody is connected to few others, everybody finds everybody and every file.
func TestThirtyNodes(t *testing.T) {
	const count, keep = 30, 8
	nodes := startMany(t, count, keep)
	files := someFiles(10)
	if err := nodes[4].Announce(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		from, to := nodes[i], nodes[(i*7+11)%count]
		if from == to {
			continue
		}
		id, err := peer.Decode(string(to.ID()))
		if err != nil {
			t.Fatal(err)
		}
		from.Libp2p().Network().ClosePeer(id)
		waittest.Within(t, patience, "a member is found", func() bool {
			_, err := from.FindPeer(t.Context(), id)
			return err == nil
		})
		waittest.Within(t, patience, "a file is found", func() bool {
			ids, err := from.Providers(t.Context(), files[i%len(files)])
			return err == nil && slices.Contains(ids, nodes[4].ID()) || from == nodes[4]
		})
	}
	few := connections(nodes)
	t.Logf("connections: %d to %d, %d in the middle", few[0], few[count-1], few[count/2])
}

const (
	// wave is how many nodes start at the same time. Others come when these are in the DHT: two hundred machines have more
	// processors than the one that stands in for them.
	wave = 20
	// patience is what nodes wait for each other, for the same reason. What a lookup takes on machines of their own follows from
	// the questions it asks.
	patience = waittest.Patience
)

// startMany starts a grid of nodes that stay connected to few others, and waits until all are in the DHT.
func startMany(b testing.TB, count, keep int) []node {
	b.Helper()
	var nodes []node
	begin := time.Now()
	for i := range count {
		nodes = append(nodes, start(b, both(announcing, func(c *p2p.Config, d *discovery.Config) {
			c.Keep, c.NoGossip = keep, false
			c.DialTimeout, c.AnswerWithin, d.Within = patience, patience, patience
			if i > 0 {
				c.Bootstrap = nodes[i/10].Addresses()
			}
		})))
		if len(nodes)%wave == 0 || len(nodes) == count {
			enough := min(10, len(nodes)-1)
			waittest.Within(b, 10*time.Minute, "all are in the DHT", func() bool {
				return !slices.ContainsFunc(nodes, func(n node) bool { return n.Known() < enough })
			})
		}
	}
	b.Logf("%d nodes after %v", count, time.Since(begin).Round(time.Millisecond))
	return nodes
}

// connections returns how many each node has, in order.
func connections(nodes []node) (list []int) {
	for _, n := range nodes {
		list = append(list, len(n.Libp2p().Network().Conns()))
	}
	slices.Sort(list)
	return list
}

// calm waits until the connections are as many as nodes keep, and few are made or end, as it is some time after so many
// nodes started at the same moment.
func calm(b testing.TB, nodes []node, most int) {
	b.Helper()
	count := func() (sum int) {
		for _, c := range connections(nodes) {
			sum += c
		}
		return sum
	}
	before, since := count(), time.Now()
	waittest.Within(b, 10*time.Minute, "the connections are calm", func() bool {
		if time.Since(since) < 10*time.Second {
			return false
		}
		now := count()
		still := max(now, before)-min(now, before) <= before/50 && connections(nodes)[len(nodes)-1] <= most
		before, since = now, time.Now()
		return still
	})
}

// openFiles returns how many files and sockets the process has open. Where they are as many as the system allows, lookups fail
// that would not on machines of their own.
func openFiles(b testing.TB) int {
	b.Helper()
	limits, err := os.ReadFile("/proc/self/limits")
	if errors.Is(err, fs.ErrNotExist) {
		return 0 // this system does not tell
	}
	list, failure := os.ReadDir("/proc/self/fd")
	if err != nil || failure != nil {
		b.Fatalf("this process has all its files open: %v", errors.Join(err, failure))
	}
	_, rest, _ := strings.Cut(string(limits), "Max open files")
	if limit, err := strconv.Atoi(append(strings.Fields(rest), "")[0]); err == nil && len(list)+64 > limit {
		b.Fatalf("%d files are open, of %d that the process may have", len(list), limit)
	}
	return len(list)
}

func benchmarkLookups(b *testing.B, count int) {
	const keep = 20
	before := residentMB(b)
	nodes := startMany(b, count, keep)
	calm(b, nodes, keep+16)
	few := connections(nodes)
	b.ReportMetric(float64(few[len(few)/2]), "connections")
	b.ReportMetric(float64(few[len(few)-1]), "connections-most")
	b.ReportMetric(float64(residentMB(b)-before)/float64(count), "MB/node")
	b.ReportMetric(float64(openFiles(b)), "files")
	const idle = 30 * time.Second
	spent := cpuTime(b)
	time.Sleep(idle)
	b.ReportMetric((cpuTime(b)-spent).Seconds()/idle.Minutes()/float64(count), "cpu-s/node-minute")
	index := share.StorageIndex{}
	rand.Read(index[:])
	announced := time.Now()
	if err := nodes[4].Announce(b.Context(), index); err != nil {
		b.Fatal(err)
	}
	waittest.Within(b, 5*time.Minute, "the announcement arrives", func() bool {
		_, err := nodes[90].Providers(b.Context(), index)
		return err == nil
	})
	b.Logf("announced and found after %v", time.Since(announced).Round(time.Millisecond))

	var find, walk, file measured
	for i := range 30 {
		from, to := nodes[(i*7)%count], nodes[(i*31+count/2)%count]
		id, err := peer.Decode(string(to.ID()))
		if err != nil {
			b.Fatal(err)
		}
		if from.ID() == to.ID() {
			continue
		}
		from.Libp2p().Network().ClosePeer(id)
		find.time(b, func(ctx context.Context) error {
			_, err := from.FindPeer(ctx, id)
			return err
		})
		walk.time(b, func(ctx context.Context) error {
			from.Walk(ctx)
			return nil
		})
		file.time(b, func(ctx context.Context) error {
			_, err := nodes[5+i*3].Find(ctx, index)
			return err
		})
	}
	find.report(b, "find-peer")
	walk.report(b, "walk")
	file.report(b, "find-file")
	b.ReportMetric(0, "ns/op")
}

// measured are the times of lookups, and the questions these asked.
type measured struct {
	times     []time.Duration
	questions int
	failed    int
}

func (m *measured) time(b *testing.B, lookup func(context.Context) error) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	ctx, events := routing.RegisterForQueryEvents(ctx)
	counted := make(chan int)
	go func() {
		sent := 0
		for e := range events {
			if e.Type == routing.SendingQuery {
				sent++
			}
		}
		counted <- sent
	}()
	begin := time.Now()
	if err := lookup(ctx); err != nil {
		b.Log(err)
		m.failed++
	}
	m.times = append(m.times, time.Since(begin))
	cancel()
	m.questions += <-counted
}

func (m *measured) report(b *testing.B, name string) {
	b.ReportMetric(float64(m.questions)/float64(len(m.times)), "questions/"+name)
	b.ReportMetric(median(m.times), "ms/"+name)
	if m.failed > 0 {
		b.Errorf("%s: %d of %d failed", name, m.failed, len(m.times))
	}
	b.ReportMetric(float64(slices.Max(m.times))/1e6, "ms/"+name+"-worst")
}

// BenchmarkAnnounce measures what it costs to announce many files of one node to fifty others, and to announce them again.
func BenchmarkAnnounce(b *testing.B) {
	const files = 100_000
	nodes := startMany(b, 50, 20)
	from := nodes[7]
	list := someFiles(files)
	begin := time.Now()
	if err := from.Announce(b.Context(), list...); err != nil {
		b.Fatal(err)
	}
	waittest.Within(b, 2*time.Minute, "all records are with their keepers", func() bool {
		return kept(nodes) >= files*discovery.Replication*99/100 && from.Stats().Given > 0
	})
	took := time.Since(begin)
	stats := from.Stats()
	found := 0
	for i := range 100 {
		if ids, err := nodes[(i*3)%50].Providers(b.Context(), list[i*files/100]); err == nil && slices.Contains(ids, from.ID()) || nodes[(i*3)%50] == from {
			found++
		}
	}
	b.ReportMetric(float64(took.Milliseconds()), "ms")
	b.ReportMetric(float64(stats.Lookups), "lookups")
	b.ReportMetric(float64(stats.Given), "messages")
	b.ReportMetric(float64(stats.GivenSize)/files, "B/file")
	b.ReportMetric(float64(kept(nodes))/files, "records/file")
	b.ReportMetric(float64(found), "%found")
	b.ReportMetric(0, "ns/op")
}

func kept(nodes []node) (sum int) {
	for _, n := range nodes {
		sum += n.Stats().Records
	}
	return sum
}

func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2]) / 1e6
}

// residentMB returns the memory of the process, 0 where the system does not tell.
func residentMB(b testing.TB) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0
	}
	return kb >> 10
}
