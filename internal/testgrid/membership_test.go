package testgrid_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"

	"cairn/internal/hosttest"
	"cairn/internal/membertest"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/introducer/invite"
	"cairn/introducer/recovery"
	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/memory"
)

// A private is a private grid whose founder signs for everybody, on the rosters that the nodes have in common.
type private struct {
	t      *testing.T
	signer introducer.Signer
	roster *introducer.Roster // of the founder
}

func newPrivate(t *testing.T) *private {
	t.Helper()
	g := membertest.Found(t)
	return &private{t: t, signer: g.Founder, roster: g.Roster}
}

// A friend is a member with a node that serves everything that nodes serve.
type friend struct {
	account introducer.Account
	key     crypto.PrivKey
	id      share.ServerID
	roster  *introducer.Roster
	host    *p2p.Host
	found   *discovery.Discovery
}

// member makes a person with a node; the node does not run yet.
func (g *private) member(name string) *friend {
	g.t.Helper()
	key, id := membertest.Node(g.t)
	f := &friend{account: introducer.NewAccount(), key: key, id: id, roster: introducer.NewRoster(g.roster.Grid())}
	membertest.Vouch(g.t, g.roster, g.signer, introducer.Grant{Account: f.account.Key(), Nickname: name})
	membertest.Device(g.t, g.roster, f.account, key, "node")
	if _, err := f.roster.Add(g.roster.Statements()...); err != nil {
		g.t.Fatal(err)
	}
	return f
}

// run starts the node with all its protocols.
func (g *private) run(f *friend) *friend {
	g.t.Helper()
	f.host = membertest.Open(g.t, p2p.Config{Key: f.key}, f.roster)
	issuer, err := invite.OpenIssuer(invite.Config{
		Path: g.t.TempDir() + "/invitations", Roster: f.roster, Signer: &g.signer, Self: f.id, Addresses: f.host.Addresses,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	f.host.HandleStranger(invite.Protocol, issuer.Serve)
	f.host.HandleStranger(invite.Earlier, issuer.Serve)
	rescue, err := recovery.NewServer(recovery.Config{Roster: f.roster, Self: f.id, Contacts: f.host.Addresses})
	if err != nil {
		g.t.Fatal(err)
	}
	f.host.HandleStranger(recovery.Protocol, rescue.Serve)
	f.found, err = discovery.New(f.host, discovery.Config{
		Serve: true, Providers: true, Values: map[string]discovery.Validator{exchange.Namespace: exchange.Judge{Roster: f.roster}},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	x, err := exchange.New(exchange.Config{Host: f.host, Roster: f.roster, Values: f.found, Every: time.Second})
	if err != nil {
		g.t.Fatal(err)
	}
	server := storage.NewServer(memory.New(memory.Options{}), storage.ServerOptions{})
	server.Register(f.host)
	g.t.Cleanup(func() {
		if err := errors.Join(x.Close(), server.Close(), f.host.Close(), f.found.Close()); err != nil {
			g.t.Error(err)
		}
	})
	return f
}

// outsider starts a host that speaks whatever it likes, with this key or a fresh one.
func outsider(t *testing.T, key crypto.PrivKey) host.Host {
	t.Helper()
	if key == nil {
		key = hosttest.Key(t)
	}
	h, err := libp2p.New(libp2p.Identity(key), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// toStrangers are the protocols that answer everybody: libp2p's own, which tell addresses and names of protocols, and those
// that lead to membership.
var toStrangers = []protocol.ID{
	"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/cairn/present/1", "/cairn/join/1", "/cairn/join/2", "/cairn/recover/1",
}

// tryEverything opens every protocol of the node and reports those that do anything but refuse.
func tryEverything(t *testing.T, h host.Host, at *friend) {
	t.Helper()
	info, err := peer.AddrInfoFromString(at.host.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, name := range at.host.Libp2p().Mux().Protocols() {
		if slices.Contains(toStrangers, name) || strings.HasPrefix(string(name), "/libp2p/circuit/") {
			continue
		}
		// The connection lasts for seconds only; each protocol gets a fresh one.
		err := h.Connect(t.Context(), *info)
		var s network.Stream
		if err == nil {
			s, err = h.NewStream(t.Context(), info.ID, name)
		}
		if err == nil {
			s.SetDeadline(time.Now().Add(waittest.Patience))
			s.Write([]byte("anything"))
			var n int
			if n, err = s.Read(make([]byte, 1)); n > 0 {
				t.Errorf("%s answers", name)
			}
			s.Reset()
		}
		reset, gated := errors.AsType[*network.StreamError](err)
		if !gated || reset.ErrorCode != network.StreamGated {
			t.Errorf("%s: %v, want a reset with StreamGated", name, err)
		}
		tried++
	}
	if tried < 7 {
		t.Errorf("the node speaks only %d protocols of the grid", tried)
	}
	if _, err := client.Reserve(t.Context(), h, *info); err == nil {
		t.Error("the relay keeps a place")
	}
	for _, name := range []protocol.ID{"/cairn/present/1", "/cairn/join/1", "/cairn/join/2", "/cairn/recover/1"} {
		s, err := h.NewStream(t.Context(), info.ID, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.SetDeadline(time.Now().Add(waittest.Patience))
		s.Write([]byte("\x00\x00\x00\x08anything"))
		s.CloseWrite()
		if data, err := io.ReadAll(s); len(data) > 0 {
			t.Errorf("%s answers nonsense with %q, %v", name, data, err)
		}
		s.Reset()
	}
}

// TestStrangersGetNothing tries every protocol of a node as whoever is not, or not any more, a member.
func TestStrangersGetNothing(t *testing.T) {
	t.Run("stranger", func(t *testing.T) {
		g := newPrivate(t)
		tryEverything(t, outsider(t, nil), g.run(g.member("ann")))
	})
	t.Run("revoked", func(t *testing.T) {
		g := newPrivate(t)
		bad := g.member("bad")
		ann := g.run(g.member("ann"))
		if _, err := ann.roster.Revoke(g.signer, bad.account.Key(), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		tryEverything(t, outsider(t, bad.key), ann)
	})
	t.Run("revoked while connected", func(t *testing.T) {
		g := newPrivate(t)
		bad := g.member("bad")
		ann := g.run(g.member("ann"))
		h := outsider(t, bad.key)
		info, err := peer.AddrInfoFromString(ann.host.Addresses()[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Connect(t.Context(), *info); err != nil {
			t.Fatal(err)
		}
		names := ann.host.Libp2p().Mux().Protocols()
		ask := slices.IndexFunc(names, func(name protocol.ID) bool { return strings.Contains(string(name), "/ask/") })
		s, err := h.NewStream(t.Context(), info.ID, names[ask])
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte{0x15, 0, 0, 0, 1, 0xa0}) // space
		s.SetDeadline(time.Now().Add(waittest.Patience))
		if _, err := io.ReadFull(s, make([]byte, 5)); err != nil {
			t.Fatalf("a member is not served: %v", err)
		}
		if _, err := ann.roster.Revoke(g.signer, bad.account.Key(), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		took := waittest.Took(func() { _, err = io.Copy(io.Discard, s) })
		if err == nil || took > 2*time.Second {
			t.Errorf("its stream ended after %v with %v", took, err)
		}
		tryEverything(t, h, ann)
	})
	t.Run("other grid", func(t *testing.T) {
		river, brook := newPrivate(t), newPrivate(t)
		ann, other := river.run(river.member("ann")), brook.run(brook.member("bob"))
		tryEverything(t, outsider(t, brook.member("carl").key), ann)
		// With a node of its own grid it does not get further either, although it shows what makes it a member there.
		if _, err := other.host.Stream(t.Context(), ann.id, "hello/1"); !errors.Is(err, share.ErrDenied) {
			t.Errorf("a node of another grid opens a stream: %v", err)
		}
		s, _, err := other.host.Reach(t.Context(), ann.host.Addresses(), p2p.PresentName)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := exchange.Present(other.roster, other.id)(t.Context(), s); !errors.Is(err, share.ErrDenied) {
			t.Errorf("credentials of another grid: %v", err)
		} else if strings.Contains(err.Error(), "river") {
			t.Errorf("a stranger is told the name of the grid: %v", err)
		}
		if ann.roster.Admit(other.id) == nil || len(ann.roster.Members(time.Now())) != 1 {
			t.Error("the roster took in a member of another grid")
		}
	})
}

// TestRosterInTheDHT: what members know gets into the grid's DHT, and whoever asks it gets a copy that proves itself.
func TestRosterInTheDHT(t *testing.T) {
	g := newPrivate(t)
	bad := g.member("bad")
	ann, bob := g.member("ann"), g.member("bob")
	g.run(ann)
	g.run(bob)
	bob.host.Learn(ann.host.Addresses()...)
	if _, err := ann.roster.Revoke(g.signer, bad.account.Key(), "a test", time.Now()); err != nil {
		t.Fatal(err)
	}
	judge := exchange.Judge{Roster: introducer.NewRoster(g.roster.Grid())}
	waittest.Eventually(t, "the DHT has a copy", func() bool {
		value, err := bob.found.GetValue(t.Context(), exchange.Namespace, "all")
		return err == nil && judge.Validate("all", value) == nil && bob.roster.Admit(bad.id) != nil
	})
}
