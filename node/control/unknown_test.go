package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestUnknownCall: a node that does not know a call, or a field of its request, is told by its version; another program at the port, and a
// node that cannot be asked, are not taken for one.
func TestUnknownCall(t *testing.T) {
	notFound, malformed := http.NotFound, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(Error{Code: CodeMalformed, Message: unknownField + ` "self"`})
	}
	status := func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(Status{Version: "0.0.9"}) }
	for what, try := range map[string]struct {
		call, status http.HandlerFunc
		unknown      bool
	}{
		"an unknown path":  {notFound, status, true},
		"an unknown field": {malformed, status, true},
		"another program":  {notFound, notFound, false},
		"an error of its own": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(Error{Code: CodeNotFound, Message: "gone"})
		}, status, false},
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("/", try.call)
		mux.HandleFunc("GET "+pathStatus, try.status)
		server := httptest.NewServer(mux)
		client := NewClient(Endpoint{Address: server.Listener.Addr().String()})
		_, err := client.Lookup(t.Context(), LookupRequest{Target: "home:"})
		unknown, is := errors.AsType[*UnknownCallError](err)
		if err == nil || is != try.unknown || is && (unknown.Version != "0.0.9" || !strings.Contains(err.Error(), "version 0.0.9")) {
			t.Errorf("%s: %v", what, err)
		}
		client.Close()
		server.Close()
	}
}

// TestUnknownFieldIsTold: the server says what a client takes for a field that the node does not know.
func TestUnknownFieldIsTold(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"of_later":1}`))
	ordered[LookupRequest, Entry](nil)(w, r)
	var e Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Code != CodeMalformed || !strings.HasPrefix(e.Message, unknownField) {
		t.Errorf("%+v, %v", e, err)
	}
}
