package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/internal/porttest"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// foundPrivate makes a node that founds a private grid.
func foundPrivate(t *testing.T, nickname string) (*node.Dir, introducer.Descriptor) {
	t.Helper()
	dir := newDir(t)
	grid, err := dir.Found(node.Founding{Name: "river friends", Nickname: nickname})
	if err != nil {
		t.Fatal(err)
	}
	return dir, grid
}

// client talks to a node of a directory.
func client(t *testing.T, dir *node.Dir) *control.Client {
	t.Helper()
	c, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// invited makes a node that joined with an invitation of a running node.
func invited(t *testing.T, by *control.Client, request control.InviteRequest, nickname string) *node.Dir {
	t.Helper()
	invitation, err := by.Invite(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	dir := newDir(t)
	if _, err := dir.JoinInvitation(t.Context(), invitation.Text, nickname); err != nil {
		t.Fatal(err)
	}
	return dir
}

// comesTrue asks until the answer is yes.
func comesTrue(t *testing.T, what string, ask func() bool) {
	t.Helper()
	waittest.Eventually(t, what, ask)
}

func answering(t *testing.T, c *control.Client) int {
	t.Helper()
	status, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.Peers
}

// storing returns how many peers of a node answer and store.
func storing(t *testing.T, c *control.Client) int {
	t.Helper()
	peers, err := c.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range peers {
		if p.Answers && p.Storage {
			n++
		}
	}
	return n
}

func TestFounderIsTheFirstMember(t *testing.T) {
	dir, _ := foundPrivate(t, "anna")
	start(t, dir)
	members, err := client(t, dir).Members(t.Context())
	if err != nil || len(members) != 1 {
		t.Fatalf("members %+v, %v", members, err)
	}
	m := members[0]
	if m.Nickname != "anna" || !m.Introducer || !m.Self || m.State != "member" || len(m.Devices) != 1 || m.Devices[0].ID != string(dir.ID()) {
		t.Errorf("the founder is %+v", m)
	}
}

func TestFriendsOfFriends(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert", Introducer: true}, "")
	start(t, bert)
	atBert := client(t, bert)
	carla := invited(t, atBert, control.InviteRequest{}, "carla")
	_, stopCarla := start(t, carla)
	atCarla := client(t, carla)
	for name, c := range map[string]*control.Client{"anna": atAnna, "bert": atBert, "carla": atCarla} {
		comesTrue(t, name+" knows both others", func() bool {
			members, err := c.Members(t.Context())
			return err == nil && len(members) == 3 && storing(t, c) == 2
		})
	}

	data := bytes.Repeat([]byte("what friends keep for each other "), 1000)
	result, err := atCarla.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Params: share.Params{Needed: 2, Happy: 3, Total: 3}}, nil)
	if err != nil || result.Happiness != 3 {
		t.Fatalf("put %+v, %v", result, err)
	}

	revoked, err := atAnna.Revoke(t.Context(), control.RevokeRequest{Member: "Carla", Reason: "moved away"})
	if err != nil || revoked.State != "revoked" {
		t.Fatalf("revoke %+v, %v", revoked, err)
	}
	comesTrue(t, "carla is alone", func() bool { return answering(t, atCarla) == 0 && answering(t, atBert) == 1 })
	status, err := atBert.Status(t.Context())
	stored := slices.ContainsFunc(status.Storage.Owners, func(o control.Owner) bool { return o.Nickname == "carla" })
	if err != nil || !stored { // others may have published their cards by now
		t.Errorf("what is stored for somebody who was revoked: %+v, %v", status.Storage.Owners, err)
	}
	stopCarla()
	start(t, carla)
	comesTrue(t, "bert refuses carla", func() bool {
		peers, err := atBert.Peers(t.Context())
		return err == nil && len(peers) > 0
	})
	if n := answering(t, client(t, carla)); n != 0 {
		t.Errorf("%d members talk to somebody who was revoked", n)
	}
}

func TestJoiningAgainMendsTheGridFile(t *testing.T) {
	anna, grid := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{}, "bert")
	if err := os.WriteFile(filepath.Join(bert.Path(), "grid"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	invitation, err := atAnna.Invite(t.Context(), control.InviteRequest{})
	if err != nil {
		t.Fatal(err)
	}
	joined, err := bert.JoinInvitation(t.Context(), invitation.Text, "bert")
	if err != nil || joined.Grid.ID() != grid.ID() || joined.Member.Nickname != "bert" {
		t.Fatalf("joined %+v, %v", joined, err)
	}
	if _, err := bert.JoinInvitation(t.Context(), invitation.Text, "bert"); !errors.Is(err, node.ErrHasGrid) {
		t.Errorf("joining while the grid is known: %v", err)
	}
}

func TestRevokeRefusals(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert"}, "")
	start(t, bert)
	for name, test := range map[string]struct {
		at   *control.Client
		who  string
		code control.Code
	}{
		"nobody":         {atAnna, "zoe", control.CodeNotFound},
		"oneself":        {atAnna, "anna", control.CodeRefused},
		"not introducer": {client(t, bert), "anna", control.CodeRefused},
	} {
		_, err := test.at.Revoke(t.Context(), control.RevokeRequest{Member: test.who})
		if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != test.code {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	if _, err := client(t, bert).Invite(t.Context(), control.InviteRequest{}); err == nil {
		t.Error("a member without authority made an invitation")
	}
}

func TestSecondDevice(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	phone := invited(t, atAnna, control.InviteRequest{Device: true}, "phone")
	start(t, phone)
	atPhone := client(t, phone)
	comesTrue(t, "both know one member with two devices", func() bool {
		a, errA := atAnna.Members(t.Context())
		b, errB := atPhone.Members(t.Context())
		return errA == nil && errB == nil && len(a) == 1 && len(a[0].Devices) == 2 && len(b) == 1 && b[0].Self && len(b[0].Devices) == 2
	})
	if _, err := atAnna.RemoveDevice(t.Context(), "phone"); err != nil {
		t.Fatal(err)
	}
	comesTrue(t, "the phone is alone", func() bool { return answering(t, atPhone) == 0 })
}

func TestSettingsReachEverybody(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{}, "bert")
	start(t, bert)
	atBert := client(t, bert)
	settings := control.Settings{Params: share.Params{Needed: 1, Happy: 2, Total: 2}, Policy: "fixed", Quota: 12345678}
	if _, err := atBert.SetGridSettings(t.Context(), settings); err == nil {
		t.Error("a member without authority changed the grid's settings")
	}
	if _, err := atAnna.SetGridSettings(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	short := settings
	short.LeaseSeconds = 3600
	_, err := atAnna.SetGridSettings(t.Context(), short)
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeMalformed || !strings.Contains(e.Message, "at least 14d") {
		t.Errorf("a lease that ends before it is renewed: %v", err)
	}
	for _, seconds := range []int64{-1, math.MaxInt64, 1 << 40} {
		long := settings
		long.LeaseSeconds = seconds
		_, err := atAnna.SetGridSettings(t.Context(), long)
		if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeMalformed || !strings.Contains(e.Message, "at most") {
			t.Errorf("a lease of %d seconds: %v", seconds, err)
		}
	}
	comesTrue(t, "bert has the new settings", func() bool {
		got, err := atBert.GridSettings(t.Context())
		return err == nil && got == settings
	})
	shown, err := atBert.Grid(t.Context())
	if err != nil || shown.Params != settings.Params || shown.Members != 2 || shown.Address != "" {
		t.Errorf("the grid is %+v, %v", shown, err)
	}
}

// TestTermsOfAMember: the founder changes what a member may use, and renews a membership that has ended; nobody else can.
func TestTermsOfAMember(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{Quota: 1_000_000}, "bert")
	start(t, bert)
	atBert := client(t, bert)
	refused := func(what string, at *control.Client, r control.MemberRequest, message string) {
		t.Helper()
		_, err := at.SetMember(t.Context(), r)
		if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeRefused || !strings.Contains(e.Message, message) || e.Hint == "" {
			t.Errorf("%s: %+v", what, err)
		}
	}
	refused("one's own terms", atBert, control.MemberRequest{Member: "bert", Quota: new(int64(1 << 40))}, "no introducer")
	short, err := atAnna.SetMember(t.Context(), control.MemberRequest{Member: "bert", Membership: new(time.Second)})
	if err != nil || short.Quota != 1_000_000 || short.Expires.IsZero() {
		t.Fatalf("bert became %+v, %v", short, err)
	}
	comesTrue(t, "the membership ends", func() bool {
		members, err := atAnna.Members(t.Context())
		return err == nil && len(members) == 2 && members[1].State == "expired"
	})
	refused("a membership that has ended", atAnna, control.MemberRequest{Member: "bert", Introducer: new(true)}, "expired")
	renewed, err := atAnna.SetMember(t.Context(), control.MemberRequest{Member: "bert", Quota: new(int64(5_000_000)), Membership: new(time.Duration(0))})
	if err != nil || renewed.State != "member" || renewed.Quota != 5_000_000 || !renewed.Expires.IsZero() || renewed.Introducer {
		t.Fatalf("bert became %+v, %v", renewed, err)
	}
	changed, err := atAnna.SetMember(t.Context(), control.MemberRequest{Member: "bert", Introducer: new(true)})
	if err != nil || !changed.Introducer || changed.Quota != 5_000_000 || changed.GrantedBy != "" {
		t.Errorf("bert became %+v, %v", changed, err)
	}
	if _, err := atAnna.Revoke(t.Context(), control.RevokeRequest{Member: "bert"}); err != nil {
		t.Fatal(err)
	}
	refused("who was revoked", atAnna, control.MemberRequest{Member: "bert", Quota: new(int64(1))}, "was revoked on")
	if _, err := atAnna.SetMember(t.Context(), control.MemberRequest{Member: "zoe"}); err == nil {
		t.Error("somebody who is not there was changed")
	}
}

func TestLeaveHandsSharesOver(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{}, "bert")
	_, stopBert := start(t, bert)
	atBert := client(t, bert)
	comesTrue(t, "each can store with the other", func() bool { return storing(t, atAnna) == 1 && storing(t, atBert) == 1 })
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	result, err := atAnna.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Params: share.Params{Needed: 2, Happy: 2, Total: 2}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = atAnna.Leave(t.Context(), false, func(control.Progress) {})
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeRefused || !strings.Contains(e.Message, "last introducer") {
		t.Errorf("the only introducer leaves the others behind: %v", err)
	}
	report, err := atBert.Leave(t.Context(), false, func(control.Progress) {})
	if err != nil || report.Moved != 1 || report.Failed != 0 {
		t.Fatalf("leave: %+v, %v", report, err)
	}
	members, err := atAnna.Members(t.Context())
	devices := 0
	for _, m := range members {
		devices += len(m.Devices)
	}
	if err != nil || devices != 1 {
		t.Errorf("after bert left there are %d devices, %v; want that anna was told", devices, err)
	}
	if again, err := atBert.Leave(t.Context(), false, func(control.Progress) {}); err != nil || again.Failed != 0 {
		t.Errorf("leaving goes on after it was interrupted: %+v, %v", again, err)
	}
	stopBert()
	if _, err := bert.Leave(); err != nil {
		t.Fatal(err)
	}
	if _, err := bert.Grid(); !errors.Is(err, node.ErrNoGrid) {
		t.Errorf("after leaving: %v", err)
	}
	open, err := capability.Parse(result.Capability)
	if err != nil {
		t.Fatal(err)
	}
	download, err := atAnna.Get(t.Context(), open, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer download.Close()
	var got bytes.Buffer
	if _, err := download.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("read %d of %d bytes, %v", got.Len(), len(data), err)
	}
}

// TestLastIntroducer: one who left, and has no device in the grid, introduces nobody; who does leaves nobody behind without it.
func TestLastIntroducer(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{Introducer: true}, "bert")
	start(t, bert)
	atBert := client(t, bert)
	comesTrue(t, "they met", func() bool { return answering(t, atAnna) == 1 && answering(t, atBert) == 1 })
	carla := invited(t, atAnna, control.InviteRequest{}, "carla")
	start(t, carla)
	atCarla := client(t, carla)
	comesTrue(t, "all met", func() bool {
		return answering(t, atAnna) == 2 && answering(t, atBert) == 2 && answering(t, atCarla) == 2
	})
	if _, err := atBert.Leave(t.Context(), true, func(control.Progress) {}); err != nil {
		t.Fatal(err)
	}
	comesTrue(t, "anna knows that bert has no device", func() bool {
		members, err := atAnna.Members(t.Context())
		return err == nil && len(members) == 3 && !slices.ContainsFunc(members, func(m control.Member) bool { return m.Nickname == "bert" && len(m.Devices) > 0 })
	})
	_, err := atAnna.Leave(t.Context(), false, func(control.Progress) {})
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeRefused || !strings.Contains(e.Message, "last introducer") ||
		!strings.Contains(e.Hint, "members set MEMBER --introducer") {
		t.Errorf("the last introducer leaves: %v", err)
	}
	if _, err := atAnna.SetMember(t.Context(), control.MemberRequest{Member: "carla", Introducer: new(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := atAnna.Leave(t.Context(), false, func(control.Progress) {}); err != nil {
		t.Errorf("with another introducer: %v", err)
	}
}

// Whoever has joined needs no introducer any more: two members that restart while the founder is off meet, store and read.
func TestWithoutIntroducers(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	_, stopAnna := start(t, anna)
	atAnna := client(t, anna)
	friends := []*node.Dir{invited(t, atAnna, control.InviteRequest{}, "bert"), invited(t, atAnna, control.InviteRequest{}, "carla")}
	configs := make([]config.Config, len(friends))
	nodes := make([]*node.Node, len(friends))
	clients := make([]*control.Client, len(friends))
	for i, dir := range friends {
		configs[i] = testConfig()
		configs[i].Network.Listen = []string{fixedPort(t)} // found again where it was
		nodes[i], clients[i] = open(t, dir, configs[i])
	}
	for _, c := range clients {
		comesTrue(t, "everybody has met", func() bool { return storing(t, c) == 2 })
	}
	stopAnna()
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, dir := range friends {
		_, clients[i] = open(t, dir, configs[i])
	}
	atBert, atCarla := clients[0], clients[1]
	comesTrue(t, "they meet again without the founder", func() bool { return storing(t, atBert) == 1 && storing(t, atCarla) == 1 })
	data := bytes.Repeat([]byte("nobody in the middle"), 5000)
	result, err := atBert.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Params: share.Params{Needed: 1, Happy: 2, Total: 2}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := capability.Parse(result.Capability)
	if err != nil {
		t.Fatal(err)
	}
	if stat, err := atCarla.Stat(t.Context(), file); err != nil || stat.Size != int64(len(data)) {
		t.Errorf("carla sees %+v, %v", stat, err)
	}
}

// TestOffersAreRemembered: what a member may use does not shrink to the floor for a node that was started again and has not met the member's nodes yet.
func TestOffersAreRemembered(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	generous := testConfig()
	generous.Storage.Offer = 3 << 30
	n, atAnna := open(t, anna, generous)
	bert := invited(t, atAnna, control.InviteRequest{}, "bert")
	other, atBert := open(t, bert, testConfig())
	comesTrue(t, "they have met", func() bool { return storing(t, atBert) == 1 })
	mayUse := func(c *control.Client) int64 {
		members, err := c.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			if m.Nickname == "anna" {
				return m.MayUse
			}
		}
		return -1
	}
	const floor = 1 << 30
	comesTrue(t, "bert's node has heard what anna lends", func() bool { return mayUse(atBert) > floor })
	want := mayUse(atBert)
	for _, running := range []*node.Node{n, other} {
		if err := running.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, atBert = open(t, bert, testConfig())
	if got := mayUse(atBert); got != want {
		t.Errorf("anna may use %d after a restart, and %d before", got, want)
	}
}

// fixedPort returns an address on which a node can listen again after it was closed, so that the others find it.
func fixedPort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", porttest.Free(t))
}

// TestRevokedWithTheirs names those who stay and through whom, or revokes them too.
func TestRevokedWithTheirs(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert", Introducer: true}, "")
	_, stopBert := start(t, bert)
	atBert := client(t, bert)
	carla := invited(t, atBert, control.InviteRequest{Nickname: "carla", Introducer: true}, "")
	comesTrue(t, "anna knows carla", func() bool {
		members, err := atAnna.Members(t.Context())
		return err == nil && len(members) == 3
	})
	stopBert()
	_, err := atAnna.Revoke(t.Context(), control.RevokeRequest{Member: "bert", Reason: "lost\nkey"})
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeMalformed {
		t.Errorf("a reason that does not print: %v", err)
	}
	revoked, err := atAnna.Revoke(t.Context(), control.RevokeRequest{Member: "bert"})
	if err != nil || revoked.Nickname != "bert" || len(revoked.Theirs) != 1 {
		t.Fatalf("revoked %+v, %v", revoked, err)
	}
	if m := revoked.Theirs[0]; m.Nickname != "carla" || m.State != "member" || m.GrantedBy != "" {
		t.Errorf("carla became %+v", m)
	}
	start(t, carla)
	dora := invited(t, client(t, carla), control.InviteRequest{Nickname: "dora"}, "")
	start(t, dora)
	comesTrue(t, "anna knows dora", func() bool {
		members, err := atAnna.Members(t.Context())
		return err == nil && len(members) == 4
	})
	revoked, err = atAnna.Revoke(t.Context(), control.RevokeRequest{Member: "carla", WithTheirs: true})
	if err != nil || len(revoked.Theirs) != 1 || revoked.Theirs[0].Nickname != "dora" || revoked.Theirs[0].State != "revoked" {
		t.Errorf("revoked %+v, %v", revoked, err)
	}
}

// TestStoringAlone: who stores where nobody else takes shares is told so; who is no member any more has to insist.
func TestStoringAlone(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	put := func(at *control.Client, alone bool) (control.PutResult, error) {
		data := bytes.Repeat([]byte("diary "), 10_000)
		return at.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Private: true, Alone: alone}, nil)
	}
	result, err := put(atAnna, false)
	if err != nil || !strings.Contains(result.Warning, "on the disk of this node only: no other node of the grid stores yet") {
		t.Errorf("the first node stores: %+v, %v", result, err)
	}
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert"}, "")
	start(t, bert)
	atBert := client(t, bert)
	comesTrue(t, "they met", func() bool { return storing(t, atAnna) == 1 && storing(t, atBert) == 1 })
	if result, err := put(atBert, false); err != nil || result.Warning != "" {
		t.Errorf("in company: %+v, %v", result, err)
	}
	if _, err := atAnna.Revoke(t.Context(), control.RevokeRequest{Member: "bert"}); err != nil {
		t.Fatal(err)
	}
	comesTrue(t, "bert is refused", func() bool {
		_, err := put(atBert, false)
		e, ok := errors.AsType[*control.Error](err)
		return ok && e.Code == control.CodeRefused && strings.Contains(e.Hint, "--alone")
	})
	status, err := atBert.Status(t.Context())
	if err != nil || status.Alone == "" {
		t.Errorf("status says %q, %v", status.Alone, err)
	}
	if result, err := put(atBert, true); err != nil || result.Warning == "" {
		t.Errorf("on his own disk: %+v, %v", result, err)
	}
}

// TestQuotaOfTheGrid says what a person may use in the grid, and counts what a removed device has stored for its owner.
func TestQuotaOfTheGrid(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	if _, err := atAnna.SetGridSettings(t.Context(), control.Settings{Policy: "fixed", Quota: 1_000_000}); err != nil {
		t.Fatal(err)
	}
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert"}, "")
	c := testConfig()
	c.Nickname, c.Storage.Enabled = "bert", false // so that all goes to anna
	_, atBert := open(t, bert, c)
	comesTrue(t, "they met", func() bool { return storing(t, atBert) == 1 && answering(t, atAnna) == 1 })
	put := func(at *control.Client, size int) error {
		data := bytes.Repeat([]byte("x"), size)
		_, err := at.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Private: true}, nil)
		return err
	}
	if err := put(atBert, 600_000); err != nil {
		t.Fatal(err)
	}
	e, ok := errors.AsType[*control.Error](put(atBert, 600_000))
	if !ok || e.Code != control.CodeRefused || !strings.Contains(e.Message, "of the 1.0 MB that the grid grants you, and 1 of 1 servers") {
		t.Errorf("beyond the quota: %+v", e)
	}
	phone := invited(t, atBert, control.InviteRequest{Device: true}, "phone")
	_, atPhone := open(t, phone, c)
	comesTrue(t, "the phone met anna", func() bool { return storing(t, atPhone) == 1 })
	if err := put(atPhone, 300_000); err != nil {
		t.Fatal(err)
	}
	if _, err := atBert.RemoveDevice(t.Context(), "phone"); err != nil {
		t.Fatal(err)
	}
	comesTrue(t, "what bert has stored is shown", func() bool {
		members, err := atAnna.Members(t.Context())
		return err == nil && len(members) == 2 && len(members[1].Devices) == 1 && members[1].UsesHere > 900_000
	})
}
