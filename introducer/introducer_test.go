package introducer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cairn/introducer"
	"cairn/share"
)

const (
	peerA = "12D3KooWFqS4tfw2nbXWsVTUeGqJB9MEVWXuGQRKcnjBVUFuqhDv"
	peerB = "12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2"
)

var founded = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func found(t *testing.T, name string, params share.Params, open bool) introducer.Descriptor {
	t.Helper()
	d, _, err := introducer.Found(name, params, open, founded)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAddressRoundTrip(t *testing.T) {
	params := share.Params{Needed: 3, Happy: 7, Total: 10}
	for name, bootstrap := range map[string][]string{
		"no peers": nil,
		"one peer": {"/ip4/127.0.0.1/tcp/4001/p2p/" + peerA},
		"two peers": {
			"/ip4/192.168.1.7/tcp/4001/p2p/" + peerA, "/ip6/::1/udp/4001/quic-v1/p2p/" + peerA,
			"/dns4/example.org/tcp/1/p2p/" + peerB,
		},
	} {
		t.Run(name, func(t *testing.T) {
			grid := found(t, "river friends", params, true)
			a, err := introducer.NewAddress(grid, bootstrap)
			if err != nil {
				t.Fatal(err)
			}
			back, err := introducer.ParseAddress(a.String())
			if err != nil {
				t.Fatal(err)
			}
			if !back.Grid.Equal(grid) || back.Grid.ID() != grid.ID() || back.Grid.Params != params {
				t.Errorf("the grid came back as %v, want %v", back.Grid, grid)
			}
			if diff := cmp.Diff(bootstrap, back.Bootstrap); diff != "" {
				t.Errorf("bootstrap addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddressesOfOnePeerAreGrouped(t *testing.T) {
	grid := found(t, "g", share.Params{}, true)
	a, err := introducer.NewAddress(grid, []string{
		"/ip4/10.0.0.1/tcp/1/p2p/" + peerA, "/ip4/10.0.0.2/tcp/1/p2p/" + peerB, "/ip4/10.0.0.3/tcp/1/p2p/" + peerA,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/ip4/10.0.0.1/tcp/1/p2p/" + peerA, "/ip4/10.0.0.3/tcp/1/p2p/" + peerA, "/ip4/10.0.0.2/tcp/1/p2p/" + peerB,
	}
	if diff := cmp.Diff(want, a.Bootstrap); diff != "" {
		t.Errorf("bootstrap addresses (-want +got):\n%s", diff)
	}
}

func TestGridsDiffer(t *testing.T) {
	a, b := found(t, "same", share.Params{}, true), found(t, "same", share.Params{}, true)
	if a.ID() == b.ID() || a.Equal(b) {
		t.Errorf("two grids of one name share the id %s", a.ID())
	}
	if len(a.ID()) != 16 {
		t.Errorf("the id %q has %d digits, want 16", a.ID(), len(a.ID()))
	}
}

func TestEveryChangedCharacterIsNoticed(t *testing.T) {
	a, err := introducer.NewAddress(found(t, "g", share.Params{}, true), []string{"/ip4/10.0.0.1/tcp/1/p2p/" + peerA})
	if err != nil {
		t.Fatal(err)
	}
	text := a.String()
	signed := len(introducer.Prefix) + 200 // descriptor and signature; the peers behind them are not signed
	for i := range text {
		other := byte('a')
		if text[i] == 'a' {
			other = 'b'
		}
		changed := text[:i] + string(other) + text[i+1:]
		got, err := introducer.ParseAddress(changed)
		if err == nil && (i < signed || got.String() != changed) {
			t.Errorf("a change of character %d went unnoticed", i)
		}
		if err != nil && !errors.Is(err, introducer.ErrMalformed) {
			t.Errorf("character %d: error %v does not wrap ErrMalformed", i, err)
		}
	}
}

func TestMalformedAddresses(t *testing.T) {
	a, err := introducer.NewAddress(found(t, "g", share.Params{}, true), nil)
	if err != nil {
		t.Fatal(err)
	}
	good := a.String()
	for name, text := range map[string]string{
		"empty":        "",
		"prefix alone": introducer.Prefix,
		"upper case":   introducer.Prefix + strings.ToUpper(strings.TrimPrefix(good, introducer.Prefix)),
		"truncated":    good[:len(good)-7],
		"longer":       good + "aaaaaaaa",
		"space":        good + " ",
		"newline":      good[:60] + "\n" + good[60:],
		"other prefix": "cairn-invite:" + strings.TrimPrefix(good, introducer.Prefix),
		"far too long": introducer.Prefix + strings.Repeat("a", 1<<20),
	} {
		if _, err := introducer.ParseAddress(text); !errors.Is(err, introducer.ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

func TestFoundRefuses(t *testing.T) {
	for name, try := range map[string]struct {
		name   string
		params share.Params
	}{
		"no name":        {"", share.Params{}},
		"long name":      {strings.Repeat("x", introducer.MaxName+1), share.Params{}},
		"control":        {"a\x1b[31m", share.Params{}},
		"not UTF-8":      {"a\xff", share.Params{}},
		"space":          {" a", share.Params{}},
		"happy below k":  {"g", share.Params{Needed: 3, Happy: 2, Total: 10}},
		"params by half": {"g", share.Params{Needed: 3}},
	} {
		if _, _, err := introducer.Found(try.name, try.params, true, founded); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNewAddressRefuses(t *testing.T) {
	grid := found(t, "g", share.Params{}, true)
	many := make([]string, 17)
	for i := range many {
		many[i] = "/ip4/10.0.0." + string(rune('0'+i%10)) + "/tcp/" + string(rune('1'+i/10)) + "/p2p/" + peerA
	}
	for name, bootstrap := range map[string][]string{
		"no peer id":   {"/ip4/10.0.0.1/tcp/1"},
		"no transport": {"/p2p/" + peerA},
		"not one":      {"tcp://10.0.0.1:1"},
		"twice":        {"/ip4/10.0.0.1/tcp/1/p2p/" + peerA, "/ip4/10.0.0.1/tcp/1/p2p/" + peerA},
		"too many":     many,
	} {
		if _, err := introducer.NewAddress(grid, bootstrap); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := introducer.NewAddress(introducer.Descriptor{}, nil); err == nil {
		t.Error("an unsigned descriptor was accepted")
	}
}

func TestGate(t *testing.T) {
	if err := found(t, "g", share.Params{}, true).Gate().Admit(peerA); err != nil {
		t.Errorf("an open grid refuses a peer: %v", err)
	}
	if err := found(t, "g", share.Params{}, false).Gate().Admit(peerA); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a grid without membership answers %v to a stranger, want ErrDenied", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	grid, _, err := introducer.Found("river friends", share.Params{Needed: 2, Happy: 3, Total: 4}, true, founded)
	if err != nil {
		f.Fatal(err)
	}
	a, err := introducer.NewAddress(grid, []string{"/ip4/10.0.0.1/tcp/1/p2p/" + peerA, "/ip6/::1/udp/9/quic-v1/p2p/" + peerB})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.String())
	f.Add(introducer.Prefix)
	f.Add(a.String()[:80])
	f.Fuzz(func(t *testing.T, text string) {
		a, err := introducer.ParseAddress(text)
		if err != nil {
			return
		}
		if a.String() != text {
			t.Errorf("%q is printed as %q", text, a.String())
		}
	})
}
