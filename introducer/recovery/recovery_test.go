package recovery_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"cairn/internal/hosttest"
	"cairn/internal/membertest"
	"cairn/introducer"
	"cairn/introducer/recovery"
	"cairn/p2p"
	"cairn/share"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"))
}

// A town is a private grid whose founder's node answers, with another member, anna, who has a node that is gone.
type town struct {
	t      *testing.T
	signer introducer.Signer
	roster *introducer.Roster
	host   *p2p.Host
	anna   introducer.Account
}

func newTown(t *testing.T) *town {
	t.Helper()
	grid := membertest.Found(t)
	w := &town{t: t, roster: grid.Roster, signer: grid.Founder, anna: introducer.NewAccount()}
	founder := introducer.NewAccount()
	w.vouch(introducer.Grant{Account: founder.Key(), Nickname: "founder", Introducer: true})
	membertest.Vouch(t, w.roster, founder.Signer(grid.Descriptor), introducer.Grant{Account: w.anna.Key(), Nickname: "anna", Quota: 5 << 30})
	key, id := membertest.Node(t)
	w.device(founder, key, "desk")
	lost := hosttest.Key(t)
	w.device(w.anna, lost, "laptop")
	w.host = membertest.Open(t, p2p.Config{Key: key}, w.roster)
	t.Cleanup(func() { w.host.Close() })
	server, err := recovery.NewServer(recovery.Config{Roster: w.roster, Self: id, Contacts: w.host.Addresses})
	if err != nil {
		t.Fatal(err)
	}
	w.host.HandleStranger(recovery.Protocol, server.Serve)
	return w
}

func (w *town) vouch(g introducer.Grant) {
	w.t.Helper()
	membertest.Vouch(w.t, w.roster, w.signer, g)
}

func (w *town) device(account introducer.Account, key crypto.PrivKey, name string) {
	w.t.Helper()
	membertest.Device(w.t, w.roster, account, key, name)
}

// back tries to come back on a new machine.
func (w *town) back(who recovery.Claimant, addresses ...string) (recovery.Membership, share.ServerID, error) {
	w.t.Helper()
	key, id := membertest.Node(w.t)
	who.Node, who.Device = key, "new laptop"
	host := membertest.OpenStranger(w.t, key)
	if len(addresses) == 0 {
		addresses = w.host.Addresses()
	}
	m, err := recovery.Recover(w.t.Context(), host, addresses, who)
	return m, id, err
}

func TestBackWithTheAccountAlone(t *testing.T) {
	w := newTown(t)
	m, id, err := w.back(recovery.Claimant{Account: w.anna, Grid: w.roster.Grid().ID()})
	if err != nil {
		t.Fatal(err)
	}
	if m.Grid != w.roster.Grid() || m.Member.Nickname != "anna" || m.Member.Quota != 5<<30 || m.From != w.host.ID() || len(m.Contacts) == 0 {
		t.Errorf("got %+v", m)
	}
	var names []string
	for _, d := range m.Member.Devices {
		names = append(names, d.Name)
	}
	slices.Sort(names) // both were named in the same second
	if !slices.Equal(names, []string{"laptop", "new laptop"}) {
		t.Errorf("devices %v", names)
	}
	if err := w.roster.Admit(id); err != nil {
		t.Errorf("the member that was asked does not admit the new node: %v", err)
	}
	roster := introducer.NewRoster(m.Grid)
	if _, err := roster.Add(m.Statements...); err != nil {
		t.Fatal(err)
	}
	if roster.Admit(id) != nil || roster.Admit(w.host.ID()) != nil {
		t.Error("what came back does not make the nodes members")
	}
}

// TestDeadMembersAreSkipped: the first addresses lead nowhere.
func TestDeadMembersAreSkipped(t *testing.T) {
	w := newTown(t)
	_, gone := membertest.Node(t)
	addresses := append([]string{"/ip4/127.0.0.1/tcp/1/p2p/" + string(gone)}, w.host.Addresses()...)
	if _, _, err := w.back(recovery.Claimant{Account: w.anna}, addresses...); err != nil {
		t.Error(err)
	}
	if _, _, err := w.back(recovery.Claimant{Account: w.anna}, addresses[0]); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("nobody reached: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	w := newTown(t)
	if _, id, err := w.back(recovery.Claimant{Account: introducer.NewAccount()}); !errors.Is(err, recovery.ErrUnknown) || w.roster.Admit(id) == nil {
		t.Errorf("a stranger: %v", err)
	}
	if _, id, err := w.back(recovery.Claimant{Account: w.anna, Grid: "0123456789abcdef"}); !errors.Is(err, recovery.ErrOtherGrid) || w.roster.Admit(id) == nil {
		t.Errorf("another grid: %v", err)
	}
	bert, expired := introducer.NewAccount(), introducer.NewAccount()
	w.vouch(introducer.Grant{Account: bert.Key(), Nickname: "bert"})
	over := time.Now().Add(-time.Hour)
	if _, err := w.roster.Vouch(w.signer, introducer.Grant{Account: expired.Key(), Nickname: "carla", Expires: over}, over.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.roster.Revoke(w.signer, bert.Key(), "moved away", time.Now()); err != nil {
		t.Fatal(err)
	}
	for reason, account := range map[string]introducer.Account{"moved away": bert, "expired": expired} {
		_, id, err := w.back(recovery.Claimant{Account: account})
		if refused, ok := errors.AsType[*recovery.RefusedError](err); !ok || !strings.Contains(refused.Text, reason) || !errors.Is(err, share.ErrDenied) {
			t.Errorf("want %q: %v", reason, err)
		}
		if w.roster.Admit(id) == nil {
			t.Errorf("%s, and let in", reason)
		}
	}
}

// TestTooManyDevices: the reason is told, and what to do is up to the person.
func TestTooManyDevices(t *testing.T) {
	w := newTown(t)
	for range introducer.MaxDevices - 1 {
		key, _ := membertest.Node(t)
		w.device(w.anna, key, "another")
	}
	if _, _, err := w.back(recovery.Claimant{Account: w.anna}); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a device too many: %v", err)
	}
}
