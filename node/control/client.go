package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"cairn/internal/awake"
	"cairn/node/doctor"
	"cairn/share/capability"
)

// bufferSize is the size of the buffers on the way of a file's bytes.
const bufferSize = 256 << 10

// answerTimeout is how long a node may take until it begins to answer.
const answerTimeout = time.Minute

// dialTimeout is how long a node may take to be connected to.
const dialTimeout = 5 * time.Second

// maxLine is the longest line of a stream and the largest answer that is read.
const maxLine = 8 << 20

// A Client talks to the node that runs on a directory. It is safe for concurrent use.
type Client struct {
	endpoint Endpoint
	http     *http.Client
	copies   CopyWish
	waiting  func(Waiting)
}

// Dial returns a client for the node that runs on the directory. It returns ErrNotRunning when nothing says that one
// runs; later calls return it when the node has ended meanwhile.
func Dial(dir string) (*Client, error) {
	endpoint, err := ReadEndpoint(dir)
	if err != nil {
		return nil, err
	}
	return NewClient(endpoint), nil
}

// NewClient returns a client for a known endpoint.
func NewClient(endpoint Endpoint) *Client {
	transport := &http.Transport{
		DialContext:       dial,
		ReadBufferSize:    bufferSize,
		WriteBufferSize:   bufferSize,
		ForceAttemptHTTP2: false,
		IdleConnTimeout:   time.Minute,
		// Every answer begins soon: what takes long sends its progress.
		ResponseHeaderTimeout: answerTimeout,
	}
	return &Client{endpoint: endpoint, http: &http.Client{Transport: transport}}
}

// dial connects to a node on this machine.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := awake.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Close releases idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Endpoint says which node the client talks to.
func (c *Client) Endpoint() Endpoint { return c.endpoint }

// Status asks for the node's state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, pathStatus, nil)
}

// Peers asks for the node's peers.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	return ask[[]Peer](ctx, c, "/v1/peers", nil)
}

// Served asks what the node's server did for the other members.
func (c *Client) Served(ctx context.Context) (Served, error) {
	return ask[Served](ctx, c, "/v1/served", nil)
}

// Grid asks what grid the node belongs to.
func (c *Client) Grid(ctx context.Context) (Grid, error) { return ask[Grid](ctx, c, "/v1/grid", nil) }

// Diagnose asks for what only the running node can tell of its health.
func (c *Client) Diagnose(ctx context.Context) ([]doctor.Check, error) {
	return ask[[]doctor.Check](ctx, c, "/v1/doctor", nil)
}

// Stat asks what a capability opens.
func (c *Client) Stat(ctx context.Context, open capability.Capability) (Stat, error) {
	return ask[Stat](ctx, c, "/v1/stat", header(headerCapability, open.Text()))
}

// Shutdown asks the node to stop and does not wait until it has.
func (c *Client) Shutdown(ctx context.Context) error {
	response, err := c.do(ctx, http.MethodPost, "/v1/shutdown", nil, nil, 0)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Put stores what r holds. A regular file that is an *os.File with a known size is sent without copying, and no more of it than that.
func (c *Client) Put(ctx context.Context, r io.Reader, request PutRequest, progress func(Progress)) (PutResult, error) {
	h := http.Header{}
	if request.Size >= 0 {
		h.Set(headerSize, strconv.FormatInt(request.Size, 10))
	}
	if request.Private {
		h.Set(headerPrivate, "1")
	}
	if request.Alone {
		h.Set(headerAlone, "1")
	}
	if request.BlockSize != 0 {
		h.Set(headerBlockSize, strconv.Itoa(request.BlockSize))
	}
	if p := request.Params; !p.IsZero() {
		h.Set(headerParams, fmt.Sprintf("%d/%d/%d", p.Needed, p.Happy, p.Total))
	}
	if request.Digest != nil {
		h.Set(headerDigest, request.Digest.String())
	}
	if request.Checksum != nil {
		h.Set(headerChecksum, strconv.FormatUint(*request.Checksum, 16))
	}
	if err := request.place(h); err != nil {
		return PutResult{}, err
	}
	if file, ok := r.(*os.File); ok && request.Size > 0 {
		part, err := partOf(file, request.Size)
		if err != nil {
			return PutResult{}, fmt.Errorf("local API: %w", err)
		}
		r = part
	}
	return follow[PutResult](ctx, c, "/v1/files", h, r, request.Size, progress)
}

// place puts into a header where the file shall be found.
func (r PutRequest) place(h http.Header) error {
	for name, set := range map[string]bool{headerMutable: r.Mutable, headerKeep: r.Keep} {
		if set {
			h.Set(name, "1")
		}
	}
	for name, text := range map[string]string{headerTarget: r.Target, headerName: r.Name} {
		if text != "" {
			h.Set(name, escaped(text))
		}
	}
	if r.Retention != (Retention{}) {
		h.Set(headerRetain, fmt.Sprintf("%d/%d", r.Retention.Versions, r.Retention.Seconds))
	}
	if r.Patch != nil {
		h.Set(headerPatch, strconv.FormatInt(*r.Patch, 10))
	}
	metadata, err := json.Marshal(r.Metadata)
	if err != nil {
		return fmt.Errorf("local API: %w", err)
	}
	if string(metadata) != "{}" {
		h.Set(headerMetadata, escaped(string(metadata)))
	}
	return nil
}

// Check asks how healthy a file is.
func (c *Client) Check(ctx context.Context, open capability.Capability, verify bool, progress func(Progress)) (Report, error) {
	return follow[Report](ctx, c, "/v1/check", examine(open, verify), nil, 0, progress)
}

// Repair makes the missing shares of a file anew.
func (c *Client) Repair(ctx context.Context, open capability.Capability, verify bool, progress func(Progress)) (RepairReport, error) {
	return follow[RepairReport](ctx, c, "/v1/repair", examine(open, verify), nil, 0, progress)
}

func examine(open capability.Capability, verify bool) http.Header {
	h := header(headerCapability, open.Text())
	if verify {
		h.Set(headerVerify, "1")
	}
	return h
}

func header(name, value string) http.Header { return http.Header{name: {value}} }

// do sends one request and returns the answer when it is a success. The size is that of the body, -1 when unknown.
func (c *Client) do(ctx context.Context, method, path string, h http.Header, body io.Reader, size int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(c.traced(ctx), method, "http://"+c.endpoint.Address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	if h != nil {
		request.Header = h
	}
	if body != nil && size != 0 {
		request.Body, request.ContentLength = io.NopCloser(body), size
		if p, ok := body.(*part); ok { // what is wrapped once more is copied
			request.Body = p
		}
	}
	if c.copies != CopyAsSet {
		request.Header.Set(copyHeader, string(c.copies))
	}
	request.Header.Set("Authorization", "Bearer "+c.endpoint.Token)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	var e Error
	data, _ := io.ReadAll(io.LimitReader(response.Body, maxLine))
	malformed := json.Unmarshal(data, &e) != nil || e.Code == ""
	if unknown := c.unknownCall(ctx, path, response.StatusCode, e); unknown != nil {
		return nil, unknown
	}
	if malformed {
		return nil, fmt.Errorf("local API: the answer is %s: %.200q", response.Status, data)
	}
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusMisdirectedRequest {
		return nil, ErrNotRunning // another program, or a later run of the node, has the port now
	}
	return nil, &e
}

// explain says what a failed exchange means.
func (c *Client) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrNotRunning
	case isTimeout(err):
		return fmt.Errorf("the node (process %d) runs but does not answer", c.endpoint.PID)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrStopped
	}
	return fmt.Errorf("local API: %w", err)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func ask[T any](ctx context.Context, c *Client, path string, h http.Header) (T, error) {
	var value T
	response, err := c.do(ctx, http.MethodGet, path, h, nil, 0)
	if err != nil {
		return value, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxLine)).Decode(&value); err != nil {
		return value, c.explain(ctx, err)
	}
	return value, nil
}

// follow sends a request whose answer is a stream of events, and returns the last one's.
func follow[T any](ctx context.Context, c *Client, path string, h http.Header, body io.Reader, size int64, progress func(Progress)) (T, error) {
	var none T
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the sending of the body when the answer comes first
	response, err := c.do(ctx, http.MethodPost, path, h, body, size)
	if err != nil {
		return none, err
	}
	defer response.Body.Close()
	scanner := bufio.NewScanner(response.Body)
	scanner.Buffer(make([]byte, 0, 4<<10), maxLine)
	for scanner.Scan() {
		var e event[T]
		if err := json.NewDecoder(bytes.NewReader(scanner.Bytes())).Decode(&e); err != nil {
			return none, fmt.Errorf("local API: %w", err)
		}
		switch {
		case e.Error != nil:
			return none, e.Error
		case e.Result != nil:
			return *e.Result, nil
		case e.Progress != nil && progress != nil:
			progress(*e.Progress)
		}
	}
	if err := scanner.Err(); err != nil {
		return none, c.explain(ctx, err)
	}
	return none, c.explain(ctx, io.ErrUnexpectedEOF)
}
