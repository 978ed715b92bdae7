package storage_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A countedStore counts how many complaints it looks into at a time.
type countedStore struct {
	*memory.Store
	now, most, all atomic.Int64
}

func (s *countedStore) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (bool, error) {
	now := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	s.all.Add(1)
	return s.Store.Recheck(ctx, index, number, segment)
}

// TestRecheckIsNotBelieved has a peer complain of good shares as often as it likes: they stay, and one complaint is looked into at a time.
func TestRecheckIsNotBelieved(t *testing.T) {
	store := &countedStore{Store: memory.New(memory.Options{})}
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 2, 3, 64<<10, 3<<20)
	if err := f.Put(t.Context(), store.Store, 1, "somebody"); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	clients := []*storage.Client{p.client, p.newClient(t, storage.ClientOptions{}), p.newClient(t, storage.ClientOptions{})}
	for i := range 60 {
		group.Go(func() error {
			held, err := clients[i%3].Recheck(t.Context(), f.Index, share.Number(i%2), int64(i%40-5))
			if err == nil && held != (i%2 == 1) {
				err = errors.New("a good share is gone, or one that was never there is held")
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if store.most.Load() != 1 || store.all.Load() != 60 {
		t.Errorf("%d complaints of one peer at a time, %d in all", store.most.Load(), store.all.Load())
	}
	if err := f.Check(t.Context(), p.client, 1); err != nil {
		t.Error(err)
	}
}

// A costlyStore says of each complaint that it reads so much.
type costlyStore struct {
	*memory.Store
	read   int64
	looked atomic.Int64
}

func (s *costlyStore) Examine(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (bool, int64, error) {
	s.looked.Add(1)
	held, err := s.Recheck(ctx, index, number, segment)
	return held, s.read, err
}

// TestComplaintsHaveABudget has peers complain of a good share without end, whatever the store says of what it costs. Time only gives more.
func TestComplaintsHaveABudget(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, 1<<20, 3<<20)
	keep := memory.New(memory.Options{})
	if err := f.Put(t.Context(), keep, 1, "somebody"); err != nil {
		t.Fatal(err)
	}
	costly := &costlyStore{Store: keep, read: 4 << 20}
	for what, test := range map[string]struct {
		store   share.Store
		allowed int
	}{
		"a store that tells what it reads":      {costly, 16},
		"a store that does not":                 {keep, 64},
		"a store that has read next to nothing": {&costlyStore{Store: keep, read: 1}, 256},
		"a store that remembers":                {&costlyStore{Store: keep}, 1000},
	} {
		t.Run(what, func(t *testing.T) {
			p := connect(t, test.store, storage.ServerOptions{}, storage.ClientOptions{})
			answered, refused := 0, error(nil)
			for refused == nil && answered < 1000 {
				held, err := p.client.Recheck(t.Context(), f.Index, 1, 0)
				if err == nil && !held {
					t.Fatal("a good share is not held any more")
				}
				if refused = err; err == nil {
					answered++
				}
			}
			if answered < test.allowed || test.allowed < 1000 && !errors.Is(refused, share.ErrBusy) {
				t.Errorf("%d complaints looked into, then %v; want %d", answered, refused, test.allowed)
			}
			if test.allowed == 1000 {
				return
			}
			another := hostAt(t, tcp, p.far.Addresses()...)
			client := storage.NewClient(another, p.far.ID(), storage.ClientOptions{})
			defer client.Close()
			if held, err := client.Recheck(t.Context(), f.Index, 1, 0); !held || err != nil {
				t.Errorf("another peer's complaint: %v, %v", held, err)
			}
		})
	}
}

// A damagedStore finds one share damaged, and all others good at a high price.
type damagedStore struct {
	*memory.Store
	damaged share.StorageIndex
}

func (s damagedStore) Examine(_ context.Context, index share.StorageIndex, _ share.Number, _ int64) (bool, int64, error) {
	return index != s.damaged, 8 << 20, nil
}

// TestTrueComplaintIsHeard has five members complain of good shares without end. The complaint of a sixth one, which is right, is looked into.
func TestTrueComplaintIsHeard(t *testing.T) {
	damaged := share.StorageIndex{1}
	p := connect(t, damagedStore{memory.New(memory.Options{}), damaged}, storage.ServerOptions{}, storage.ClientOptions{})
	for i := range 5 {
		client := storage.NewClient(hostAt(t, tcp, p.far.Addresses()...), p.far.ID(), storage.ClientOptions{})
		defer client.Close()
		var refused error
		for n := 0; refused == nil; n++ {
			if n == 100 {
				t.Fatalf("member %d may complain as often as it likes", i)
			}
			_, refused = client.Recheck(t.Context(), share.StorageIndex{2}, 0, 0)
		}
		if !errors.Is(refused, share.ErrBusy) {
			t.Fatal(refused)
		}
	}
	if held, err := p.client.Recheck(t.Context(), damaged, 0, 0); held || err != nil {
		t.Errorf("a complaint that is right: %v, %v", held, err)
	}
}

// TestRightComplaintsAreFree complains of what is not held, or turns out damaged, as often as it takes.
func TestRightComplaintsAreFree(t *testing.T) {
	store := &costlyStore{Store: memory.New(memory.Options{}), read: 1 << 40}
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	for range 10 {
		if held, err := p.client.Recheck(t.Context(), share.StorageIndex{1}, 0, 0); held || err != nil {
			t.Fatalf("recheck: %v, %v", held, err)
		}
	}
	if looked := store.looked.Load(); looked != 10 {
		t.Errorf("%d complaints looked into", looked)
	}
}

// TestRecheckUnknown complains to a server of an older version, and to one whose store looks into nothing.
func TestRecheckUnknown(t *testing.T) {
	far := hostAt(t, tcp)
	near := hostAt(t, tcp, far.Addresses()...)
	old := storage.NewServer(memory.New(memory.Options{}), storage.ServerOptions{})
	old.Register(older{far, wire.KindRecheck})
	t.Cleanup(func() { old.Close() })
	client := storage.NewClient(near, far.ID(), storage.ClientOptions{})
	t.Cleanup(func() { client.Close() })
	if held, err := client.Recheck(t.Context(), share.StorageIndex{1}, 0, 0); !errors.Is(err, share.ErrVersion) {
		t.Errorf("recheck: %v, %v", held, err)
	}
	if _, err := client.Numbers(t.Context(), []share.StorageIndex{{1}}); err != nil {
		t.Errorf("the next question: %v", err)
	}
	plain := connect(t, struct{ share.Store }{memory.New(memory.Options{})}, storage.ServerOptions{}, storage.ClientOptions{})
	if held, err := plain.client.Recheck(t.Context(), share.StorageIndex{1}, 0, 0); !errors.Is(err, share.ErrDenied) {
		t.Errorf("recheck with a plain store: %v, %v", held, err)
	}
}
