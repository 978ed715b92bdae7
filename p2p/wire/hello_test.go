package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cairn/p2p/wire"
	"cairn/share"
)

func sampleHello() wire.Hello {
	return wire.Hello{
		Nickname: "Zoë's laptop", Version: "cairn/1", Storage: true,
		Space: share.Space{Offered: 1 << 40, Used: 5, Free: 1 << 39},
		Peers: []wire.PeerAddresses{
			{ID: "12D3KooWA", Addresses: []string{"/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/udp/4001/quic-v1"}},
			{ID: "12D3KooWB"},
		},
	}
}

func TestHelloRoundTrip(t *testing.T) {
	for _, want := range []wire.Hello{{}, sampleHello()} {
		data, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.ParseHello(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(normal(want), normal(got)); diff != "" {
			t.Errorf("hello changed on the way (-want +got):\n%s", diff)
		}
	}
}

// normal makes absent and empty address lists compare equal.
func normal(h wire.Hello) wire.Hello {
	for i := range h.Peers {
		if len(h.Peers[i].Addresses) == 0 {
			h.Peers[i].Addresses = nil
		}
	}
	return h
}

func TestHelloLimits(t *testing.T) {
	full := sampleHello()
	full.Nickname = strings.Repeat("é", wire.MaxNickname)
	full.Peers = nil
	for range wire.MaxHelloPeers {
		p := wire.PeerAddresses{ID: "12D3KooWQWERTYUIOPASDFGHJKLZXCVBNM"}
		for range wire.MaxPeerAddresses {
			p.Addresses = append(p.Addresses, "/ip6/2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/udp/65535/quic-v1")
		}
		full.Peers = append(full.Peers, p)
	}
	if _, err := full.Marshal(); err != nil {
		t.Errorf("a hello at its limits: %v", err)
	}
	for name, spoil := range map[string]func(*wire.Hello){
		"long nickname":   func(h *wire.Hello) { h.Nickname += "x" },
		"control":         func(h *wire.Hello) { h.Nickname = "a\x1b[31mb" },
		"bidi override":   func(h *wire.Hello) { h.Nickname = "a\u202eb" },
		"invalid UTF-8":   func(h *wire.Hello) { h.Nickname = "a\xffb" },
		"long version":    func(h *wire.Hello) { h.Version = strings.Repeat("v", wire.MaxSoftware+1) },
		"version newline": func(h *wire.Hello) { h.Version = "a\nb" },
		"negative space":  func(h *wire.Hello) { h.Space.Free = -1 },
		"many peers":      func(h *wire.Hello) { h.Peers = append(h.Peers, wire.PeerAddresses{ID: "x"}) },
		"many addresses":  func(h *wire.Hello) { h.Peers[0].Addresses = append(h.Peers[0].Addresses, "/ip4/192.0.2.1") },
		"long address":    func(h *wire.Hello) { h.Peers[0].Addresses[0] = strings.Repeat("a", wire.MaxAddress+1) },
		"empty address":   func(h *wire.Hello) { h.Peers[0].Addresses[0] = "" },
		"empty peer id":   func(h *wire.Hello) { h.Peers[0].ID = "" },
		"too large in all": func(h *wire.Hello) {
			for i := range h.Peers {
				for j := range h.Peers[i].Addresses {
					h.Peers[i].Addresses[j] = strings.Repeat("a", wire.MaxAddress)
				}
			}
		},
	} {
		h := full
		h.Peers = append([]wire.PeerAddresses(nil), full.Peers...)
		for i := range h.Peers {
			h.Peers[i].Addresses = append([]string(nil), full.Peers[i].Addresses...)
		}
		spoil(&h)
		if _, err := h.Marshal(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParseHelloRefuses(t *testing.T) {
	good, err := sampleHello().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":       {},
		"trailing":    append(bytes.Clone(good), 0),
		"cut":         good[:len(good)-1],
		"not a map":   {0x80},
		"unknown key": {0xa1, 0x18, 0x63, 0x00},
		"indefinite":  append([]byte{0xbf}, append(bytes.Clone(good[1:]), 0xff)...),
		"missing key": {0xa1, 0x01, 0x60},
	} {
		if _, err := wire.ParseHello(data); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
	if _, err := wire.ParseHello(make([]byte, wire.MaxHello+1)); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("oversize: got %v, want ErrTooLarge", err)
	}
}

func TestCleanNickname(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"  sister \t of  mine\n": "sister of mine",
		"a\x00\x1b[2Jb":          "a[2Jb",
		"\u202eevil":             "evil",
		"\xff\xfeok":             "ok",
		"山の家":                    "山の家",
	} {
		if got := wire.CleanNickname(in); got != want {
			t.Errorf("CleanNickname(%q) = %q, want %q", in, got, want)
		}
	}
	long := wire.CleanNickname(strings.Repeat("ab ", 100))
	if n := utf8.RuneCountInString(long); n > wire.MaxNickname || wire.CleanNickname(long) != long {
		t.Errorf("cleaning is not stable: %d characters %q", n, long)
	}
}

func FuzzParseHello(f *testing.F) {
	for _, h := range []wire.Hello{{}, sampleHello()} {
		data, err := h.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{0xa1, 0x01, 0x60})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := wire.ParseHello(data)
		if err != nil {
			return
		}
		again, err := h.Marshal()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("accepted %x but writes %x (%v)", data, again, err)
		}
	})
}

func FuzzCleanNickname(f *testing.F) {
	f.Add("a  b\x00\u202e")
	f.Fuzz(func(t *testing.T, name string) {
		clean := wire.CleanNickname(name)
		if wire.CleanNickname(clean) != clean || utf8.RuneCountInString(clean) > wire.MaxNickname || !utf8.ValidString(clean) {
			t.Errorf("%q becomes %q", name, clean)
		}
	})
}
