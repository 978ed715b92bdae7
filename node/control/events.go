package control

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"cairn/share"
)

// A Kind says what an Event is about.
type Kind string

// The kinds of events. More may come; programs ignore those that they do not know.
const (
	KindStarted      Kind = "node.started"
	KindPeerUp       Kind = "peer.up"
	KindPeerDown     Kind = "peer.down"
	KindPeerSilent   Kind = "peer.silent" // connected, and does not answer
	KindPeerAnswers  Kind = "peer.answers"
	KindPeerMoved    Kind = "peer.moved" // reached on another path
	KindPeerRefused  Kind = "peer.refused"
	KindMembership   Kind = "grid.membership" // somebody joined, left or was revoked
	KindShared       Kind = "share.received"  // a member shares something with the person, or offers it anew
	KindWithdrawn    Kind = "share.withdrawn" // what was accepted is offered no longer
	KindStored       Kind = "file.stored"
	KindStoreFailed  Kind = "file.store_failed"
	KindRepaired     Kind = "file.repaired"
	KindRepairFailed Kind = "file.repair_failed"
	KindQuarantined  Kind = "share.quarantined" // a stored share is damaged and was moved aside
	KindVerified     Kind = "shares.verified"   // a pass over all stored shares has ended
	KindVerifyFailed Kind = "shares.verify_failed"
	KindCollected    Kind = "shares.collected" // shares without a lease were removed
	KindDrained      Kind = "spill.drained"    // shares came back from the bucket
	KindSpillFailed  Kind = "spill.failed"     // the bucket cannot be opened
	KindBucketFailed Kind = "bucket.failed"    // the bucket in which the node keeps its shares cannot be opened
)

// An Event is something that happened at a node. It holds no key and nothing that opens a file.
type Event struct {
	// Seq counts the events of one run of the node from 1; a gap says that the events between are no longer kept.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Text says what happened, in one line.
	Text string `json:"text"`
	// Peer and Nickname name the other node, where the event is about one.
	Peer     share.ServerID `json:"peer,omitempty"`
	Nickname string         `json:"nickname,omitempty"`
	// File is the storage index of the file that the event is about.
	File string `json:"file,omitempty"`
	// Reason says why, where there is more to say than that it happened.
	Reason string `json:"reason,omitempty"`
}

// An EventsRequest says which events are wanted.
type EventsRequest struct {
	// After is the last event that is known already, 0 for none.
	After uint64
	// Follow waits for what happens from now on, until the request ends.
	Follow bool
}

const (
	headerAfter  = "Cairn-After"
	headerFollow = "Cairn-Follow"
)

// Events calls each for every event that the node keeps, the oldest first, and with Follow for those that come, until
// the context or the node ends, or each returns an error, which it then returns.
func (c *Client) Events(ctx context.Context, request EventsRequest, each func(Event) error) error {
	h := header(headerAfter, strconv.FormatUint(request.After, 10))
	if request.Follow {
		h.Set(headerFollow, "1")
	}
	response, err := c.do(ctx, http.MethodGet, "/v1/events", h, nil, 0)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return receiveAll(ctx, c, response.Body, each)
}

// events sends one line for each event, as it comes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	request := EventsRequest{Follow: r.Header.Get(headerFollow) != ""}
	if text := r.Header.Get(headerAfter); text != "" {
		var err error
		if request.After, err = strconv.ParseUint(text, 10, 64); err != nil {
			fail(w, r, badHeader(headerAfter))
			return
		}
	}
	sendAll(w, r, 1, func(each func(Event) error) error { return s.node.Events(r.Context(), request, each) })
}
