package p2p

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
)

const (
	// punchWindow bounds how long after its start a hole punch can still give a connection.
	punchWindow = 30 * time.Second
	// tidyEvery is how often connections are looked at that may not be needed any more; idleRelayed is how long nothing may
	// have gone over a relayed one that a direct one has replaced before it is closed.
	tidyEvery   = 15 * time.Second
	idleRelayed = time.Minute
)

// paths knows which connections were made by hole punching, and when relayed ones were last used.
type paths struct {
	mu       sync.Mutex
	punching map[peer.ID]time.Time // since when
	failed   map[peer.ID]bool      // the last attempt to punch a hole
	punched  map[string]bool       // by connection id
	relayed  map[string]*relayedConn
	told     map[peer.ID]string // the path last reported
}

// A relayedConn is a connection through a relay.
type relayedConn struct {
	conn network.Conn
	used atomic.Int64 // nanoseconds of Unix time
}

func newPaths() *paths {
	return &paths{
		punching: make(map[peer.ID]time.Time), failed: make(map[peer.ID]bool), punched: make(map[string]bool),
		relayed: make(map[string]*relayedConn), told: make(map[peer.ID]string),
	}
}

// of says how a peer is reached, by the best of its connections, and over which transport.
func (p *paths) of(conns []network.Conn) (path, transport string) {
	for _, c := range conns {
		switch {
		case c.IsClosed():
		case isCircuit(c.RemoteMultiaddr()):
			if path == "" {
				path, transport = Relayed, "relay"
			}
		case p.isPunched(c):
			if path != Direct {
				path, transport = Punched, c.ConnState().Transport
			}
		case path != Direct || c.ConnState().Transport == "tcp":
			path, transport = Direct, c.ConnState().Transport
		}
	}
	return path, transport
}

func (p *paths) isPunched(c network.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.punched[c.ID()]
}

// opened notes a new connection.
func (p *paths) opened(c network.Conn, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isCircuit(c.RemoteMultiaddr()) {
		r := &relayedConn{conn: c}
		r.used.Store(now.UnixNano())
		p.relayed[c.ID()] = r
		return
	}
	if since, ok := p.punching[c.RemotePeer()]; ok && now.Sub(since) < punchWindow {
		p.punched[c.ID()] = true
	}
}

func (p *paths) closed(c network.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.relayed[c.ID()] != nil {
		delete(p.failed, c.RemotePeer())
	}
	delete(p.punched, c.ID())
	delete(p.relayed, c.ID())
}

// use returns where to note that bytes went over a relayed connection, nil for a direct one.
func (p *paths) use(c network.Conn) *relayedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.relayed[c.ID()]
}

// changed reports whether the path to a connected peer is another than the one last reported.
func (p *paths) changed(id peer.ID, path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.told[id]
	if path == "" {
		delete(p.told, id)
	} else {
		p.told[id] = path
	}
	return before != "" && path != "" && before != path
}

// idle returns the relayed connections over which nothing went for a while.
func (p *paths) idle(now time.Time) (list []network.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.relayed {
		if now.Sub(time.Unix(0, r.used.Load())) > idleRelayed {
			list = append(list, r.conn)
		}
	}
	return list
}

// Trace implements the tracer of hole punches.
func (p *paths) Trace(e *holepunch.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch end, _ := e.Evt.(*holepunch.EndHolePunchEvt); {
	case e.Type == holepunch.StartHolePunchEvtT:
		p.punching[e.Remote] = time.Now()
	case end != nil && !end.Success:
		delete(p.punching, e.Remote)
		p.failed[e.Remote] = true
	case end != nil:
		delete(p.failed, e.Remote)
	}
	for id, since := range p.punching {
		if time.Since(since) > punchWindow {
			delete(p.punching, id)
		}
	}
}

// punchFailed reports whether the last attempt to punch a hole for the peer failed.
func (p *paths) punchFailed(id peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[id]
}

// pathTo says how a peer is reached at present.
func (h *Host) pathTo(id peer.ID) (path, transport string) {
	return h.paths.of(h.host.Network().ConnsToPeer(id))
}

// pathNotifee keeps paths up to date and reports a peer whose path changes.
func (h *Host) pathNotifee() network.Notifiee {
	return &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			h.paths.opened(c, time.Now())
			h.pathMoved(c.RemotePeer())
			h.checkOthers(c)
			h.punchRelayed(c)
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			h.paths.closed(c)
			h.pathMoved(c.RemotePeer())
		},
	}
}

func (h *Host) pathMoved(id peer.ID) {
	path, _ := h.pathTo(id)
	if !h.paths.changed(id, path) {
		return
	}
	var p Peer
	if h.members.with(id, func(m *member) { p = m.peer() }) {
		h.report(Moved, id, p, "now "+path)
	}
}

// tidy closes relayed connections that a direct one has replaced, once nobody uses them any more, and gives up those to
// peers that nobody uses.
func (h *Host) tidy() {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		h.sortOut(time.Now())
		for _, c := range h.paths.idle(time.Now()) {
			if path, _ := h.pathTo(c.RemotePeer()); path == Direct || path == Punched {
				c.Close()
			}
		}
	}
}
