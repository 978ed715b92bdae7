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

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"golang.org/x/sync/errgroup"

	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/share"
)

// BenchmarkHundredNodes measures lookups in a grid of a hundred nodes in one process, each connected to twenty others at
// most by choice: where a member listens, and who announced a file.
func BenchmarkHundredNodes(b *testing.B) { benchmarkLookups(b, 100) }

// BenchmarkTwoHundredNodes measures the same among two hundred.
func BenchmarkTwoHundredNodes(b *testing.B) { benchmarkLookups(b, 200) }

// startMany starts a grid of nodes that stay connected to few others, and waits until all are in the DHT.
func startMany(b testing.TB, count, keep int) []node {
	b.Helper()
	var nodes []node
	begin := time.Now()
	for i := range count {
		nodes = append(nodes, start(b, both(announcing, func(c *p2p.Config, d *discovery.Config) {
			c.Keep = keep
			c.HelloEvery = 5 * time.Minute // on as many machines, hellos would not compete with what is measured
			if i > 0 {
				c.Bootstrap = nodes[i/10].Addresses()
			}
		})))
	}
	eventually(b, 4*time.Minute, "all are in the DHT", func() bool {
		return !slices.ContainsFunc(nodes, func(n node) bool { return n.Known() < 10 })
	})
	var walks errgroup.Group
	walks.SetLimit(16)
	for _, n := range nodes {
		walks.Go(func() error {
			n.Walk(b.Context())
			return nil
		})
	}
	connections := 0
	if err := walks.Wait(); err != nil {
		b.Fatal(err)
	}
	for _, n := range nodes {
		connections += len(n.Libp2p().Network().Peers())
	}
	b.Logf("%d nodes after %v, %d connections each, %d files open", count, time.Since(begin).Round(time.Millisecond), connections/count, openFiles(b))
	return nodes
}

// calm waits until no more connections are made than end, as it is some time after so many nodes started at the same moment.
func calm(b *testing.B, nodes []node) {
	b.Helper()
	count := func() (sum int) {
		for _, n := range nodes {
			sum += len(n.Libp2p().Network().Conns())
		}
		return sum
	}
	before, since := count(), time.Now()
	eventually(b, 5*time.Minute, "the connections are calm", func() bool {
		if time.Since(since) < 10*time.Second {
			return false
		}
		now := count()
		still := now <= before+before/50
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
	before := residentMB(b)
	nodes := startMany(b, count, 20)
	calm(b, nodes)
	index := share.StorageIndex{}
	rand.Read(index[:])
	announced := time.Now()
	if err := nodes[4].Announce(b.Context(), index); err != nil {
		b.Fatal(err)
	}
	eventually(b, time.Minute, "the announcement arrives", func() bool {
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
	b.ReportMetric(float64(openFiles(b)), "files")
	b.ReportMetric(float64(residentMB(b)-before)/float64(count), "MB/node")
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
	eventually(b, 2*time.Minute, "all records are with their keepers", func() bool {
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
func residentMB(b *testing.B) int {
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
