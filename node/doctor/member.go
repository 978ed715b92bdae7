package doctor

import (
	"cmp"
	"fmt"
	"time"
)

// expiresSoon is how long before a membership ends one should see to it.
const expiresSoon = 14 * 24 * time.Hour

// A Member is who a node of a private grid belongs to, as its roster has it.
type Member struct {
	Nickname string
	Member   bool
	Reason   string    // why not
	Expired  bool      // it is no member because its time is over
	Expires  time.Time // zero: never
}

// Membership judges whether others let the node in.
func Membership(m Member) Check {
	const name = "membership"
	const ask = "ask a member who may introduce others (\"cairn members\") for an invitation; who was revoked needs a new node for it"
	renew := fmt.Sprintf("ask whoever founded the grid, or vouches for you, to type \"cairn members set %s --membership 365d\"", m.Nickname)
	left := time.Until(m.Expires)
	switch {
	case m.Expired:
		return fail(name, fmt.Sprintf("of %s, but %s", m.Nickname, m.Reason), renew)
	case !m.Member:
		return fail(name, "this node belongs to no member of the grid: "+cmp.Or(m.Reason, "nobody vouches for it"), ask)
	case !m.Expires.IsZero() && left < expiresSoon:
		return warn(name, fmt.Sprintf("of %s, until %s", m.Nickname, m.Expires.Format(time.DateOnly)), renew)
	case !m.Expires.IsZero():
		return ok(name, fmt.Sprintf("of %s, until %s", m.Nickname, m.Expires.Format(time.DateOnly)))
	}
	return ok(name, "of "+m.Nickname)
}
