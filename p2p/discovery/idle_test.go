//go:build unix

package discovery_test

import (
	"syscall"
	"testing"
	"time"

	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/p2p/discovery"
)

// BenchmarkIdleGrid measures the CPU time that ten connected nodes spend on doing nothing for half a minute.
func BenchmarkIdleGrid(b *testing.B) {
	var nodes []node
	for range 10 {
		nodes = append(nodes, start(b, func(c *p2p.Config, _ *discovery.Config) {
			c.NoGossip = false
			if len(nodes) > 0 {
				c.Bootstrap = nodes[0].Addresses()
			}
		}))
	}
	waittest.Within(b, 30*time.Second, "all met", func() bool {
		for _, n := range nodes {
			if connected(n) < len(nodes)-1 {
				return false
			}
		}
		return true
	})
	const settle, watch = 10 * time.Second, 30 * time.Second
	time.Sleep(settle)
	before := cpuTime(b)
	time.Sleep(watch)
	spent := cpuTime(b) - before
	b.ReportMetric(float64(spent.Milliseconds())/watch.Seconds()/float64(len(nodes)), "cpu-ms/s/node")
	b.ReportMetric(float64(residentMB(b))/float64(len(nodes)), "MB/node")
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b testing.TB) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
