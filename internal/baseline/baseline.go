// Package baseline measures what this machine does when nothing of the grid is in the way: the bare codec, and the same
// bytes over the bare transport. What uploads and downloads achieve is read against these.
package baseline

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/sync/errgroup"

	"cairn/p2p"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// A Result is one measurement.
type Result struct {
	Bytes int64         // that were moved
	Took  time.Duration // by the clock
	CPU   time.Duration // of this process, all threads; zero where the system does not tell
}

// measure runs one piece of work.
func measure(bytes int64, work func() error) (Result, error) {
	cpu, begin := cpuTime(), time.Now()
	err := work()
	return Result{Bytes: bytes, Took: time.Since(begin), CPU: cpuTime() - cpu}, err
}

// Codec encrypts, codes and hashes that many bytes into shares that go nowhere.
func Codec(ctx context.Context, params share.Params, size int64) (Result, error) {
	code, err := erasure.New(params.Needed, params.Total)
	if err != nil {
		return Result{}, err
	}
	options := encoding.Options{Code: code, BlockSize: encoding.BlockSizeFor(params.Total), Size: size, Buffers: 8}
	return measure(size, func() error {
		_, err := encoding.Encode(ctx, Pattern(size), keys.NewReadKey().File(nil), options, func(s *encoding.Segment) error {
			s.Release()
			return nil
		})
		return err
	})
}

const (
	protocol  = "baseline/1"
	chunkSize = 256 << 10
)

// Transport sends that many bytes from one libp2p host to several others on the loopback interface, shared evenly, over
// one stream each. All hosts are in this process, so its CPU time is that of both ends.
func Transport(ctx context.Context, peers int, size int64) (Result, error) {
	sender, err := open(ctx)
	if err != nil {
		return Result{}, err
	}
	defer sender.Close()
	streams := make([]network.Stream, peers)
	for i := range streams {
		receiver, err := open(ctx)
		if err != nil {
			return Result{}, err
		}
		defer receiver.Close()
		receiver.Handle(protocol, swallow)
		sender.Learn(receiver.Addresses()...)
		if streams[i], err = sender.Stream(ctx, receiver.ID(), protocol); err != nil {
			return Result{}, fmt.Errorf("bare transport: %w", err)
		}
		defer streams[i].Close()
	}
	each := size / int64(peers)
	return measure(each*int64(peers), func() error {
		var group errgroup.Group
		for _, s := range streams {
			group.Go(func() error { return push(s, each) })
		}
		return group.Wait()
	})
}

func open(ctx context.Context) (*p2p.Host, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	return p2p.Open(ctx, p2p.Config{
		Key: key, Grid: "baseline", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Logger: slog.New(slog.DiscardHandler),
	})
}

// swallow reads a stream to its end and says that it has.
func swallow(s network.Stream) {
	defer s.Close()
	buf := make([]byte, chunkSize)
	for {
		if _, err := s.Read(buf); err == io.EOF {
			break
		} else if err != nil {
			return
		}
	}
	s.Write([]byte{1})
}

// push sends n bytes and waits until the other side has them.
func push(s network.Stream, n int64) error {
	chunk := make([]byte, chunkSize)
	for n > 0 {
		sent, err := s.Write(chunk[:min(n, chunkSize)])
		if err != nil {
			return fmt.Errorf("bare transport: %w", err)
		}
		n -= int64(sent)
	}
	if err := s.CloseWrite(); err != nil {
		return fmt.Errorf("bare transport: %w", err)
	}
	if _, err := io.ReadFull(s, chunk[:1]); err != nil {
		return fmt.Errorf("bare transport: %w", err)
	}
	return nil
}

// Pattern returns a reader of that many bytes that do not compress, cheap to make: a random stretch over and over, each
// time with another first byte.
func Pattern(size int64) io.Reader {
	p := &pattern{stretch: make([]byte, 1<<20)}
	rand.Read(p.stretch)
	return io.LimitReader(p, size)
}

type pattern struct {
	stretch []byte
	at      int
}

func (p *pattern) Read(b []byte) (int, error) {
	n := copy(b, p.stretch[p.at:])
	if p.at += n; p.at == len(p.stretch) {
		p.at = 0
		for i := range 8 { // a counter: no stretch is like another
			if p.stretch[i]++; p.stretch[i] != 0 {
				break
			}
		}
	}
	return n, nil
}
