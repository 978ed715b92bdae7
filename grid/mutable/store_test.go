package mutable_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/keys"
	"cairn/share/memory"
)

// A store is a memory.Store with whatever a test wants to go wrong.
type store struct {
	*memory.Store
	name string

	mu     sync.Mutex // guards what follows
	before func(ctx context.Context, op string) error
	// after may change what Heads has answered, or what SetHead says.
	after func(op string, held []share.HeldHead, err error) error
	// keeps, if it says false, makes SetHead and Put say yes and keep nothing.
	keeps   func() bool
	updates []share.HeadUpdate
	calls   map[string]int
	since   []uint64 // what History was asked for
}

func newStore(name string) *store {
	return &store{Store: memory.New(memory.Options{}), name: name, calls: map[string]int{}}
}

// on has something happen before every operation.
func (s *store) on(before func(ctx context.Context, op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

func hang(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func dead(context.Context, string) error { return share.ErrUnavailable }

func (s *store) begin(ctx context.Context, op string) error {
	s.mu.Lock()
	before := s.before
	s.calls[op]++
	s.mu.Unlock()
	if before != nil {
		return before(ctx, op)
	}
	return ctx.Err()
}

func (s *store) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

func (s *store) end(op string, held []share.HeldHead, err error) error {
	s.mu.Lock()
	after := s.after
	s.mu.Unlock()
	if after == nil {
		return err
	}
	return after(op, held, err)
}

func (s *store) forgets() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keeps != nil && !s.keeps()
}

func (s *store) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	if err := s.begin(ctx, "heads"); err != nil {
		return nil, err
	}
	held, err := s.Store.Heads(ctx, names, shares)
	return held, s.end("heads", held, err)
}

func (s *store) SetHead(ctx context.Context, u share.HeadUpdate) error {
	if err := s.begin(ctx, "sethead"); err != nil || s.forgets() {
		return err
	}
	s.mu.Lock()
	s.updates = append(s.updates, u)
	s.mu.Unlock()
	return s.end("sethead", nil, s.Store.SetHead(ctx, u))
}

func (s *store) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	if err := s.begin(ctx, "history"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.since = append(s.since, since)
	s.mu.Unlock()
	return s.Store.History(ctx, name, since)
}

func (s *store) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := s.begin(ctx, "put"); err != nil {
		return nil, err
	}
	if s.forgets() {
		return make([]error, len(shares)), nil
	}
	return s.Store.Put(ctx, shares, lease)
}

func (s *store) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	if err := s.begin(ctx, "fetch"); err != nil {
		return nil, err
	}
	return s.Store.Fetch(ctx, indexes)
}

func (s *store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	if err := s.begin(ctx, "numbers"); err != nil {
		return nil, err
	}
	return s.Store.Numbers(ctx, indexes)
}

func (s *store) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	if err := s.begin(ctx, "create"); err != nil {
		return nil, err
	}
	return s.Store.Create(ctx, u)
}

func (s *store) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	if err := s.begin(ctx, "open"); err != nil {
		return nil, err
	}
	return s.Store.Open(ctx, index, number)
}

// numbers returns the shares of a small file that the store holds, whatever goes wrong with it otherwise.
func (s *store) numbers(t *testing.T, index share.StorageIndex) []share.Number {
	t.Helper()
	held, err := s.Store.Fetch(t.Context(), []share.StorageIndex{index})
	if err != nil {
		t.Fatal(err)
	}
	var numbers []share.Number
	for _, w := range held[0] {
		numbers = append(numbers, w.Number)
	}
	return numbers
}

// A grid is some stores as servers.
type grid struct {
	stores []*store

	mu   sync.Mutex // guards what follows
	down map[int]bool
}

func newGrid(n int) *grid {
	g := &grid{down: map[int]bool{}}
	for i := range n {
		g.stores = append(g.stores, newStore(fmt.Sprintf("s%02d", i)))
	}
	return g
}

// setDown has everybody believe that some servers are down, and the others up.
func (g *grid) setDown(down ...int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.down)
	for _, i := range down {
		g.down[i] = true
	}
}

func (g *grid) servers(context.Context) []share.Server {
	g.mu.Lock()
	defer g.mu.Unlock()
	servers := make([]share.Server, 0, len(g.stores))
	for i, s := range g.stores {
		servers = append(servers, share.Server{ID: s.id(), Nickname: s.name, Store: s, Free: 1 << 30, Down: g.down[i]})
	}
	return servers
}

func (s *store) id() share.ServerID {
	id := sha256.Sum256([]byte(s.name))
	return share.ServerID(fmt.Sprintf("%x", id[:8]))
}

// part is the grid as somebody sees it who reaches only some of its servers.
func (g *grid) part(first, end int) *grid {
	return &grid{down: map[int]bool{}, stores: g.stores[first:end]}
}

// writeApart writes the first version of a file of which the last servers hold enough shares to read it. Which servers get shares
// follows from the key.
func writeApart(t *testing.T, g *grid, m *mutable.Files, last, needed int) (keys.WriteKey, *mutable.Version) {
	t.Helper()
	for {
		key := keys.NewWriteKey()
		v := write(t, m, key, nil, "one")
		held := 0
		for _, s := range g.stores[len(g.stores)-last:] {
			held += len(s.numbers(t, v.Head.Root))
		}
		if held >= needed {
			return key, v
		}
	}
}
