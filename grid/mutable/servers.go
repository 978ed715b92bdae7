package mutable

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"cairn/share"
)

// A headServer is a server that keeps heads.
type headServer struct {
	share.Server
	heads share.HeadStore
}

// missedFor is how long a server that is not on the list of servers any more is reckoned with as one that does not answer:
// a change that it helped to acknowledge may be colliding with another one.
const missedFor = time.Hour

// headServers returns the servers that keep the heads of a name, in an order that is pseudorandom for each name: all
// of them where there are few, else the first ones. Adding or removing a server leaves the others in the same order.
func (m *Files) headServers(ctx context.Context, name share.Name) []headServer {
	type ranked struct {
		headServer
		rank share.Digest
	}
	var all []ranked
	seen := map[share.ServerID]bool{}
	for _, s := range m.env.HeadServers(ctx) {
		store, ok := s.Store.(share.HeadStore)
		if !ok || seen[s.ID] {
			continue
		}
		seen[s.ID] = true
		all = append(all, ranked{headServer{s, store}, rankOf(name, s.ID)})
	}
	m.noteServers(seen)
	slices.SortFunc(all, func(a, b ranked) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	chosen := make([]headServer, 0, maxHeadServers)
	for _, r := range all[:min(len(all), maxHeadServers)] {
		chosen = append(chosen, r.headServer)
	}
	return chosen
}

func rankOf(name share.Name, id share.ServerID) share.Digest {
	return sha256.Sum256(append(slices.Clone(name[:]), id...))
}

// noteServers remembers which servers there are.
func (m *Files) noteServers(ids map[share.ServerID]bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range ids {
		m.seen[id] = now
	}
	for id, at := range m.seen {
		if now.Sub(at) > missedFor {
			delete(m.seen, id)
		}
	}
}

// missing returns how many servers were head servers of a name not long ago, and are not on the list any more.
func (m *Files) missing(name share.Name, servers []headServer) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.seen)
	if len(servers) < maxHeadServers {
		for _, s := range servers {
			if _, known := m.seen[s.ID]; known {
				n--
			}
		}
		return n
	}
	last := rankOf(name, servers[len(servers)-1].ID)
	n = 0
	for id := range m.seen {
		rank := rankOf(name, id)
		if bytes.Compare(rank[:], last[:]) <= 0 && !slices.ContainsFunc(servers, func(s headServer) bool { return s.ID == id }) {
			n++
		}
	}
	return n
}
