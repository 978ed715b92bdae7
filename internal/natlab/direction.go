//go:build linux

package natlab

import (
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// A Line says what the line between two machines is like, each way.
type Line struct {
	// Delay is how long a packet is on the way, besides what it waits for others and takes to be sent.
	Delay time.Duration
	// Rate is in bits per second, the headers of IP counted.
	Rate int64
	// Loss is the part of the packets that gets lost at random, from 0 to 1.
	Loss float64
	// Queue is how many bytes wait in front of the line before more are dropped; 0 is what the line holds in a round trip, and
	// at least 64 KiB.
	Queue int
	// Congestion is the congestion control of TCP on both machines, by the kernel's name of it; empty is the kernel's own choice.
	Congestion string
}

func (l Line) queue() time.Duration {
	if l.Queue > 0 {
		return l.takes(l.Queue)
	}
	return max(2*l.Delay, l.takes(64<<10))
}

// takes returns how long so many bytes take to be sent.
func (l Line) takes(bytes int) time.Duration {
	return time.Duration(float64(bytes) * 8 / float64(l.Rate) * float64(time.Second))
}

const (
	// maxPacket is longer than what devices hand over at once.
	maxPacket = 1 << 16
	// maxFlying bounds the packets on the way in one direction. Further ones wait in the sender's device.
	maxFlying = 1 << 16
	// punctual is how early a packet may arrive: timers are no better.
	punctual = 50 * time.Microsecond
)

// A direction carries packets one way.
type direction struct {
	line   Line
	chance *rand.Rand
	free   time.Time // when everything that waits has been sent
}

// newDirection returns a direction that loses the same packets whenever it has the same seed.
func newDirection(line Line, seed uint64) *direction {
	return &direction{line: line, chance: rand.New(rand.NewPCG(seed, 0))}
}

// A packet is on its way.
type packet struct {
	data []byte
	due  time.Time
}

// carry carries packets until there are no more. Each Read is of one packet, and each Write.
func (d *direction) carry(in io.Reader, out io.Writer) {
	flying := make(chan packet, maxFlying)
	var arrivals sync.WaitGroup
	defer arrivals.Wait()
	defer close(flying)
	arrivals.Go(func() {
		for p := range flying {
			if wait := time.Until(p.due); wait > punctual {
				time.Sleep(wait)
			}
			_, _ = out.Write(p.data) // what the receiver does not take is lost
		}
	})
	buffer := make([]byte, maxPacket)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		if due, ok := d.send(n, time.Now()); ok {
			flying <- packet{append([]byte(nil), buffer[:n]...), due}
		}
	}
}

// send returns when a packet of n bytes arrives that is sent now, and false for one that gets lost or finds the queue full.
func (d *direction) send(n int, now time.Time) (due time.Time, ok bool) {
	if d.chance.Float64() < d.line.Loss {
		return time.Time{}, false
	}
	if d.free.Before(now) {
		d.free = now
	}
	if d.free.Sub(now) > d.line.queue() {
		return time.Time{}, false
	}
	d.free = d.free.Add(d.line.takes(n))
	return d.free.Add(d.line.Delay), true
}
