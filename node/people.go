package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cairn/introducer"
	"cairn/introducer/fairuse"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/p2p"
	"cairn/share"
)

// errOpen says that a grid has no members to speak of. The operation is empty where the command says it.
func (n *Node) errOpen(operation string) error {
	if operation != "" {
		operation += ": "
	}
	return &control.Error{
		Code:    control.CodeRefused,
		Message: fmt.Sprintf("%sgrid %s is open: everybody may join who has its address, nobody is a member", operation, n.address.Grid),
		Hint:    "\"cairn grid create NAME\" without --open founds a grid with members; \"cairn grid show\" prints the address of this one",
	}
}

// Members lists the people of the grid with their devices.
func (a api) Members(ctx context.Context) ([]control.Member, error) {
	n := a.n
	if n.roster == nil {
		return nil, n.errOpen("members")
	}
	self, err := n.dir.Account()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	all := n.roster.Members(now)
	names := make(map[introducer.AccountKey]string, len(all))
	for _, m := range all {
		names[m.Account] = m.Nickname
	}
	list := make([]control.Member, 0, len(all))
	fair := n.fair(ctx)
	for _, m := range all {
		shown := n.shownMember(ctx, m, fair)
		shown.Self, shown.GrantedBy = m.Account == self.Key(), names[m.GrantedBy]
		list = append(list, shown)
	}
	return list, nil
}

func (n *Node) shownMember(ctx context.Context, m introducer.Member, fair *fairuse.Table) control.Member {
	shown := control.Member{
		Nickname: m.Nickname, Account: m.Account.String(), State: m.State.String(), Reason: m.Reason, Introducer: m.Introducer,
		Quota: m.Quota, Since: m.Issued, Expires: m.Expires, Devices: make([]control.Device, 0, len(m.Devices)),
	}
	who := person{key: m.Account.String(), nickname: m.Nickname, quota: m.Quota}
	if m.State == introducer.StateMember {
		shown.MayUse = fair.Entitlement(who.key, who.quota)
	}
	for _, d := range m.Devices {
		device := control.Device{ID: string(d.ID), Name: d.Name}
		space := share.Space{}
		if d.ID == n.dir.id {
			device.Answers, device.LastSeen = true, time.Now()
			space = n.space(ctx)
		} else if p, ok := n.host.Peer(d.ID); ok {
			device.Answers, device.LastSeen = p.Responsive, p.LastSeen
			space = lent(p)
		}
		shown.Lends += space.Offered
		shown.Free += space.Free
		shown.Devices = append(shown.Devices, device)
		who.devices = append(who.devices, d.ID)
	}
	if n.quota != nil {
		var err error
		if shown.UsesHere, err = n.quota.used(ctx, who); err != nil {
			n.log.Warn("cannot tell what a member uses", "member", m.Nickname, "error", err)
		}
	}
	return shown
}

// lent returns what a peer lends while it answers.
func lent(p p2p.Peer) share.Space {
	if !p.Responsive || !p.Storage {
		return share.Space{}
	}
	return p.Space
}

// SetMember changes a member's terms: it vouches for the member anew.
func (a api) SetMember(ctx context.Context, request control.MemberRequest) (control.Member, error) {
	n := a.n
	if n.roster == nil {
		return control.Member{}, n.errOpen("members set")
	}
	m, err := n.member(request.Member)
	if err != nil {
		return control.Member{}, fmt.Errorf("members set: %w", err)
	}
	signer, err := n.dir.signer(n.address.Grid)
	if err != nil {
		return control.Member{}, err
	}
	if m.State == introducer.StateRevoked {
		return control.Member{}, &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("members set: %s was %s", m.Nickname, m.Reason),
			Hint: "that is for good; \"cairn invite\" lets the person in again, with a new node",
		}
	}
	now := time.Now()
	grant := m.Granted
	if request.Quota != nil {
		grant.Quota = *request.Quota
	}
	if request.Introducer != nil {
		grant.Introducer = *request.Introducer
	}
	switch {
	case request.Membership == nil:
	case *request.Membership == 0:
		grant.Expires = time.Time{}
	default:
		grant.Expires = now.Add(*request.Membership)
	}
	if !grant.Expires.IsZero() && !grant.Expires.After(now) {
		return control.Member{}, &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("members set: %s: %s", m.Nickname, m.Reason),
			Hint: "renew it too, with --membership",
		}
	}
	if _, err := n.roster.Vouch(signer, grant, now); err != nil {
		e := control.ErrorOf(fmt.Errorf("members set: %w", err))
		if e.Code == control.CodeRefused {
			e.Hint = "whoever founded the grid can change the terms of everybody"
		}
		return control.Member{}, e
	}
	n.log.Info("terms of a member changed", "member", m.Nickname, "account", m.Account.Short(), "quota", grant.Quota, "introducer", grant.Introducer)
	return n.shownAccounts(ctx, m.Account)[0], nil
}

// Revoke ends a membership.
func (a api) Revoke(ctx context.Context, request control.RevokeRequest) (control.Revoked, error) {
	n := a.n
	if n.roster == nil {
		return control.Revoked{}, n.errOpen("revoke")
	}
	if err := introducer.ValidReason(request.Reason); err != nil {
		return control.Revoked{}, &control.Error{Code: control.CodeMalformed, Message: "revoke: " + err.Error()}
	}
	m, err := n.member(request.Member)
	if err != nil {
		return control.Revoked{}, fmt.Errorf("revoke: %w", err)
	}
	self, err := n.dir.Account()
	if err != nil {
		return control.Revoked{}, err
	}
	if m.Account == self.Key() {
		return control.Revoked{}, &control.Error{
			Code: control.CodeRefused, Message: "revoke: this is yourself", Hint: "\"cairn grid leave\" leaves the grid",
		}
	}
	signer, err := n.dir.signer(n.address.Grid)
	if err != nil {
		return control.Revoked{}, err
	}
	now := time.Now()
	theirs := n.roster.Branch(m.Account, now)
	revoke := n.roster.Revoke
	if request.WithTheirs {
		if slices.ContainsFunc(theirs, func(t introducer.Member) bool { return t.Account == self.Key() }) {
			return control.Revoked{}, &control.Error{
				Code: control.CodeRefused, Message: fmt.Sprintf("revoke: you are a member through %s yourself", m.Nickname),
				Hint: "without --with-theirs you and the others keep your places",
			}
		}
		revoke = n.roster.RevokeWithTheirs
	}
	if request.Try {
		return n.shownRevoked(ctx, m.Account, theirs), nil
	}
	if _, err := revoke(signer, m.Account, request.Reason, now); err != nil {
		return control.Revoked{}, err
	}
	n.log.Info("membership revoked", "member", m.Nickname, "account", m.Account.Short(), "with_theirs", request.WithTheirs)
	return n.shownRevoked(ctx, m.Account, theirs), nil
}

// shownRevoked says what became of an account and of those that it had let in.
func (n *Node) shownRevoked(ctx context.Context, account introducer.AccountKey, theirs []introducer.Member) control.Revoked {
	accounts := []introducer.AccountKey{account}
	for _, m := range theirs {
		accounts = append(accounts, m.Account)
	}
	shown := n.shownAccounts(ctx, accounts...)
	return control.Revoked{Member: shown[0], Theirs: shown[1:]}
}

// shownAccounts says what these accounts are now, and who vouches for them.
func (n *Node) shownAccounts(ctx context.Context, accounts ...introducer.AccountKey) []control.Member {
	now := time.Now()
	names := map[introducer.AccountKey]string{}
	for _, m := range n.roster.Members(now) {
		names[m.Account] = m.Nickname
	}
	fair := n.fair(ctx)
	list := make([]control.Member, 0, len(accounts))
	for _, account := range accounts {
		m, _ := n.roster.Member(account, now)
		shown := n.shownMember(ctx, m, fair)
		shown.GrantedBy = names[m.GrantedBy]
		list = append(list, shown)
	}
	return list
}

// member finds who is meant by a nickname, an account key or the start of one.
func (n *Node) member(text string) (introducer.Member, error) {
	var found []introducer.Member
	for _, m := range n.roster.Members(time.Now()) {
		key := m.Account.String()
		if key == text || m.Nickname == text {
			return m, nil
		}
		if strings.EqualFold(m.Nickname, text) || len(text) >= 4 && strings.HasPrefix(key, text) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return introducer.Member{}, &control.Error{
			Code: control.CodeNotFound, Message: fmt.Sprintf("nobody is called %.80q", text), Hint: "\"cairn members\" lists everybody",
		}
	}
	return introducer.Member{}, &control.Error{
		Code: control.CodeMalformed, Message: fmt.Sprintf("%.80q can be %s or %s", text, found[0].Nickname, found[1].Nickname),
		Hint: "give the account key: \"cairn members --json\" shows it",
	}
}

// GridSettings returns what holds for everybody.
func (a api) GridSettings(context.Context) (control.Settings, error) {
	n := a.n
	if n.roster == nil {
		return control.Settings{Params: n.address.Grid.Params, Policy: introducer.Unlimited.String()}, nil
	}
	return shownSettings(n.roster.Settings(time.Now())), nil
}

func shownSettings(s introducer.Settings) control.Settings {
	return control.Settings{
		Params: s.Params, LeaseSeconds: int64(s.Lease / time.Second), Policy: s.Policy.Kind.String(), Percent: s.Policy.Percent, Floor: s.Policy.Floor, Quota: s.Policy.Quota,
	}
}

// minLease is the shortest lease that a grid may have. A running node goes through its files once a week and renews what is
// more than half over, so that none of its leases ends.
const minLease = 2 * maintainEvery

// SetGridSettings changes what holds for everybody.
func (a api) SetGridSettings(_ context.Context, s control.Settings) (control.Settings, error) {
	n := a.n
	if n.roster == nil {
		return control.Settings{}, n.errOpen("grid set")
	}
	kind, err := introducer.ParsePolicyKind(s.Policy)
	if err != nil {
		return control.Settings{}, &control.Error{Code: control.CodeMalformed, Message: "set: " + err.Error()}
	}
	if longest := int64(share.MaxLease / time.Second); s.LeaseSeconds < 0 || s.LeaseSeconds > longest {
		return control.Settings{}, &control.Error{
			Code: control.CodeMalformed, Message: fmt.Sprintf("set: a lease of %d seconds: want at most %s", s.LeaseSeconds, config.Duration(share.MaxLease)),
		}
	}
	lease := time.Duration(s.LeaseSeconds) * time.Second
	if lease != 0 && lease < minLease {
		return control.Settings{}, &control.Error{
			Code: control.CodeMalformed, Message: fmt.Sprintf("set: a lease of %s: want at least %s", config.Duration(lease), config.Duration(minLease)),
			Hint: "nodes renew the leases on their files once a week: with shorter ones files would lose their shares while their owners run",
		}
	}
	signer, err := n.dir.signer(n.address.Grid)
	if err != nil {
		return control.Settings{}, err
	}
	_, err = n.roster.Configure(signer, introducer.Settings{
		Params: s.Params, Lease: lease,
		Policy: introducer.Policy{Kind: kind, Percent: s.Percent, Floor: s.Floor, Quota: s.Quota},
	}, time.Now())
	if err != nil {
		return control.Settings{}, err
	}
	return shownSettings(n.roster.Settings(time.Now())), nil
}
