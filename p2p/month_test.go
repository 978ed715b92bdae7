package p2p_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marcopolo/simnet"
)

// A month is thirty evenings of four friends whose machines are off for most of the day, as laptops are. Time in which everything is off takes no time to compute.
type month struct {
	*virtualNet
	random  *rand.Rand
	begin   time.Time
	day     int
	changes map[string]int
	streams int
	again   int // streams that took a second attempt
	// longest is how long a stream took at most, slowest how long it took until all had found each other.
	longest, slowest time.Duration
	left             []remains
}

// remains are what is in use while everything is off.
type remains struct {
	goroutines, heap int // heap in KiB
	starts           int // of hosts until then
}

const (
	monthDays = 30
	// evening is for how long machines are on, at 19:00.
	evening = 5 * time.Minute
	changes = 3 // in an evening
	// perSocket are the goroutines that the simulated network keeps for a socket that is closed. perStart is how much memory
	// may stay behind of each start, in KiB: the network keeps queues of the socket, and the library of the hosts builds
	// types as it starts, which the runtime never frees.
	perSocket = 2
	perStart  = 24
)

// TestVirtualMonth: for thirty days nodes come and go, hang, lose power, and come back at other addresses. Those that
// run find each other, a stream to each of them works, no stream takes longer than five seconds to open, to whomever, and
// what the hosts leave behind does not grow.
func TestVirtualMonth(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := &month{virtualNet: newVirtualNet(t), random: rand.New(rand.NewPCG(3, 4)), begin: time.Now(), changes: map[string]int{}}
		defer m.close()
		first := m.add()
		for range 3 {
			m.add(first.Addresses()...)
		}
		for m.day = range monthDays {
			m.spendEvening()
			m.goToBed()
			m.until(time.Duration(m.day+1)*24*time.Hour - 20*time.Minute)
			m.measure()
			m.until(time.Duration(m.day+1) * 24 * time.Hour)
			m.switchOn()
		}
		m.spendEvening()
		m.judge()
		t.Logf("%v of virtual time with %v; %d streams to running nodes, the longest took %v, %d a second attempt; the longest until all who ran had found each other was %v",
			time.Since(m.begin).Round(time.Hour), m.changes, m.streams, m.longest, m.again, m.slowest)
	})
}

func (m *month) until(since time.Duration) { time.Sleep(time.Until(m.begin.Add(since))) }

// note counts a change.
func (m *month) note(what string) { m.changes[what]++ }

// switchOn starts most of the machines that are off, some at another address, within a few minutes.
func (m *month) switchOn() {
	for i, v := range m.nodes {
		if v.Host != nil || i > 0 && m.random.IntN(4) == 0 {
			continue
		}
		if i > 0 && m.random.IntN(3) == 0 {
			m.move(v)
		}
		m.start(v)
		m.note("on")
		time.Sleep(time.Duration(m.random.IntN(30)) * time.Second)
	}
}

func (m *month) move(v *virtualNode) {
	m.changes["moved"]++
	v.address.IP = simnet.IntToPublicIPv4(100 + m.changes["moved"])
}

// spendEvening has some machines come, go, hang, go on and move, and looks after each change at what the others notice.
func (m *month) spendEvening() {
	m.look()
	for range changes {
		time.Sleep(time.Duration(m.random.Int64N(int64(evening) / changes)))
		m.change(m.nodes[1+m.random.IntN(len(m.nodes)-1)])
		m.look()
	}
}

func (m *month) change(v *virtualNode) {
	switch {
	case v.Host == nil:
		m.note("on")
		m.move(v)
		m.start(v)
	case v.stopped.Load():
		m.note("goes on")
		v.stopped.Store(false)
	case m.random.IntN(3) == 0:
		m.note("off")
		m.stop(v)
	case m.random.IntN(3) == 0:
		m.note("power cut")
		v.stopped.Store(true) // nobody hears that it stops
		m.stop(v)
		v.stopped.Store(false)
	default:
		m.note("hangs")
		v.stopped.Store(true)
	}
}

// look waits until all who run have found each other, and opens streams from each of them to everybody who is on.
func (m *month) look() {
	m.t.Helper()
	m.slowest = max(m.slowest, within(m.t, time.Minute, fmt.Sprint("all met on day ", m.day+1), m.met))
	for _, from := range m.running() {
		for _, to := range m.nodes {
			switch {
			case to.Host == nil || to == from:
			case to.stopped.Load():
				m.check(from, to)
			default:
				m.echo(from, to)
			}
		}
	}
}

// echo sends some bytes there and back. A connection that died without a word takes an attempt with it when it is given up, and two
// hosts that have dialled each other have two. Whoever wants something tries again; it is the five seconds that count.
func (m *month) echo(from, to *virtualNode) {
	m.t.Helper()
	begin := time.Now()
	sent := []byte("still there?")
	got, err := exchange(from, to, sent)
	for err != nil && time.Since(begin) < 5*time.Second {
		m.again++
		got, err = exchange(from, to, sent)
	}
	if took := time.Since(begin); err != nil || !bytes.Equal(got, sent) || took > 5*time.Second {
		m.t.Errorf("day %d: a stream to a node that runs: %q, %v after %v", m.day+1, got, err, took)
	}
	m.streams++
	m.longest = max(m.longest, time.Since(begin))
}

func exchange(from, to *virtualNode, sent []byte) ([]byte, error) {
	s, err := from.Stream(context.Background(), to.ID(), "echo/1")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := s.Write(sent); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(s)
}

// longNight says after which evenings the first machine stays on, alone.
func longNight(day int) bool { return day%10 == 5 }

// goToBed switches the machines off, the first one last.
func (m *month) goToBed() {
	for i := len(m.nodes) - 1; i >= 0; i-- {
		v := m.nodes[i]
		if v.Host == nil {
			continue
		}
		if i == 0 && longNight(m.day) {
			m.note("alone")
			time.Sleep(20 * time.Minute)
		}
		m.stop(v)
		v.stopped.Store(false)
	}
}

// measure notes what is left while everything is off, without what the network of this test keeps of each socket.
func (m *month) measure() {
	synctest.Wait()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.left = append(m.left, remains{runtime.NumGoroutine() - perSocket*m.starts(), int(stats.HeapAlloc >> 10), m.starts()})
}

// starts is how often a host was opened, each of which makes one socket.
func (m *month) starts() int { return len(m.nodes) + m.changes["on"] }

// judge compares the last day with the third.
func (m *month) judge() {
	m.t.Helper()
	if m.again > m.streams/50 {
		m.t.Errorf("%d of %d streams to running nodes took more than one attempt", m.again, m.streams)
	}
	before, after := m.left[2], m.left[len(m.left)-1]
	if after.goroutines > before.goroutines {
		m.t.Errorf("%d goroutines when everything is off, %d on the third day", after.goroutines, before.goroutines)
	}
	if most := before.heap + perStart*(after.starts-before.starts); after.heap > most {
		m.t.Errorf("%d KiB in use when everything is off, want at most %d", after.heap, most)
	}
	for i, v := range m.nodes {
		if info, err := os.Stat(v.cfg.Book); err != nil || info.Size() > 8<<10 {
			m.t.Errorf("node %d remembers %v (%v)", i, info, err)
		}
	}
	m.t.Logf("when everything was off on the third day %+v, on the last %+v", before, after)
}
