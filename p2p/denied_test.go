package p2p_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cairn/p2p"
	"cairn/share"
)

// A gateTo admits all peers but one, with a reason that says refused already.
type gateTo struct{ out share.ServerID }

func (g *gateTo) Admit(id share.ServerID) error {
	if id == g.out {
		return fmt.Errorf("%w: it was revoked", share.ErrDenied)
	}
	return nil
}

// TestRefusalsAreSaidOnce, and who is refused by a peer sees that it is the peer who refuses.
func TestRefusalsAreSaidOnce(t *testing.T) {
	gate := &gateTo{}
	b := open(t, nil)
	gate.out = b.ID()
	a := open(t, func(c *p2p.Config) { c.Gate, c.Bootstrap = gate, b.Addresses() })
	_, err := a.Stream(t.Context(), b.ID(), "echo/1")
	if !errors.Is(err, share.ErrDenied) || strings.Count(err.Error(), "refused") != 1 {
		t.Errorf("the reason reads %q", err)
	}
	b.Learn(a.Addresses()...)
	eventually(t, "b sees that a does not admit it", func() bool {
		p, _ := b.Peer(a.ID())
		return p.Denies && strings.Count(p.Problem, "refused") == 1
	})
	if p, _ := a.Peer(b.ID()); p.Denies {
		t.Errorf("a takes its own refusal for b's: %+v", p)
	}
}
