package hostile

import (
	"context"
	"crypto/rand"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/p2p/wire"
)

// misbehave serves one stream. What a store can do wrong is left to the server of the stage.
func (p *Peer) misbehave(at *stage, name string, s network.Stream) {
	switch at.behaviour {
	case Stalls:
		<-p.ctx.Done()
		_ = s.Reset()
	case Mute:
		_, _ = io.Copy(io.Discard, s)
		_ = s.Reset()
	case Garbage:
		garble(s)
	case Floods:
		flood(s)
	case Drips:
		at.handlers[name](&dripping{Stream: s, ctx: p.ctx})
	case Breaks:
		at.handlers[name](breaking{s})
	default:
		at.handlers[name](s)
	}
}

// garble answers whatever comes with random bytes.
func garble(s network.Stream) {
	buf, noise := make([]byte, 4<<10), make([]byte, 64)
	for {
		if _, err := s.Read(buf); err != nil {
			break
		}
		_, _ = rand.Read(noise) // never fails
		if _, err := s.Write(noise); err != nil {
			break
		}
	}
	_ = s.Reset()
}

// flood sends data frames until the peer has enough.
func flood(s network.Stream) {
	frame := make([]byte, wire.HeaderSize+wire.MaxData)
	wire.PutHeader(frame, wire.KindData, wire.MaxData)
	for {
		if _, err := s.Write(frame); err != nil {
			_ = s.Reset()
			return
		}
	}
}

// A dripping stream sends one byte a second.
type dripping struct {
	network.Stream
	ctx context.Context
}

// Write implements io.Writer.
func (d *dripping) Write(p []byte) (int, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range p {
		if _, err := d.Stream.Write(p[i : i+1]); err != nil {
			return i, err
		}
		select {
		case <-tick.C:
		case <-d.ctx.Done():
			return i, d.ctx.Err()
		}
	}
	return len(p), nil
}

// A breaking stream ends in the middle of the first thing that is written to it.
type breaking struct{ network.Stream }

// Write implements io.Writer.
func (b breaking) Write(p []byte) (int, error) {
	_, _ = b.Stream.Write(p[:len(p)/2])
	_ = b.CloseWrite() // what was written arrives, unlike with a reset
	return 0, io.ErrClosedPipe
}
