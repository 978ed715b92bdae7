package inbox_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cairn/introducer"
	"cairn/introducer/inbox"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func account(name string) introducer.Account {
	seed := sha256.Sum256([]byte("inbox test " + name))
	a, err := introducer.AccountFromSeed(seed[:])
	if err != nil {
		panic(err)
	}
	return a
}

func grid(name string) ed25519.PublicKey {
	seed := sha256.Sum256([]byte("inbox grid " + name))
	return ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
}

func pair(from, to string) inbox.Pair {
	return inbox.Pair{Grid: grid("friends"), From: account(from).Key(), To: account(to).Key()}
}

func note(id byte, name, message string) inbox.Note {
	c, err := capability.Directory(keys.WriteKey{id, 7}).Read()
	if err != nil {
		panic(err)
	}
	return inbox.Note{ID: [inbox.NoteLen]byte{id}, Capability: c, Name: name, Message: message, Sent: time.Unix(1_800_000_000, 0).UTC()}
}

func seal(t testing.TB, from string, p inbox.Pair, to string, notes ...inbox.Note) []byte {
	t.Helper()
	signed, err := inbox.Sign(account(from), p, notes)
	if err != nil {
		t.Fatal(err)
	}
	return sealed(t, p, to, signed)
}

func sealed(t testing.TB, p inbox.Pair, to string, signed []byte) []byte {
	t.Helper()
	card, err := inbox.CardOf(account(to))
	if err != nil {
		t.Fatal(err)
	}
	box, err := inbox.Seal(card, p, signed)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var notes []inbox.Note
		for i := range rapid.IntRange(0, 5).Draw(rt, "notes") {
			n := note(byte(i+1), rapid.StringMatching(`[^\x00]{1,20}`).Draw(rt, "name"), rapid.StringN(0, 50, 200).Draw(rt, "message"))
			if rapid.Bool().Draw(rt, "expires") {
				n.Expires = n.Sent.Add(time.Hour)
			}
			notes = append(notes, n)
		}
		p := pair("anna", "bert")
		signed, err := inbox.Sign(account("anna"), p, notes)
		if err != nil {
			rt.Fatal(err)
		}
		box := sealed(t, p, "bert", signed)
		got, err := inbox.Open(account("bert"), p, box)
		if err != nil || len(got) != len(notes) {
			rt.Fatalf("%d notes, %v; want %d", len(got), err, len(notes))
		}
		for i, n := range got {
			want := notes[i]
			if !n.Capability.Equal(want.Capability) || n.ID != want.ID || n.Name != want.Name || n.Message != want.Message || !n.Sent.Equal(want.Sent) || !n.Expires.Equal(want.Expires) {
				rt.Fatalf("note %d is %+v, want %+v", i, n, want)
			}
		}
		if !inbox.Holds(box, signed) || inbox.Holds(box, append(signed, 0)) {
			rt.Fatal("a box does not tell what it holds")
		}
	})
}

// TestNobodyElse: only the receiver opens a box, and only what the sender signed for that receiver in that grid.
func TestNobodyElse(t *testing.T) {
	p := pair("anna", "bert")
	n := note(1, "holiday", "")
	good := seal(t, "anna", p, "bert", n)
	if _, err := inbox.Open(account("bert"), p, good); err != nil {
		t.Fatal(err)
	}
	// What mallory has from anna, sealed on to bert.
	toMallory, err := inbox.Sign(account("anna"), pair("anna", "mallory"), []inbox.Note{n})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := inbox.Pair{Grid: grid("others"), From: p.From, To: p.To}
	otherGrid, err := inbox.Sign(account("anna"), elsewhere, []inbox.Note{n})
	if err != nil {
		t.Fatal(err)
	}
	byMallory, err := inbox.Sign(account("mallory"), pair("mallory", "bert"), []inbox.Note{n})
	if err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() error{
		"another receiver":      func() error { _, err := inbox.Open(account("mallory"), p, good); return err },
		"read as another pair":  func() error { _, err := inbox.Open(account("bert"), pair("mallory", "bert"), good); return err },
		"a note for mallory":    func() error { _, err := inbox.Open(account("bert"), p, sealed(t, p, "bert", toMallory)); return err },
		"a note of other grids": func() error { _, err := inbox.Open(account("bert"), p, sealed(t, p, "bert", otherGrid)); return err },
		"signed by mallory":     func() error { _, err := inbox.Open(account("bert"), p, sealed(t, p, "bert", byMallory)); return err },
		"nothing signed": func() error {
			_, err := inbox.Open(account("bert"), p, sealed(t, p, "bert", []byte("notes")))
			return err
		},
		"sealed to mallory": func() error { _, err := inbox.Open(account("bert"), p, seal(t, "anna", p, "mallory", n)); return err },
	} {
		if err := open(); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := inbox.Sign(account("mallory"), p, nil); err == nil {
		t.Error("mallory signs as anna")
	}
}

func TestEveryBitOfABoxCounts(t *testing.T) {
	p := pair("anna", "bert")
	box := seal(t, "anna", p, "bert", note(1, "holiday", "hello"))
	for i := range box {
		wrong := bytes.Clone(box)
		wrong[i] ^= 1 << (i % 8)
		if _, err := inbox.Open(account("bert"), p, wrong); err == nil {
			t.Fatalf("with byte %d changed the box opens", i)
		}
	}
	for _, cut := range []int{0, 1, len(box) / 2, len(box) - 1} {
		if _, err := inbox.Open(account("bert"), p, box[:cut]); err == nil {
			t.Errorf("cut to %d bytes the box opens", cut)
		}
	}
	if _, err := inbox.Open(account("bert"), p, make([]byte, inbox.MaxBox+1)); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("too long: %v", err)
	}
}

func TestLimits(t *testing.T) {
	p := pair("anna", "bert")
	verify, err := note(1, "x", "").Capability.Verify()
	if err != nil {
		t.Fatal(err)
	}
	many := make([]inbox.Note, inbox.MaxNotes+1)
	for i := range many {
		many[i] = note(byte(i+1), strings.Repeat("n", inbox.MaxName), strings.Repeat("m", inbox.MaxMessage))
	}
	for what, notes := range map[string][]inbox.Note{
		"too many":   many,
		"long name":  {note(1, strings.Repeat("n", inbox.MaxName+1), "")},
		"no name":    {note(1, "", "")},
		"no text":    {note(1, "\xff", "")},
		"long words": {note(1, "n", strings.Repeat("m", inbox.MaxMessage+1))},
		"no id":      {note(0, "n", "")},
		"no reading": {{ID: [inbox.NoteLen]byte{1}, Capability: verify, Name: "n", Sent: time.Unix(1, 0)}},
		"nothing":    {{ID: [inbox.NoteLen]byte{1}, Name: "n", Sent: time.Unix(1, 0)}},
	} {
		if _, err := inbox.Sign(account("anna"), p, notes); err == nil {
			t.Errorf("%s: is signed", what)
		}
	}
	box := seal(t, "anna", p, "bert", many[:inbox.MaxNotes]...)
	if got, err := inbox.Open(account("bert"), p, box); err != nil || len(got) != inbox.MaxNotes {
		t.Errorf("a full box: %d notes, %v", len(got), err)
	}
	twice, err := inbox.Sign(account("anna"), p, []inbox.Note{note(1, "a", ""), note(1, "b", "")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inbox.Open(account("bert"), p, sealed(t, p, "bert", twice)); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("two notes with one id: %v", err)
	}
}

// TestOnePlace: both ends of a pair find the box, each direction and each grid has its own, and nobody else finds it.
func TestOnePlace(t *testing.T) {
	p := pair("anna", "bert")
	key := func(a string, p inbox.Pair) keys.WriteKey {
		k, err := inbox.BoxKey(account(a), p)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if key("anna", p) != key("bert", p) {
		t.Fatal("sender and receiver find different boxes")
	}
	seen := map[keys.WriteKey]string{}
	for what, k := range map[string]keys.WriteKey{
		"there": key("anna", p), "back": key("anna", pair("bert", "anna")), "another": key("anna", pair("anna", "carla")),
		"another grid": key("anna", inbox.Pair{Grid: grid("others"), From: p.From, To: p.To}),
	} {
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s are one box", what, other)
		}
		seen[k] = what
	}
	if _, err := inbox.BoxKey(account("mallory"), p); err == nil {
		t.Error("mallory finds the box")
	}
	for _, bad := range []introducer.AccountKey{{1}, {0: 0xec, 31: 0x7f}, {0: 0xff, 1: 0xff, 31: 0xff}} {
		for i := 1; bad[31] != 0 && i < 31; i++ {
			bad[i] = 0xff
		}
		if _, err := inbox.BoxKey(account("anna"), inbox.Pair{Grid: p.Grid, From: p.From, To: bad}); err == nil {
			t.Errorf("a box is shared with %x, which is no key", bad)
		}
	}
}

func TestCard(t *testing.T) {
	card, err := inbox.CardOf(account("bert"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := inbox.ParseCard(card.Encoded())
	if err != nil || !bytes.Equal(again.Encoded(), card.Encoded()) {
		t.Fatalf("a card is not read as it was written: %v", err)
	}
	for _, data := range [][]byte{nil, []byte("card"), card.Encoded()[:100], append(card.Encoded(), 0), make([]byte, inbox.MaxCard+1)} {
		if _, err := inbox.ParseCard(data); err == nil {
			t.Errorf("%d bytes are read as a card", len(data))
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := pair("anna", "bert")
	f.Add(seal(f, "anna", p, "bert", note(1, "holiday", "hello")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		notes, err := inbox.Open(account("bert"), p, data)
		if err == nil && len(notes) > inbox.MaxNotes {
			t.Errorf("%d notes", len(notes))
		}
	})
}
