package control

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Header names that carry what belongs to names. Values that people choose are escaped like paths of URLs.
const (
	headerTarget   = "Cairn-Target"
	headerName     = "Cairn-Name"
	headerMutable  = "Cairn-Mutable"
	headerPatch    = "Cairn-Patch"
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

// list sends one line for each entry. The last line is an error or says nothing, so that a client can tell the end of the
// list from the end of the node.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	request, ok := read[ListRequest](w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return // the client is gone
	}
	encoder, sent := json.NewEncoder(w), 0
	err := s.node.List(r.Context(), request, func(e Entry) error {
		if err := encoder.Encode(event[Entry]{Result: &e}); err != nil {
			return err
		}
		if sent++; sent%flushEvery == 0 {
			return flush()
		}
		return nil
	})
	last := event[Entry]{}
	if err != nil {
		last.Error = ErrorOf(caused(r.Context(), err))
	}
	encoder.Encode(last) // an error means that the client is gone
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
