package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cairn/introducer"
	"cairn/introducer/invite"
	"cairn/p2p"
	"cairn/share"
)

// Joined says what a node became part of.
type Joined struct {
	Grid   introducer.Descriptor
	Member introducer.Member
	// Settings are what holds for everybody in the grid.
	Settings introducer.Settings
	// Device says that the node belongs now to a person who was a member before.
	Device bool
}

// JoinInvitation makes the node a member of the grid that the invitation is for. The node must not run. The nickname is what the
// person wishes to be called; an invitation may say otherwise. Repeating it after a lost answer uses nothing up.
//
// The error wraps invite.ErrMalformed, invite.ErrExpired, invite.ErrNotValid, introducer.ErrNicknameTaken, share.ErrDenied,
// share.ErrUnavailable when the node that gave the invitation is not reached, or ErrHasGrid.
func (d *Dir) JoinInvitation(ctx context.Context, text, nickname string) (Joined, error) {
	invitation, err := invite.Parse(text)
	if err != nil {
		return Joined{}, err
	}
	switch current, err := d.Grid(); {
	case err == nil:
		return Joined{}, fmt.Errorf("join: %w, %s", ErrHasGrid, current.Grid)
	case !errors.Is(err, ErrNoGrid) && !errors.Is(err, share.ErrCorrupt): // joining again mends a damaged file
		return Joined{}, fmt.Errorf("join: %w", err)
	}
	got, err := d.redeem(ctx, invitation, nickname)
	if err != nil {
		return Joined{}, err
	}
	address, err := introducer.NewAddress(got.Grid, bootstrap(got.Contacts))
	if err != nil {
		return Joined{}, fmt.Errorf("join grid %s: %w", got.Grid, err)
	}
	admission := Admission{Address: address, Statements: got.Statements}
	if invitation.Kind == invite.KindDevice {
		if admission.Owner, err = ownerOf(got.Account, got.Kit); err != nil {
			return Joined{}, fmt.Errorf("join grid %s: %w", got.Grid, err)
		}
	}
	if err := d.Enter(admission); err != nil {
		return Joined{}, err
	}
	roster, err := d.roster(got.Grid)
	if err != nil {
		return Joined{}, err
	}
	return Joined{
		Grid: got.Grid, Member: got.Member, Settings: roster.Settings(time.Now()), Device: invitation.Kind == invite.KindDevice,
	}, nil
}

// redeem asks the node that gave the invitation to be let in.
func (d *Dir) redeem(ctx context.Context, invitation invite.Invitation, nickname string) (invite.Membership, error) {
	me := invite.Joiner{Node: d.identity, Nickname: nickname, Device: cmp.Or(nickname, d.id.Short())}
	if invitation.Kind == invite.KindMember {
		var err error
		if me.Account, err = d.Account(); err != nil {
			return invite.Membership{}, err
		}
	}
	host, err := p2p.OpenStranger(ctx, p2p.Config{Key: d.identity})
	if err != nil {
		return invite.Membership{}, err
	}
	defer host.Close()
	return invite.Redeem(ctx, host, invitation, me)
}

// bootstrap keeps as many addresses as fit into the address of a grid.
func bootstrap(addresses []string) []string {
	const perPeer, peers = 4, 8 // NewAddress takes more
	count := map[string]int{}
	var kept []string
	for _, a := range addresses {
		id := a[strings.LastIndex(a, "/")+1:]
		if count[id] == 0 && len(count) == peers || count[id] == perPeer || slices.Contains(kept, a) {
			continue
		}
		count[id]++
		kept = append(kept, a)
	}
	return kept
}
