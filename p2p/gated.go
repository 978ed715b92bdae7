package p2p

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// A gatedHost is a libp2p host whose stream handlers are closed to everyone the gate refuses, and whose running handlers
// can be waited for. Everything that serves a protocol of the grid, the DHT too, registers here.
type gatedHost struct {
	host.Host
	admit func(peer.ID) error

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func (g *gatedHost) SetStreamHandler(id protocol.ID, handler network.StreamHandler) {
	g.Host.SetStreamHandler(id, g.guard(handler))
}

func (g *gatedHost) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handler network.StreamHandler) {
	g.Host.SetStreamHandlerMatch(id, match, g.guard(handler))
}

func (g *gatedHost) guard(handler network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		if err := g.admit(s.Conn().RemotePeer()); err != nil {
			s.ResetWithError(network.StreamGated)
			return
		}
		if !g.enter() {
			s.ResetWithError(network.StreamShutdown)
			return
		}
		defer g.running.Done()
		handler(s)
	}
}

func (g *gatedHost) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running.Add(1)
	return true
}

// stop refuses further streams.
func (g *gatedHost) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}
