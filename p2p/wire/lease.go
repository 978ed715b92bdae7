package wire

import (
	"time"

	"cairn/share"
)

// maxRun bounds what a peer says of a lease. It is longer than what any Store takes, and far from overflowing a time.
const maxRun = 2 * share.MaxLease

// RunOf returns how many milliseconds a lease runs from now on. That is what the messages say: the end is computed with
// the clock of the server that keeps the lease, whatever the clock of the client says.
func RunOf(l share.Lease, now time.Time) int64 { return l.Expires.Sub(now).Milliseconds() }

func leaseFor(owner string, milliseconds int64, now time.Time) share.Lease {
	limit := maxRun.Milliseconds()
	run := time.Duration(min(max(milliseconds, -limit), limit)) * time.Millisecond
	return share.Lease{Owner: owner, Expires: now.Add(run)}
}
