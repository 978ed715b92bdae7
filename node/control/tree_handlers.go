package control

import (
	"context"
	"net/http"
	"net/url"
)

// Header names that carry what belongs to names. Values that people choose are escaped like paths of URLs.
const (
	headerTarget   = "Cairn-Target"
	headerName     = "Cairn-Name"
	headerMutable  = "Cairn-Mutable"
	headerEnded    = "Cairn-Ended"
	headerPatch    = "Cairn-Patch"
	headerRetain   = "Cairn-Retain" // versions/seconds
	headerKeep     = "Cairn-Keep"
	headerMetadata = "Cairn-Metadata" // JSON
	headerEntry    = "Cairn-Entry"    // JSON
)

// tree registers what deals with names.
func (s *Server) tree(mux *http.ServeMux) {
	s.batches(mux)
	mux.HandleFunc("POST /v1/tree/lookup", ordered(s.node.Lookup))
	mux.HandleFunc("POST /v1/tree/list", s.list)
	mux.HandleFunc("POST /v1/tree/mkdir", carriedOut(s.node.Mkdir))
	mux.HandleFunc("POST /v1/tree/link", ordered(s.node.Link))
	mux.HandleFunc("POST /v1/tree/copy", carriedOut(s.node.Copy))
	mux.HandleFunc("POST /v1/tree/move", ordered(s.node.Move))
	mux.HandleFunc("POST /v1/tree/remove", ordered(s.node.Remove))
	mux.HandleFunc("POST /v1/tree/history", ordered(s.node.History))
	mux.HandleFunc("POST /v1/tree/retain", ordered(s.node.Retain))
	mux.HandleFunc("POST /v1/tree/restore", ordered(s.node.Restore))
	mux.HandleFunc("POST /v1/tree/check", carriedOut(s.node.CheckTree))
	mux.HandleFunc("GET /v1/aliases", answer(s.node.Aliases))
	mux.HandleFunc("POST /v1/aliases", ordered(s.node.SetAlias))
	mux.HandleFunc("POST /v1/aliases/remove", ordered(s.node.RemoveAlias))
	mux.HandleFunc("POST /v1/maintain", carriedOut(func(ctx context.Context, _ struct{}, progress func(Progress)) (MaintainReport, error) {
		return s.node.Maintain(ctx, progress)
	}))
}

// read decodes a request in JSON, and answers for itself where that fails.
func read[Request any](w http.ResponseWriter, r *http.Request) (request Request, ok bool) {
	return readUpTo[Request](w, r, maxOrder)
}

// carriedOut serves a request in JSON that may take long: the answer is a stream of progress with the result at its end.
func carriedOut[Request, Answer any](do func(context.Context, Request, func(Progress)) (Answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		request, ok := read[Request](w, r)
		if !ok {
			return
		}
		stream(w, r, func(ctx context.Context, progress func(Progress)) (Answer, error) { return do(ctx, request, progress) })
	}
}

// flushEvery is how many entries of a listing are sent at a time.
const flushEvery = 256

// list sends one line for each entry.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	request, ok := read[ListRequest](w, r)
	if !ok {
		return
	}
	sendAll(w, r, flushEvery, func(each func(Entry) error) error { return s.node.List(r.Context(), request, each) })
}

// escaped returns a text that a person chose as the value of a header.
func escaped(text string) string { return url.PathEscape(text) }

func unescaped(h http.Header, name string) (string, error) {
	text, err := url.PathUnescape(h.Get(name))
	if err != nil {
		return "", badHeader(name)
	}
	return text, nil
}
