package p2p_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"cairn/internal/hosttest"
	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/p2p/wire"
	"cairn/share"
)

// childEnv makes the test binary run as a single host, in a process of its own that can be stopped.
const childEnv = "CAIRN_P2P_TEST_CHILD"

func TestMain(m *testing.M) {
	if bootstrap := os.Getenv(childEnv); bootstrap != "" {
		runChild(bootstrap)
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"))
}

func runChild(bootstrap string) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		panic(err)
	}
	cfg := p2p.Config{Key: key, Grid: "test", Listen: p2p.LoopbackAddresses(0), Self: nickname("child")}
	if strings.HasPrefix(bootstrap, "/") {
		cfg.Bootstrap = []string{bootstrap}
	}
	h, err := p2p.Open(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	signal.Ignore(os.Interrupt)
	fmt.Println(h.ID())
	io.Copy(io.Discard, os.Stdin)
	h.Close()
}

func nickname(name string) func() wire.Hello {
	return func() wire.Hello {
		return wire.Hello{Nickname: name, Version: "test", Storage: true, Space: share.Space{Offered: 2, Free: 1}}
	}
}

func newKey(t testing.TB) crypto.PrivKey { return hosttest.Key(t) }

// open starts a host on loopback that the test closes. It is as patient as the tests.
func open(t testing.TB, change func(*p2p.Config)) *p2p.Host {
	t.Helper()
	cfg := p2p.Config{
		Key: newKey(t), Grid: "test", Listen: p2p.LoopbackAddresses(0), Self: nickname("node"),
		DialTimeout: waittest.Patience, AnswerWithin: waittest.Patience, StrangerFor: waittest.Patience,
	}
	if change != nil {
		change(&cfg)
	}
	h, err := p2p.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

func eventually(t testing.TB, what string, holds func() bool) time.Duration {
	t.Helper()
	return waittest.Eventually(t, what, holds)
}

func responsive(h *p2p.Host) int { return hosttest.Responsive(h) }
