package grid_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/keys"
	"cairn/share/memory"
)

// An asked store counts what it is asked, and spoils one file where shares travel whole.
type asked struct {
	*memory.Store
	numbers, opens, fetches atomic.Int64

	mu    sync.Mutex // guards what follows
	spoil share.StorageIndex
}

func (a *asked) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	a.numbers.Add(1)
	return a.Store.Numbers(ctx, indexes)
}

func (a *asked) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	a.opens.Add(1)
	return a.Store.Open(ctx, index, number)
}

func (a *asked) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	a.fetches.Add(1)
	found, err := a.Store.Fetch(ctx, indexes)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, shares := range found {
		if indexes[i] == a.spoil && len(shares) > 0 {
			shares[0].Data = slices.Clone(shares[0].Data)
			shares[0].Data[0] ^= 1
		}
	}
	return found, err
}

// TestCheckTreeAsksTogether: many small files are checked and verified with few questions to each server, every byte that
// came is looked at, and a large file among them is read as it always is.
func TestCheckTreeAsksTogether(t *testing.T) { synctest.Test(t, testCheckTreeAsksTogether) }

func testCheckTreeAsksTogether(t *testing.T) {
	m := &members{}
	var stores []*asked
	for i := range 5 {
		stores = append(stores, &asked{Store: memory.New(memory.Options{})})
		m.servers = append(m.servers, share.Server{ID: share.ServerID(fmt.Sprintf("server-%02d", i)), Store: stores[i], Free: 1 << 40})
	}
	g := m.grid(t, keys.NewConvergenceSecret())
	root, err := g.Dirs().Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const small = 100
	var spoiled share.StorageIndex
	for i := range small + 1 {
		data := pattern(1000 + i)
		if i == small {
			data = pattern(1 << 20)
		}
		c := put(t, g, data, known(data)).Capability
		if _, err := g.Tree().Link(t.Context(), root, fmt.Sprintf("file-%03d", i), dir.Entry{Capability: c}, tree.LinkOptions{}); err != nil {
			t.Fatal(err)
		}
		if i == 7 {
			spoiled, _ = c.StorageIndex()
		}
	}
	check := func(verify bool) (healthy int, bad []grid.TreeResult) {
		t.Helper()
		for _, s := range stores {
			s.numbers.Store(0)
			s.opens.Store(0)
			s.fetches.Store(0)
		}
		_, problems, err := g.CheckTree(t.Context(), root, "", grid.TreeOptions{Verify: verify, Each: func(r grid.TreeResult) {
			if r.Err == nil && r.Report.Healthy && r.Report.Verified == verify {
				healthy++
			} else {
				bad = append(bad, r)
			}
		}})
		if err != nil || len(problems) > 0 {
			t.Fatal(problems, err)
		}
		for i, s := range stores {
			if n, o, f := s.numbers.Load(), s.opens.Load(), s.fetches.Load(); n > 3 || o > 2 || f > 4 || !verify && o > 0 {
				t.Errorf("server %d got %d questions, %d openings and %d fetches", i, n, o, f)
			}
		}
		return healthy, bad
	}
	for _, verify := range []bool{false, true} {
		if healthy, bad := check(verify); healthy <= small || len(bad) > 0 {
			t.Errorf("verify %t: %d are healthy of more than %d, others: %+v", verify, healthy, small, bad)
		}
	}
	stores[2].mu.Lock()
	stores[2].spoil = spoiled
	stores[2].mu.Unlock()
	_, bad := check(true)
	if len(bad) != 1 || bad[0].Index != spoiled || len(bad[0].Report.Corrupt) != 1 || bad[0].Report.Corrupt[0].Peer != "server-02" || bad[0].Report.Corrupt[0].Dropped {
		t.Errorf("one bad share: %+v", bad)
	}
	for n := range share.Number(5) { // the share that the server has is the one that is damaged now
		stores[3].Damage(spoiled, n, func(data []byte) []byte { data[0] ^= 1; return data })
	}
	stores[2].mu.Lock()
	stores[2].spoil = share.StorageIndex{}
	stores[2].mu.Unlock()
	_, bad = check(true)
	if len(bad) != 1 || bad[0].Index != spoiled || len(bad[0].Report.Corrupt) != 1 || bad[0].Report.Corrupt[0].Peer != "server-03" || !bad[0].Report.Corrupt[0].Dropped {
		t.Errorf("one damaged share: %+v", bad)
	}
}
