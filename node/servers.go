package node

import (
	"context"
	"errors"
	"sync"

	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/share"
)

// servers are the places where shares of files can go: the own disk, and a client for each member that stores.
type servers struct {
	host  *p2p.Host
	local func(context.Context) (share.Server, bool)

	mu      sync.Mutex // guards what follows
	clients map[share.ServerID]*storage.Client
	closed  bool
}

func newServers(host *p2p.Host, local func(context.Context) (share.Server, bool)) *servers {
	return &servers{host: host, local: local, clients: map[share.ServerID]*storage.Client{}}
}

// all returns every server that is known. Members that do not answer are marked: whether they hold anything is
// unknown, which is not the same as no.
func (s *servers) all(ctx context.Context) []share.Server {
	var all []share.Server
	if own, ok := s.local(ctx); ok {
		all = append(all, own)
	}
	for _, p := range s.host.Peers() {
		if !p.Storage || p.Problem != "" {
			continue
		}
		client := s.client(p.ID)
		if client == nil {
			return nil // the node is stopping
		}
		all = append(all, share.Server{ID: p.ID, Nickname: p.Nickname, Store: client, Free: p.Space.Free, Down: !p.Responsive})
	}
	return all
}

// client returns the one client of a member, nil when the node is stopping.
func (s *servers) client(id share.ServerID) *storage.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	c := s.clients[id]
	if c == nil {
		c = storage.NewClient(s.host, id, storage.ClientOptions{})
		s.clients[id] = c
	}
	return c
}

// Close ends all exchanges with other members.
func (s *servers) Close() error {
	s.mu.Lock()
	clients := s.clients
	s.clients, s.closed = nil, true
	s.mu.Unlock()
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
