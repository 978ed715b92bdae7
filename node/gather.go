package node

import (
	"context"
	"time"

	"cairn/node/control"
	"cairn/p2p"
	"cairn/share"
)

const (
	// gatherWithin is how long a node that has just started, or lost a connection, waits for peers that may answer soon: what it takes
	// to reach one and not to hear from it.
	gatherWithin = p2p.DefaultDialTimeout + p2p.DefaultAnswerWithin
	// gatherEnough is the same where enough others answer for what is to be done.
	gatherEnough = time.Second
	// gatherAgain is how long it waits for a peer that was there a moment ago, where the others are too few: it may be starting again.
	gatherAgain = 3 * time.Second
	// gatherQuietly is how long nobody is told of it.
	gatherQuietly = 300 * time.Millisecond
)

// Gather returns when what needs the grid can begin: no peer may answer soon that has not (p2p.Pending), or enough others answer and it
// had a moment to. It waits eight seconds at most, and five where nobody is reached, counted from when the last such peer began to be
// tried, and says after a while how many answer of how many are known. Happy is how many servers are to take shares, 0 for as many as
// the grid wants.
func (a api) Gather(ctx context.Context, happy int, waiting func(control.Waiting)) {
	var said <-chan time.Time
	for {
		pending, changed := a.n.host.Pending()
		rest := patience(pending, a.n.enough(happy), time.Now())
		if rest <= 0 {
			return
		}
		if said == nil {
			said = time.After(gatherQuietly)
		}
		timer := time.NewTimer(rest)
		select {
		case <-changed:
		case <-said:
			answer, known := a.n.peersAnswering()
			waiting(control.Waiting{Answer: answer, Known: known})
			said = make(chan time.Time)
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// patience returns how long to wait for the peers that may answer soon, 0 or less for not at all. Enough says that others answer already.
func patience(pending []p2p.Pending, enough bool, now time.Time) time.Duration {
	var longest time.Duration
	for _, p := range pending {
		if !p.LastSeen.IsZero() && !p.Storage && !p.Serves {
			continue // it takes and gives no shares
		}
		limit := gatherWithin
		switch {
		case p.Parted && enough:
			continue
		case p.Parted:
			limit = gatherAgain
		case enough:
			limit = gatherEnough
		}
		longest = max(longest, p.Since.Add(limit).Sub(now))
	}
	return longest
}

// enough reports whether as many servers answer as are to take shares.
func (n *Node) enough(happy int) bool {
	known, answer := 0, 0
	if n.store != nil {
		known, answer = 1, 1
	}
	for _, p := range n.host.Peers() {
		if !p.Storage || p.Problem != "" {
			continue
		}
		known++
		if p.Responsive {
			answer++
		}
	}
	if happy == 0 {
		happy = n.terms().Params.Happy
	}
	if happy == 0 {
		happy = share.DefaultParams(known).Happy
	}
	return answer >= happy
}

// peersAnswering returns how many peers answer, and how many are known.
func (n *Node) peersAnswering() (answer, known int) {
	for _, p := range n.host.Peers() {
		if p.Problem != "" {
			continue
		}
		known++
		if p.Responsive {
			answer++
		}
	}
	return answer, known
}
