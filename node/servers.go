package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/share"
)

// servers are the places where shares of files can go: the own disk, the bucket behind it, and a client for each member that stores.
type servers struct {
	host   *p2p.Host
	local  func(context.Context) []share.Server // for files
	heads  func(context.Context) []share.Server // for heads
	askAll int
	large  atomic.Bool // more than askAll members store

	mu      sync.Mutex // guards what follows
	clients map[share.ServerID]*storage.Client
	closed  bool
}

func newServers(host *p2p.Host, local, heads func(context.Context) []share.Server, askAll int) *servers {
	return &servers{host: host, local: local, heads: heads, askAll: askAll, clients: map[share.ServerID]*storage.Client{}}
}

// all returns every server that is known. Members that do not answer are marked: whether they hold anything is
// unknown, which is not the same as no. In a large grid only the members that this node is connected to are returned,
// and the others that hold shares of a file are to be found.
func (s *servers) all(ctx context.Context) []share.Server { return s.with(s.local(ctx)) }

// headServers returns the servers that keep heads. Members that store nothing for others take no heads either.
func (s *servers) headServers(ctx context.Context) []share.Server {
	return slices.DeleteFunc(s.with(s.heads(ctx)), func(server share.Server) bool { return server.Last && !server.Local })
}

// with returns the own servers and those of the members.
func (s *servers) with(own []share.Server) []share.Server {
	peers := slices.DeleteFunc(s.host.Peers(), func(p p2p.Peer) bool { return !p.Storage && !p.Serves || p.Problem != "" })
	large := len(peers) > s.askAll
	s.large.Store(large)
	if large {
		peers = slices.DeleteFunc(peers, func(p p2p.Peer) bool { return p.Path == "" })
	}
	all := own
	for _, p := range peers {
		client := s.client(p.ID)
		if client == nil {
			return nil // the node is stopping
		}
		all = append(all, share.Server{ID: p.ID, Nickname: p.Nickname, Store: client, Free: p.Space.Free, Down: !p.Responsive, Refused: client.Refused(), Last: !p.Storage})
	}
	return all
}

// A finder finds the servers that announced shares of a file. discovery.Discovery is one.
type finder interface {
	Providers(ctx context.Context, index share.StorageIndex) ([]share.ServerID, error)
}

// locate returns the servers that announced shares of a file, in a large grid.
func (s *servers) locate(ctx context.Context, index share.StorageIndex, in finder) []share.Server {
	if !s.large.Load() {
		return nil
	}
	ids, err := in.Providers(ctx, index)
	if err != nil {
		return nil // nobody announced it, or not in time: the members that are connected are asked all the same
	}
	var found []share.Server
	for _, id := range ids {
		if client := s.client(id); client != nil {
			p, _ := s.host.Peer(id)
			found = append(found, share.Server{ID: id, Nickname: p.Nickname, Store: client, Free: p.Space.Free, Down: p.Path != "" && !p.Responsive, Refused: client.Refused()})
		}
	}
	return found
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
