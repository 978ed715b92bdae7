// Package control is the local API of a running node, and its client: the way the command line talks to a node.
//
// The API is HTTP/1.1 on loopback. Its address and token stand in a file in the node's directory that only the owner
// can read. Every request carries the token; requests that a browser sends for some page are refused. Answers are JSON;
// what takes long is a stream of JSON lines, of which the last one is the result or the error. Capabilities travel in
// headers and bodies, never in a URL.
package control

import (
	"context"
	"io"
	"time"

	"cairn/grid"
	"cairn/grid/health"
	"cairn/node/doctor"
	"cairn/share"
	"cairn/share/capability"
)

// Status is a node's state at a glance.
type Status struct {
	Node       string    `json:"node"`
	Nickname   string    `json:"nickname"`
	Version    string    `json:"version"`
	Grid       GridName  `json:"grid"`
	Peers      int       `json:"peers"`       // peers that answer
	PeersKnown int       `json:"peers_known"` // peers that are remembered
	Storage    Storage   `json:"storage"`
	Usage      Usage     `json:"usage"`
	Spill      *Spill    `json:"spill,omitempty"` // the bucket behind the disk
	Uptime     float64   `json:"uptime"`          // seconds
	Started    time.Time `json:"started"`
	Addresses  []string  `json:"addresses"`
	PID        int       `json:"pid"`
	// Alone says why what is stored now stays on this node's disk, empty where others take shares.
	Alone string `json:"alone,omitempty"`
	// Health is how all that is in the root directory was found since the node started, absent where nobody has looked.
	Health *Health `json:"health,omitempty"`
}

// Health says in numbers what a TreeReport says of the whole root directory.
type Health struct {
	Checked       time.Time `json:"checked"`
	Objects       int       `json:"objects"`
	Thin          int       `json:"thin"`
	Degraded      int       `json:"degraded"`
	Unrecoverable int       `json:"unrecoverable"`
	// Wanted is on how many servers counted what was stored then.
	Wanted int `json:"wanted"`
}

// GridName names a grid.
type GridName struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// Storage is the space that a node lends, in bytes.
type Storage struct {
	Enabled bool `json:"enabled"`
	share.Space
	Owners []Owner `json:"owners,omitempty"` // who has how much here, most first
	Bucket *Bucket `json:"bucket,omitempty"` // where the shares are, unless they are on a disk
}

// A Peer is another node of the grid as this one sees it.
type Peer struct {
	ID        string    `json:"id"`
	Nickname  string    `json:"nickname"`
	Version   string    `json:"version"`
	Addresses []string  `json:"addresses"`
	Path      string    `json:"path"` // "direct", "punched", "relayed", or "" when not connected
	Transport string    `json:"transport"`
	LatencyMS float64   `json:"latency_ms"`
	Storage   bool      `json:"storage"`
	Free      int64     `json:"free"`
	Used      int64     `json:"used"`
	Answers   bool      `json:"answers"`
	Problem   string    `json:"problem,omitempty"` // why the peer is not used
	LastSeen  time.Time `json:"last_seen"`
}

// Grid describes the grid that a node belongs to.
type Grid struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Address string    `json:"address"` // empty in a private grid, which invitations lead to
	Open    bool      `json:"open"`
	Created time.Time `json:"created"`
	share.Params
	// BySize says that the parameters follow from how many servers there are now.
	BySize bool `json:"by_size"`
	// Members and Settings are those of a private grid; a node that is not running does not tell them.
	Members  int       `json:"members,omitempty"`
	Settings *Settings `json:"settings,omitempty"`
	// Lent is what the nodes that answer lend together.
	Lent share.Space `json:"lent"`
}

// A PutRequest says how to store a file.
type PutRequest struct {
	Params    share.Params // zero: as the grid says
	BlockSize int          // zero: by the size of the file
	Private   bool         // a random key
	Alone     bool         // on this node's disk where the others do not take it
	Size      int64        // -1 when it is not known
	Digest    *share.Digest
	Checksum  *uint64 // XXH64 of the file; what arrives is compared with it, and with Digest only where it is nil
	// Target is the path that the file gets, empty for none. What has the name already is replaced; a mutable file
	// that it leads to gets the bytes as its next version.
	Target string
	// Name is the file's name where Target leads to a directory.
	Name string
	// Mutable makes a mutable file.
	Mutable bool
	// Patch, if set, writes into the mutable file from this offset on and leaves the rest of it.
	Patch *int64
	// Retention says which past versions of a mutable file are kept. Zero is what it says already, and of a new one as the node is set.
	Retention Retention
	// Keep refuses to replace what has the name already.
	Keep     bool
	Metadata Metadata
}

// A PutResult says what was stored.
type PutResult struct {
	Capability string `json:"capability"`
	Size       int64  `json:"size"`
	share.Params
	Happiness int   `json:"happiness,omitempty"` // 0 where it is not known, as of a mutable file
	Servers   int   `json:"servers,omitempty"`   // likewise
	Resumed   int64 `json:"resumed"`             // bytes that an earlier, interrupted upload had left
	// Path is the path that the file got, empty for none.
	Path string `json:"path,omitempty"`
	// Version counts the versions of a mutable file.
	Version uint64 `json:"version,omitempty"`
	// Warning says, where it is so, that only this node's disk has the file, and why.
	Warning string `json:"warning,omitempty"`
}

// Progress says how far an operation has come, in bytes of the file or in shares.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"` // -1 when it is not known
	// Note says what is being done, in a few words.
	Note string `json:"note,omitempty"`
}

// A Stat describes a stored file.
type Stat = grid.Stat

// A Report says how healthy a file is.
type Report = health.Report

// A RepairReport says what a repair found, did and left.
type RepairReport = health.Result

// NothingStored is the report on a literal capability, which holds the data itself.
func NothingStored() Report {
	return Report{
		Healthy: true, Recoverable: true, Corrupt: []health.Fault{}, Undelivered: []health.Fault{},
		Holders: map[share.ServerID]health.Numbers{}, Unanswered: []health.Unanswered{},
	}
}

// A File is an open file of the grid.
type File interface {
	Size() int64
	// WriteTo writes n bytes from offset off, or as many as there are.
	WriteTo(ctx context.Context, w io.Writer, off, n int64) (int64, error)
	Close() error
}

// Served is what a node's server did for the other members since the node started.
type Served struct {
	Requests int64 `json:"requests"`
	Received int64 `json:"received"` // bytes
	Sent     int64 `json:"sent"`     // bytes
}

// A Node is what the API gives access to. It is safe for concurrent use.
type Node interface {
	Spiller
	Status(ctx context.Context) (Status, error)
	Peers(ctx context.Context) ([]Peer, error)
	// Served asks nobody else, so that asking does not change it anywhere.
	Served(ctx context.Context) (Served, error)
	Grid(ctx context.Context) (Grid, error)
	Put(ctx context.Context, r io.Reader, request PutRequest, progress func(Progress)) (PutResult, error)
	Open(ctx context.Context, c capability.Capability) (File, error)
	Stat(ctx context.Context, c capability.Capability) (Stat, error)
	Check(ctx context.Context, c capability.Capability, verify bool, progress func(Progress)) (Report, error)
	Repair(ctx context.Context, c capability.Capability, verify bool, progress func(Progress)) (RepairReport, error)
	// Events calls each for the events that are kept and, if asked to, for those that come until the context ends.
	Events(ctx context.Context, request EventsRequest, each func(Event) error) error
	// Diagnose looks for what keeps the node from working well. What only a running node can tell is in it.
	Diagnose(ctx context.Context) ([]doctor.Check, error)
	Membership
	Tree
	Batches
	Sharing
	// Shutdown asks the node to stop; it does not wait.
	Shutdown()
}
