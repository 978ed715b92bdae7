package mutable

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"

	"cairn/share"
)

// A headServer is a server that keeps heads.
type headServer struct {
	share.Server
	heads share.HeadStore
}

// headServers returns the servers that keep the heads of a name, in an order that is pseudorandom for each name: all
// of them where there are few, else the first ones. Adding or removing a server leaves the others in the same order.
func (m *Files) headServers(ctx context.Context, name share.Name) []headServer {
	type ranked struct {
		headServer
		rank [sha256.Size]byte
	}
	var all []ranked
	seen := map[share.ServerID]bool{}
	for _, s := range m.env.HeadServers(ctx) {
		store, ok := s.Store.(share.HeadStore)
		if !ok || seen[s.ID] {
			continue
		}
		seen[s.ID] = true
		all = append(all, ranked{headServer{s, store}, sha256.Sum256(append(slices.Clone(name[:]), s.ID...))})
	}
	slices.SortFunc(all, func(a, b ranked) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	chosen := make([]headServer, 0, maxHeadServers)
	for _, r := range all[:min(len(all), maxHeadServers)] {
		chosen = append(chosen, r.headServer)
	}
	return chosen
}
