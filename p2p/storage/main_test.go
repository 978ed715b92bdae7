package storage_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host opens a host on loopback, over TCP with TLS, that the test closes.
func host(t testing.TB, bootstrap ...string) *p2p.Host {
	t.Helper()
	return hostAt(t, tcp, bootstrap...)
}

func hostAt(t testing.TB, address string, bootstrap ...string) *p2p.Host {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := p2p.Open(t.Context(), p2p.Config{
		Key: key, Grid: "test", Listen: []string{address}, Bootstrap: bootstrap,
		DialTimeout: waittest.Patience, AnswerWithin: waittest.Patience,
		Self: func() wire.Hello { return wire.Hello{Nickname: "node", Version: "test"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close host: %v", err)
		}
	})
	return h
}

// A pair is two hosts and what is between them.
type pair struct {
	near, far *p2p.Host
	server    *storage.Server
	client    *storage.Client
}

// connect returns a pair in which the far host serves the store.
func connect(t testing.TB, store share.Store, so storage.ServerOptions, co storage.ClientOptions) *pair {
	t.Helper()
	return connectAt(t, tcp, store, so, co)
}

const (
	tcp  = "/ip4/127.0.0.1/tcp/0"
	quic = "/ip4/127.0.0.1/udp/0/quic-v1"
)

func connectAt(t testing.TB, address string, store share.Store, so storage.ServerOptions, co storage.ClientOptions) *pair {
	t.Helper()
	p := &pair{far: hostAt(t, address)}
	p.near = hostAt(t, address, p.far.Addresses()...)
	p.server = storage.NewServer(store, so)
	p.server.Register(p.far)
	t.Cleanup(func() { p.server.Close() })
	p.client = p.newClient(t, co)
	return p
}

func (p *pair) newClient(t testing.TB, o storage.ClientOptions) *storage.Client {
	for _, limit := range []*time.Duration{&o.AskTimeout, &o.ReadTimeout, &o.WriteTimeout} {
		if *limit == 0 {
			*limit = waittest.Patience // as patient as the tests
		}
	}
	c := storage.NewClient(p.near, p.far.ID(), o)
	t.Cleanup(func() { c.Close() })
	return c
}

// owner is the name under which the far host knows the near one.
func (p *pair) owner() string { return string(p.near.ID()) }

func newPair(t testing.TB) *pair {
	t.Helper()
	return connect(t, memory.New(memory.Options{}), storage.ServerOptions{}, storage.ClientOptions{})
}
