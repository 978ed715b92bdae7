package invite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"cairn/internal/hosttest"
	"cairn/internal/membertest"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/p2p"
	"cairn/share"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"))
}

// A home is a node that issues invitations.
type home struct {
	t       *testing.T
	account introducer.Account
	signer  introducer.Signer
	roster  *introducer.Roster
	host    *p2p.Host
	x       *exchange.Exchange
	issuer  *Issuer
	path    string
	ahead   time.Duration // of the issuer's clock
	mu      sync.Mutex
}

// newHome founds a grid and starts the founder's node.
func newHome(t *testing.T) *home {
	t.Helper()
	grid := membertest.Found(t)
	h := &home{
		t: t, account: introducer.NewAccount(), roster: grid.Roster, signer: grid.Founder, path: filepath.Join(t.TempDir(), "invitations"),
	}
	key := hosttest.Key(t)
	membertest.Vouch(t, h.roster, h.signer, introducer.Grant{Account: h.account.Key(), Nickname: "founder", Introducer: true})
	membertest.Device(t, h.roster, h.account, key, "desk")
	h.host = membertest.Open(t, p2p.Config{Key: key}, h.roster)
	var err error
	if h.x, err = exchange.New(exchange.Config{Host: h.host, Roster: h.roster}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(h.x.Close(), h.host.Close()); err != nil {
			t.Error(err)
		}
	})
	h.reopen()
	h.host.HandleStranger(Protocol, func(s p2p.Stream) {
		if i := h.current(); i != nil {
			i.Serve(s)
		} else {
			s.Reset()
		}
	})
	return h
}

func (h *home) current() *Issuer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.issuer
}

// reopen reads the file anew, as a node does that was killed.
func (h *home) reopen() {
	h.t.Helper()
	issuer, err := OpenIssuer(Config{
		Path: h.path, Roster: h.roster, Signer: &h.signer, Account: h.account, Self: h.host.ID(), Addresses: h.host.Addresses,
		Now: func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return time.Now().Add(h.ahead) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.issuer = issuer
}

// passes puts the issuer's clock ahead.
func (h *home) passes(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead += d
}

func (h *home) issue(t Terms) Invitation {
	h.t.Helper()
	if t.Expires.IsZero() {
		t.Expires = time.Now().Add(time.Hour)
	}
	inv, err := h.current().Issue(t)
	if err != nil {
		h.t.Fatal(err)
	}
	return inv
}

// A guest is a node that wants to join.
type guest struct {
	host membertest.Stranger
	me   Joiner
}

func newGuest(t *testing.T, nickname string) *guest {
	t.Helper()
	key, _ := membertest.Node(t)
	return &guest{host: membertest.OpenStranger(t, key), me: Joiner{Account: introducer.NewAccount(), Node: key, Nickname: nickname, Device: "laptop"}}
}

func (g *guest) redeem(t *testing.T, inv Invitation) (Membership, error) {
	t.Helper()
	// As it is in life, the text travels.
	parsed, err := Parse(inv.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return Redeem(t.Context(), g.host, parsed, g.me)
}

func TestJoin(t *testing.T) {
	h, g := newHome(t), newGuest(t, "ignored")
	inv := h.issue(Terms{Nickname: "sister", Quota: 5 << 30, Introducer: true})
	begin := time.Now()
	m, err := g.redeem(t, inv)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("joined in %v with %d characters", time.Since(begin), len(inv.Reveal()))
	if !m.Grid.Equal(h.roster.Grid()) || m.Member.Nickname != "sister" || m.Member.Quota != 5<<30 || !m.Member.Introducer ||
		m.From != h.host.ID() || len(m.Contacts) == 0 || m.Account != g.me.Account {
		t.Errorf("membership %+v", m)
	}
	// The issuing node knows both the person and the node.
	if who, ok := h.roster.AccountOf(g.host.ID(), time.Now()); !ok || who.Account != g.me.Account.Key() || who.Devices[0].Name != "laptop" {
		t.Errorf("the issuing node knows %+v, %v", who, ok)
	}
	// A second time it is worth nothing for others.
	if _, err := newGuest(t, "thief").redeem(t, inv); !errors.Is(err, ErrNotValid) {
		t.Errorf("a used invitation: %v, want ErrNotValid", err)
	}
	list := h.current().List()
	if len(list) != 1 || list[0].State != Used || len(list[0].Used) != 1 || list[0].Used[0].Nickname != "sister" {
		t.Errorf("listed: %+v", list)
	}

	// The new member meets the founder with the host of the grid, within two seconds.
	if err := g.host.Close(); err != nil {
		t.Fatal(err)
	}
	roster := introducer.NewRoster(m.Grid)
	if _, err := roster.Add(m.Statements...); err != nil {
		t.Fatal(err)
	}
	waittest.Promptly(t, 2*time.Second, "meeting as members", func() time.Duration { return meet(t, h, g.me.Node, roster, m.Contacts) })
}

// meet runs a member's host until it and the founder know each other, and returns how long that took.
func meet(t *testing.T, h *home, key crypto.PrivKey, roster *introducer.Roster, contacts []string) time.Duration {
	t.Helper()
	return waittest.Took(func() {
		host := membertest.Open(t, p2p.Config{Key: key, Bootstrap: contacts}, roster)
		t.Cleanup(func() { host.Close() })
		eventually(t, "met as members", func() bool {
			p, _ := host.Peer(h.host.ID())
			q, _ := h.host.Peer(host.ID())
			return p.Responsive && q.Responsive
		})
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	waittest.Eventually(t, what, holds)
}

// TestNotValid: a used, a cancelled and an unknown invitation get one and the same answer, TestJoin has the used one.
func TestNotValid(t *testing.T) {
	h := newHome(t)
	cancelled, expired := h.issue(Terms{Nickname: "zoe"}), h.issue(Terms{Nickname: "b", Expires: time.Now().Add(30 * time.Minute)})
	if _, err := h.current().Cancel("zoe"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.current().Cancel("zoe"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("cancelled again: %v", err)
	}
	h.passes(40 * time.Minute) // the joiner's clock says that there is time
	unknown, err := newInvitation(KindMember, time.Now().Add(time.Hour), h.host.Addresses())
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, "guest")
	var texts []string
	for _, inv := range []Invitation{cancelled, expired, unknown} {
		_, err := g.redeem(t, inv)
		if !errors.Is(err, ErrNotValid) {
			t.Errorf("%v, want ErrNotValid", err)
			continue
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q differs from %q", text, texts[0])
		}
	}
	for _, state := range []State{Expired, Cancelled} {
		found := false
		for _, e := range h.current().List() {
			found = found || e.State == state
		}
		if !found {
			t.Errorf("none is listed as %s", state)
		}
	}
	over := unknown
	over.Expires = time.Now().Add(-time.Minute)
	if _, err := Redeem(t.Context(), nil, over, g.me); !errors.Is(err, ErrExpired) {
		t.Errorf("expired by its own text: %v, want ErrExpired without a network", err)
	}
}

// TestWrongGrid: a node of another grid answers where the invitation leads.
func TestWrongGrid(t *testing.T) {
	a, b, g := newHome(t), newHome(t), newGuest(t, "guest")
	inv := a.issue(Terms{})
	moved := inv
	moved.Addresses = b.host.Addresses() // with the identity of the other node
	if _, err := Redeem(t.Context(), g.host, moved, g.me); !errors.Is(err, ErrNotValid) {
		t.Errorf("at a node of another grid: %v, want ErrNotValid", err)
	}
	at, _, _ := strings.Cut(b.host.Addresses()[0], "/p2p/")
	moved.Addresses = []string{at + "/p2p/" + string(a.host.ID())}
	if _, err := Redeem(t.Context(), g.host, moved, g.me); err == nil || errors.Is(err, ErrNotValid) {
		t.Errorf("another node listens at the address: %v", err)
	}
	if a.current().List()[0].State != Open {
		t.Error("the invitation is used up")
	}
}

// TestAnswerOfANonMember: whoever answers has to be a member of the grid that it speaks for.
func TestAnswerOfANonMember(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	inv := h.issue(Terms{})
	if _, err := h.roster.Revoke(h.signer, h.account.Key(), "", time.Now()); err != nil {
		t.Fatal(err)
	}
	if m, err := g.redeem(t, inv); err == nil {
		t.Errorf("a node that is no member let somebody in: %+v", m.Member)
	}
}

// TestKilledBetweenConsumingAndAnswering: the use is on disk, nothing else, and the node is started again.
func TestKilledBetweenConsumingAndAnswering(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	inv := h.issue(Terms{Nickname: "sister"})
	h.current().consumed = func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.issuer = nil // nothing answers any more until it is started again
		return errors.New("killed")
	}
	if _, err := g.redeem(t, inv); !errors.Is(err, share.ErrUnavailable) {
		t.Fatalf("%v, want that the node is gone", err)
	}
	if _, ok := h.roster.Member(g.me.Account.Key(), time.Now()); ok {
		t.Fatal("the test stops too late")
	}
	h.reopen()
	if list := h.current().List(); list[0].State != Used {
		t.Fatalf("after the restart it is %s", list[0].State)
	}
	if _, err := newGuest(t, "other").redeem(t, inv); !errors.Is(err, ErrNotValid) {
		t.Errorf("somebody else gets in: %v", err)
	}
	m, err := g.redeem(t, inv)
	if err != nil || m.Member.Nickname != "sister" {
		t.Fatalf("the same account again: %+v, %v", m.Member, err)
	}
	again, err := g.redeem(t, inv)
	if err != nil || again.Member.Granted != m.Member.Granted {
		t.Errorf("a third time: %+v, %v, want the same grant", again.Member.Granted, err)
	}
	if list := h.current().List(); len(list[0].Used) != 1 {
		t.Errorf("used %d times", len(list[0].Used))
	}
}

// TestAnswerLostOnTheWay: the use is on disk and the grant signed, but the stream dies under the answer.
func TestAnswerLostOnTheWay(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	inv := h.issue(Terms{Nickname: "sister"})
	once := sync.OnceFunc(func() {
		for _, c := range h.host.Libp2p().Network().Conns() {
			c.Close()
		}
	})
	h.current().consumed = func() error { once(); return nil }
	if m, err := g.redeem(t, inv); err != nil || m.Member.Nickname != "sister" {
		t.Errorf("%+v, %v, want that asking again on its own gives the answer", m.Member, err)
	}
	if list := h.current().List(); len(list[0].Used) != 1 {
		t.Errorf("used %d times", len(list[0].Used))
	}
}

func TestThreeRaceForTwoUses(t *testing.T) {
	h := newHome(t)
	inv := h.issue(Terms{Nickname: "friend", Uses: 2})
	names := []string{"ann", "bob", ""}
	results := make([]error, len(names))
	var running sync.WaitGroup
	for n, name := range names {
		g := newGuest(t, name)
		running.Go(func() { _, results[n] = g.redeem(t, inv) })
	}
	running.Wait()
	in := 0
	for _, err := range results {
		switch {
		case err == nil:
			in++
		case !errors.Is(err, ErrNotValid):
			t.Errorf("%v, want ErrNotValid", err)
		}
	}
	members := 0
	for _, m := range h.roster.Members(time.Now()) {
		if m.State == introducer.StateMember {
			members++
		}
	}
	if in != 2 || members != 3 {
		t.Errorf("%d of three got in, %d members with the founder; want 2 and 3", in, members)
	}
	h.reopen()
	if list := h.current().List(); len(list[0].Used) != 2 || list[0].State != Used {
		t.Errorf("on disk: %+v", list[0])
	}
}

func TestNicknames(t *testing.T) {
	h := newHome(t)
	for wish, want := range map[string]error{
		"founder": introducer.ErrNicknameTaken, "": share.ErrDenied, "a\x1b[31m": share.ErrDenied, "FOUNDER": introducer.ErrNicknameTaken,
		strings.Repeat("x", maxNickname): share.ErrDenied, " a": share.ErrDenied,
	} {
		inv := h.issue(Terms{})
		g := newGuest(t, wish)
		_, err := g.redeem(t, inv)
		if _, refused := errors.AsType[*RefusedError](err); !refused || !errors.Is(err, want) || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%.20q: %v, want %v", wish, err, want)
		}
		g.me.Nickname = "new " + string(g.host.ID())[40:]
		if m, err := g.redeem(t, inv); err != nil || m.Member.Nickname != g.me.Nickname {
			t.Errorf("after %.20q: %+v, %v, want that the invitation is good still", wish, m.Member, err)
		}
	}
	long := newGuest(t, strings.Repeat("x", 10_000))
	if _, err := long.redeem(t, h.issue(Terms{})); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("10 000 letters: %v", err)
	}
	several := h.issue(Terms{Nickname: "friend", Uses: 3})
	for _, want := range []string{"friend", "friend 2"} {
		if m, err := newGuest(t, "").redeem(t, several); err != nil || m.Member.Nickname != want {
			t.Errorf("%+v, %v, want %s", m.Member, err, want)
		}
	}
	if m, err := newGuest(t, "carl").redeem(t, several); err != nil || m.Member.Nickname != "carl" {
		t.Errorf("%+v, %v, want carl", m.Member, err)
	}
}

func TestIssueRefuses(t *testing.T) {
	h := newHome(t)
	soon := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		terms Terms
		want  error
	}{
		"taken":       {Terms{Nickname: "Founder", Expires: soon}, introducer.ErrNicknameTaken},
		"hostile":     {Terms{Nickname: "a\x1b", Expires: soon}, nil},
		"past":        {Terms{Expires: time.Now().Add(-time.Hour)}, nil},
		"for ever":    {Terms{Expires: time.Now().Add(10 * MaxValidity)}, nil},
		"uses":        {Terms{Uses: MaxUses + 1, Expires: soon}, nil},
		"quota":       {Terms{Quota: -1, Expires: soon}, nil},
		"was member":  {Terms{MemberUntil: time.Now().Add(-time.Hour), Expires: soon}, nil},
		"kind":        {Terms{Kind: 9, Expires: soon}, nil},
		"named phone": {Terms{Kind: KindDevice, Nickname: "phone", Expires: soon}, nil},
	} {
		if _, err := h.current().Issue(c.terms); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain, err := OpenIssuer(Config{Path: h.path + "2", Roster: h.roster, Self: h.host.ID(), Addresses: h.host.Addresses})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Issue(Terms{Expires: soon}); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a member that is no introducer invites: %v", err)
	}
	if _, err := plain.Issue(Terms{Kind: KindDevice, Expires: soon}); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a node without an account pairs devices: %v", err)
	}
	for n := range maxOpen + 1 {
		if _, err := h.current().Issue(Terms{Expires: soon}); (err == nil) != (n < maxOpen) {
			t.Fatalf("invitation %d: %v", n+1, err)
		}
	}
}

func TestDevice(t *testing.T) {
	h := newHome(t)
	inv := h.issue(Terms{Kind: KindDevice})
	g := newGuest(t, "")
	g.me.Account, g.me.Device = introducer.Account{}, "phone"
	m, err := g.redeem(t, inv)
	if err != nil {
		t.Fatal(err)
	}
	if m.Account != h.account || m.Member.Nickname != "founder" || len(m.Member.Devices) != 2 {
		t.Errorf("paired as %+v", m.Member)
	}
	if who, ok := h.roster.AccountOf(g.host.ID(), time.Now()); !ok || who.Account != h.account.Key() {
		t.Errorf("the owner's node knows %+v, %v", who, ok)
	}
	other := newGuest(t, "")
	if _, err := other.redeem(t, inv); !errors.Is(err, ErrNotValid) {
		t.Errorf("a second device with the same invitation: %v", err)
	}
	if again, err := g.redeem(t, inv); err != nil || again.Account != h.account {
		t.Errorf("the same device again: %v", err)
	}
	// The kind is in the text, but nobody has to believe it.
	wrong := h.issue(Terms{})
	wrong.Kind = KindDevice
	if _, err := Redeem(t.Context(), other.host, wrong, other.me); err == nil {
		t.Error("an invitation for a person pairs a device")
	}
}

// TestGuessesAreLimited: whoever guesses is soon not listened to, takes nobody's invitation away, and keeps nobody out who comes
// from the same address, such as that of a relay.
func TestGuessesAreLimited(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	inv := h.issue(Terms{Uses: 2})
	guess := inv
	busy := 0
	for n := range guessesPerMinute + 3 {
		guess.secret[0] = byte(n) + inv.secret[0] + 1
		_, err := Redeem(t.Context(), g.host, guess, g.me)
		switch {
		case errors.Is(err, share.ErrBusy):
			busy++
		case !errors.Is(err, ErrNotValid):
			t.Errorf("guess %d: %v", n+1, err)
		}
	}
	if busy != 3 {
		t.Errorf("%d of %d guesses were not looked at, want 3", busy, guessesPerMinute+3)
	}
	if _, err := newGuest(t, "honest").redeem(t, inv); err != nil {
		t.Errorf("somebody with an invitation, from the address of the guesses: %v", err)
	}
	h.passes(2 * time.Minute)
	if _, err := g.redeem(t, inv); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestUnreachable: nobody is at home.
func TestUnreachable(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	inv := h.issue(Terms{})
	if err := errors.Join(h.x.Close(), h.host.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.redeem(t, inv); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Redeem(ctx, g.host, inv, g.me); err == nil {
		t.Error("a cancelled context")
	}
}

func TestRevokedAccountNeedsANewOne(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	if _, err := g.redeem(t, h.issue(Terms{})); err != nil {
		t.Fatal(err)
	}
	if _, err := h.roster.Revoke(h.signer, g.me.Account.Key(), "", time.Now()); err != nil {
		t.Fatal(err)
	}
	inv := h.issue(Terms{Nickname: "again"})
	_, err := g.redeem(t, inv)
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Refusal != RefusalRevoked {
		t.Errorf("a revoked account: %v", err)
	}
	g.me.Account = introducer.NewAccount()
	if _, err := g.redeem(t, inv); err != nil {
		t.Errorf("with a new account: %v", err)
	}
}

// TestUsedInvitationRestoresNothing: who used an invitation cannot get its terms back with it after they were changed.
func TestUsedInvitationRestoresNothing(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	old := h.issue(Terms{Introducer: true, Quota: 1 << 40})
	if _, err := g.redeem(t, old); err != nil {
		t.Fatal(err)
	}
	less := introducer.Grant{Account: g.me.Account.Key(), Nickname: "guest", Quota: 1 << 30}
	if _, err := h.roster.Vouch(h.signer, less, time.Now()); err != nil {
		t.Fatal(err)
	}
	got, err := g.redeem(t, old)
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := h.roster.Member(g.me.Account.Key(), time.Now()); m.Introducer || m.Quota != less.Quota || got.Member.Introducer {
		t.Errorf("asking again gave %+v and told %+v", m, got.Member)
	}
}

// TestMistypedCancelsNothing: a name that happens to be the start of an id cancels nobody's invitation.
func TestMistypedCancelsNothing(t *testing.T) {
	h := newHome(t)
	h.issue(Terms{Nickname: "zoe"})
	id := h.current().List()[0].ID
	for n := range idStart {
		if _, err := h.current().Cancel(id[:n]); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("cancelled by %q: %v", id[:n], err)
		}
	}
	if _, err := h.current().Cancel(id[:idStart]); err != nil {
		t.Errorf("not cancelled by the start of its id: %v", err)
	}
}

func TestLedgerFailsSafely(t *testing.T) {
	h, g := newHome(t), newGuest(t, "guest")
	inv := h.issue(Terms{})
	full := errors.New("disk full")
	save := h.current().save
	h.current().save = func([]*entry) error { return full }
	if _, err := h.current().Issue(Terms{Expires: time.Now().Add(time.Hour)}); !errors.Is(err, full) {
		t.Errorf("issued what is not on disk: %v", err)
	}
	if _, err := h.current().Cancel(h.current().List()[0].ID); !errors.Is(err, full) {
		t.Errorf("cancelled what is not on disk: %v", err)
	}
	if _, err := g.redeem(t, inv); err == nil {
		t.Error("let in without keeping count")
	}
	if _, ok := h.roster.Member(g.me.Account.Key(), time.Now()); ok || len(h.current().List()) != 1 || h.current().List()[0].State != Open {
		t.Errorf("after failures: member %v, %+v", ok, h.current().List())
	}
	h.current().save = save
	if _, err := g.redeem(t, inv); err != nil {
		t.Errorf("once the disk has room: %v", err)
	}
}

func TestLedgerFile(t *testing.T) {
	h := newHome(t)
	inv := h.issue(Terms{Nickname: "sister"})
	info, err := os.Stat(h.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	data, err := os.ReadFile(h.path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), string(inv.secret[:])) || strings.Contains(string(data), inv.Reveal()) {
		t.Error("the file holds the secret")
	}
	for name, content := range map[string]string{
		"garbage": "\x00", "cut": string(data[:len(data)/2]), "other grid": strings.Replace(string(data), h.roster.Grid().ID(), "0123456789abcdef", 1),
		"unknown key": strings.Replace(string(data), `"uses"`, `"uses": 1, "more"`, 1), "no id": strings.Replace(string(data), `"id"`, `"kind": 1, "key"`, 1),
	} {
		if err := os.WriteFile(h.path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		h.reopen()
		if list := h.current().List(); len(list) != 0 {
			t.Errorf("%s: %+v", name, list)
		}
		if kept, err := os.ReadFile(h.path + ".damaged"); err != nil || string(kept) != content {
			t.Errorf("%s: not kept aside: %v", name, err)
		}
	}
	later := strings.Replace(string(data), `"version": 1`, `"version": 2`, 1)
	if err := os.WriteFile(h.path, []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := h.current().cfg
	if _, err := OpenIssuer(cfg); !errors.Is(err, share.ErrVersion) {
		t.Errorf("the file of a later version: %v", err)
	}
	if kept, err := os.ReadFile(h.path); err != nil || string(kept) != later {
		t.Errorf("the file of a later version is touched: %v", err)
	}
}
