package storage_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/storetest"
)

// An agingHost opens streams that are outdated from the next generation on, as those over a relay are once there is a
// direct connection.
type agingHost struct {
	*p2p.Host
	generation, opened atomic.Int64
}

type agingStream struct {
	network.Stream
	host *agingHost
	born int64
}

func (s *agingStream) Outdated() bool { return s.host.generation.Load() > s.born }

func (h *agingHost) Stream(ctx context.Context, id share.ServerID, name string) (network.Stream, error) {
	s, err := h.Host.Stream(ctx, id, name)
	if err != nil {
		return nil, err
	}
	h.opened.Add(1)
	return &agingStream{s, h, h.generation.Load()}, nil
}

// TestOutdatedStreams: what is asked, read and stored after a better way to the peer came up goes over new streams, and
// what was under way ends well.
func TestOutdatedStreams(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	host := &agingHost{Host: p.near}
	client := storage.NewClient(host, p.far.ID(), storage.ClientOptions{})
	t.Cleanup(func() { client.Close() })
	f := storetest.NewFile(t, 1, 1, 2, 4096, 5000)
	use := func(n share.Number) {
		t.Helper()
		if err := f.Put(t.Context(), client, n, ""); err != nil {
			t.Fatal(err)
		}
		r, err := client.Open(t.Context(), f.Index, n)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.ReadAt(t.Context(), make([]byte, 100), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil {
			t.Fatal(err)
		}
	}
	use(0)
	first := host.opened.Load()
	use(1)
	if again := host.opened.Load(); again != first {
		t.Fatalf("%d streams at first and %d later, without a reason", first, again)
	}
	open, err := client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	host.generation.Add(1)
	if _, err := open.ReadAt(t.Context(), make([]byte, 100), 0); err != nil {
		t.Errorf("a share that was open: %v", err)
	}
	f2 := storetest.NewFile(t, 2, 1, 2, 4096, 5000)
	if err := f2.Put(t.Context(), client, 0, ""); err != nil {
		t.Error(err)
	}
	if _, err := client.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil {
		t.Error(err)
	}
	if fresh := host.opened.Load() - first; fresh != first {
		t.Errorf("%d streams were replaced, want %d: to ask, to read and to write", fresh, first)
	}
}
