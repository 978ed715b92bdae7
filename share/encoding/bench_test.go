//go:build unix

package encoding_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// BenchmarkBlockSize encodes with each block size that matters, beside the same cipher, code and hash without anything
// around them: no reading, no order, no index. docs/benchmarks.md, "Block size", is made of it.
func BenchmarkBlockSize(b *testing.B) {
	const size = 48 << 20
	for _, c := range []struct{ k, n int }{{1, 1}, {3, 10}, {10, 16}} {
		for block := 16 << 10; block <= encoding.MaxBlockSize; block *= 2 {
			code, err := erasure.New(c.k, c.n)
			if err != nil {
				b.Fatal(err)
			}
			name := fmt.Sprintf("%d-of-%d/%dKiB", c.k, c.n, block>>10)
			b.Run(name+"/encode", func(b *testing.B) {
				measure(b, size, func() {
					_, err := encoding.Encode(b.Context(), io.LimitReader(zeros{}, size), keys.NewReadKey().File(nil),
						encoding.Options{Code: code, BlockSize: block, Size: size, Buffers: 4},
						func(s *encoding.Segment) error { s.Release(); return nil })
					if err != nil {
						b.Fatal(err)
					}
				})
			})
			b.Run(name+"/raw", func(b *testing.B) {
				measure(b, size, func() { rawCodec(b, code, block, size) })
			})
		}
	}
}

// rawCodec encrypts, codes and hashes size bytes, one segment at a time on each processor.
func rawCodec(b *testing.B, code *erasure.Code, block int, size int64) {
	file := keys.NewReadKey().File(nil)
	segment := int64(code.Needed() * block)
	segments := (size + segment - 1) / segment
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			buf := make([]byte, code.Total()*block)
			blocks := make([][]byte, code.Total())
			for j := range blocks {
				blocks[j] = buf[j*block : (j+1)*block]
			}
			var row [share.MaxTotal]share.Digest
			for i := next.Add(1) - 1; i < segments; i = next.Add(1) - 1 {
				file.XORKeyStream(buf[:segment], buf[:segment], i*segment)
				if err := code.Encode(blocks); err != nil {
					b.Error(err)
				}
				for j := range blocks {
					row[j] = sha256.Sum256(blocks[j])
				}
			}
		})
	}
	workers.Wait()
}

// measure runs work b.N times and reports its rate and the processor time it takes.
func measure(b *testing.B, size int64, work func()) {
	b.SetBytes(size)
	begin := processorTime(b)
	for b.Loop() {
		work()
	}
	used := processorTime(b) - begin
	b.ReportMetric(used.Seconds()/float64(b.N)/float64(size)*1e9, "cpu-s/GB")
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
