package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits of the server.
const (
	maxHeader     = 64 << 10
	headerTimeout = time.Minute
	idleTimeout   = 2 * time.Minute
	closeTimeout  = 3 * time.Second
	maxActive     = 256 // requests at a time
)

// A Server serves the local API of one node.
type Server struct {
	node     Node
	endpoint Endpoint
	log      *slog.Logger
	listener net.Listener
	http     *http.Server
	stop     context.CancelCauseFunc // ends every request that is under way
	active   sync.WaitGroup          // the requests under way
	slots    chan struct{}           // one for each of them
	done     chan error
}

// Listen starts serving a node on a loopback address; port 0 takes any free port. The caller closes the server.
func Listen(address string, node Node, log *slog.Logger) (*Server, error) {
	if err := loopback(address); err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	s := &Server{
		node: node, log: log, listener: listener,
		endpoint: Endpoint{Address: listener.Addr().String(), Token: NewToken()},
		done:     make(chan error, 1),
		slots:    make(chan struct{}, maxActive),
	}
	base, stop := context.WithCancelCause(context.Background())
	s.stop = stop
	s.http = &http.Server{
		Handler: s.guard(s.withPeers(withCopyWish(s.routes()))), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		BaseContext:    func(net.Listener) context.Context { return base },
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// Endpoint says how to reach the server.
func (s *Server) Endpoint() Endpoint { return s.endpoint }

// errStopping is what requests end with that are under way when the node stops.
var errStopping = &Error{Code: CodeFailed, Message: "the node is stopping"}

// Close ends the requests that are under way, which their clients are told, and waits until all is done.
func (s *Server) Close() error {
	s.stop(errStopping)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if serving := <-s.done; !errors.Is(serving, http.ErrServerClosed) {
		err = errors.Join(err, serving)
	}
	s.active.Wait()
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", answer(s.node.Status))
	mux.HandleFunc("GET /v1/peers", answer(s.node.Peers))
	mux.HandleFunc("GET /v1/spill", answer(s.node.Spill))
	mux.HandleFunc("POST /v1/spill/end", ordered(s.node.EndSpill))
	mux.HandleFunc("POST /v1/spill/drain", carriedOut(s.node.DrainSpill))
	mux.HandleFunc("GET /v1/served", answer(s.node.Served))
	mux.HandleFunc("GET /v1/grid", answer(s.node.Grid))
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("GET /v1/doctor", answer(s.node.Diagnose))
	s.membership(mux)
	s.tree(mux)
	s.sharing(mux)
	mux.HandleFunc("POST /v1/files", s.put)
	mux.HandleFunc("GET /v1/content", s.get)
	mux.HandleFunc("GET /v1/stat", s.stat)
	mux.HandleFunc("POST /v1/check", s.check)
	mux.HandleFunc("POST /v1/repair", s.repair)
	mux.HandleFunc("POST /v1/shutdown", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		s.node.Shutdown()
	})
	return mux
}

// guard refuses requests that do not carry the token, and those that a web page can make a browser send: such name
// another host (DNS rebinding) or carry an Origin.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.ourHost(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "the request names another host")
		case r.Header.Get("Origin") != "":
			refuse(w, http.StatusForbidden, "requests from web pages are not accepted")
		case !s.authorized(r.Header.Get("Authorization")):
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "the token is missing or wrong")
		default:
			s.serve(w, r, next)
		}
	})
}

// serve counts the request, of which so many at a time are served.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	select {
	case s.slots <- struct{}{}:
	default:
		writeJSON(w, http.StatusServiceUnavailable, &Error{Code: CodeFailed, Message: fmt.Sprintf("local API: %d requests are being served; try again later", maxActive)})
		return
	}
	s.active.Add(1)
	defer func() {
		<-s.slots
		s.active.Done()
	}()
	next.ServeHTTP(w, r)
}

func (s *Server) ourHost(host string) bool {
	_, port, err := net.SplitHostPort(s.endpoint.Address)
	return host == s.endpoint.Address || err == nil && host == "localhost:"+port
}

func (s *Server) authorized(header string) bool {
	token, ok := strings.CutPrefix(header, "Bearer ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.endpoint.Token))
	return ok && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// loopback checks that an address cannot be reached from other machines.
func loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q: want host:port", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not on loopback", address)
	}
	return nil
}
