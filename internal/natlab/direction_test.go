//go:build linux

package natlab

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// An endpoint is a device in memory: Read hands over what is sent, Write notes when packets arrive.
type endpoint struct {
	sends    chan []byte
	begin    time.Time
	arrivals []time.Duration
	sizes    []int
}

func (e *endpoint) Read(p []byte) (int, error) {
	data, ok := <-e.sends
	if !ok {
		return 0, io.EOF
	}
	return copy(p, data), nil
}

func (e *endpoint) Write(p []byte) (int, error) {
	e.arrivals, e.sizes = append(e.arrivals, time.Since(e.begin)), append(e.sizes, len(p))
	return len(p), nil
}

// carried sends packets of the sizes over a line, each a pause after the one before it, and returns what arrived. It calls for synctest.
func carried(line Line, pause time.Duration, sizes ...int) *endpoint {
	e := &endpoint{sends: make(chan []byte), begin: time.Now()}
	go func() {
		defer close(e.sends)
		for _, size := range sizes {
			e.sends <- make([]byte, size)
			time.Sleep(pause)
		}
	}()
	newDirection(line, 1).carry(e, e)
	return e
}

func repeated(size, times int) []int {
	sizes := make([]int, times)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

// near reports whether a packet arrived when it should: never later, in virtual time, and earlier by no more than timers allow.
func near(got, want time.Duration) bool { return got <= want && got >= want-punctual }

func TestPacketsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// 1250 bytes take a millisecond at 10 Mbit/s; three that come at once wait for each other, in their order.
		got := carried(Line{Delay: 20 * time.Millisecond, Rate: 10e6}, 0, 1250, 2500, 625)
		for i, want := range []time.Duration{21 * time.Millisecond, 23 * time.Millisecond, 23500 * time.Microsecond} {
			if i >= len(got.arrivals) || !near(got.arrivals[i], want) {
				t.Fatalf("arrived after %v, the %d. wanted after %v", got.arrivals, i+1, want)
			}
		}
		if len(got.sizes) != 3 || got.sizes[0] != 1250 || got.sizes[1] != 2500 || got.sizes[2] != 625 {
			t.Errorf("arrived: %d bytes", got.sizes)
		}
	})
}

func TestIdleLinesDoNotSaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := carried(Line{Delay: time.Millisecond, Rate: 10e6}, time.Second, 1250, 1250)
		if len(got.arrivals) != 2 || !near(got.arrivals[0], 2*time.Millisecond) || !near(got.arrivals[1], time.Second+2*time.Millisecond) {
			t.Errorf("arrived after %v", got.arrivals)
		}
	})
}

func TestFullQueuesDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One is being sent, ten fill the queue, and the one that finds it exactly full still goes.
		got := carried(Line{Delay: time.Millisecond, Rate: 10e6, Queue: 12500}, 0, repeated(1250, 100)...)
		if len(got.arrivals) != 11 {
			t.Errorf("%d of 100 packets arrived over a queue of ten", len(got.arrivals))
		}
		// What the line holds in a round trip is the usual queue: 100 ms at 10 Mbit/s are 125 000 bytes.
		got = carried(Line{Delay: 50 * time.Millisecond, Rate: 10e6}, 0, repeated(1250, 1000)...)
		if len(got.arrivals) != 101 {
			t.Errorf("%d of 1000 packets arrived over the usual queue", len(got.arrivals))
		}
	})
}

func TestLossIsAsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const packets = 20000
		got := carried(Line{Rate: 1e9, Loss: 0.1}, 100*time.Microsecond, repeated(1000, packets)...)
		lost := packets - len(got.arrivals)
		if lost < packets*9/100 || lost > packets*11/100 { // seven standard deviations, and always the same packets
			t.Errorf("%d of %d packets were lost, a tenth is wanted", lost, packets)
		}
		again := carried(Line{Rate: 1e9, Loss: 0.1}, 100*time.Microsecond, repeated(1000, packets)...)
		if len(again.arrivals) != len(got.arrivals) {
			t.Errorf("%d packets were lost the second time, %d the first", packets-len(again.arrivals), lost)
		}
	})
}
