package storage_test

import (
	"testing"

	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// TestConformance runs the suite of all Stores against a client whose server is on another host.
func TestConformance(t *testing.T) {
	for name, address := range map[string]string{"TCP": tcp, "QUIC": quic} {
		t.Run(name, func(t *testing.T) {
			far := hostAt(t, address)
			near := hostAt(t, address, far.Addresses()...)
			serves := map[share.Store]*memory.Store{}
			storetest.Suite{
				Owner: string(near.ID()),
				Open: func(t *testing.T) share.Store {
					served := memory.New(memory.Options{})
					server := storage.NewServer(served, storage.ServerOptions{})
					server.Register(far)
					client := storage.NewClient(near, far.ID(), storage.ClientOptions{})
					t.Cleanup(func() {
						client.Close()
						server.Close()
					})
					serves[client] = served
					return client
				},
				Damage: func(_ *testing.T, store share.Store, f *storetest.File, n share.Number, damage storetest.Damage) bool {
					return f.DamageIn(serves[store], n, damage)
				},
			}.Run(t)
		})
	}
}
