package grid_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid"
	"cairn/share"
	"cairn/share/keys"
	"cairn/share/memory"
)

// A moody server does what a test says, once it has a say.
type moody struct {
	*memory.Store
	say     atomic.Pointer[func(ctx context.Context, op string) error]
	refuses atomic.Bool // to tell what it has
}

func (s *moody) on(say func(ctx context.Context, op string) error) { s.say.Store(&say) }

func (s *moody) ask(ctx context.Context, op string) error {
	if say := s.say.Load(); say != nil {
		return (*say)(ctx, op)
	}
	return nil
}

func (s *moody) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	w, err := s.Store.Create(ctx, u)
	return &slowWriter{w, &slowly{commit: func(ctx context.Context) error { return s.ask(ctx, "commit") }}}, err
}

func (s *moody) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	if s.refuses.Load() {
		return nil, errRefused
	}
	return s.Store.Numbers(ctx, indexes)
}

func (s *moody) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if err := s.ask(ctx, "renew"); err != nil {
		return err
	}
	return s.Store.Renew(ctx, indexes, lease)
}

func (s *moody) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := s.ask(ctx, "put"); err != nil {
		return nil, err
	}
	return s.Store.Put(ctx, shares, lease)
}

func (s *moody) Release(ctx context.Context, owner string, indexes []share.StorageIndex) error {
	if err := s.ask(ctx, "release"); err != nil {
		return err
	}
	return s.Store.Release(ctx, owner, indexes)
}

// distant is a server on another node: it does not tell of leases.
type distant struct {
	share.Store
	share.Resumer
	share.Batcher
	share.Releaser
}

// A lister tells what it holds and which leases are on it.
type lister interface {
	List(context.Context, share.StorageIndex, int) ([]share.StorageIndex, error)
	Leases(context.Context, share.StorageIndex) ([]share.Lease, error)
}

// leased returns how many leases there are on what a store holds.
func leased(t *testing.T, s lister) (n int) {
	t.Helper()
	held, err := s.List(t.Context(), share.StorageIndex{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range held {
		leases, err := s.Leases(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		n += len(leases)
	}
	return n
}

// moodyMembers are members of which the first is this node.
func moodyMembers(n int) (*members, []*moody) {
	m := newMembers(n)
	stores := make([]*moody, n)
	for i := range m.servers {
		stores[i] = &moody{Store: m.servers[i].Store.(*memory.Store)}
		m.servers[i].Store = stores[i]
		if i > 0 {
			m.servers[i].Store = distant{stores[i], stores[i], stores[i], stores[i]}
		}
	}
	return m, stores
}

func refuse(context.Context, string) error { return errRefused }

// hangOnce hangs in the first call, and then does as it is told.
func hangOnce(then func(context.Context, string) error) func(context.Context, string) error {
	var hung atomic.Bool
	return func(ctx context.Context, op string) error {
		if hung.CompareAndSwap(false, true) {
			return hang(ctx)
		}
		return then(ctx, op)
	}
}

func willing(context.Context, string) error { return nil }

// TestFailedPutSparesOneThatSettles: while a put that has succeeded waits for its last server, the same put fails. What the second one has placed there stays.
func TestFailedPutSparesOneThatSettles(t *testing.T) {
	for _, size := range []int{1000, 2000000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { failWhileAnotherSettles(t, size) })
		})
	}
}

func failWhileAnotherSettles(t *testing.T, size int) {
	m, stores := moodyMembers(4)
	g := m.grid(t, keys.NewConvergenceSecret())
	data := pattern(size)
	o := known(data)
	o.Params = share.Params{Needed: 2, Happy: 3, Total: 4}
	stores[0].on(hangOnce(willing))
	if result := put(t, g, data, o); result.Placed != 3 {
		t.Fatalf("%+v", result)
	}
	for _, s := range stores[1:] {
		s.refuses.Store(true)
		s.on(refuse)
	}
	if result, err := g.Put(t.Context(), bytes.NewReader(data), o); err == nil {
		t.Fatalf("stored: %+v", result)
	}
	g.Close()
	for i, s := range stores {
		if n := leased(t, s); n != 1 {
			t.Errorf("%d leases on server %d, want 1", n, i)
		}
	}
}

// TestFailedSmallFilesAreLetGo: small files that are not stored, alone or in a batch, leave no lease in the own store. One that was there before, and one that
// somebody else stores at the same time, keep theirs, and so does each one once it is stored.
func TestFailedSmallFilesAreLetGo(t *testing.T) {
	data := [][]byte{pattern(1000), pattern(1001), pattern(1002)}
	for name, store := range map[string]func(*testing.T, *grid.Grid, ...[]byte) error{"single": putEach, "batch": putBatch} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, stores := moodyMembers(3)
				g := m.grid(t, keys.NewConvergenceSecret())
				if err := putBatch(t, g, data[0]); err != nil {
					t.Fatal(err)
				}
				tell := func(say func(context.Context, string) error) {
					stores[1].on(say)
					stores[2].on(say)
				}
				tell(refuse)
				for range 2 { // also when it has failed once more
					if err := store(t, g, data...); err == nil {
						t.Fatal("stored with one server of three")
					}
					if n := leased(t, stores[0]); n != 1 {
						t.Errorf("%d leases in the own store, want that of the file which was stored", n)
					}
				}
				stores[1].on(hangOnce(refuse))
				stores[2].on(hangOnce(refuse))
				var first sync.WaitGroup
				first.Go(func() {
					if err := putBatch(t, g, data[1]); err == nil {
						t.Error("stored with one server of three")
					}
				})
				synctest.Wait()
				tell(willing)
				if err := store(t, g, data[1]); err != nil {
					t.Error(err)
				}
				tell(refuse)
				first.Wait()
				if n := leased(t, stores[0]); n != 2 {
					t.Errorf("%d leases in the own store, want those of two files which were stored", n)
				}
				stores[0].Collect(time.Now().Add(14 * 24 * time.Hour))
				tell(willing)
				if err := store(t, g, data...); err != nil {
					t.Error(err)
				}
				if n := leased(t, stores[0]); n != 3 {
					t.Errorf("%d leases in the own store, want those of all files", n)
				}
			})
		})
	}
}

// TestNobodyCountsOnWhatIsLetGo: who stores a file waits while an upload of it that has failed lets go of its shares.
func TestNobodyCountsOnWhatIsLetGo(t *testing.T) {
	for first, fails := range map[string]func(*testing.T, *grid.Grid, ...[]byte) error{"single": putEach, "batch": putBatch} {
		for second, stores := range map[string]func(*testing.T, *grid.Grid, ...[]byte) error{"single": putEach, "batch": putBatch} {
			t.Run(first+" then "+second, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { storeWhileLettingGo(t, fails, stores) })
			})
		}
	}
}

func storeWhileLettingGo(t *testing.T, fails, stores func(*testing.T, *grid.Grid, ...[]byte) error) {
	m, servers := moodyMembers(3)
	g := m.grid(t, keys.NewConvergenceSecret())
	let := make(chan struct{})
	servers[0].on(func(_ context.Context, op string) error {
		if op == "release" {
			<-let
		}
		return nil
	})
	servers[1].on(refuse)
	servers[2].on(refuse)
	data := pattern(1000)
	var both sync.WaitGroup
	both.Go(func() {
		if err := fails(t, g, data); err == nil {
			t.Error("stored with one server of three")
		}
	})
	synctest.Wait() // it lets go
	servers[1].on(willing)
	servers[2].on(willing)
	both.Go(func() {
		if err := stores(t, g, data); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := g.PutBatch(ctx, [][]byte{data}); err == nil {
		t.Error("stored while a failed upload of the same file lets go")
	}
	close(let)
	both.Wait()
	if n := leased(t, servers[0]); n != 1 {
		t.Errorf("%d leases in the own store on a file that is stored", n)
	}
}

func putEach(t *testing.T, g *grid.Grid, data ...[]byte) (err error) {
	for _, d := range data {
		if _, failed := g.Put(t.Context(), bytes.NewReader(d), known(d)); failed != nil {
			err = failed
		}
	}
	return err
}

func putBatch(t *testing.T, g *grid.Grid, data ...[]byte) error {
	_, err := g.PutBatch(t.Context(), data)
	return err
}
