package mutable_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"sync"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/head"
	"cairn/share/memory"
)

// A store is a memory.Store that keeps heads too, with whatever a test wants to go wrong.
type store struct {
	*memory.Store
	name string

	mu      sync.Mutex
	heads   map[share.Name][][]byte // newest first
	wholes  map[share.StorageIndex]map[share.Number][]byte
	before  func(ctx context.Context, op string) error // every exchange
	forget  bool                                       // says yes and keeps nothing
	updates []share.HeadUpdate
	calls   map[string]int
}

func newStore(name string) *store {
	return &store{
		Store: memory.New(memory.Options{}), name: name, heads: map[share.Name][][]byte{},
		wholes: map[share.StorageIndex]map[share.Number][]byte{}, calls: map[string]int{},
	}
}

func (s *store) begin(ctx context.Context, op string) error {
	s.mu.Lock()
	before := s.before
	s.calls[op]++
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx, op); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *store) set(before func(ctx context.Context, op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

func (s *store) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	if err := s.begin(ctx, "heads"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]share.HeldHead, len(names))
	for i, name := range names {
		if len(s.heads[name]) == 0 {
			continue
		}
		held[i].Record = s.heads[name][0]
		h, err := head.Parse(name, held[i].Record)
		if err != nil {
			continue
		}
		if shares {
			held[i].Shares = s.held(h.Root)
		}
	}
	return held, nil
}

func (s *store) held(index share.StorageIndex) []share.WholeShare {
	var shares []share.WholeShare
	for number, data := range s.wholes[index] {
		shares = append(shares, share.WholeShare{Index: index, Number: number, Data: data})
	}
	return shares
}

func (s *store) SetHead(ctx context.Context, u share.HeadUpdate) error {
	if err := s.begin(ctx, "sethead"); err != nil {
		return err
	}
	h, err := head.Parse(u.Name, u.Record)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forget {
		return nil
	}
	if records := s.heads[u.Name]; len(records) > 0 {
		old, err := head.Parse(u.Name, records[0])
		if err != nil || old.Digest == h.Digest {
			return err
		}
		if old.Digest != u.Replaces || old.Sequence >= h.Sequence {
			return &share.ConflictError{Name: u.Name, Record: records[0]}
		}
	} else if u.Replaces != (share.Digest{}) {
		return &share.ConflictError{Name: u.Name}
	}
	for _, w := range u.Shares {
		if err := s.put(w); err != nil {
			return err
		}
	}
	s.updates = append(s.updates, u)
	s.heads[u.Name] = append([][]byte{u.Record}, s.heads[u.Name]...)
	return nil
}

func (s *store) put(w share.WholeShare) error {
	if _, err := encoding.ParseWhole(w.Index, w.Number, w.Data); err != nil {
		return err
	}
	if s.wholes[w.Index] == nil {
		s.wholes[w.Index] = map[share.Number][]byte{}
	}
	s.wholes[w.Index][w.Number] = slices.Clone(w.Data)
	return nil
}

func (s *store) History(ctx context.Context, name share.Name) ([][]byte, error) {
	if err := s.begin(ctx, "history"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heads[name]), nil
}

func (s *store) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := s.begin(ctx, "put"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(shares))
	for i, w := range shares {
		if !s.forget {
			errs[i] = s.put(w)
		}
	}
	return errs, nil
}

func (s *store) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	if err := s.begin(ctx, "fetch"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([][]share.WholeShare, len(indexes))
	for i, index := range indexes {
		out[i] = s.held(index)
	}
	return out, nil
}

// Numbers knows the whole shares too.
func (s *store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	if err := s.begin(ctx, "numbers"); err != nil {
		return nil, err
	}
	held, err := s.Store.Numbers(ctx, indexes)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, index := range indexes {
		for number, data := range s.wholes[index] {
			w, err := encoding.ParseWhole(index, number, data)
			if err != nil {
				return nil, err
			}
			held[i].Numbers = append(held[i].Numbers, number)
			held[i].Root = w.Root.Marshal()
		}
		slices.Sort(held[i].Numbers)
	}
	return held, nil
}

// A grid is some stores as servers.
type grid struct {
	stores []*store
	down   map[int]bool
	mu     sync.Mutex
}

func newGrid(n int) *grid {
	g := &grid{down: map[int]bool{}}
	for i := range n {
		g.stores = append(g.stores, newStore(fmt.Sprintf("s%02d", i)))
	}
	return g
}

func (g *grid) servers(context.Context) []share.Server {
	g.mu.Lock()
	defer g.mu.Unlock()
	var servers []share.Server
	for i, s := range g.stores {
		id := sha256.Sum256([]byte(s.name))
		servers = append(servers, share.Server{
			ID: share.ServerID(fmt.Sprintf("%x", id[:8])), Nickname: s.name, Store: s, Free: 1 << 30, Down: g.down[i],
		})
	}
	return servers
}

func (s *store) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	if err := s.begin(ctx, "open"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	data, ok := s.wholes[index][number]
	s.mu.Unlock()
	if ok {
		return wholeReader(data), nil
	}
	return s.Store.Open(ctx, index, number)
}

type wholeReader []byte

func (r wholeReader) Size() int64  { return int64(len(r)) }
func (r wholeReader) Close() error { return nil }

func (r wholeReader) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := copy(p, r[min(off, int64(len(r))):]); n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return len(p), nil
}
