package invite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"cairn/p2p"
	"cairn/share"
)

// An earlier host knows only the protocol of versions without a kit.
type earlier struct{ Reacher }

func (e earlier) Reach(ctx context.Context, addresses []string, name string) (p2p.Stream, share.ServerID, error) {
	if name == Protocol {
		return nil, "", fmt.Errorf("%w: not spoken", share.ErrVersion)
	}
	return e.Reacher.Reach(ctx, addresses, name)
}

// TestKit: a paired device gets what else its owner has, nobody else does, and versions that know nothing of it pair all the same.
func TestKit(t *testing.T) {
	h := newHome(t)
	kit := []byte("what else there is")
	h.issuer.cfg.Kit = kit
	serve := func(s p2p.Stream) { h.current().Serve(s) }
	phone := newGuest(t, "")
	if m, err := phone.redeem(t, h.issue(Terms{Kind: KindDevice})); err != nil || !bytes.Equal(m.Kit, kit) || m.Account != h.account {
		t.Errorf("a device got %q, %v", m.Kit, err)
	}
	friend := newGuest(t, "bert")
	if m, err := friend.redeem(t, h.issue(Terms{})); err != nil || len(m.Kit) > 0 {
		t.Errorf("a friend got %q, %v", m.Kit, err)
	}
	// A node that knows neither: then one that knows the earlier protocol alone.
	old := newGuest(t, "")
	inv := h.issue(Terms{Kind: KindDevice})
	if _, err := Redeem(t.Context(), earlier{old.host}, inv, Joiner{Node: old.me.Node, Device: "old"}); !errors.Is(err, share.ErrVersion) {
		t.Errorf("a host without any: %v", err)
	}
	h.host.HandleStranger(Earlier, serve)
	if m, err := Redeem(t.Context(), earlier{old.host}, inv, Joiner{Node: old.me.Node, Device: "old"}); err != nil || len(m.Kit) > 0 || m.Account != h.account {
		t.Errorf("an earlier version got %q, %v", m.Kit, err)
	}
	if _, err := OpenIssuer(Config{
		Path: h.path, Roster: h.roster, Self: h.host.ID(), Addresses: h.host.Addresses, Kit: make([]byte, MaxKit+1),
	}); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a kit that is too large: %v", err)
	}
}
