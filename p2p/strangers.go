package p2p

import (
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// The budget for peers that connect and are not admitted (yet).
const (
	// strangersAtOnce may be connected at a time, strangersPerAddress of them from one address.
	strangersAtOnce     = 16
	strangersPerAddress = 4
	// strangersPerMinute may come from one address. Addresses of the loopback interface are exempt from both limits per address.
	strangersPerMinute = 30
	// countedAddresses bounds the memory for that.
	countedAddresses = 1024
)

// strangers is who is connected without being admitted: those that came, within the budget, and those that this host went to.
// It does no I/O.
type strangers struct {
	stay time.Duration

	mu sync.Mutex
	// came holds those that connected to us.
	came map[peer.ID]stranger
	// reached counts who wants a connection to a peer we went to.
	reached map[peer.ID]int
	// recent counts who came, by address, since minute began.
	recent map[netip.Prefix]int
	minute time.Time
}

type stranger struct {
	until time.Time
	from  netip.Prefix // zero for an address that is not counted
}

func newStrangers(stay time.Duration) *strangers {
	return &strangers{stay: stay, came: make(map[peer.ID]stranger), reached: make(map[peer.ID]int), recent: make(map[netip.Prefix]int)}
}

// letIn reports whether the budget has room for a peer that connects.
func (s *strangers) letIn(id peer.ID, address multiaddr.Multiaddr, now time.Time) bool {
	from := countedPrefix(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	if _, here := s.came[id]; here {
		return true // another transport, or again before the last connection is gone; within the same time
	}
	if len(s.came) >= strangersAtOnce || from.IsValid() && !s.room(from) {
		return false
	}
	if from.IsValid() {
		s.recent[from]++
	}
	s.came[id] = stranger{until: now.Add(s.stay), from: from}
	return true
}

// room reports whether one more may come from an address.
func (s *strangers) room(from netip.Prefix) bool {
	count, known := s.recent[from]
	if count >= strangersPerMinute || !known && len(s.recent) >= countedAddresses {
		return false
	}
	here := 0
	for _, other := range s.came {
		if other.from == from {
			here++
		}
	}
	return here < strangersPerAddress
}

func (s *strangers) sweep(now time.Time) {
	for id, other := range s.came {
		if now.After(other.until) {
			delete(s.came, id)
		}
	}
	if now.Sub(s.minute) >= time.Minute {
		s.minute = now
		clear(s.recent)
	}
}

// pending reports whether a peer that connected is within its time.
func (s *strangers) pending(id peer.ID, now time.Time) bool {
	_, came := s.stays(id, now)
	return came
}

// stays returns until when a peer that is not admitted may stay connected, the zero time when it may not, and whether it is
// one that came to us.
func (s *strangers) stays(id peer.ID, now time.Time) (until time.Time, came bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, here := s.came[id]; here && now.Before(other.until) {
		return other.until, true
	}
	if s.reached[id] > 0 {
		return now.Add(s.stay), false
	}
	return time.Time{}, false
}

// gone frees the place of a peer that parted or is admitted now, and reports whether it had one.
func (s *strangers) gone(id peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, here := s.came[id]
	delete(s.came, id)
	return here
}

// want lets connections to the peers pass until the returned function is called.
func (s *strangers) want(ids []peer.ID) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.reached[id]++
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, id := range ids {
			if s.reached[id]--; s.reached[id] <= 0 {
				delete(s.reached, id)
			}
		}
	})
}

func (s *strangers) wanted(id peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reached[id] > 0
}

// countedPrefix returns what counts as one address: one of IPv4, a /56 of IPv6. A peer that comes through a relay counts as
// the relay. It is zero for an address that is not limited.
func countedPrefix(address multiaddr.Multiaddr) netip.Prefix {
	ip, err := manet.ToIP(address)
	if err != nil {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0) // all of them together
	}
	a, ok := netip.AddrFromSlice(ip)
	if a = a.Unmap(); !ok || a.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 32
	if a.Is6() {
		bits = 56
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
