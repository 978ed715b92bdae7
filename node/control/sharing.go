package control

import (
	"context"
	"net/http"
	"time"
)

// The rights that are shared.
const (
	RightRead  = "read"
	RightWrite = "write"
)

// The states of what is shared.
const (
	ShareNew       = "new"       // offered, and nobody decided yet
	ShareAccepted  = "accepted"  // linked into the tree
	ShareRenewed   = "renewed"   // accepted, and offered with another capability since, which can be accepted again
	ShareDeclined  = "declined"  // not wanted
	ShareExpired   = "expired"   // the offer ended before it was accepted
	ShareWithdrawn = "withdrawn" // accepted, and offered no longer
	ShareOpen      = "open"      // given: the offer stands
	ShareEnding    = "ending"    // given: being taken back; what was begun is finished by another unshare
)

// A ShareRequest hands what a target leads to to somebody.
type ShareRequest struct {
	Target string `json:"target"`
	// Write gives the right to write, where there is one to give.
	Write bool `json:"write,omitempty"`
	// To is a member, as RevokeRequest names one; empty returns the capability for the person to hand over.
	To      string        `json:"to,omitempty"`
	Name    string        `json:"name,omitempty"` // what to call it; empty: its name
	Message string        `json:"message,omitempty"`
	Valid   time.Duration `json:"valid,omitempty"` // how long the offer stands, 0 for ever
}

// A Share is one thing that one person handed to another.
type Share struct {
	ID    string `json:"id"`
	State string `json:"state"`
	// Member and Account are the other person: the one who gave, or the one who was given to; empty for whoever has the capability.
	Member  string    `json:"member,omitempty"`
	Account string    `json:"account,omitempty"`
	Name    string    `json:"name"` // as the sender calls it; any text
	Message string    `json:"message,omitempty"`
	Type    string    `json:"type"` // file, dir or unknown
	Kind    string    `json:"kind"` // of the capability
	Right   string    `json:"right"`
	Sent    time.Time `json:"sent,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Path is where it is: what was shared, or where it was linked.
	Path string `json:"path,omitempty"`
	// Capability is set in the answer to a ShareRequest that names no member.
	Capability string `json:"capability,omitempty"`
	// Ended says that the thing has other keys by now, so that nothing follows what it holds. It is told of what is shared or accepted just now.
	Ended bool `json:"ended,omitempty"`
}

// Shares are what is shared with the person and what the person shares.
type Shares struct {
	Received []Share `json:"with_me"`
	Given    []Share `json:"by_me"`
	// Problems name the members of whom it is not known what they share, and why.
	Problems []string `json:"problems,omitempty"`
}

// An AcceptRequest links what is offered into the tree.
type AcceptRequest struct {
	ID string `json:"id"` // or the start of it
	// Target is where; empty is home:shared/MEMBER/NAME, with a number where that is taken.
	Target string `json:"target,omitempty"`
}

// An UnshareRequest takes back what was shared.
type UnshareRequest struct {
	Target string `json:"target"`
	To     string `json:"to,omitempty"` // empty: everybody
}

// Unshared says what was taken back, and what cannot be.
type Unshared struct {
	Path      string  `json:"path"`
	Withdrawn []Share `json:"withdrawn"`
	// Rotated says that the path leads to a copy under new keys now, of so many directories and mutable files.
	Rotated     bool `json:"rotated"`
	Directories int  `json:"directories"`
	Files       int  `json:"files"`
	// Renewed are those who still have it, and are handed the new keys.
	Renewed []Share `json:"renewed"`
	// Remains says in sentences what those from whom it was taken keep.
	Remains []string `json:"remains"`
}

// Sharing is the part of a Node that deals with what people hand to each other.
type Sharing interface {
	Share(ctx context.Context, request ShareRequest) (Share, error)
	Shares(ctx context.Context) (Shares, error)
	AcceptShare(ctx context.Context, request AcceptRequest) (Share, error)
	// DeclineShare takes an id or the start of one.
	DeclineShare(ctx context.Context, id string) (Share, error)
	Unshare(ctx context.Context, request UnshareRequest, progress func(Progress)) (Unshared, error)
}

func (s *Server) sharing(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/shares", answer(s.node.Shares))
	mux.HandleFunc("POST /v1/shares", ordered(s.node.Share))
	mux.HandleFunc("POST /v1/shares/accept", ordered(s.node.AcceptShare))
	mux.HandleFunc("POST /v1/shares/decline", ordered(s.node.DeclineShare))
	mux.HandleFunc("POST /v1/shares/end", carriedOut(s.node.Unshare))
}

// Share hands what a target leads to to somebody.
func (c *Client) Share(ctx context.Context, request ShareRequest) (Share, error) {
	return order[Share](ctx, c, "/v1/shares", request)
}

// Shares asks for what is shared with the person and what the person shares.
func (c *Client) Shares(ctx context.Context) (Shares, error) {
	return ask[Shares](ctx, c, "/v1/shares", nil)
}

// AcceptShare links what is offered into the tree.
func (c *Client) AcceptShare(ctx context.Context, request AcceptRequest) (Share, error) {
	return order[Share](ctx, c, "/v1/shares/accept", request)
}

// DeclineShare says that what is offered is not wanted.
func (c *Client) DeclineShare(ctx context.Context, id string) (Share, error) {
	return order[Share](ctx, c, "/v1/shares/decline", id)
}

// Unshare takes back what was shared.
func (c *Client) Unshare(ctx context.Context, request UnshareRequest, progress func(Progress)) (Unshared, error) {
	return carryOut[Unshared](ctx, c, "/v1/shares/end", request, progress)
}
