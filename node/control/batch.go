package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"cairn/share"
	"cairn/share/capability"
)

// Bounds of a batch of small files.
const (
	// MaxBatchFiles is how many files one batch has, and MaxBatchFile how long each is, in bytes.
	MaxBatchFiles = 1024
	MaxBatchFile  = 64 << 10
	// maxBatch bounds the bytes of a batch.
	maxBatch = 16 << 20
	// maxItems bounds a request that lists what is in a directory.
	maxItems = 256 << 20
)

// An Item is an entry of a directory as it is to be made.
type Item struct {
	Name       string `json:"name"`
	Capability string `json:"capability"`
	Size       int64  `json:"size"`
	Metadata
}

// A FillRequest puts items into a directory.
type FillRequest struct {
	// Target is the directory. It is made if it is not there, with those above. Empty makes one that never changes.
	Target string `json:"target,omitempty"`
	Items  []Item `json:"items"`
	// Detached makes, where Target is empty, one that can change: who asks gives it a name, when the directory above is filled.
	Detached bool `json:"detached,omitempty"`
	// Keep leaves what has a name already.
	Keep bool `json:"keep,omitempty"`
}

// A Filled says what Fill did.
type Filled struct {
	Entry Entry `json:"entry"` // the directory, with its capability
	// Skipped are items whose names are taken by what they do not replace: directories by files, and files by directories.
	Skipped []Skipped `json:"skipped,omitempty"`
}

// A Fetched is one small file, or why it cannot be read.
type Fetched struct {
	Data []byte
	Err  error
}

// An Outgrown says which of several things are to be stored anew.
type Outgrown struct {
	// Wanted is on how many servers what is stored now counts at least.
	Wanted int `json:"wanted"`
	// Which are the positions of those which are on fewer, or of which not enough was found to read them.
	Which []int `json:"which,omitempty"`
}

// Batches is the part of a Node that deals with many things at once.
type Batches interface {
	// PutBatch stores small files and returns their read capabilities.
	PutBatch(ctx context.Context, files [][]byte) ([]capability.Capability, error)
	// GetBatch reads small files.
	GetBatch(ctx context.Context, caps []capability.Capability) ([]Fetched, error)
	// Outgrown says of which of these immutable things too little is there beside what is stored now. Literals, and what can change,
	// are passed over.
	Outgrown(ctx context.Context, caps []capability.Capability) (Outgrown, error)
	// Fill puts items into a directory in one step, in place of what has their names, and leaves what else is in it. It returns
	// the directory with its capability.
	Fill(ctx context.Context, request FillRequest) (Filled, error)
}

func (s *Server) batches(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/batch/put", s.putBatch)
	mux.HandleFunc("POST /v1/batch/get", s.getBatch)
	mux.HandleFunc("POST /v1/batch/outgrown", s.outgrown)
	mux.HandleFunc("POST /v1/tree/fill", s.fill)
}

// A batch on the wire is a list of frames: one byte that is 0 for contents and 1 for an error in JSON, the length in four
// bytes, big-endian, and the bytes.
const (
	frameData  = 0
	frameError = 1
	frameHead  = 5
)

func appendFrame(b []byte, kind byte, data []byte) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func readFrames(r io.Reader) ([]Fetched, error) {
	var all []Fetched
	var head [frameHead]byte
	for total := 0; ; {
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		n := int(binary.BigEndian.Uint32(head[1:]))
		if total += n; total > maxBatch || len(all) == MaxBatchFiles || head[0] > frameError {
			return nil, fmt.Errorf("a batch: %w: at most %d files and %d bytes", share.ErrTooLarge, MaxBatchFiles, maxBatch)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		f := Fetched{Data: data}
		if head[0] == frameError {
			var e Error
			if err := json.Unmarshal(data, &e); err != nil {
				return nil, err
			}
			f = Fetched{Err: &e}
		}
		all = append(all, f)
	}
}

func (s *Server) putBatch(w http.ResponseWriter, r *http.Request) {
	frames, err := readFrames(http.MaxBytesReader(w, r.Body, maxBatch+MaxBatchFiles*frameHead))
	if err != nil {
		fail(w, r, &Error{Code: CodeMalformed, Message: "local API: " + err.Error()})
		return
	}
	files := make([][]byte, len(frames))
	for i, f := range frames {
		files[i] = f.Data
	}
	answer(func(ctx context.Context) ([]string, error) {
		caps, err := s.node.PutBatch(ctx, files)
		texts := make([]string, len(caps))
		for i, c := range caps {
			texts[i] = c.Text()
		}
		return texts, err
	})(w, r)
}

// PutBatch stores small files, at most MaxBatchFiles of at most MaxBatchFile bytes, and returns their read capabilities.
func (c *Client) PutBatch(ctx context.Context, files [][]byte) ([]capability.Capability, error) {
	var body []byte
	for _, data := range files {
		body = appendFrame(body, frameData, data)
	}
	response, err := c.do(ctx, http.MethodPost, "/v1/batch/put", nil, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var texts []string
	if err := json.NewDecoder(io.LimitReader(response.Body, maxLine)).Decode(&texts); err != nil {
		return nil, c.explain(ctx, err)
	}
	caps, err := parseAll(texts)
	if err == nil && len(caps) != len(files) {
		err = fmt.Errorf("local API: %d capabilities for %d files", len(caps), len(files))
	}
	return caps, err
}

func parseAll(texts []string) ([]capability.Capability, error) {
	caps := make([]capability.Capability, len(texts))
	for i, text := range texts {
		var err error
		if caps[i], err = capability.Parse(text); err != nil {
			return nil, err
		}
	}
	return caps, nil
}

func (s *Server) outgrown(w http.ResponseWriter, r *http.Request) {
	texts, ok := readUpTo[[]string](w, r, maxItems)
	if !ok {
		return
	}
	caps, err := parseAll(texts)
	var answer Outgrown
	if err == nil && len(caps) > MaxBatchFiles {
		err = &Error{Code: CodeMalformed, Message: fmt.Sprintf("local API: a batch has at most %d files", MaxBatchFiles)}
	}
	if err == nil {
		answer, err = s.node.Outgrown(r.Context(), caps)
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// Outgrown asks which things are to be stored anew. Without any it only asks what is wanted.
func (c *Client) Outgrown(ctx context.Context, caps []capability.Capability) (Outgrown, error) {
	texts := make([]string, len(caps))
	for i, c := range caps {
		texts[i] = c.Text()
	}
	return order[Outgrown](ctx, c, "/v1/batch/outgrown", texts)
}

func (s *Server) getBatch(w http.ResponseWriter, r *http.Request) {
	texts, ok := readUpTo[[]string](w, r, maxItems)
	if !ok {
		return
	}
	caps, err := parseAll(texts)
	var fetched []Fetched
	if err == nil && len(caps) > MaxBatchFiles {
		err = &Error{Code: CodeMalformed, Message: fmt.Sprintf("local API: a batch has at most %d files", MaxBatchFiles)}
	}
	if err == nil {
		fetched, err = s.node.GetBatch(r.Context(), caps)
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	for _, f := range fetched {
		kind, data := byte(frameData), f.Data
		if f.Err != nil {
			kind, data = frameError, marshalError(f.Err)
		}
		if _, err := w.Write(appendFrame(nil, kind, data)); err != nil {
			return // the client is gone
		}
	}
}

func marshalError(err error) []byte {
	data, failed := json.Marshal(ErrorOf(err))
	if failed != nil {
		panic("control: " + failed.Error()) // an Error consists of texts
	}
	return data
}

// GetBatch reads small files, at most MaxBatchFiles of at most MaxBatchFile bytes: each answer is a file or why it cannot be
// read.
func (c *Client) GetBatch(ctx context.Context, caps []capability.Capability) ([]Fetched, error) {
	texts := make([]string, len(caps))
	for i, one := range caps {
		texts[i] = one.Text()
	}
	body, err := json.Marshal(texts)
	if err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	response, err := c.do(ctx, http.MethodPost, "/v1/batch/get", nil, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	fetched, err := readFrames(response.Body)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if len(fetched) != len(caps) {
		return nil, c.explain(ctx, io.ErrUnexpectedEOF)
	}
	return fetched, nil
}

func (s *Server) fill(w http.ResponseWriter, r *http.Request) {
	request, ok := readUpTo[FillRequest](w, r, maxItems)
	if !ok {
		return
	}
	answer(func(ctx context.Context) (Filled, error) { return s.node.Fill(ctx, request) })(w, r)
}

// readUpTo decodes a request in JSON of at most so many bytes, and answers for itself where that fails.
func readUpTo[Request any](w http.ResponseWriter, r *http.Request, limit int64) (request Request, ok bool) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		fail(w, r, &Error{Code: CodeMalformed, Message: "local API: the request: " + err.Error()})
		return request, false
	}
	return request, true
}

// Fill puts items into a directory.
func (c *Client) Fill(ctx context.Context, request FillRequest) (Filled, error) {
	return order[Filled](ctx, c, "/v1/tree/fill", request)
}
