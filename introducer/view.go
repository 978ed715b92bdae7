package introducer

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"cairn/share"
)

// MaxDepth is how many grants may lie between the grid's key and a member. A member at this depth is no introducer,
// whatever its grant says.
const MaxDepth = 16

// A view is what a set of statements means at one time, and until the next of them expires. It is immutable, and depends on
// nothing but the set and the time.
type view struct {
	grid        Descriptor
	set         *set      // only while the view is made
	from, until time.Time // the view holds at from and later, before until; a zero until is never
	now         time.Time

	accounts map[AccountKey]*standing
	order    []*standing // introducers' levels, then everybody else; the order in which statements rest on each other
	nodes    map[share.ServerID]*claim
	settings Settings
	// Whether anybody signed the settings that count, and how far from the grid's key.
	settingsSigned bool
	settingsDepth  int
	live           []*Statement // those whose issuer has the authority, each behind those that it rests on
	vouched        int          // accounts that a live grant names
	barred         int          // accounts that a live revocation names

	sumOnce sync.Once
	sums    [buckets]share.Digest
	digest  share.Digest
	inOrder [buckets][]*Statement
}

// A standing is one account in a view.
type standing struct {
	Member
	grant   *Statement
	devices []*Statement // that count
	folded  string       // the nickname, as nicknames are compared
}

// introduces reports whether the account may issue statements.
func (s *standing) introduces() bool { return s.State == StateMember && s.Introducer }

// holdsAt reports whether the view is what its set means at this time.
func (v *view) holdsAt(now time.Time) bool {
	return !now.Before(v.from) && (v.until.IsZero() || now.Before(v.until))
}

// look computes what a set means at a time.
func look(grid Descriptor, s *set, now time.Time) *view {
	v := &view{
		grid: grid, set: s, now: now,
		accounts: make(map[AccountKey]*standing, len(s.grantsOf)), nodes: make(map[share.ServerID]*claim, len(s.slots)/2),
	}
	v.findBounds()
	v.placeMembers()
	v.placeOthers()
	v.nameMembers()
	v.findLive()
	v.findDevices()
	v.findSettings()
	v.set = nil
	return v
}

// findBounds finds the times between which nothing expires.
func (v *view) findBounds() {
	for _, st := range v.set.slots {
		switch at := st.expires(); {
		case at.IsZero():
		case at.After(v.now):
			if v.until.IsZero() || at.Before(v.until) {
				v.until = at
			}
		case at.After(v.from):
			v.from = at
		}
	}
}

func (v *view) expired(st *Statement) bool {
	at := st.expires()
	return !at.IsZero() && !at.After(v.now)
}

// placeMembers finds the members level by level: those that the grid's key vouches for, those that these vouch for, and so on.
func (v *view) placeMembers() {
	issuers := []AccountKey{{}}
	for depth := 1; depth <= MaxDepth && len(issuers) > 0; depth++ {
		best := map[AccountKey]*Statement{}
		for _, issuer := range issuers {
			for account, grant := range v.set.grantsBy[issuer] {
				if v.accounts[account] == nil && !v.expired(grant) && preferred(grant, best[account]) {
					best[account] = grant
				}
			}
		}
		level := make([]*standing, 0, len(best))
		for account, grant := range best {
			m := v.place(account, grant, depth)
			m.Introducer = m.Introducer && depth < MaxDepth
			v.bar(m, depth)
			level = append(level, m)
		}
		slices.SortFunc(level, func(a, b *standing) int { return bytes.Compare(a.Account[:], b.Account[:]) })
		issuers = issuers[:0:0]
		for _, m := range level {
			v.order = append(v.order, m)
			if m.introduces() {
				issuers = append(issuers, m.Account)
			}
		}
	}
}

// preferred reports whether a grant counts before another of the same depth for the same account.
func preferred(grant, other *Statement) bool {
	if other == nil {
		return true
	}
	if a, b := grant.Grant.Issued, other.Grant.Issued; !a.Equal(b) {
		return a.After(b)
	}
	return bytes.Compare(grant.digest[:], other.digest[:]) < 0
}

func (v *view) place(account AccountKey, grant *Statement, depth int) *standing {
	g := grant.Grant
	m := &standing{grant: grant, folded: fold(g.Nickname), Member: Member{
		Account: account, Nickname: g.Nickname, Introducer: g.Introducer, Quota: g.Quota, Issued: g.Issued, Expires: g.Expires,
		GrantedBy: grant.Issuer, Depth: depth, Granted: *g,
	}}
	v.accounts[account] = m
	return m
}

// bar marks the account as revoked when somebody closer to the grid's key than depth revoked it; 0 is farther than all.
func (v *view) bar(m *standing, depth int) {
	var counts *Statement
	at := 0
	for issuer, st := range v.set.revocations[m.Account] {
		d, ok := v.authority(issuer)
		if !ok || depth != 0 && d >= depth {
			continue
		}
		if counts == nil || d < at || d == at && bytes.Compare(issuer[:], counts.Issuer[:]) < 0 {
			counts, at = st, d
		}
	}
	if counts == nil {
		return
	}
	m.State, m.Introducer = StateRevoked, false
	m.Reason = fmt.Sprintf("revoked on %s", day(counts.Revocation.Issued))
	if counts.Revocation.Reason != "" {
		m.Reason += ": " + counts.Revocation.Reason
	}
}

// authority returns how far an issuer is from the grid's key, and whether it may issue at all.
func (v *view) authority(issuer AccountKey) (depth int, ok bool) {
	if issuer.IsZero() {
		return 0, true
	}
	m := v.accounts[issuer]
	if m == nil || !m.introduces() {
		return 0, false
	}
	return m.Depth, true
}

// placeOthers finds the accounts that are no members and says why.
func (v *view) placeOthers() {
	members := len(v.order)
	for account, grants := range v.set.grantsOf {
		if v.accounts[account] == nil {
			grant, depth := v.closest(grants)
			v.order = append(v.order, &standing{grant: grant, Member: Member{Account: account, Depth: depth}})
		}
	}
	slices.SortFunc(v.order[members:], func(a, b *standing) int { return bytes.Compare(a.Account[:], b.Account[:]) })
	for i, o := range v.order[members:] {
		m := v.place(o.Account, o.grant, o.Depth)
		m.Introducer = false
		m.State, m.Reason = StateExpired, "the membership expired on "+day(m.Expires)
		if m.Depth == 0 {
			m.State = StateUnvouched
		}
		v.bar(m, m.Depth)
		v.order[members+i] = m
	}
	for _, m := range v.order[members:] {
		if m.State == StateUnvouched {
			m.Reason = v.whyUnvouched(m)
		}
	}
}

// whyUnvouched says what is wrong with the account that vouched for this one.
func (v *view) whyUnvouched(m *standing) string {
	switch issuer := v.accounts[m.GrantedBy]; {
	case issuer == nil:
		return "nobody vouches for account " + m.GrantedBy.Short() + ", which vouched for it"
	case issuer.State == StateMember:
		return issuer.Nickname + ", who vouched for it, is no introducer"
	case issuer.State == StateUnvouched:
		return "nobody vouches for " + issuer.Nickname + ", who vouched for it"
	default:
		return issuer.Nickname + ", who vouched for it, is no member: " + issuer.Reason
	}
}

// closest returns the grant whose issuer is closest to the grid's key, then the newest, and the depth that it gives; 0 when
// no issuer has the authority.
func (v *view) closest(grants map[AccountKey]*Statement) (best *Statement, depth int) {
	for issuer, grant := range grants {
		d, ok := v.authority(issuer)
		if ok {
			d++
		}
		switch {
		case best == nil, d > 0 && (depth == 0 || d < depth), d == depth && preferred(grant, best):
			best, depth = grant, d
		}
	}
	return best, depth
}

// nameMembers makes the nicknames of members distinct.
func (v *view) nameMembers() {
	named := make([]*standing, 0, len(v.order))
	for _, m := range v.order {
		if m.State == StateMember {
			named = append(named, m)
		}
	}
	slices.SortFunc(named, func(a, b *standing) int {
		return cmp.Or(cmp.Compare(a.Depth, b.Depth), a.Issued.Compare(b.Issued), bytes.Compare(a.Account[:], b.Account[:]))
	})
	taken := make(map[string]bool, len(named))
	var again []*standing
	for _, m := range named {
		if taken[m.folded] {
			again = append(again, m)
		}
		taken[m.folded] = true
	}
	for _, m := range again {
		text := m.Account.String()
		for n := 8; ; n++ { // an account key differs from all others at its full length
			name := m.Granted.Nickname + " (" + text[:n] + ")"
			if key := fold(name); !taken[key] || n == len(text) {
				m.Nickname, m.folded, taken[key] = name, key, true
				break
			}
		}
	}
}

// findLive lists the statements that count or could count: those whose issuer has the authority, and the devices of
// members and of those who can be again.
func (v *view) findLive() {
	v.live = make([]*Statement, 0, len(v.set.slots))
	issuers := []AccountKey{{}}
	for _, m := range v.order {
		if m.introduces() {
			issuers = append(issuers, m.Account)
		}
	}
	revocations := map[AccountKey][]*Statement{}
	for _, inner := range v.set.revocations {
		counted := false
		for issuer, st := range inner {
			if _, ok := v.authority(issuer); ok {
				revocations[issuer] = append(revocations[issuer], st)
				counted = true
			}
		}
		if counted {
			v.barred++
		}
	}
	for _, issuer := range issuers {
		v.live = append(v.live, bySubject(revocations[issuer])...)
		if st := v.set.settings[issuer]; st != nil {
			v.live = append(v.live, st)
		}
		v.live = append(v.live, bySubject(values(v.set.grantsBy[issuer]))...)
	}
	for _, m := range v.order {
		if m.Depth > 0 {
			v.vouched++
		}
		if m.claims() {
			v.live = append(v.live, bySubject(values(v.set.devices[m.Account]))...)
			if st := v.set.contacts[m.Account]; st != nil {
				v.live = append(v.live, st)
				m.Card = st.Contact.Card
			}
		}
	}
}

// claims reports whether devices of the account are worth keeping: it is a member, or can become one again.
func (s *standing) claims() bool { return s.State == StateMember || s.State == StateExpired }

func values(m map[AccountKey]*Statement) []*Statement {
	list := make([]*Statement, 0, len(m))
	for _, st := range m {
		list = append(list, st)
	}
	return list
}

func bySubject(list []*Statement) []*Statement {
	slices.SortFunc(list, func(a, b *Statement) int { return bytes.Compare(a.subject[:], b.subject[:]) })
	return list
}

// findSettings finds the settings that count: of the issuer closest to the grid's key, then the newest.
func (v *view) findSettings() {
	v.settings = Settings{Params: v.grid.Params, Policy: DefaultPolicy(), Issued: v.grid.Created}
	var counts *Statement
	at := 0
	for issuer, st := range v.set.settings {
		d, ok := v.authority(issuer)
		if !ok {
			continue
		}
		closer := counts == nil || d < at
		if !closer && d == at {
			order := cmp.Or(-cmp.Compare(st.Settings.Seq, counts.Settings.Seq), bytes.Compare(st.digest[:], counts.digest[:]))
			closer = order < 0
		}
		if closer {
			counts, at = st, d
		}
	}
	if counts != nil {
		v.settings, v.settingsSigned, v.settingsDepth = *counts.Settings, true, at
	}
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }
