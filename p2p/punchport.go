package p2p

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-reuseport"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// knockFor bounds how long one knock goes on: over the library's three attempts and the pause before the next ones.
	knockFor = 45 * time.Second
	// knockPause is the pause after a knock that failed at once.
	knockPause = 250 * time.Millisecond
	// probeFor bounds a dial at a peer behind a router that is not meant to punch a hole, and keeps those that are waiting.
	probeFor = 1500 * time.Millisecond
	// routedFor is how long an address counts as one behind a router, maxRouted how many are kept.
	routedFor = 10 * time.Minute
	maxRouted = 4096
)

// ports makes the outgoing TCP connections, and chooses the port that each comes from. From the port that the node listens
// on, peers see the address at which it may be reached, and holes are punched.
//
// A connection attempt from that port at a peer behind a router leaves an entry in our own router for two minutes, with the
// sequence number of the attempt. Should the peer's attempt to punch a hole arrive through it while this node makes none
// of its own, our listening socket answers with another sequence number, the router takes the answer for invalid, and every
// further attempt between these two ports is lost until both have forgotten. Therefore
//
//   - what is no attempt to punch a hole comes from another port, where the peer is known to be behind a router;
//   - an attempt to punch a hole is one knock, with one sequence number, that goes on through all attempts of the library.
type ports struct {
	ctx   context.Context
	start func(func())

	mu     sync.Mutex
	listen []*net.TCPAddr
	routed map[string]time.Time // addresses of peers behind routers: when they were last seen to be
	knocks map[string]*knock
	probes map[string]func() // ends the probes of an address, because a hole is punched now
}

// A knock is a connection attempt at a peer that makes one here at the same time.
type knock struct {
	opened chan net.Conn // what came of it, to whoever wants it first
}

func newPorts(ctx context.Context, start func(func())) *ports {
	return &ports{ctx: ctx, start: start, routed: make(map[string]time.Time), knocks: make(map[string]*knock), probes: make(map[string]func())}
}

// listening says on which addresses the node listens.
func (p *ports) listening(addresses []multiaddr.Multiaddr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listen = nil
	for _, a := range addresses {
		if at, err := manet.ToNetAddr(a); err == nil {
			if tcp, ok := at.(*net.TCPAddr); ok {
				p.listen = append(p.listen, tcp)
			}
		}
	}
}

// rank is rankDials, which is told all addresses of a peer before one of them is dialled.
func (p *ports) rank(addresses []multiaddr.Multiaddr) []network.AddrDelay {
	p.learn(addresses, time.Now())
	return rankDials(addresses)
}

// learn takes a peer that announces places at relays for one behind a router.
func (p *ports) learn(addresses []multiaddr.Multiaddr, now time.Time) {
	direct := keep(addresses, func(a multiaddr.Multiaddr) bool { return isPublic(a) && dialClass(a) == 0 })
	if len(direct) == 0 || len(keep(addresses, isCircuit)) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, since := range p.routed {
		if now.Sub(since) > routedFor {
			delete(p.routed, a)
		}
	}
	for _, a := range direct {
		if _, at, err := manet.DialArgs(a); err == nil && len(p.routed) < maxRouted {
			p.routed[at] = now
		}
	}
}

func (p *ports) isRouted(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, ok := p.routed[address]
	return ok && time.Since(since) <= routedFor
}

// DialContext connects to an address, from the port that fits the purpose, which the library notes in the context.
func (p *ports) DialContext(ctx context.Context, kind, address string) (net.Conn, error) {
	if punching, _, _ := network.GetSimultaneousConnect(ctx); punching {
		return p.await(ctx, p.knock(kind, address))
	}
	if direct, _ := network.GetForceDirectDial(ctx); direct {
		return p.probe(ctx, kind, address)
	}
	if p.isRouted(address) {
		return p.probe(ctx, kind, address)
	}
	if from := p.local(kind, address); from != nil {
		c, err := dialFrom(ctx, from, kind, address)
		if err == nil || ctx.Err() != nil || !mayBeTaken(err) {
			return c, err
		}
	}
	return new(net.Dialer).DialContext(ctx, kind, address)
}

// probe tries whether a peer that was reached through a relay can be reached without more ado. The library has only one dial
// at an address at a time: when a hole is to be punched meanwhile, this is it.
func (p *ports) probe(ctx context.Context, kind, address string) (net.Conn, error) {
	probing, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	p.mu.Lock()
	before := p.knocks[address]
	p.probes[address] = cancel
	p.mu.Unlock()
	c, err := new(net.Dialer).DialContext(probing, kind, address)
	p.mu.Lock()
	delete(p.probes, address)
	k := p.knocks[address]
	p.mu.Unlock()
	if err != nil && k != nil && before == nil {
		return p.await(ctx, k)
	}
	return c, err
}

// expect begins to knock at the addresses of a peer that knocks here.
func (p *ports) expect(addresses []string) {
	for _, text := range addresses {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil || dialClass(a) != 0 {
			continue
		}
		if kind, at, err := manet.DialArgs(a); err == nil {
			p.knock(kind, at)
		}
	}
}

// knock returns the knock at an address. It goes on, or begins.
func (p *ports) knock(kind, address string) *knock {
	from := p.local(kind, address)
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.knocks[address]
	if k != nil {
		return k
	}
	k = &knock{opened: make(chan net.Conn)}
	p.knocks[address] = k
	if end := p.probes[address]; end != nil {
		end()
	}
	p.start(func() {
		k.run(p.ctx, from, kind, address)
		p.mu.Lock()
		delete(p.knocks, address)
		p.mu.Unlock()
	})
	return k
}

// await waits for the connection that comes of a knock, which goes on when the wait ends.
func (p *ports) await(ctx context.Context, k *knock) (net.Conn, error) {
	select {
	case c := <-k.opened:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run knocks until a connection is there and somebody has taken it. The kernel repeats the knock every second at first.
func (k *knock) run(ctx context.Context, from *net.TCPAddr, kind, address string) {
	ctx, cancel := context.WithTimeout(ctx, knockFor)
	defer cancel()
	for ctx.Err() == nil {
		c, err := dialFrom(ctx, from, kind, address)
		if err != nil {
			sleep(ctx, knockPause, nil) // a router answered with a reset, or a connection between the two ports is about to end
			continue
		}
		select {
		case k.opened <- c:
		case <-ctx.Done():
			c.Close()
		}
		return
	}
}

// local returns the address to dial from: that of the socket which listens where the peer would see it, nil for any.
func (p *ports) local(kind, address string) *net.TCPAddr {
	to, err := net.ResolveTCPAddr(kind, address)
	if err != nil || !reuseport.Available() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var everywhere *net.TCPAddr
	for _, at := range p.listen {
		switch {
		case (at.IP.To4() == nil) != (to.IP.To4() == nil):
		case at.IP.IsUnspecified():
			everywhere = at
		case at.IP.Equal(sourceFor(to)):
			return at
		}
	}
	return everywhere
}

// sourceFor returns the address of this machine from which the system reaches another. Nothing is sent.
func sourceFor(to *net.TCPAddr) net.IP {
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: to.IP, Port: to.Port, Zone: to.Zone})
	if err != nil {
		return nil
	}
	defer c.Close()
	if at, ok := c.LocalAddr().(*net.UDPAddr); ok {
		return at.IP
	}
	return nil
}

func dialFrom(ctx context.Context, from *net.TCPAddr, kind, address string) (net.Conn, error) {
	d := net.Dialer{Control: reuseport.Control}
	if from != nil {
		d.LocalAddr = from
	}
	return d.DialContext(ctx, kind, address)
}

// mayBeTaken reports whether a dial failed because there is a connection between the two ports already.
func mayBeTaken(err error) bool {
	var timeout net.Error
	return !(errors.As(err, &timeout) && timeout.Timeout()) && !errors.Is(err, syscall.ECONNREFUSED) &&
		!strings.Contains(err.Error(), "unreachable")
}
