package p2p

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/multiformats/go-multiaddr"
)

// A router is the library's port mapping, kept where its result can be told.
type router struct {
	mu      sync.Mutex
	manager basichost.NATManager
}

// start is the constructor the library wants.
func (r *router) start(n network.Network) basichost.NATManager {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manager = basichost.NewNATManager(n)
	return r.manager
}

func (r *router) get() basichost.NATManager {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.manager
}

func (r *router) discovered() bool {
	m := r.get()
	return m != nil && m.HasDiscoveredNAT()
}

// mapping returns the external address that is forwarded to a listen address, nil when there is none.
func (r *router) mapping(listen multiaddr.Multiaddr) multiaddr.Multiaddr {
	if m := r.get(); m != nil {
		return m.GetMapping(listen)
	}
	return nil
}
