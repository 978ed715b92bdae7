package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cairn/introducer"
	"cairn/introducer/invite"
	"cairn/node/control"
)

// invitationsFile keeps which invitations this node gave out.
const invitationsFile = "invitations"

// defaultValidity is how long an invitation works where nothing is said.
const defaultValidity = 7 * 24 * time.Hour

// openInvitations answers those who come with an invitation of this node.
func (n *Node) openInvitations(context.Context) error {
	if n.roster == nil {
		return nil
	}
	account, err := n.dir.Account()
	if err != nil {
		return err
	}
	signer, err := n.dir.signer(n.address.Grid)
	if err != nil {
		return err
	}
	kit, err := n.dir.kit()
	if err != nil {
		return err
	}
	n.issuer, err = invite.OpenIssuer(invite.Config{
		Path: n.dir.file(invitationsFile), Roster: n.roster, Signer: &signer, Account: account, Kit: kit, Self: n.dir.id,
		Addresses: n.host.Addresses, Contacts: n.contacts, Logger: n.log.With("part", "invitations"),
	})
	if err != nil {
		return err
	}
	n.host.HandleStranger(invite.Protocol, n.issuer.Serve)
	n.host.HandleStranger(invite.Earlier, n.issuer.Serve)
	return nil
}

// contacts returns where a new member can find members: this node, and those that it talks to.
func (n *Node) contacts() []string {
	addresses := n.host.Addresses()
	for _, p := range n.host.Peers() {
		if p.Responsive {
			addresses = append(addresses, p.Addresses...)
		}
	}
	return addresses
}

// Invite makes an invitation.
func (a api) Invite(_ context.Context, r control.InviteRequest) (control.Invitation, error) {
	n := a.n
	if n.roster == nil {
		return control.Invitation{}, n.errOpen("invite")
	}
	now := time.Now()
	terms := invite.Terms{
		Kind: invite.KindMember, Nickname: r.Nickname, Quota: r.Quota, Introducer: r.Introducer, Uses: r.Uses,
		Expires: now.Add(defaultValidity),
	}
	if r.Device {
		terms.Kind = invite.KindDevice
	}
	if r.Valid > 0 {
		terms.Expires = now.Add(r.Valid)
	}
	if r.Membership > 0 {
		terms.MemberUntil = now.Add(r.Membership)
	}
	invitation, err := n.issuer.Issue(terms)
	if err != nil {
		return control.Invitation{}, n.explainInvite(err)
	}
	for _, i := range n.issuer.List() {
		if i.ID == invitation.ID() {
			made := shownInvitation(i)
			made.Text = invitation.Reveal()
			return made, nil
		}
	}
	return control.Invitation{}, fmt.Errorf("invite: the invitation %s is gone already", invitation.ID())
}

// explainInvite says what to do when no invitation was made.
func (n *Node) explainInvite(err error) error {
	e := control.ErrorOf(err)
	switch {
	case errors.Is(err, introducer.ErrNicknameTaken):
		e.Code, e.Hint = control.CodeRefused, "choose another nickname; \"cairn members\" lists those that are taken"
	case e.Code == control.CodeRefused:
		e.Hint = "ask an introducer of the grid: \"cairn members\" shows who is one"
	}
	return e
}

func shownInvitation(i invite.Issued) control.Invitation {
	return control.Invitation{
		ID: i.ID, State: string(i.State), Nickname: i.Terms.Nickname, Quota: i.Terms.Quota, Uses: i.Terms.Uses - len(i.Used), Expires: i.Terms.Expires,
		Introducer: i.Terms.Introducer, Device: i.Terms.Kind == invite.KindDevice,
	}
}

// Invitations lists what this node gave out, the newest first.
func (a api) Invitations(context.Context) ([]control.Invitation, error) {
	n := a.n
	if n.roster == nil {
		return nil, n.errOpen("invite list")
	}
	list := []control.Invitation{}
	for _, i := range n.issuer.List() {
		list = append(list, shownInvitation(i))
	}
	return list, nil
}

// CancelInvitation makes an invitation worthless.
func (a api) CancelInvitation(_ context.Context, id string) (control.Invitation, error) {
	n := a.n
	if n.roster == nil {
		return control.Invitation{}, n.errOpen("invite cancel")
	}
	cancelled, err := n.issuer.Cancel(id)
	if err != nil {
		e := control.ErrorOf(err)
		e.Hint = "\"cairn invite list\" shows those that can still be used"
		return control.Invitation{}, e
	}
	return shownInvitation(cancelled), nil
}
