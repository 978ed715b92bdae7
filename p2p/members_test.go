package p2p

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"pgregory.net/rapid"

	"cairn/p2p/wire"
	"cairn/share"
)

func newID(t testing.TB) peer.ID {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func address(port int) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", port))
}

// TestHearsayKeepsWhatWorked: whoever tells lies about a member's addresses cannot make us forget where it was reached.
func TestHearsayKeepsWhatWorked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMember("m")
		good := rapid.IntRange(1, maxAddresses/2).Draw(t, "good")
		for i := range good {
			m.hear([]multiaddr.Multiaddr{address(1 + i)})
		}
		for range rapid.IntRange(1, 5).Draw(t, "times") {
			var lies []multiaddr.Multiaddr
			for range rapid.IntRange(0, 20).Draw(t, "lies") {
				lies = append(lies, address(rapid.IntRange(100, 200).Draw(t, "port")))
			}
			m.hear(lies)
		}
		if len(m.addresses) > maxAddresses {
			t.Fatalf("%d addresses are kept", len(m.addresses))
		}
		for i := range good {
			if !m.addresses[i].Equal(address(1 + i)) {
				t.Fatalf("a good address was lost: %v", m.addresses)
			}
		}
	})
}

func TestListensReplacesAddresses(t *testing.T) {
	m := newMember("m")
	m.hear([]multiaddr.Multiaddr{address(1), address(2)})
	m.reached(address(2))
	if !m.listens([]multiaddr.Multiaddr{address(3), address(2)}, nil) {
		t.Error("a change of addresses is not noticed")
	}
	if m.listens([]multiaddr.Multiaddr{address(2), address(3)}, nil) {
		t.Error("another order counts as a change")
	}
	want := []multiaddr.Multiaddr{address(2), address(3)}
	for i := range want {
		if len(m.addresses) != 2 || !m.addresses[i].Equal(want[i]) {
			t.Fatalf("addresses %v, want %v", m.addresses, want)
		}
	}
}

func TestRefusalIsSaidOnce(t *testing.T) {
	revoked := fmt.Errorf("it belongs to carla: revoked: was rude: %w", share.ErrDenied)
	for want, why := range map[string]error{
		"it belongs to carla: revoked: was rude: refused":                                           revoked,
		"refused: it belongs to carla: revoked: was rude":                                           fmt.Errorf("%w: %w", share.ErrDenied, revoked),
		"refused: the peer does not admit this node: it belongs to carla: revoked: was rude":        fmt.Errorf("%w: %w", ErrNotAdmitted, revoked),
		`refused: the peer does not admit this node: the peer says: "it belongs to carla: revoked"`: fmt.Errorf("%w: the peer says: %q", ErrNotAdmitted, "it belongs to carla: revoked: refused"),
		"it speaks another version":                                                                 errors.New("it speaks another version"),
	} {
		if got := refusal(why); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestBackoffGrowsAndForgets(t *testing.T) {
	now := time.Now()
	known := &member{met: true}
	var last time.Duration
	for range 12 {
		if known.failed(errors.New("x"), now, time.Minute) {
			t.Fatal("a member that was met is forgotten")
		}
		last = known.nextDial.Sub(now)
		if last > 90*time.Second {
			t.Fatalf("the next attempt is %v away, the limit is 1m and half of it", last)
		}
	}
	if last < 30*time.Second {
		t.Errorf("after 12 failures the next attempt is only %v away", last)
	}
	rumour := &member{}
	for i := range toldAttempts {
		if forget := rumour.failed(errors.New("x"), now, time.Minute); forget != (i == toldAttempts-1) {
			t.Errorf("attempt %d of a rumour: forget %v", i+1, forget)
		}
	}
}

func TestTableIsBounded(t *testing.T) {
	now := time.Now()
	table := newMembers("a self") // smaller than the others, hence dialling at once
	for i := range maxMembers + 100 {
		table.learn(peer.AddrInfo{ID: peer.ID(fmt.Sprint("peer", i)), Addrs: []multiaddr.Multiaddr{address(1)}}, told, now)
	}
	if n := len(table.byID); n != maxMembers {
		t.Errorf("the table holds %d peers, want %d", n, maxMembers)
	}
	dial, _ := table.due(now, dialsAtOnce, 200)
	if len(dial) != dialsAtOnce {
		t.Errorf("%d peers are dialled at once, want %d", len(dial), dialsAtOnce)
	}
	if again, _ := table.due(now, dialsAtOnce, 200); len(again) != 0 {
		t.Errorf("%d more are dialled before the first are done", len(again))
	}
	for _, d := range dial {
		table.connect(d.ID, func() {})
		table.dialled(d.ID, nil, now, time.Minute)
	}
	if more, _ := table.due(now, dialsAtOnce, dialsAtOnce); len(more) != 0 {
		t.Errorf("%d are dialled although as many as wanted are connected", len(more))
	}
	if table.learn(peer.AddrInfo{ID: "a self"}, told, now) {
		t.Error("a host learns of itself")
	}
}

// TestSeldomBeyondKeep: who is connected to enough others does not press the peers of the configuration, which all have.
func TestSeldomBeyondKeep(t *testing.T) {
	now := time.Now()
	table := newMembers("a self")
	for i := range 5 {
		meet(table, peer.ID(fmt.Sprint("peer", i)), now)
	}
	seed := peer.AddrInfo{ID: "seed", Addrs: []multiaddr.Multiaddr{address(1)}}
	table.learn(seed, bootstrap, now)
	if dial, _ := table.due(now, dialsAtOnce, 5); len(dial) != 1 {
		t.Fatalf("a peer of the configuration is not dialled at first")
	}
	table.connect("seed", func() {})
	table.dialled("seed", nil, now, time.Minute)
	table.disconnect("seed", false, now, now.Add(partedRetry))
	if dial, next := table.due(now.Add(time.Minute), dialsAtOnce, 5); len(dial) != 0 || !next.Equal(now.Add(seldom)) {
		t.Errorf("a peer of the configuration that parted is dialled after a minute: %v, next %v", dial, next)
	}
	if dial, _ := table.due(now.Add(seldom), dialsAtOnce, 5); len(dial) != 1 {
		t.Errorf("a peer of the configuration that parted is not dialled again")
	}
	table.disconnect("peer0", false, now, now.Add(partedRetry))
	if dial, _ := table.due(now.Add(time.Minute), dialsAtOnce, 6); len(dial) != 1 {
		t.Errorf("with few others connected %d are dialled, want one", len(dial))
	}
}

func TestTellOnceAndWithinLimits(t *testing.T) {
	now := time.Now()
	table := newMembers("self")
	for i := range 30 {
		meet(table, peer.ID(fmt.Sprint("peer", i)), now)
	}
	to := peer.ID("peer0")
	first, before := table.tell(to, 64, now)
	if len(first) != 29 {
		t.Fatalf("a member is told of %d others, want 29", len(first))
	}
	if again, _ := table.tell(to, 64, now); len(again) != 0 {
		t.Errorf("a member is told twice of %d others", len(again))
	}
	table.untell(to, before)
	if again, _ := table.tell(to, 64, now); len(again) != 29 {
		t.Errorf("after an unanswered hello a member is told of %d others, want 29", len(again))
	}
	for i := range 100 {
		meet(table, peer.ID(fmt.Sprint("more", i)), now)
	}
	heard := make(map[share.ServerID]bool)
	for _, want := range []int{64, 36, 0} {
		news, _ := table.tell(to, 64, now)
		if len(news) != want {
			t.Errorf("a member is told of %d others, want %d", len(news), want)
		}
		for _, p := range news {
			heard[p.ID] = true
		}
	}
	if len(heard) != 100 {
		t.Errorf("a member was told of %d newcomers, want all 100 and nobody twice", len(heard))
	}
}

// TestTellOnlyNews: one member's news do not have all others told again.
func TestTellOnlyNews(t *testing.T) {
	now := time.Now()
	table := newMembers("self")
	for i := range 30 {
		meet(table, peer.ID(fmt.Sprint("peer", i)), now)
	}
	table.tell("peer0", 64, now)
	table.addresses("peer7", []multiaddr.Multiaddr{address(2)}, nil)
	news, _ := table.tell("peer0", 64, now)
	if len(news) != 1 || news[0].ID != serverID("peer7") {
		t.Errorf("one member moved, and told are %d: %v", len(news), news)
	}
	table.refuse("peer8", share.ErrDenied, now)
	table.heard("peer8", wire.Hello{}, 0, now)
	if news, _ = table.tell("peer0", 64, now); len(news) != 1 || news[0].ID != serverID("peer8") {
		t.Errorf("one member is admitted again, and told are %d: %v", len(news), news)
	}
}

func meet(table *members, id peer.ID, now time.Time) {
	table.learn(peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{address(1)}}, told, now)
	table.connect(id, func() {})
	table.heard(id, wire.Hello{}, 0, now)
}

func FuzzParseBook(f *testing.F) {
	id := newID(f)
	m := newMember(id)
	m.hear([]multiaddr.Multiaddr{address(1)})
	data, err := json.Marshal(bookFile{Version: bookVersion, Grid: "g", Members: []bookEntry{entryOf(m)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"grid":"g","members":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseBook(data, "g")
		if err != nil {
			return
		}
		for _, m := range list {
			if m.id.Validate() != nil || len(m.addresses) > maxAddresses {
				t.Errorf("accepted %+v", m)
			}
		}
	})
}

func FuzzReadHello(f *testing.F) {
	data, err := wire.Hello{Nickname: "a"}.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	var framed bytes.Buffer
	if err := writeHello(&framed, data); err != nil {
		f.Fatal(err)
	}
	f.Add(framed.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		if _, err := readHello(r); err == nil && len(data)-r.Len() > wire.MaxHello+4 {
			t.Errorf("read %d bytes", len(data)-r.Len())
		}
	})
}

func TestDialOrder(t *testing.T) {
	tcp, quic := address(1), multiaddr.StringCast("/ip4/192.0.2.1/udp/1/quic-v1")
	relay := multiaddr.StringCast("/ip4/192.0.2.1/tcp/1/p2p/" + newID(t).String() + "/p2p-circuit")
	ranked := rankDials([]multiaddr.Multiaddr{relay, quic, tcp})
	if len(ranked) != 3 || !ranked[0].Addr.Equal(tcp) || ranked[0].Delay != 0 || !ranked[1].Addr.Equal(quic) ||
		ranked[1].Delay <= 0 || !ranked[2].Addr.Equal(relay) || ranked[2].Delay <= ranked[1].Delay {
		t.Errorf("ranked %v", ranked)
	}
	if alone := rankDials([]multiaddr.Multiaddr{quic}); len(alone) != 1 || alone[0].Delay != 0 {
		t.Errorf("QUIC alone waits: %v", alone)
	}
	if none := rankDials(nil); len(none) != 0 {
		t.Errorf("ranked %v of nothing", none)
	}
}
