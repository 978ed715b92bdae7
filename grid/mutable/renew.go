package mutable

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/head"
)

// renewAtOnce is how many questions a renewal has under way.
const renewAtOnce = 8

// A renewal lengthens the leases on heads.
type renewal struct {
	m     *Files
	heads []head.Head

	mu       sync.Mutex // guards what follows
	holders  []int      // of each head
	answered []int
	records  [][]byte
	lacking  [][]headServer // have no head of the name at all
	renewed  []bool
}

// Renew extends the leases on the newest heads of names, which were just read, on all head servers that hold them. Where most head
// servers hold a head, those that hold none of the name get it too, so that it outlives the servers that it was written to.
// A server that does not answer is left out. It says of each head whether any server has renewed it.
//
// The lease on the shares of a version is another one.
func (m *Files) Renew(ctx context.Context, heads []head.Head) ([]bool, error) {
	r := &renewal{
		m: m, heads: heads, holders: make([]int, len(heads)), answered: make([]int, len(heads)), records: make([][]byte, len(heads)),
		lacking: make([][]headServer, len(heads)), renewed: make([]bool, len(heads)),
	}
	keepers := map[share.ServerID]headServer{}
	keeps := map[share.ServerID][]int{}
	for i, h := range heads {
		for _, s := range m.headServers(ctx, h.Name) {
			if !s.Down {
				keepers[s.ID] = s
				keeps[s.ID] = append(keeps[s.ID], i)
			}
		}
	}
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(renewAtOnce)
	for id, which := range keeps {
		work.Go(func() error { return r.on(working, keepers[id], which) })
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	return r.renewed, r.spread(ctx)
}

// on renews heads on one server. The error is that of the context.
func (r *renewal) on(ctx context.Context, server headServer, which []int) error {
	for len(which) > 0 && ctx.Err() == nil {
		n := min(len(which), share.MaxHeadNames)
		if err := r.some(ctx, server, which[:n]); err != nil {
			r.m.env.Logger.Debug("a server did not renew heads", "server", server.String(), "error", err)
			break
		}
		which = which[n:]
	}
	return ctx.Err()
}

func (r *renewal) some(ctx context.Context, server headServer, which []int) error {
	names := make([]share.Name, len(which))
	for j, i := range which {
		names[j] = r.heads[i].Name
	}
	asking, cancel := awake.WithTimeout(ctx, writeTimeout)
	held, err := server.heads.Heads(asking, names, false)
	cancel()
	if err != nil {
		return inTime(asking, err)
	}
	if len(held) != len(names) {
		return fmt.Errorf("%w: answered %d names, asked for %d", share.ErrCorrupt, len(held), len(names))
	}
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(renewAtOnce)
	for j, i := range which {
		if r.note(server, i, held[j].Record) {
			work.Go(func() error { return r.set(working, server, i) })
		}
	}
	return work.Wait()
}

// note records what a server holds of a name, and reports whether that is the head.
func (r *renewal) note(server headServer, i int, record []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered[i]++
	if record == nil {
		r.lacking[i] = append(r.lacking[i], server)
		return false
	}
	if sha256.Sum256(record) != r.heads[i].Digest {
		return false // it is behind, or ahead: the next write brings them together
	}
	r.holders[i]++
	r.records[i] = record
	return true
}

// set gives a server a head, one that it holds already or the first of the name.
func (r *renewal) set(ctx context.Context, server headServer, i int) error {
	r.mu.Lock()
	record := r.records[i]
	r.mu.Unlock()
	h := r.heads[i]
	ctx, cancel := awake.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := server.heads.SetHead(ctx, share.HeadUpdate{
		Name: h.Name, Record: record, Adds: []share.StorageIndex{h.Root}, Retention: h.Retention(), Lease: r.m.lease(),
	})
	if err != nil {
		return inTime(ctx, err)
	}
	r.mu.Lock()
	r.renewed[i] = true
	r.mu.Unlock()
	return nil
}

// spread gives heads to the servers that have none.
func (r *renewal) spread(ctx context.Context) error {
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(renewAtOnce)
	for i := range r.heads {
		if 2*r.holders[i] <= r.answered[i] {
			continue // whether it stays is for readers and writers to find out
		}
		for _, server := range r.lacking[i] {
			work.Go(func() error {
				if err := r.set(working, server, i); err != nil {
					r.m.env.Logger.Debug("a server did not take a head", "server", server.String(), "name", r.heads[i].Name.String(), "error", err)
				}
				return working.Err()
			})
		}
	}
	return work.Wait()
}
