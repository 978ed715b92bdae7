package storage_test

import (
	"errors"
	"testing"

	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// TestForgo: a peer ends its own leases, whatever owner it names, and those of nobody else.
func TestForgo(t *testing.T) {
	store := memory.New(memory.Options{})
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 2, 3, 4096, 20000)
	for _, owner := range []string{p.owner(), "another"} {
		if err := f.Put(t.Context(), store, 1, owner); err != nil {
			t.Fatal(err)
		}
	}
	many := make([]share.StorageIndex, 300)
	many[299] = f.Index
	if err := p.client.Release(t.Context(), "another", many); err != nil {
		t.Fatal(err)
	}
	leases, err := store.Leases(t.Context(), f.Index)
	if err != nil || len(leases) != 1 || leases[0].Owner != "another" {
		t.Errorf("the leases left are %v, %v", leases, err)
	}
}

// TestForgoUnknown asks a server of an older version, and one whose store keeps leases.
func TestForgoUnknown(t *testing.T) {
	far := hostAt(t, tcp)
	near := hostAt(t, tcp, far.Addresses()...)
	old := storage.NewServer(memory.New(memory.Options{}), storage.ServerOptions{})
	old.Register(older{far, wire.KindForgo})
	t.Cleanup(func() { old.Close() })
	client := storage.NewClient(near, far.ID(), storage.ClientOptions{})
	t.Cleanup(func() { client.Close() })
	if err := client.Release(t.Context(), "", []share.StorageIndex{{1}}); !errors.Is(err, share.ErrVersion) {
		t.Errorf("an older server: %v", err)
	}
	if _, err := client.Numbers(t.Context(), []share.StorageIndex{{1}}); err != nil {
		t.Errorf("the next question: %v", err)
	}
	plain := connect(t, struct{ share.Store }{memory.New(memory.Options{})}, storage.ServerOptions{}, storage.ClientOptions{})
	if err := plain.client.Release(t.Context(), "", []share.StorageIndex{{1}}); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a store that keeps leases: %v", err)
	}
}
