package introducer_test

import (
	"errors"
	"strings"
	"testing"

	"cairn/introducer"
	"cairn/share"
)

// TestCards: a member's newest card counts, and nobody sets another's or their own once they are none.
func TestCards(t *testing.T) {
	w := newWorld(t)
	r := w.empty()
	if err := r.SetCard(account("anna"), "cairn:mutable-read:x", w.now); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a stranger's card: %v", err)
	}
	if _, err := r.Add(must(introducer.SignContact(w.grid, account("anna"), introducer.Contact{Card: "c", Issued: w.now}))); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a stranger's card, signed elsewhere: %v", err)
	}
	if _, err := r.Add(w.grant("", "anna")); err != nil {
		t.Fatal(err)
	}
	cardOf := func() string {
		m, _ := r.Member(key("anna"), w.now)
		return m.Card
	}
	if err := r.SetCard(account("anna"), "cairn:mutable-read:x", w.now); err != nil || cardOf() != "cairn:mutable-read:x" {
		t.Errorf("the card is %q, %v", cardOf(), err)
	}
	old := must(introducer.SignContact(w.grid, account("anna"), introducer.Contact{Card: "old", Issued: w.now, Seq: 1}))
	if _, err := r.Add(old); err != nil || cardOf() != "cairn:mutable-read:x" {
		t.Errorf("an old card brings back %q, %v", cardOf(), err)
	}
	for _, card := range []string{"", "two words", "c\x1b", "ü", strings.Repeat("c", introducer.MaxCard+1)} {
		if err := r.SetCard(account("anna"), card, w.now); err == nil {
			t.Errorf("%q is taken as a card", card)
		}
	}
	if _, err := r.Add(w.revoke("", "anna")); err != nil || cardOf() != "" {
		t.Errorf("once she is revoked the card is %q, %v", cardOf(), err)
	}
}
