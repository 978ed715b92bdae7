// Package storage serves a share.Store to peers over the storage protocol, and is a share.Store for the caller of a peer.
//
// A Server answers on five protocols, so that a bulk transfer never stands in front of a question: "ask/2" for small
// questions, "read/1" for pipelined reads of shares, "write/3" for uploads, "head/1" for the heads of mutable names and "batch/1" for
// many small shares at once. docs/protocol.md specifies them. A Client is one peer's store, seen from here: every method of share.Store
// works on it as on a local store, within deadlines.
package storage

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/share"
)

// Names of the protocols. The number is the version: a change that an older peer would misread gets a new one.
const (
	Ask   = "ask/2"
	Read  = "read/1"
	Write = "write/3"
	Head  = "head/1"
	Batch = "batch/1"
)

// A Registrar lets a Server answer on a protocol. p2p.Host is one.
type Registrar interface {
	// Handle calls handler, in a goroutine of its own, for each stream that a peer opens with the protocol.
	Handle(name string, handler func(network.Stream))
}

// A StreamOpener opens streams to peers. p2p.Host is one.
type StreamOpener interface {
	// Stream opens a stream that speaks the protocol. It returns an error that wraps share.ErrUnavailable when the
	// peer cannot be reached and share.ErrVersion when it does not speak the protocol.
	Stream(ctx context.Context, id share.ServerID, name string) (network.Stream, error)
}

// A suspecter is a StreamOpener that wants to hear of peers that keep somebody waiting, so that others are spared the
// wait. p2p.Host is one.
type suspecter interface {
	// Suspect finds out whether the peer still answers. It does not block.
	Suspect(id share.ServerID)
}

// An ager is a stream that may get old: one opened later would go a better way. The streams of p2p.Host are.
type ager interface {
	Outdated() bool
}

// outdated reports whether a kept stream should be replaced by a new one.
func outdated(s network.Stream) bool {
	a, ok := s.(ager)
	return ok && a.Outdated()
}

// suspectAfter is how long a peer may keep somebody waiting before it is suspected to be hung.
const suspectAfter = time.Second

// A deadline moves one deadline of a stream along, without touching the stream more often than needed.
type deadline struct {
	set     func(time.Time) error
	timeout time.Duration
	armed   time.Time
}

// extend moves the deadline so that it ends between three quarters of the timeout and the whole of it from now.
func (d *deadline) extend() {
	if now := time.Now(); now.Sub(d.armed) > d.timeout/4 {
		// An error says that the stream is closed, which the next read or write says as well.
		_ = d.set(now.Add(d.timeout))
		d.armed = now
	}
}

// passed reports whether the deadline has passed.
func (d *deadline) passed() bool { return !d.armed.IsZero() && time.Since(d.armed) >= d.timeout }
