package introducer

import (
	"errors"
	"fmt"
	"time"

	"cairn/share"
)

// ErrNicknameTaken says that another member has the nickname.
var ErrNicknameTaken = errors.New("nickname is taken")

// Vouch signs a grant as of now, adds it, and returns it. Issued and Seq are filled in. It refuses, wrapping share.ErrDenied, a
// signer without authority and an account that is revoked, and wrapping ErrNicknameTaken a nickname that another account has.
// Vouching again for an account renews or changes its grant.
func (r *Roster) Vouch(signer Signer, g Grant, now time.Time) ([]byte, error) {
	v := r.at(now)
	if err := v.mayIssue(signer); err != nil {
		return nil, fmt.Errorf("vouch: %w", err)
	}
	if holder, taken := r.NicknameTaken(g.Nickname, now); taken && holder != g.Account {
		return nil, fmt.Errorf("vouch: %w: %q is account %s", ErrNicknameTaken, g.Nickname, holder.Short())
	}
	if m := v.accounts[g.Account]; m != nil && m.State == StateRevoked {
		return nil, fmt.Errorf("vouch: account %s was %s; it stays so: %w", g.Account.Short(), m.Reason, share.ErrDenied)
	}
	depth, _ := v.authority(signer.issuer)
	if m := v.accounts[g.Account]; m != nil && m.State == StateMember && m.Depth <= depth {
		return nil, fmt.Errorf("vouch: somebody closer to the grid's key vouches for %s (%s), and that counts: %w",
			m.Nickname, g.Account.Short(), share.ErrDenied)
	}
	g.Issued, g.Seq = now, r.nextSeq(slot{KindGrant, signer.issuer, g.Account}, now)
	data, err := signer.SignGrant(g)
	if err != nil {
		return nil, err
	}
	return data, r.added("vouch", data)
}

// Configure signs settings as of now, adds them, and returns them. Issued and Seq are filled in. It refuses, wrapping
// share.ErrDenied, a signer without authority, and one whose settings would not count because somebody closer to the grid's key
// signed some.
func (r *Roster) Configure(signer Signer, s Settings, now time.Time) ([]byte, error) {
	v := r.at(now)
	if err := v.mayIssue(signer); err != nil {
		return nil, fmt.Errorf("set: %w", err)
	}
	if depth, _ := v.authority(signer.issuer); v.settingsSigned && v.settingsDepth < depth {
		return nil, fmt.Errorf("set: settings of somebody closer to the grid's key count: %w", share.ErrDenied)
	}
	s.Issued, s.Seq = now, r.nextSeq(slot{kind: KindSettings, issuer: signer.issuer}, now)
	if v.settingsSigned {
		s.Seq = max(s.Seq, v.settings.Seq+1)
	}
	data, err := signer.SignSettings(s)
	if err != nil {
		return nil, err
	}
	return data, r.added("set", data)
}

// Revoke ends the membership of an account, as of now. The members and introducers that the account vouched for stay, because
// the signer vouches for them in its place, and whom the account revoked stays revoked. It returns the statements that it
// added, the revocation first. It refuses, wrapping share.ErrDenied, a signer that is not closer to the grid's key than the account.
func (r *Roster) Revoke(signer Signer, account AccountKey, reason string, now time.Time) ([][]byte, error) {
	v := r.at(now)
	if err := v.mayRevoke(signer, account); err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	statements, err := r.revocations(signer, []AccountKey{account}, reason, now)
	if err != nil {
		return nil, err
	}
	for _, m := range v.order {
		if m.GrantedBy != account || !m.claims() || m.Account == signer.issuer {
			continue
		}
		g := m.Granted
		g.Issued, g.Seq = now, r.nextSeq(slot{KindGrant, signer.issuer, g.Account}, now)
		if !g.Expires.IsZero() && g.Expires.Before(now) {
			g.Expires = now
		}
		data, err := signer.SignGrant(g)
		if err != nil {
			return nil, err
		}
		statements = append(statements, data)
	}
	return statements, r.added("revoke", statements...)
}

// RevokeWithTheirs is Revoke for an account together with its Branch: all members that are members through it. Whom any of
// them revoked stays revoked.
func (r *Roster) RevokeWithTheirs(signer Signer, account AccountKey, reason string, now time.Time) ([][]byte, error) {
	v := r.at(now)
	if err := v.mayRevoke(signer, account); err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	all := []AccountKey{account}
	for _, m := range v.branch(account) {
		if m.Account != signer.issuer {
			all = append(all, m.Account)
		}
	}
	statements, err := r.revocations(signer, all, reason, now)
	if err != nil {
		return nil, err
	}
	return statements, r.added("revoke", statements...)
}

// Branch returns the members, present and expired, that an account vouched for, those that these vouched for, and so on; those
// closer to the account come first.
func (r *Roster) Branch(account AccountKey, now time.Time) []Member {
	var list []Member
	for _, m := range r.at(now).branch(account) {
		list = append(list, m.copied())
	}
	return list
}

func (v *view) branch(account AccountKey) (list []*standing) {
	in := map[AccountKey]bool{account: true}
	for _, m := range v.order { // issuers come before those that they vouched for
		if !m.GrantedBy.IsZero() && in[m.GrantedBy] && m.claims() && !in[m.Account] {
			in[m.Account] = true
			list = append(list, m)
		}
	}
	return list
}

// revocations signs revocations of the accounts, and then those that the accounts signed.
func (r *Roster) revocations(signer Signer, accounts []AccountKey, reason string, now time.Time) ([][]byte, error) {
	list := make([]Revocation, 0, len(accounts))
	listed := make(map[AccountKey]bool, len(accounts))
	for _, account := range accounts {
		list = append(list, Revocation{Account: account, Reason: reason, Issued: now})
		listed[account] = true
	}
	for _, account := range accounts {
		for _, inherited := range r.revokedBy(account, signer.issuer) {
			if !listed[inherited.Account] {
				list = append(list, inherited)
				listed[inherited.Account] = true
			}
		}
	}
	statements := make([][]byte, 0, len(list))
	for _, revocation := range list {
		data, err := signer.SignRevocation(revocation)
		if err != nil {
			return nil, err
		}
		statements = append(statements, data)
	}
	return statements, nil
}

// revokedBy returns the revocations that an account signed and another did not.
func (r *Roster) revokedBy(account, other AccountKey) []Revocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*Statement
	for subject, inner := range r.set.revocations {
		if inner[account] != nil && inner[other] == nil && subject != other {
			list = append(list, inner[account])
		}
	}
	out := make([]Revocation, 0, len(list))
	for _, st := range bySubject(list) {
		out = append(out, *st.Revocation)
	}
	return out
}

// mayIssue returns why a signer's statements would not count.
func (v *view) mayIssue(signer Signer) error {
	if signer.grid != v.grid.key {
		return fmt.Errorf("the key is of another grid than %s: %w", v.grid, share.ErrDenied)
	}
	if _, ok := v.authority(signer.issuer); ok {
		return nil
	}
	m := v.accounts[signer.issuer]
	if m != nil && m.State != StateMember {
		return fmt.Errorf("account %s is no member: %s: %w", signer.issuer.Short(), m.Reason, share.ErrDenied)
	}
	return fmt.Errorf("account %s is no introducer of grid %s: %w", signer.issuer.Short(), v.grid, share.ErrDenied)
}

// mayRevoke returns why a signer's revocation of an account would not count.
func (v *view) mayRevoke(signer Signer, account AccountKey) error {
	if err := v.mayIssue(signer); err != nil {
		return err
	}
	m := v.accounts[account]
	switch {
	case m == nil:
		return fmt.Errorf("account %s: %w", account.Short(), share.ErrNotFound)
	case m.State == StateRevoked:
		return fmt.Errorf("%s (%s) was %s already: %w", m.Nickname, account.Short(), m.Reason, share.ErrDenied)
	}
	if depth, _ := v.authority(signer.issuer); m.Depth > 0 && depth >= m.Depth {
		return fmt.Errorf("%s (%s) is as close to the grid's key as the signer; somebody closer, or the founder, can revoke it: %w",
			m.Nickname, account.Short(), share.ErrDenied)
	}
	return nil
}

// nextSeq returns the sequence number of the next statement of a slot.
func (r *Roster) nextSeq(s slot, now time.Time) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq := uint64(max(now.UnixMilli(), 1))
	if held := r.set.slots[s]; held != nil {
		seq = max(seq, held.seq()+1)
	}
	return seq
}

// added adds statements of our own, which the roster has no reason to refuse.
func (r *Roster) added(what string, statements ...[]byte) error {
	if _, err := r.Add(statements...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
