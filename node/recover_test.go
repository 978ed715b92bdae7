package node_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cairn/introducer"
	"cairn/introducer/recovery"
	"cairn/node"
	"cairn/node/account"
	"cairn/node/control"
	"cairn/share"
)

// newFrom makes a node of a phrase.
func newFrom(t *testing.T, phrase account.Phrase) *node.Dir {
	t.Helper()
	dir, err := node.InitFrom(filepath.Join(t.TempDir(), "node"), testConfig(), phrase)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func rootOf(t *testing.T, dir *node.Dir) string {
	t.Helper()
	key, err := dir.RootKey()
	if err != nil {
		t.Fatal(err)
	}
	return string(key[:])
}

func read(t *testing.T, dir *node.Dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir.Path(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPhraseIsKeptUntilItWasShown(t *testing.T) {
	dir := newDir(t)
	phrase, err := dir.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	if has, err := dir.HasPhrase(); err != nil || !has {
		t.Errorf("a new node has a phrase: %t, %v", has, err)
	}
	if err := dir.ForgetPhrase(); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Phrase(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("forgotten, it is still there: %v", err)
	}
	words := phrase.Words()
	err = filepath.WalkDir(dir.Path(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), words[3]+" "+words[4]) {
			t.Errorf("%s has the phrase, %v", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	again := newFrom(t, phrase)
	for _, name := range []string{"account", "convergence", "home", "record", "founder"} {
		if read(t, dir, name) != read(t, again, name) {
			t.Errorf("the phrase gives another %s", name)
		}
	}
	if again.ID() == dir.ID() {
		t.Error("two nodes of one phrase are one peer")
	}
	if _, err := again.Phrase(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a phrase that somebody has is kept: %v", err)
	}
}

// TestEarlierNodesGoOn: a directory of a version without phrases has a random account, and gets a root directory.
func TestEarlierNodesGoOn(t *testing.T) {
	dir := newDir(t)
	for _, name := range []string{"account", "home", "record", "founder", "phrase"} {
		if err := os.Remove(filepath.Join(dir.Path(), name)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := node.OpenDir(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	if has, err := again.HasPhrase(); err != nil || has {
		t.Errorf("it has a phrase: %t, %v", has, err)
	}
	first, err := again.Found(node.Founding{Name: "g", Nickname: "anna"})
	if err != nil || rootOf(t, again) != rootOf(t, again) {
		t.Fatalf("founded %v, %v", first, err)
	}
	start(t, again)
}

// TestFounderComesBack: the laptop burned. A friend's node runs; the phrase is on paper.
func TestFounderComesBack(t *testing.T) {
	anna, grid := foundPrivate(t, "anna")
	phrase, err := anna.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, anna)
	bert := invited(t, client(t, anna), control.InviteRequest{Nickname: "bert"}, "")
	start(t, bert)
	atBert := client(t, bert)
	comesTrue(t, "bert meets anna", func() bool { return answering(t, atBert) == 1 })
	stop()
	if err := os.RemoveAll(anna.Path()); err != nil {
		t.Fatal(err)
	}
	status, err := atBert.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if _, err := newDir(t).Recover(t.Context(), status.Addresses, "", "thief"); !errors.Is(err, recovery.ErrUnknown) {
		t.Errorf("another phrase: %v", err)
	}
	back := newFrom(t, phrase)
	got, err := back.Recover(t.Context(), status.Addresses, grid.ID(), "new laptop")
	if err != nil {
		t.Fatal(err)
	}
	if got.Grid != grid || !got.Founder || got.Member.Nickname != "anna" || !got.Member.Introducer || len(got.Member.Devices) != 2 {
		t.Errorf("came back: %+v", got)
	}
	start(t, back)
	atBack := client(t, back)
	comesTrue(t, "anna meets bert again", func() bool { return answering(t, atBack) == 1 && answering(t, atBert) == 1 })
	// The grid's key is back too: bert is no introducer, and only that key can revoke an introducer.
	if _, err := atBack.Revoke(t.Context(), control.RevokeRequest{Member: "bert"}); err != nil {
		t.Errorf("the founder has no authority any more: %v", err)
	}
	if _, err := back.Recover(t.Context(), status.Addresses, "", ""); !errors.Is(err, node.ErrHasGrid) {
		t.Errorf("a second time: %v", err)
	}
}

// TestRootOutOfReach comes back while nobody is there who has the root directory: it is not taken for one that is empty, and what is
// put into it meanwhile is there.
func TestRootOutOfReach(t *testing.T) {
	anna, grid := foundPrivate(t, "anna")
	phrase, err := anna.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	_, stopAnna := start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert"}, "")
	start(t, bert)
	atBert := client(t, bert)
	comesTrue(t, "anna meets bert", func() bool { return storing(t, atAnna) == 1 })
	stopAnna() // before anything is in the root directory, so that bert has nothing of it
	status, err := atBert.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back := newFrom(t, phrase)
	if _, err := back.Recover(t.Context(), status.Addresses, grid.ID(), "new laptop"); err != nil {
		t.Fatal(err)
	}
	start(t, back)
	atBack := client(t, back)
	comesTrue(t, "anna meets bert again", func() bool { return storing(t, atBack) == 1 })
	each := func(control.Entry) error { return nil }
	listed := atBack.List(t.Context(), control.ListRequest{Target: "home:"}, each)
	_, looked := atBack.Lookup(t.Context(), control.LookupRequest{Target: "home:docs"})
	_, checked := atBack.CheckTree(t.Context(), control.TreeCheckRequest{Target: "home:"}, nil)
	for what, err := range map[string]error{"list": listed, "look up": looked, "check": checked} {
		if codeOf(err) != control.CodeNotEnough || !strings.Contains(err.Error(), "2 nodes that answer; the grid has 3") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := atBack.Mkdir(t.Context(), control.MkdirRequest{Target: "home:new"}); err != nil {
		t.Fatal(err)
	}
	if err := atBack.List(t.Context(), control.ListRequest{Target: "home:"}, each); err != nil {
		t.Errorf("with something in it: %v", err)
	}
}

func TestRevokedStaysOut(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	atAnna := client(t, anna)
	bert := invited(t, atAnna, control.InviteRequest{Nickname: "bert"}, "")
	phrase, err := bert.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := atAnna.Revoke(t.Context(), control.RevokeRequest{Member: "bert", Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	status, err := atAnna.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back := newFrom(t, phrase)
	_, err = back.Recover(t.Context(), status.Addresses, "", "")
	if refused, ok := errors.AsType[*recovery.RefusedError](err); !ok || !strings.Contains(refused.Text, "stolen") || !errors.Is(err, share.ErrDenied) {
		t.Errorf("a revoked member comes back: %v", err)
	}
	if _, err := back.Grid(); !errors.Is(err, node.ErrNoGrid) {
		t.Errorf("it has a grid: %v", err)
	}
}

func TestRecoverOpenGrid(t *testing.T) {
	dir := newDir(t)
	phrase, err := dir.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	grid, err := dir.Found(node.Founding{Name: "g", Open: true})
	if err != nil {
		t.Fatal(err)
	}
	address, err := introducer.NewAddress(grid, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := newFrom(t, phrase).RecoverOpen(address); err != nil || !got.Founder || got.Grid != grid {
		t.Errorf("the founder: %+v, %v", got, err)
	}
	if got, err := newDir(t).RecoverOpen(address); err != nil || got.Founder {
		t.Errorf("somebody else: %+v, %v", got, err)
	}
}

// TestPairedDeviceSharesTheAccount: it stores and finds what the other one does, and cannot found grids in its name.
func TestPairedDeviceSharesTheAccount(t *testing.T) {
	anna, _ := foundPrivate(t, "anna")
	start(t, anna)
	phone := invited(t, client(t, anna), control.InviteRequest{Device: true}, "phone")
	for _, name := range []string{"account", "convergence", "home", "record"} {
		if read(t, anna, name) != read(t, phone, name) {
			t.Errorf("the phone has another %s", name)
		}
	}
	for _, name := range []string{"founder", "phrase"} {
		if _, err := os.Stat(filepath.Join(phone.Path(), name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the phone has %s: %v", name, err)
		}
	}
}

func TestUnmakeLeavesRoomForOtherWords(t *testing.T) {
	phrase, other := account.NewPhrase(), account.NewPhrase()
	dir := newFrom(t, phrase)
	path := dir.Path()
	note := filepath.Join(path, "note")
	if err := os.WriteFile(note, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dir.Unmake(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) != 1 || left[0].Name() != "note" {
		t.Errorf("what somebody else put there is left alone, and nothing besides: %v, %v", left, err)
	}
	again, err := node.InitFrom(path, testConfig(), other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	if err := again.Unmake(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty directory is still there: %v", err)
	}
}

func TestUnmakeRefusesANodeOfAGrid(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "rivers", Open: true}); err != nil {
		t.Fatal(err)
	}
	if err := dir.Unmake(); !errors.Is(err, node.ErrHasGrid) {
		t.Errorf("unmake: %v", err)
	}
	if !node.Exists(dir.Path()) {
		t.Error("the node is gone")
	}
}
