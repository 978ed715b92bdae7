package introducer

import (
	"fmt"
	"slices"

	"cairn/share"
)

// Vouching returns what shows to somebody who holds nothing but the grid's descriptor that an account is a member: the grants from
// the grid's key down to it. The error wraps share.ErrDenied where it is none.
func (r *Roster) Vouching(account AccountKey) ([][]byte, error) {
	v := r.current()
	m := v.accounts[account]
	if m == nil || m.State != StateMember {
		return nil, fmt.Errorf("account %s is no member of grid %s: %w", account.Short(), v.grid, share.ErrDenied)
	}
	var chain []*Statement
	for ; m != nil; m = v.accounts[m.GrantedBy] {
		chain = append(chain, m.grant)
	}
	slices.Reverse(chain)
	return raw(chain), nil
}

// Excerpt returns of the roster what fits into limit bytes: first these statements, then revocations and settings, then others.
// None is there twice.
func (r *Roster) Excerpt(first [][]byte, limit int) [][]byte {
	first = slices.Clone(first)
	var later [][]byte
	for _, data := range r.Statements() {
		st, err := ParseStatement(r.grid, data)
		if err == nil && (st.Revocation != nil || st.Settings != nil) {
			first = append(first, data)
		} else {
			later = append(later, data)
		}
	}
	var list [][]byte
	have, size := make(map[string]bool), 0
	for _, data := range append(first, later...) {
		if have[string(data)] || size+len(data) > limit {
			continue
		}
		have[string(data)] = true
		list, size = append(list, data), size+len(data)
	}
	return list
}
