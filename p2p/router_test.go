package p2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"

	"cairn/internal/waittest"
)

// fakeRouter answers requests, and returns where it listens.
func fakeRouter(t *testing.T, answer func(ask []byte) []byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		ask := make([]byte, 64)
		for {
			n, from, err := c.ReadFromUDPAddrPort(ask)
			if err != nil {
				return
			}
			if a := answer(ask[:n]); a != nil {
				c.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

// natPMPAnswer is what a router at 5.6.7.8 says, which forwards the port after the one that it is asked for.
func natPMPAnswer(ask []byte) []byte {
	if ask[1] == 0 {
		return []byte{0, 0x80, 0, 0, 0, 0, 0, 1, 5, 6, 7, 8}
	}
	answer := append([]byte{0, ask[1] | 0x80, 0, 0, 0, 0, 0, 1}, ask[4:12]...)
	binary.BigEndian.PutUint16(answer[10:], binary.BigEndian.Uint16(ask[6:])+1)
	return answer
}

// TestNATPMP: a router that lost the first request forwards a port.
func TestNATPMP(t *testing.T) {
	t.Parallel()
	lost := false
	asked := make(chan []byte, 8)
	router := fakeRouter(t, func(ask []byte) []byte {
		if !lost {
			lost = true
			return nil
		}
		asked <- bytes.Clone(ask)
		return natPMPAnswer(ask)
	})
	at, err := askNATPMP(t.Context(), router)
	if err != nil || at.outside != netip.MustParseAddr("5.6.7.8") {
		t.Fatalf("outside address %+v, %v", at, err)
	}
	<-asked
	port, err := at.forward(t.Context(), forwarded{"tcp", 4001}, time.Minute)
	if err != nil || port != 4002 {
		t.Errorf("forwarded port %d, %v", port, err)
	}
	if want := []byte{0, 2, 0, 0, 0x0f, 0xa1, 0x0f, 0xa1, 0, 0, 0, 60}; !bytes.Equal(<-asked, want) {
		t.Errorf("did not ask % x", want)
	}
	if _, err := at.forward(t.Context(), forwarded{"udp", 4001}, 0); err != nil || !bytes.Equal(<-asked, []byte{0, 1, 0, 0, 0x0f, 0xa1, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("the end was not asked for: %v", err)
	}
}

// TestBadNATPMP: what is no answer is none, and silence is not waited for.
func TestBadNATPMP(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string][]byte{
		"one byte": {0}, "another question": {0, 0x81, 0, 0, 0, 0, 0, 1, 5, 6, 7, 8}, "short": {0, 0x80, 0, 0, 0, 0},
		"refused": {0, 0x80, 0, 2, 0, 0, 0, 1, 5, 6, 7, 8}, "another version": {2, 0x80, 0, 0, 0, 0, 0, 1, 5, 6, 7, 8},
		"not connected": {0, 0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, "silence": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			router := fakeRouter(t, func([]byte) []byte { return answer })
			took := waittest.Took(func() {
				if at, err := askNATPMP(t.Context(), router); err == nil {
					t.Errorf("taken for an answer: %+v", at)
				}
			})
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	router := fakeRouter(t, func([]byte) []byte { cancel(); return nil })
	if _, err := askNATPMP(ctx, router); !errors.Is(err, net.ErrClosed) { // and not that of the last of several waits
		t.Errorf("a call that is not wanted any more: %v", err)
	}
}

// TestMapping: the address outside is that of the listen address's port, on the transport's address.
func TestMapping(t *testing.T) {
	r := newRouter()
	r.mapped[forwarded{"tcp", 4001}] = netip.MustParseAddrPort("5.6.7.8:4002")
	r.mapped[forwarded{"udp", 4001}] = netip.MustParseAddrPort("5.6.7.8:4003")
	for listen, want := range map[string]string{
		"/ip4/0.0.0.0/tcp/4001":         "/ip4/5.6.7.8/tcp/4002",
		"/ip4/0.0.0.0/udp/4001/quic-v1": "/ip4/5.6.7.8/udp/4003/quic-v1",
		"/ip4/0.0.0.0/tcp/4002":         "",
		"/ip4/127.0.0.1/tcp/4001":       "",
		"/ip6/::/tcp/4001":              "",
	} {
		got := ""
		if a := r.GetMapping(multiaddr.StringCast(listen)); a != nil {
			got = a.String()
		}
		if got != want {
			t.Errorf("%s is forwarded from %q, want %q", listen, got, want)
		}
	}
}
