package node

import (
	"context"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/node/doctor"
	"cairn/p2p"
)

// Limits of a diagnosis.
const (
	askedClocks  = 8 // peers whose time is asked for
	askedReach   = 3 // peers that are asked to connect, until one does
	diagnoseTime = 25 * time.Second
)

// Diagnose looks at what only the running node can tell: its peers, its clock beside theirs, and how others reach it.
func (a api) Diagnose(ctx context.Context) ([]doctor.Check, error) {
	ctx, cancel := awake.WithTimeout(ctx, diagnoseTime)
	defer cancel()
	n := a.n
	var answering []p2p.Peer
	var versions []string
	for _, p := range n.host.Peers() {
		if p.Responsive && p.Problem == "" {
			answering = append(answering, p)
			versions = append(versions, p.Version)
		}
	}
	count := countPeers(n.host.Peers())
	ports := listenPorts(n.config.Network.Listen)
	var asked []doctor.Check
	var asking sync.WaitGroup
	if n.host.Reachability().Enabled {
		asking.Go(func() { asked = n.askReachable(ctx, answering, ports) })
	}
	checks := []doctor.Check{
		doctor.Clocks(n.clocks(ctx, answering)),
		doctor.Peers(count),
		doctor.Versions(n.hello().Version, versions),
		doctor.Table(n.discovery.Known(), count.Answer),
	}
	asking.Wait()
	checks = append(append(checks, n.membership()...), append(n.diagnoseSpill(ctx), n.diagnoseBucket(ctx)...)...)
	return append(append(checks, doctor.Reach(n.host.Reachability(), ports)...), asked...), nil
}

// askReachable has the first peer that can be asked try to connect to this node.
func (n *Node) askReachable(ctx context.Context, peers []p2p.Peer, ports []string) []doctor.Check {
	for _, p := range peers[:min(len(peers), askedReach)] {
		answers, err := n.host.AskReachable(ctx, p.ID)
		if err == nil {
			return []doctor.Check{doctor.Asked(nameOf(p), answers, ports)}
		}
		n.log.Debug("a peer did not try to connect", "part", "doctor", "peer", p.ID.Short(), "error", err)
	}
	return nil
}

func countPeers(peers []p2p.Peer) doctor.PeerCount {
	var c doctor.PeerCount
	for _, p := range peers {
		switch {
		case p.Problem != "":
			c.Refused = append(c.Refused, nameOf(p)+": "+oneLine(p.Problem))
		case p.Responsive:
			c.Answer++
			if p.Path == p2p.Relayed {
				c.Relayed++
			}
		case p.Path != "":
			c.Silent++
		default:
			c.Away++
			if c.Failure == "" && p.Failure != "" {
				c.Failure = nameOf(p) + ": " + oneLine(p.Failure)
			}
		}
	}
	return c
}

// nameOf returns what people call a peer.
func nameOf(p p2p.Peer) string {
	if p.Nickname != "" {
		return p.Nickname
	}
	return p.ID.Short()
}

// clocks asks some peers at once for their time. Those that do not tell are left out.
func (n *Node) clocks(ctx context.Context, peers []p2p.Peer) []doctor.Clock {
	peers = peers[:min(len(peers), askedClocks)]
	told := make([]*doctor.Clock, len(peers))
	var asking sync.WaitGroup
	for i, p := range peers {
		asking.Go(func() {
			offset, err := n.host.Clock(ctx, p.ID)
			if err != nil {
				n.log.Debug("a peer did not tell its time", "part", "doctor", "peer", p.ID.Short(), "error", err)
				return
			}
			told[i] = &doctor.Clock{Peer: nameOf(p), Ahead: offset.Ahead, Error: offset.Error}
		})
	}
	asking.Wait()
	var clocks []doctor.Clock
	for _, c := range told {
		if c != nil {
			clocks = append(clocks, *c)
		}
	}
	return clocks
}
