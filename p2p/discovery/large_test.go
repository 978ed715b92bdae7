package discovery_test

import (
	"crypto/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/share"
)

// BenchmarkHundredNodes measures lookups in a grid of a hundred nodes in one process, each connected to twenty others at
// most by choice: where a member listens, and who announced a file.
func BenchmarkHundredNodes(b *testing.B) {
	const count = 100
	var nodes []node
	begin := time.Now()
	for i := range count {
		nodes = append(nodes, start(b, func(c *p2p.Config, d *discovery.Config) {
			c.Keep = 20
			d.Providers, d.AskAllUpTo = true, 1
			if i > 0 {
				c.Bootstrap = nodes[i/10].Addresses()
			}
		}))
	}
	eventually(b, time.Minute, "all are in the DHT", func() bool {
		return !slices.ContainsFunc(nodes, func(n node) bool { return n.Known() < 10 })
	})
	b.Logf("%d nodes after %v, %d MB resident", count, time.Since(begin).Round(time.Millisecond), residentMB(b))

	var found, walked, provided []time.Duration
	for i := range 30 {
		from, to := nodes[(i*7)%count], nodes[(i*31+50)%count]
		id, err := peer.Decode(string(to.ID()))
		if err != nil {
			b.Fatal(err)
		}
		if from.ID() == to.ID() {
			continue
		}
		from.Libp2p().Network().ClosePeer(id)
		lookup := time.Now()
		if _, err := from.FindPeer(b.Context(), id); err != nil {
			b.Errorf("find peer: %v", err)
		}
		found = append(found, time.Since(lookup))
		lookup = time.Now()
		from.Walk(b.Context())
		walked = append(walked, time.Since(lookup))
	}
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
	for i := range 30 {
		lookup := time.Now()
		if _, err := nodes[5+i*3].Find(b.Context(), index); err != nil {
			b.Errorf("find providers: %v", err)
		}
		provided = append(provided, time.Since(lookup))
	}
	b.ReportMetric(median(found), "ms/find-peer")
	b.ReportMetric(float64(slices.Max(found))/1e6, "ms/find-peer-worst")
	b.ReportMetric(median(walked), "ms/walk")
	b.ReportMetric(median(provided), "ms/find-file")
	b.ReportMetric(float64(slices.Max(provided))/1e6, "ms/find-file-worst")
	b.ReportMetric(float64(residentMB(b)), "MB")
	b.ReportMetric(0, "ns/op")
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
