package introducer

import (
	"bytes"
	"slices"
	"time"
)

// forget drops statements that nobody heeds when there are too many of them. Those kept count again should their issuer get
// its authority back.
func (r *Roster) forget(now time.Time) {
	v := r.refresh(now)
	if len(r.set.slots)-len(v.live) <= maxDead {
		return
	}
	live := make(map[*Statement]bool, len(v.live))
	for _, st := range v.live {
		live[st] = true
	}
	var dead []*Statement
	for _, st := range r.set.slots {
		if !live[st] {
			dead = append(dead, st)
		}
	}
	slices.SortFunc(dead, func(a, b *Statement) int {
		if first, second := a.Kind == KindRevocation, b.Kind == KindRevocation; first != second { // revocations go last
			if first {
				return 1
			}
			return -1
		}
		return bytes.Compare(a.digest[:], b.digest[:])
	})
	for _, st := range dead[:len(dead)-maxDead/2] {
		r.set.drop(st)
	}
	r.view.Store(nil)
	r.refresh(now)
}
