package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"cairn/share"
)

// A Member is a person of the grid, or one who was.
type Member struct {
	Nickname   string    `json:"nickname"`
	Account    string    `json:"account"`
	State      string    `json:"state"`            // member, revoked, expired or unvouched
	Reason     string    `json:"reason,omitempty"` // why the person is no member
	Self       bool      `json:"self,omitempty"`   // the person to whom this node belongs
	Introducer bool      `json:"introducer"`
	Quota      int64     `json:"quota"` // bytes, 0: by the grid's policy
	Since      time.Time `json:"since"`
	Expires    time.Time `json:"expires,omitzero"`
	GrantedBy  string    `json:"granted_by"` // nickname of the member who vouches, empty for the founder's key
	Devices    []Device  `json:"devices"`
	// Lends and Free add up what those of the devices said that answer, in bytes.
	Lends int64 `json:"lends"`
	Free  int64 `json:"free"`
	// MayUse is what the person may store on the grid, all shares counted, as far as this node knows who lends what; -1 for no limit.
	MayUse int64 `json:"may_use"`
	// UsesHere is what the person has stored on this node's disk, in bytes.
	UsesHere int64 `json:"uses_here"`
}

// A Device is a node of a member.
type Device struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Answers  bool      `json:"answers"`
	LastSeen time.Time `json:"last_seen,omitzero"`
}

// An InviteRequest says whom to invite. The zero value invites one person for a week on the grid's terms.
type InviteRequest struct {
	Nickname   string        `json:"nickname,omitempty"` // empty: as the friend likes
	Quota      int64         `json:"quota,omitempty"`
	Valid      time.Duration `json:"valid,omitempty"`
	Uses       int           `json:"uses,omitempty"`
	Introducer bool          `json:"introducer,omitempty"`
	// Membership is how long the membership lasts, 0 for ever.
	Membership time.Duration `json:"membership,omitempty"`
	// Device invites another device of the person to whom this node belongs.
	Device bool `json:"device,omitempty"`
}

// An Invitation is one that this node gave out. Text is known only when it is made.
type Invitation struct {
	ID         string    `json:"id"`
	State      string    `json:"state"` // open, used, expired or cancelled
	Text       string    `json:"text,omitempty"`
	Nickname   string    `json:"nickname"`
	Quota      int64     `json:"quota"`
	Uses       int       `json:"uses"` // left
	Expires    time.Time `json:"expires"`
	Introducer bool      `json:"introducer"`
	Device     bool      `json:"device"`
}

// A MemberRequest changes the terms of a member: a nickname, an account key or the start of one. What is nil stays as it is.
type MemberRequest struct {
	Member string `json:"member"`
	Quota  *int64 `json:"quota,omitempty"` // bytes, 0: by the grid's policy
	// Membership is how long the membership lasts from now on, 0 for ever.
	Membership *time.Duration `json:"membership,omitempty"`
	Introducer *bool          `json:"introducer,omitempty"`
}

// A RevokeRequest says whose membership ends: a nickname, an account key or the start of one.
type RevokeRequest struct {
	Member string `json:"member"`
	Reason string `json:"reason,omitempty"`
	// WithTheirs revokes also those whom the member let in, whom these let in, and so on.
	WithTheirs bool `json:"with_theirs,omitempty"`
	// Try changes nothing: the answer says who would be concerned, as they are now.
	Try bool `json:"try,omitempty"`
}

// Revoked says what a revocation did.
type Revoked struct {
	Member
	// Theirs are those whom the member let in, directly or not, with what they are now and who vouches for them.
	Theirs []Member `json:"theirs"`
}

// Settings are what holds for everybody in a private grid.
type Settings struct {
	share.Params
	LeaseSeconds int64  `json:"lease_seconds"` // for which leases run; 0: the default
	Policy       string `json:"policy"`        // proportional, fixed or unlimited
	Percent      int    `json:"percent"`       // proportional: of what a member lends
	Floor        int64  `json:"floor"`         // proportional: bytes that everybody may use
	Quota        int64  `json:"quota"`         // fixed: bytes
}

// A LeaveReport says what became of the shares of a node that leaves.
type LeaveReport struct {
	Files  int `json:"files"`  // of which the node held shares
	Moved  int `json:"moved"`  // shares that others hold now in its place
	Failed int `json:"failed"` // files with a share that found no place
}

// Membership is the part of a Node that deals with the people of a private grid. In an open grid everything but
// GridSettings is refused.
type Membership interface {
	Members(ctx context.Context) ([]Member, error)
	Invite(ctx context.Context, request InviteRequest) (Invitation, error)
	Invitations(ctx context.Context) ([]Invitation, error)
	CancelInvitation(ctx context.Context, id string) (Invitation, error)
	// SetMember changes a member's terms, renews a membership that ended, and returns the member as it is then.
	SetMember(ctx context.Context, request MemberRequest) (Member, error)
	// Revoke returns the member whose membership it ended, and what that means for others.
	Revoke(ctx context.Context, request RevokeRequest) (Revoked, error)
	// RemoveDevice takes a node away from the person to whom this node belongs, and returns it.
	RemoveDevice(ctx context.Context, device string) (Device, error)
	GridSettings(ctx context.Context) (Settings, error)
	SetGridSettings(ctx context.Context, settings Settings) (Settings, error)
	// Leave hands the node's shares to others, unless now is set, and has the members forget the node; it goes on running until
	// it is stopped.
	Leave(ctx context.Context, now bool, progress func(Progress)) (LeaveReport, error)
}

// Members asks who belongs to the grid.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	return ask[[]Member](ctx, c, "/v1/members", nil)
}

// Invite makes an invitation.
func (c *Client) Invite(ctx context.Context, request InviteRequest) (Invitation, error) {
	return order[Invitation](ctx, c, "/v1/invitations", request)
}

// Invitations asks which invitations the node gave out, those of the last month that ended included.
func (c *Client) Invitations(ctx context.Context) ([]Invitation, error) {
	return ask[[]Invitation](ctx, c, "/v1/invitations", nil)
}

// CancelInvitation makes an invitation worthless.
func (c *Client) CancelInvitation(ctx context.Context, id string) (Invitation, error) {
	return order[Invitation](ctx, c, "/v1/invitations/cancel", id)
}

// SetMember changes a member's terms.
func (c *Client) SetMember(ctx context.Context, request MemberRequest) (Member, error) {
	return order[Member](ctx, c, "/v1/members/set", request)
}

// Revoke ends a membership.
func (c *Client) Revoke(ctx context.Context, request RevokeRequest) (Revoked, error) {
	return order[Revoked](ctx, c, "/v1/revoke", request)
}

// RemoveDevice takes a device away from the person to whom the node belongs: its name, its id or the end of one.
func (c *Client) RemoveDevice(ctx context.Context, device string) (Device, error) {
	return order[Device](ctx, c, "/v1/devices/remove", device)
}

// GridSettings asks what holds for everybody.
func (c *Client) GridSettings(ctx context.Context) (Settings, error) {
	return ask[Settings](ctx, c, "/v1/settings", nil)
}

// SetGridSettings changes what holds for everybody.
func (c *Client) SetGridSettings(ctx context.Context, settings Settings) (Settings, error) {
	return order[Settings](ctx, c, "/v1/settings", settings)
}

// Leave hands the node's shares to others, unless now is set, and has the members forget the node.
func (c *Client) Leave(ctx context.Context, now bool, progress func(Progress)) (LeaveReport, error) {
	h := http.Header{}
	if now {
		h.Set(headerNow, "1")
	}
	return follow[LeaveReport](ctx, c, "/v1/leave", h, nil, 0, progress)
}

// order sends a request in JSON and returns the answer.
func order[Answer, Request any](ctx context.Context, c *Client, path string, request Request) (Answer, error) {
	var value Answer
	data, err := json.Marshal(request)
	if err != nil {
		return value, fmt.Errorf("local API: %w", err)
	}
	response, err := c.do(ctx, http.MethodPost, path, nil, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return value, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxLine)).Decode(&value); err != nil {
		return value, c.explain(ctx, err)
	}
	return value, nil
}

// membership registers what deals with the people of the grid.
func (s *Server) membership(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/members", answer(s.node.Members))
	mux.HandleFunc("GET /v1/invitations", answer(s.node.Invitations))
	mux.HandleFunc("POST /v1/invitations", ordered(s.node.Invite))
	mux.HandleFunc("POST /v1/invitations/cancel", ordered(s.node.CancelInvitation))
	mux.HandleFunc("POST /v1/members/set", ordered(s.node.SetMember))
	mux.HandleFunc("POST /v1/revoke", ordered(s.node.Revoke))
	mux.HandleFunc("POST /v1/devices/remove", ordered(s.node.RemoveDevice))
	mux.HandleFunc("POST /v1/leave", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, func(ctx context.Context, progress func(Progress)) (LeaveReport, error) {
			return s.node.Leave(ctx, r.Header.Get(headerNow) != "", progress)
		})
	})
	mux.HandleFunc("GET /v1/settings", answer(s.node.GridSettings))
	mux.HandleFunc("POST /v1/settings", ordered(s.node.SetGridSettings))
}

// maxOrder bounds a request in JSON.
const maxOrder = 64 << 10

// ordered serves a request in JSON. Fields that it does not know are an error: a client that is newer than the node
// must not believe that they were heeded.
func ordered[Request, Answer any](do func(context.Context, Request) (Answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request Request
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&request); err != nil {
			fail(w, r, &Error{Code: CodeMalformed, Message: "local API: the request: " + err.Error()})
			return
		}
		answer(func(ctx context.Context) (Answer, error) { return do(ctx, request) })(w, r)
	}
}
