package p2p

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/p2p/wire"
	"cairn/share"
)

// The values of Peer.Path.
const (
	Direct  = "direct"
	Punched = "punched" // direct, through a hole that both sides punched in their routers; a side whose plain dial got through it says Direct
	Relayed = "relayed" // through another member
)

// A Peer is what a host knows of another member.
type Peer struct {
	ID        share.ServerID `json:"id"`
	Nickname  string         `json:"nickname"`
	Version   string         `json:"version"`   // of its software
	Addresses []string       `json:"addresses"` // full multiaddrs, best first
	Path      string         `json:"path"`      // Direct, Punched, Relayed, or empty when not connected
	Transport string         `json:"transport"` // "tcp", "quic-v1", "relay", or empty when not connected
	Latency   time.Duration  `json:"latency"`   // smoothed round trip of a hello, 0 when unknown
	Space     share.Space    `json:"space"`     // as it last said
	Storage   bool           `json:"storage"`   // it stores shares for others
	Serves    bool           `json:"serves"`    // it stores none for others, but gives them shares of its own
	LastSeen  time.Time      `json:"last_seen"` // when it last greeted or answered
	// Responsive is true while the peer is connected and answers in time. A stopped or overloaded peer stays connected
	// for a while without.
	Responsive bool `json:"responsive"`
	// Problem says why the peer is not used: it is of another grid, speaks another version, or is refused.
	Problem string `json:"problem,omitempty"`
	// Denies says that the problem is that the peer does not admit this node.
	Denies bool `json:"denies,omitempty"`
	// Failure says why the last attempt to connect failed; empty once it is connected.
	Failure string `json:"failure,omitempty"`
}

// A source says where a host heard of a peer, which decides how long it tries to reach one that never answered.
type source int

const (
	told      source = iota // by a member, by discovery or by the peer itself connecting: a few attempts
	bootstrap               // by the configuration: for ever
)

// Limits of what is kept of one peer and of all.
const (
	maxMembers    = 4096
	maxAddresses  = wire.MaxPeerAddresses
	toldAttempts  = 4
	firstRetry    = time.Second
	refusedRetry  = 10 * time.Minute
	aloneRetry    = 10 * time.Second // the longest pause while no member at all is connected
	freshFor      = 15 * time.Minute // how long after it was last seen the others are told of a member
	smoothLatency = 4
	// patience is how long the greater of two ids waits for the other to connect.
	patience = 300 * time.Millisecond
	// seldom is the pause before a peer of the configuration is dialled again although enough others are connected.
	seldom = 10 * time.Minute
	// giveUpFor is how long a peer that was lost or not reached is left to the dialler and not tried on demand.
	giveUpFor = 10 * time.Second
)

// A member is a peer that is, was or may become connected. The table that holds it guards it.
type member struct {
	id        peer.ID
	server    share.ServerID // the text form of id
	source    source
	met       bool // it has greeted or answered, now or before a restart
	addresses []multiaddr.Multiaddr
	texts     []string   // of the addresses
	hello     wire.Hello // without Peers
	latency   time.Duration
	lastSeen  time.Time

	connected  bool
	up         bool // it has answered on the present connection
	responsive bool
	kept       bool // the connection stays however many there are
	problem    string
	denies     bool // the problem is that the peer does not admit us

	dialling bool
	failures int
	failure  string    // of the last attempt
	tried    time.Time // when the last attempt failed, or the peer was lost otherwise than because somebody has many connections
	ended    time.Time // when the connection ended
	nextDial time.Time
	pending  time.Time // since when it may answer soon; zero once it has, or has failed to
	parted   bool      // it was connected before

	// version is that of the table when there was last something to tell about this member; toldAt is the one up to which the
	// peer itself was told about the others.
	version, toldAt uint64
	// leave ends the goroutine that attends to the connected peer, greet makes it say hello at once.
	leave func()
	greet chan struct{}
	// active is when bytes last came from the peer, in nanoseconds of Unix time.
	active atomic.Int64
	// used is when something other than greetings was last carried to or from the peer, in the same unit.
	used atomic.Int64
}

func newMember(id peer.ID) *member {
	return &member{id: id, server: serverID(id), greet: make(chan struct{}, 1)}
}

func (m *member) setAddresses(addresses []multiaddr.Multiaddr) {
	m.addresses = cut(addresses)
	m.texts = make([]string, len(m.addresses))
	for i, a := range m.addresses {
		m.texts[i] = a.String()
	}
}

// reached puts the address of a dialled connection first.
func (m *member) reached(a multiaddr.Multiaddr) {
	if len(m.addresses) == 0 || !m.addresses[0].Equal(a) {
		m.setAddresses(append([]multiaddr.Multiaddr{a}, without(m.addresses, a)...))
	}
}

// hear adds addresses behind those known and reports whether there was a new one. Hearsay replaces at most the worse half
// of what is known.
func (m *member) hear(addresses []multiaddr.Multiaddr) bool {
	fresh := without(addresses, m.addresses...)
	if len(fresh) == 0 {
		return false
	}
	fresh = fresh[:min(len(fresh), maxAddresses-min(len(m.addresses), maxAddresses/2))]
	keep := min(len(m.addresses), maxAddresses-len(fresh))
	m.setAddresses(append(slices.Clone(m.addresses[:keep]), fresh...))
	return true
}

// listens replaces the addresses by those the peer itself announces, keeping the order of the ones known and the one
// at which it was reached. It reports whether anything changed.
func (m *member) listens(announced []multiaddr.Multiaddr, reached multiaddr.Multiaddr) bool {
	if len(announced) == 0 {
		return false
	}
	announced = balance(announced)
	kept := slices.DeleteFunc(slices.Clone(m.addresses), func(a multiaddr.Multiaddr) bool {
		return !containsAddress(announced, a) && (reached == nil || !a.Equal(reached))
	})
	now := cut(append(kept, without(announced, kept...)...))
	changed := !slices.EqualFunc(now, m.addresses, multiaddr.Multiaddr.Equal)
	if changed {
		m.setAddresses(now)
	}
	return changed
}

// failed notes an attempt that did not reach the peer and reports whether it should be forgotten.
func (m *member) failed(reason error, now time.Time, longest time.Duration) (forget bool) {
	m.failures++
	m.failure, m.tried = reason.Error(), now
	if !m.met && m.source == told && m.failures >= toldAttempts {
		return true
	}
	pause := min(firstRetry<<min(m.failures-1, 20), longest)
	m.nextDial = now.Add(pause/2 + rand.N(pause))
	return false
}

func (m *member) info() peer.AddrInfo {
	return peer.AddrInfo{ID: m.id, Addrs: slices.Clone(m.addresses)}
}

func (m *member) peer() Peer {
	p := Peer{
		ID: m.server, Nickname: m.hello.Nickname, Version: m.hello.Version, Latency: m.latency,
		Space: m.hello.Space, Storage: m.hello.Storage, Serves: m.hello.Serves, LastSeen: m.lastSeen,
		Responsive: m.connected && m.responsive, Problem: m.problem,
		Denies: m.problem != "" && m.denies,
	}
	if !m.connected {
		p.Failure = m.failure
	}
	for _, a := range m.texts {
		p.Addresses = append(p.Addresses, a+"/p2p/"+string(p.ID))
	}
	return p
}

// maxCircuits is how many addresses at relays are kept of a peer, maxPerRelay how many at one relay.
const (
	maxCircuits = 4
	maxPerRelay = 2
)

// balance orders what a peer announces so that a cut leaves some of its own addresses and some at relays, its own first.
func balance(announced []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	var own, circuits []multiaddr.Multiaddr
	byRelay := make(map[string]int)
	for _, a := range announced {
		if !isCircuit(a) {
			own = append(own, a)
			continue
		}
		relay, _ := a.ValueForProtocol(multiaddr.P_P2P)
		if byRelay[relay]++; byRelay[relay] <= maxPerRelay && len(circuits) < maxCircuits {
			circuits = append(circuits, a)
		}
	}
	return append(own[:min(len(own), maxAddresses-len(circuits))], circuits...)
}

func cut(addresses []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return addresses[:min(len(addresses), maxAddresses)]
}

func without(addresses []multiaddr.Multiaddr, drop ...multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return slices.DeleteFunc(slices.Clone(addresses), func(a multiaddr.Multiaddr) bool {
		return a == nil || len(a.String()) > wire.MaxAddress || containsAddress(drop, a)
	})
}

func containsAddress(list []multiaddr.Multiaddr, a multiaddr.Multiaddr) bool {
	return slices.ContainsFunc(list, a.Equal)
}
