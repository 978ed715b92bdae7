package storage_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"cairn/internal/hostile"
	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A wary host counts the peers that it is told to suspect.
type wary struct {
	*p2p.Host
	suspected atomic.Int64
}

func (w *wary) Suspect(id share.ServerID) {
	w.suspected.Add(1)
	w.Host.Suspect(id)
}

// TestNoSpaceIsAskedAbout: a peer that turns out to have less room than it said is asked how much it has.
func TestNoSpaceIsAskedAbout(t *testing.T) {
	t.Parallel()
	far := host(t)
	near := &wary{Host: host(t, far.Addresses()...)}
	server := storage.NewServer(memory.New(memory.Options{Offer: 1000}), storage.ServerOptions{})
	defer server.Close()
	server.Register(far)
	client := storage.NewClient(near, far.ID(), storage.ClientOptions{})
	defer client.Close()
	f := storetest.NewFile(t, 1, 1, 2, 4096, 5000)
	if err := f.Put(t.Context(), client, 0, ""); !errors.Is(err, share.ErrNoSpace) {
		t.Fatalf("a share that does not fit: %v", err)
	}
	if near.suspected.Load() == 0 {
		t.Error("nobody asks how much room it has")
	}
}

// TestSuspect has a peer that takes everything and says nothing: whoever waits for it tells the host before the time is
// over, and an honest peer is not suspected.
func TestSuspect(t *testing.T) {
	t.Parallel()
	f := storetest.NewFile(t, 1, 1, 2, 4096, 5000)
	for what, ask := range map[string]func(*storage.Client) error{
		"question": func(c *storage.Client) error {
			_, err := c.Numbers(t.Context(), []share.StorageIndex{f.Index})
			return err
		},
		"read": func(c *storage.Client) error {
			_, err := c.Open(t.Context(), f.Index, 0)
			return err
		},
		"upload": func(c *storage.Client) error { return f.Put(t.Context(), c, 0, "") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			far := host(t)
			near := &wary{Host: host(t, far.Addresses()...)}
			peer := hostile.Handle(far, hostile.Mute, memory.New(memory.Options{}))
			defer peer.Close()
			const patience = 1800 * time.Millisecond
			client := storage.NewClient(near, far.ID(), storage.ClientOptions{
				AskTimeout: patience, ReadTimeout: patience, WriteTimeout: patience,
			})
			defer client.Close()
			if err := ask(client); !errors.Is(err, share.ErrUnavailable) {
				t.Errorf("from a mute peer: %v", err)
			}
			before := near.suspected.Load()
			if before == 0 {
				t.Error("a mute peer is not suspected")
			}
			peer.Become(hostile.Honest)
			if err := ask(client); err != nil && !errors.Is(err, share.ErrNotFound) {
				t.Errorf("from an honest peer: %v", err)
			}
			if near.suspected.Load() != before {
				t.Error("an honest peer is suspected")
			}
		})
	}
}
