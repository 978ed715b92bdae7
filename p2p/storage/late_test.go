package storage_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/waittest"
	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A lateness keeps the first stream to write from its handler until it is let go.
type lateness struct {
	storage.Registrar
	first         sync.Once
	letGo, served chan struct{}
}

func (l *lateness) Handle(name string, handler func(network.Stream)) {
	if name != storage.Write {
		l.Registrar.Handle(name, handler)
		return
	}
	l.Registrar.Handle(name, func(s network.Stream) {
		first := false
		l.first.Do(func() { first = true })
		if !first {
			handler(s)
			return
		}
		<-l.letGo
		handler(s)
		close(l.served)
	})
}

// serveLate serves a store with which the first stream to write waits until finishFirst. It returns a client whose streams are cut.
func serveLate(t *testing.T) (c *cutter, client *storage.Client, finishFirst func()) {
	t.Helper()
	p := &pair{far: host(t)}
	p.near = host(t, p.far.Addresses()...)
	p.server = storage.NewServer(memory.New(memory.Options{}), storage.ServerOptions{})
	late := &lateness{Registrar: p.far, letGo: make(chan struct{}), served: make(chan struct{})}
	p.server.Register(late)
	letGo := sync.OnceFunc(func() { close(late.letGo) })
	t.Cleanup(func() { letGo(); p.server.Close() })
	c = &cutter{StreamOpener: p.near, name: storage.Write}
	client = storage.NewClient(c, p.far.ID(), storage.ClientOptions{WriteTimeout: waittest.Patience})
	t.Cleanup(func() { client.Close() })
	return c, client, func() { letGo(); <-late.served }
}

// TestLateCreate resumes an upload before the server sees the stream of the first attempt, which was cut: what comes late
// takes nothing over.
func TestLateCreate(t *testing.T) {
	t.Parallel()
	f := storetest.NewFile(t, 1, 1, 2, 4096, 40_000)
	begin := func(t *testing.T) (client *storage.Client, w share.Writer, finishFirst func()) {
		t.Helper()
		c, client, finishFirst := serveLate(t)
		c.refill(9000, -1)
		if err := f.Put(t.Context(), client, 1, ""); !errors.Is(err, share.ErrUnavailable) {
			t.Fatalf("an upload that was cut: %v", err)
		}
		c.refill(-1, -1)
		w, err := client.Create(t.Context(), f.Upload(1, ""))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		if have, err := w.Have(t.Context()); err != nil || have != 0 {
			t.Fatalf("have %d blocks, %v; want none", have, err)
		}
		if err := f.Append(t.Context(), w, 1, 0, 3); err != nil {
			t.Fatal(err)
		}
		return client, w, finishFirst
	}
	t.Run("while it is written", func(t *testing.T) {
		t.Parallel()
		client, w, finishFirst := begin(t)
		finishFirst()
		if err := f.Append(t.Context(), w, 1, 3, f.Segments()); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context(), f.Root); err != nil {
			t.Fatal(err)
		}
		wantShare(t, client, f, 1)
	})
	t.Run("while it is left", func(t *testing.T) {
		t.Parallel()
		client, w, finishFirst := begin(t)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		finishFirst()
		again, err := client.Create(t.Context(), f.Upload(1, ""))
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if have, err := again.Have(t.Context()); err != nil || have != 3 {
			t.Fatalf("have %d blocks, %v; want 3", have, err)
		}
	})
	t.Run("after it was stored", func(t *testing.T) {
		t.Parallel()
		client, w, finishFirst := begin(t)
		if err := f.Append(t.Context(), w, 1, 3, f.Segments()); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context(), f.Root); err != nil {
			t.Fatal(err)
		}
		finishFirst()
		progress, err := client.Uploads(t.Context(), "", f.Key.UploadID())
		if err != nil || len(progress) != 1 || progress[0].Index != f.Index {
			t.Errorf("progress %v, %v; want a stored share alone", progress, err)
		}
	})
}
