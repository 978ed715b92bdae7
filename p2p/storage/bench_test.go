package storage_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/p2p/storage"
	"cairn/share"
)

const benchBlock = 128 << 10

// A hollow store takes everything, keeps nothing, and holds shares of endless zeroes: what is left is the protocol.
type hollow struct{ share.Store }

func (hollow) Create(context.Context, share.Upload) (share.Writer, error) { return hollowWriter{}, nil }

func (hollow) Open(context.Context, share.StorageIndex, share.Number) (share.Reader, error) {
	return hollowReader{}, nil
}

type hollowWriter struct{}

func (hollowWriter) Have(context.Context) (int64, error)                  { return 0, nil }
func (hollowWriter) Append(context.Context, []share.Digest, []byte) error { return nil }
func (hollowWriter) Commit(context.Context, []byte) error                 { return nil }
func (hollowWriter) Close() error                                         { return nil }

type hollowReader struct{}

func (hollowReader) ReadAt(_ context.Context, p []byte, _ int64) (int, error) { return len(p), nil }
func (hollowReader) Size() int64                                              { return 1 << 40 }
func (hollowReader) Close() error                                             { return nil }

func benchPair(b *testing.B) *pair {
	return connect(b, hollow{}, storage.ServerOptions{}, storage.ClientOptions{})
}

// cpu returns the processor time that the process used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reports MB/s and the processor time of both sides per GB.
func measure(b *testing.B, run func()) {
	b.SetBytes(benchBlock)
	b.ReportAllocs()
	b.ResetTimer()
	begin := cpu()
	run()
	b.StopTimer()
	gb := float64(b.N) * benchBlock / 1e9
	b.ReportMetric((cpu()-begin).Seconds()/gb, "cpu-s/GB")
}

// split runs n workers that share b.N steps.
func split(b *testing.B, n int, worker func(i, steps int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { worker(i, (b.N+n-1)/n) })
	}
	group.Wait()
}

func BenchmarkAppend(b *testing.B) {
	for _, streams := range []int{1, 10} {
		b.Run(fmt.Sprint(streams, "-streams"), func(b *testing.B) {
			p := benchPair(b)
			row, block := make([]share.Digest, 10), make([]byte, benchBlock)
			measure(b, func() {
				split(b, streams, func(i, steps int) {
					w, err := p.client.Create(b.Context(), share.Upload{Number: share.Number(i), Total: 10, BlockSize: benchBlock})
					if err != nil {
						b.Error(err)
						return
					}
					for range steps {
						if err := w.Append(b.Context(), row, block); err != nil {
							b.Error(err)
							return
						}
					}
					if err := w.Commit(b.Context(), []byte{1}); err != nil {
						b.Error(err)
					}
				})
			})
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	for _, readers := range []int{1, 4, 16} {
		b.Run(fmt.Sprint(readers, "-readers"), func(b *testing.B) {
			p := benchPair(b)
			r, err := p.client.Open(b.Context(), share.StorageIndex{}, 0)
			if err != nil {
				b.Fatal(err)
			}
			measure(b, func() {
				split(b, readers, func(_, steps int) {
					block := make([]byte, benchBlock)
					for i := range steps {
						if _, err := r.ReadAt(b.Context(), block, int64(i)*benchBlock); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		})
	}
}

// BenchmarkSmall stores shares of 1 KB, eight at a time.
func BenchmarkSmall(b *testing.B) {
	p := benchPair(b)
	row, block := make([]share.Digest, 10), make([]byte, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	split(b, 8, func(i, steps int) {
		for j := range steps {
			w, err := p.client.Create(b.Context(), share.Upload{ID: share.UploadID{byte(i), byte(j), byte(j >> 8)}, Total: 10})
			if err == nil {
				err = w.Append(b.Context(), row, block)
			}
			if err == nil {
				err = w.Commit(b.Context(), []byte{1})
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "shares/s")
}

// BenchmarkAsk asks for one storage index at a time.
func BenchmarkAsk(b *testing.B) {
	p := newPair(b)
	indexes := []share.StorageIndex{{1}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.client.Numbers(b.Context(), indexes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBare pushes the same bytes over one bare stream: the limit to measure against.
func BenchmarkBare(b *testing.B) {
	far := host(b)
	near := host(b, far.Addresses()...)
	done := make(chan int64, 1)
	far.Handle("bare/1", func(s network.Stream) {
		buf, total := make([]byte, 256<<10), int64(0)
		for {
			n, err := s.Read(buf)
			if total += int64(n); err != nil {
				break
			}
		}
		s.Close()
		done <- total
	})
	s, err := near.Stream(b.Context(), far.ID(), "bare/1")
	if err != nil {
		b.Fatal(err)
	}
	block := make([]byte, benchBlock)
	measure(b, func() {
		for range b.N {
			if _, err := s.Write(block); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.CloseWrite(); err != nil {
			b.Fatal(err)
		}
		if got := <-done; got != int64(b.N)*benchBlock {
			b.Fatalf("%d bytes arrived", got)
		}
	})
	s.Reset()
}
