package introducer

import (
	"time"

	"cairn/share"
)

// OwnerOf returns the account that a node belongs to, or that it belonged to before it was removed or expired: who answers for
// what the node has stored. The account may be a member no longer.
func (r *Roster) OwnerOf(id share.ServerID, now time.Time) (Member, bool) {
	c := r.at(now).nodes[id]
	if c == nil {
		return Member{}, false
	}
	return c.of.copied(), true
}
