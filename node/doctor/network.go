package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How far clocks may be apart: leases and grants are dates, and people compare what they read in logs.
const (
	clockWarn = 30 * time.Second
	clockFail = 15 * time.Minute
)

// A Clock is how far the clock of a peer is ahead of this machine's, at most Error more or less.
type Clock struct {
	Peer         string
	Ahead, Error time.Duration
}

// Clocks compares this machine's clock with those of the peers that told theirs. Most of them decide who is wrong.
func Clocks(peers []Clock) Check {
	const name = "clock"
	if len(peers) == 0 {
		return ok(name, "not compared: no peer told its time")
	}
	var ahead []time.Duration
	var odd []string
	for _, p := range peers {
		ahead = append(ahead, p.Ahead)
	}
	slices.Sort(ahead)
	median := ahead[(len(ahead)-1)/2]
	for _, p := range peers {
		if off := (p.Ahead - median).Abs() - p.Error; off >= clockWarn {
			odd = append(odd, p.Peer)
		}
	}
	seen := fmt.Sprintf("%s those of %s", apart(median), count(len(peers), "peer"))
	const fix = "set this machine's clock and keep it right: \"timedatectl set-ntp true\" on Linux with systemd, \"Set time and date automatically\" elsewhere"
	switch {
	case median.Abs() >= clockFail:
		return fail(name, seen+": leases and grants would begin or end at the wrong time", fix)
	case median.Abs() >= clockWarn:
		return warn(name, seen, fix)
	case len(odd) > 0:
		return warn(name, seen+"; others are off: "+few(odd), "tell their owners to set their clocks")
	}
	return ok(name, seen)
}

// apart says how this machine's clock is to another that is ahead of it so far.
func apart(ahead time.Duration) string {
	switch {
	case ahead.Abs() < time.Second:
		return "agrees with"
	case ahead > 0:
		return round(ahead) + " behind"
	}
	return round(-ahead) + " ahead of"
}

func round(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Minute:
		d = d.Round(time.Second)
	default:
		d = d.Round(100 * time.Millisecond)
	}
	return d.String()
}

// PeerCount is how many peers are in which state.
type PeerCount struct {
	Answer  int // connected and answering
	Silent  int // connected, and no answer
	Away    int // known and not connected
	Relayed int // of those that answer, how many through a relay
	// Refused are the peers that are not used, each with why.
	Refused []string
	// Failure is why one of those away could not be reached.
	Failure string
}

// Peers judges whether others answer. A node that was never told of any peer is not sick: it may be the first.
func Peers(p PeerCount) Check {
	const name = "peers"
	known := p.Answer + p.Silent + p.Away
	seen := fmt.Sprintf("%d of %d answer", p.Answer, known)
	if p.Silent > 0 {
		seen += fmt.Sprintf(", %d are connected and do not", p.Silent)
	}
	if p.Relayed > 0 {
		seen += fmt.Sprintf(", %d through a relay", p.Relayed)
	}
	switch {
	case known == 0 && len(p.Refused) > 0:
		return fail(name, "every peer refuses this node or is refused: "+few(p.Refused), "ask whoever invited you whether you are still a member, and that all run a version that fits")
	case known == 0:
		return warn(name, "none is known yet", "files need other nodes: let a friend join, or, where there are some, see that one is running and reachable")
	case p.Answer == 0:
		if p.Failure != "" {
			seen += ", for instance: " + p.Failure
		}
		return fail(name, seen, "see that this machine is online and that the others run; a firewall here may block what goes out")
	case p.Silent > 0:
		return warn(name, seen, "nodes that hang are left out by themselves; their owners should look after them (\"cairn peers\" names them)")
	case len(p.Refused) > 0:
		return warn(name, seen+"; not used: "+few(p.Refused), "\"cairn peers\" says why; a node of another grid or version need not worry you")
	}
	return ok(name, seen)
}

// Versions compares this node's software with that of its peers, each in the form "cairn/1.2.3+commit".
func Versions(own string, peers []string) Check {
	const name = "version"
	mine, known := release(own)
	newer, older := "", 0
	var newest [3]int
	for _, text := range peers {
		theirs, ok := release(text)
		if !ok {
			continue
		}
		switch c := slices.Compare(theirs[:], mine[:]); {
		case c < 0:
			older++
		case c > 0 && slices.Compare(theirs[:], newest[:]) > 0:
			newest, newer = theirs, text
		}
	}
	seen := strings.TrimPrefix(own, "cairn/")
	switch {
	case !known || len(peers) == 0:
		return ok(name, seen)
	case newer != "":
		return warn(name, fmt.Sprintf("%s, a peer has %s", seen, strings.TrimPrefix(newer, "cairn/")), "install the newer version here")
	case older > 0:
		return ok(name, fmt.Sprintf("%s; %s an older one", seen, verb(older, "peer has", "peers have")))
	}
	return ok(name, seen+", like the peers")
}

// release reads the three numbers of a version.
func release(text string) (numbers [3]int, ok bool) {
	text, found := strings.CutPrefix(text, "cairn/")
	text, _, _ = strings.Cut(text, "+")
	parts := strings.Split(text, ".")
	if !found || len(parts) != len(numbers) {
		return numbers, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return numbers, false
		}
		numbers[i] = int(n)
	}
	return numbers, true
}

// Table judges the node's place in the DHT by how many members its routing table holds.
func Table(known, answering int) Check {
	const name = "discovery"
	seen := fmt.Sprintf("%s in the routing table", count(known, "member"))
	if known == 0 && answering > 0 {
		return warn(name, seen+fmt.Sprintf(" while %d answer", answering),
			"gateways (storage.enabled = false) do not serve the DHT; if nodes that store are among your peers, restart this node")
	}
	return ok(name, seen)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func verb(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// few joins the first of a list.
func few(list []string) string {
	const shown = 3
	if len(list) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
	}
	return strings.Join(list, ", ")
}
