//go:build unix

package disk

import (
	"os"
	"syscall"
	"testing"
	"time"

	"cairn/share"
)

func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle holds a store of some shares open and reports the processor time it takes while nobody asks it anything.
func BenchmarkIdle(b *testing.B) {
	if os.Getenv("CAIRN_BENCH_IDLE") == "" {
		b.Skip("takes 10 seconds of waiting: set CAIRN_BENCH_IDLE=1")
	}
	store, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	fillQuickly(b, store, 10_000)
	for b.Loop() {
		before := processorTime(b)
		time.Sleep(10 * time.Second)
		b.ReportMetric(100*(processorTime(b)-before).Seconds()/10, "%cpu")
	}
	if _, err := store.Numbers(b.Context(), []share.StorageIndex{{1}}); err != nil {
		b.Fatal(err)
	}
}
