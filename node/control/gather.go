package control

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
)

// headerWaiting tells with a preliminary answer (status 102) what the node waits for, as JSON.
const headerWaiting = "Cairn-Waiting"

// Waiting says what a node waits for that has just started: its peers.
type Waiting struct {
	Answer int `json:"answer"` // peers that answer by now
	Known  int `json:"known"`
}

// A Gatherer is a node that waits, before it does anything that needs the grid, until it has met the peers that it is about to
// meet. Happy is how many servers the request wants, 0 where it does not say. It calls waiting when that takes a while.
type Gatherer interface {
	Gather(ctx context.Context, happy int, waiting func(Waiting))
}

// gathered are the requests that need the grid, by the first word of their paths.
var gathered = map[string]bool{
	"files": true, "content": true, "stat": true, "check": true, "repair": true, "tree": true, "batch": true, "aliases": true, "maintain": true,
	"shares": true, "leave": true,
}

// withPeers has the node gather its peers before a request that needs them.
func (s *Server) withPeers(next http.Handler) http.Handler {
	gatherer, ok := s.node.(Gatherer)
	if !ok {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		word, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
		if gathered[word] {
			gatherer.Gather(r.Context(), happyOf(r.Header), func(state Waiting) { preliminary(w, state) })
		}
		next.ServeHTTP(w, r)
	})
}

// happyOf returns how many servers a request wants, 0 where it does not say.
func happyOf(h http.Header) int {
	request, err := putRequest(h)
	if err != nil {
		return 0 // the handler says so
	}
	return request.Params.Happy
}

func preliminary(w http.ResponseWriter, state Waiting) {
	text, _ := json.Marshal(state) // numbers always encode
	w.Header().Set(headerWaiting, string(text))
	w.WriteHeader(http.StatusProcessing)
	w.Header().Del(headerWaiting)
}

// OnWaiting has f called while the node waits for its peers before it does what it was asked. It is set before the first request.
func (c *Client) OnWaiting(f func(Waiting)) { c.waiting = f }

// traced returns a context with which a request tells of preliminary answers.
func (c *Client) traced(ctx context.Context) context.Context {
	if c.waiting == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		var state Waiting
		if json.Unmarshal([]byte(h.Get(headerWaiting)), &state) == nil {
			c.waiting(state)
		}
		return nil
	}})
}
