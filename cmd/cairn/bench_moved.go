package main

import (
	"context"
	"time"

	"cairn/node/control"
)

// A benchOp is what one operation on names or trees takes.
type benchOp struct {
	What string `json:"what"`
	// Count is how many entries the directory has, or files the tree.
	Count int `json:"count,omitempty"`
	// Command is by the clock in seconds, the operation done as a person does it: by a command that is started for it. The
	// median, where it was done several times.
	Command float64 `json:"command_seconds"`
	// Inside is the same by one process that goes on asking the node; 0 where that was not measured.
	Inside float64 `json:"inside_seconds,omitempty"`
	// Moved is how many bytes went between the gateway and all servers for it, and Trips how many requests the busiest server
	// got: no more than that many followed each other.
	Moved float64 `json:"bytes_moved"`
	Trips float64 `json:"round_trips"`
	// Yardstick is what Tahoe-LAFS takes in seconds, 0 where that is not known.
	Yardstick float64 `json:"tahoe_lafs_seconds,omitempty"`
	// Else says what it was done with, where that is not Cairn.
	Else string `json:"else,omitempty"`
}

// A traffic is what the servers of all nodes have done for each other.
type traffic []control.Served

// since returns what was done after another traffic.
func (t traffic) since(before traffic) (moved, trips int64) {
	for i, now := range t {
		moved += now.Received + now.Sent - before[i].Received - before[i].Sent
		trips = max(trips, now.Requests-before[i].Requests)
	}
	return moved, trips
}

func (b *bench) traffic(ctx context.Context) (traffic, error) {
	var all traffic
	for _, node := range b.nodes.nodes {
		served, err := ask(ctx, node, (*control.Client).Served)
		if err != nil {
			return nil, err
		}
		all = append(all, served)
	}
	return all, nil
}

// A deed does something for the i-th time.
type deed func(i int) error

// measure does something n times by commands, and as often inside this process where inside is set.
func (b *bench) measure(ctx context.Context, op benchOp, n int, command, inside deed) (benchOp, error) {
	before, err := b.traffic(ctx)
	if err != nil {
		return op, err
	}
	if op.Command, err = medianOf(n, command); err != nil {
		return op, err
	}
	after, err := b.traffic(ctx)
	if err != nil {
		return op, err
	}
	moved, trips := after.since(before)
	op.Moved, op.Trips = float64(moved)/float64(n), float64(trips)/float64(n)
	op.Yardstick = yardsticks[yardstick{op.What, op.Count}]
	if inside != nil {
		op.Inside, err = medianOf(n, inside)
	}
	return op, err
}

// once measures something that is done once, and by a command only.
func (b *bench) once(ctx context.Context, op benchOp, command func() error) (benchOp, error) {
	return b.measure(ctx, op, 1, func(int) error { return command() }, nil)
}

// verbs returns a deed that runs a verb on a node.
func (b *bench) verbs(ctx context.Context, node *localNode, args func(i int) []string) deed {
	return func(i int) error {
		_, err := b.nodes.verb(ctx, node, args(i)...)
		return err
	}
}

// timed returns how long something took.
func timed(do func() error) (float64, error) {
	begin := time.Now()
	err := do()
	return time.Since(begin).Seconds(), err
}
