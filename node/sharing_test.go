package node_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/grid/mutable"
	"cairn/introducer"
	"cairn/introducer/inbox"
	"cairn/node"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// A friend is a running node of a private grid.
type friend struct {
	*control.Client
	t       *testing.T
	node    *node.Node
	account introducer.Account
}

// friends starts the nodes of anna, who founds a grid of 1-of-2, bert and carla.
func friends(t *testing.T) (anna, bert, carla *friend, grid introducer.Descriptor) {
	t.Helper()
	dir, grid := foundPrivate(t, "anna")
	anna = befriended(t, dir)
	settings, err := anna.GridSettings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	settings.Params = share.Params{Needed: 1, Happy: 2, Total: 3}
	if _, err := anna.SetGridSettings(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	bert = befriended(t, invited(t, anna.Client, control.InviteRequest{Nickname: "bert"}, ""))
	carla = befriended(t, invited(t, anna.Client, control.InviteRequest{Nickname: "carla"}, ""))
	for _, f := range []*friend{anna, bert, carla} {
		comesTrue(t, "everybody has met", func() bool { return storing(t, f.Client) == 2 })
	}
	for _, f := range []*friend{anna, bert, carla} {
		f.received() // publishes what notes to them are sealed to
	}
	return anna, bert, carla, grid
}

func befriended(t *testing.T, dir *node.Dir) *friend {
	t.Helper()
	n, _ := start(t, dir)
	account, err := dir.Account()
	if err != nil {
		t.Fatal(err)
	}
	return &friend{client(t, dir), t, n, account}
}

// gives shares a path, once the other's card has come.
func (f *friend) gives(target, to string, write bool) control.Share {
	f.t.Helper()
	var made control.Share
	var err error
	comesTrue(f.t, target+" is shared with "+to, func() bool {
		made, err = f.Share(f.t.Context(), control.ShareRequest{Target: target, To: to, Write: write})
		return err == nil
	})
	return made
}

func (f *friend) received() control.Shares {
	f.t.Helper()
	list, err := f.Shares(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

func (f *friend) accepts(id, target string) control.Share {
	f.t.Helper()
	s, err := f.AcceptShare(f.t.Context(), control.AcceptRequest{ID: id, Target: target})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *friend) mkdir(target string) {
	f.t.Helper()
	if _, err := f.Mkdir(f.t.Context(), control.MkdirRequest{Target: target, Parents: true}); err != nil {
		f.t.Fatal(err)
	}
}

// leaves writes bytes into the box for another member.
func (f *friend) leaves(pair inbox.Pair, data []byte) {
	f.t.Helper()
	key, err := inbox.BoxKey(f.account, pair)
	if err != nil {
		f.t.Fatal(err)
	}
	files := f.node.Grid().Files()
	v, err := files.Read(f.t.Context(), capability.Mutable(key))
	if err != nil {
		v = nil
	}
	if _, err := files.Write(f.t.Context(), key, v, bytes.NewReader(data), mutable.WriteOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// TestHostileNotes: a member who leaves anything but notes of their own harms nobody, and keeps nobody else's from coming.
func TestHostileNotes(t *testing.T) {
	anna, bert, carla, grid := friends(t)
	anna.mkdir("home:holiday")
	anna.gives("home:holiday", "bert", false)
	pair := func(from, to *friend) inbox.Pair {
		return inbox.Pair{Grid: grid.Key(), From: from.account.Key(), To: to.account.Key()}
	}
	card, err := inbox.CardOf(bert.account)
	if err != nil {
		t.Fatal(err)
	}
	boxed := func(p inbox.Pair, signed []byte) []byte {
		box, err := inbox.Seal(card, p, signed)
		if err != nil {
			t.Fatal(err)
		}
		return box
	}
	c := capability.Directory(keys.NewWriteKey())
	notes := []inbox.Note{{ID: [inbox.NoteLen]byte{1}, Capability: c, Name: "../../escape", Message: "\x1b[2Jhello", Sent: time.Now()}}
	forOthers, err := inbox.Sign(carla.account, pair(carla, anna), notes)
	if err != nil {
		t.Fatal(err)
	}
	for what, box := range map[string][]byte{
		"junk": []byte("junk"), "too long": make([]byte, inbox.MaxBox+1), "signed for anna": boxed(pair(carla, bert), forOthers),
		"nothing signed": boxed(pair(carla, bert), []byte("notes")),
	} {
		carla.leaves(pair(carla, bert), box)
		list := bert.received()
		if len(list.Received) != 1 || list.Received[0].Member != "anna" || len(list.Problems) != 1 || !strings.Contains(list.Problems[0], "carla") {
			t.Errorf("%s: %+v", what, list)
		}
	}
	notes = append(notes, inbox.Note{ID: [inbox.NoteLen]byte{2}, Capability: c, Name: "old", Sent: time.Now(), Expires: time.Now().Add(-time.Minute)})
	signed, err := inbox.Sign(carla.account, pair(carla, bert), notes)
	if err != nil {
		t.Fatal(err)
	}
	carla.leaves(pair(carla, bert), boxed(pair(carla, bert), signed))
	list := bert.received()
	for _, s := range list.Received {
		want := map[string]string{"old": control.ShareExpired, "../../escape": control.ShareNew, "holiday": control.ShareNew}[s.Name]
		if s.State != want {
			t.Errorf("%q is %s, want %s", s.Name, s.State, want)
		}
		if s.Member != "carla" {
			continue
		}
		if _, err := bert.AcceptShare(t.Context(), control.AcceptRequest{ID: s.ID}); codeOf(err) != control.CodeRefused {
			t.Errorf("%q is accepted: %v", s.Name, err)
		}
	}
	if len(list.Received) != 3 {
		t.Errorf("%d notes, want 3", len(list.Received))
	}
	i := slices.IndexFunc(list.Received, func(s control.Share) bool { return s.Name == "../../escape" })
	if s := bert.accepts(list.Received[i].ID, "home:hers"); s.Path != "home:hers" || s.Right != control.RightWrite {
		t.Errorf("accepted under another name: %+v", s)
	}
	if got := list1(t, bert); got != "hers" {
		t.Errorf("the root directory has %q", got)
	}
}

// list1 returns what is in the root directory, without what a node keeps there for itself.
func list1(t *testing.T, f *friend) string {
	t.Helper()
	return strings.TrimPrefix(strings.TrimPrefix(list(t, f.Client, "home:"), ".cairn"), " ")
}

// TestUnshareFollows: after an unshare that was cut off at any write the tree is whole, and doing it again ends with the former reader
// out, the other in, and every link in the owner's tree on the new keys.
func TestUnshareFollows(t *testing.T) {
	anna, bert, carla, _ := friends(t)
	ctx := t.Context()
	anna.mkdir("home:work/plans/deep")
	if _, err := anna.Link(ctx, control.LinkRequest{Source: "home:work/plans", Target: "home:short"}); err != nil {
		t.Fatal(err)
	}
	if _, err := anna.SetAlias(ctx, control.AliasRequest{Alias: "plans", Target: "home:work/plans"}); err != nil {
		t.Fatal(err)
	}
	forBert := anna.gives("home:work/plans", "bert", false)
	forCarla := anna.gives("home:work/plans/deep", "carla", true)
	bert.accepts(forBert.ID, "")
	first := carla.accepts(forCarla.ID, "")
	if first.Path != "home:shared/anna/deep" {
		t.Errorf("it is linked at %s", first.Path)
	}
	for wait := time.Millisecond; wait < 300*time.Millisecond; wait *= 3 {
		cut, cancel := context.WithTimeout(ctx, wait)
		_, err := anna.Unshare(cut, control.UnshareRequest{Target: "home:work/plans", To: "bert"}, nil)
		cancel()
		if got := list(t, anna.Client, "home:work/plans"); got != "deep" {
			t.Fatalf("cut off after %s the directory has %q", wait, got)
		}
		if err := node.Settle(ctx, anna.node); err != nil {
			t.Fatal(err)
		}
		if endedAt(t, anna.Client, "home:work/plans") {
			t.Fatalf("cut off after %s the directory has ended", wait)
		}
		if err == nil {
			break
		}
	}
	if done, err := anna.Unshare(ctx, control.UnshareRequest{Target: "home:work/plans", To: "bert"}, nil); err == nil && !done.Rotated {
		t.Errorf("the keys are the same: %+v", done)
	} else if err != nil && codeOf(err) != control.CodeNotFound {
		t.Fatal(err)
	}
	anna.mkdir("home:work/plans/secret")
	anna.mkdir("home:work/plans/deep/for-carla")
	if got := list(t, bert.Client, "home:shared/anna/plans"); got != "deep" {
		t.Errorf("the former reader sees %q", got)
	}
	for _, target := range []string{"home:short", "plans:", "home:work/plans"} {
		if got := list(t, anna.Client, target); got != "deep secret" {
			t.Errorf("%s has %q", target, got)
		}
	}
	comesTrue(t, "carla has the new keys", func() bool {
		carla.received()
		return list(t, carla.Client, "home:shared/anna/deep") == "for-carla"
	})
	if got := list(t, bert.Client, "home:shared/anna/plans/deep"); got != "" {
		t.Errorf("below it the former reader sees %q", got)
	}
}

// TestOffersThatChange: the same thing shared once more is one offer; names that are taken are numbered; what was declined can be had.
func TestOffersThatChange(t *testing.T) {
	anna, bert, _, _ := friends(t)
	ctx := t.Context()
	anna.mkdir("home:a/docs")
	anna.mkdir("home:b/docs")
	first := anna.gives("home:a/docs", "bert", false)
	if again := anna.gives("home:a/docs", "bert", false); again.ID != first.ID {
		t.Error("shared once more it is another offer")
	}
	second := anna.gives("home:b/docs", "bert", false)
	if got := bert.accepts(first.ID, ""); got.Path != "home:shared/anna/docs" {
		t.Errorf("the first is %s", got.Path)
	}
	if _, err := bert.DeclineShare(ctx, second.ID[:8]); err != nil {
		t.Fatal(err)
	}
	if got := bert.accepts(second.ID, ""); got.Path != "home:shared/anna/docs (2)" {
		t.Errorf("the second is %s", got.Path)
	}
	if _, err := bert.AcceptShare(ctx, control.AcceptRequest{ID: second.ID}); codeOf(err) != control.CodeFailed {
		t.Errorf("accepted twice: %v", err)
	}
	if _, err := bert.Mkdir(ctx, control.MkdirRequest{Target: "home:shared/anna/docs/mine"}); codeOf(err) != control.CodeRefused {
		t.Errorf("bert writes what is to be read: %v", err)
	}
	anna.gives("home:a/docs", "bert", true)
	list := bert.received().Received
	i := slices.IndexFunc(list, func(s control.Share) bool { return s.ID == first.ID })
	if i < 0 || list[i].State != control.ShareRenewed || list[i].Right != control.RightWrite {
		t.Errorf("offered with another right it is %+v", list)
	}
	if _, err := anna.Unshare(ctx, control.UnshareRequest{Target: "home:b/docs"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := anna.Unshare(ctx, control.UnshareRequest{Target: "home:b/docs"}, nil); codeOf(err) != control.CodeNotFound {
		t.Errorf("taken back twice: %v", err)
	}
}
