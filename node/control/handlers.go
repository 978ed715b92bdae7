package control

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cairn/share"
	"cairn/share/capability"
)

// Header names of the API.
const (
	headerCapability = "Cairn-Capability"
	headerSize       = "Cairn-Size"
	headerDigest     = "Cairn-Digest"
	headerChecksum   = "Cairn-Checksum" // XXH64, hexadecimal
	headerParams     = "Cairn-Params"   // needed/happy/total
	headerBlockSize  = "Cairn-Block-Size"
	headerPrivate    = "Cairn-Private"
	headerAlone      = "Cairn-Alone"
	headerOffset     = "Cairn-Offset"
	headerLength     = "Cairn-Length"
	headerVerify     = "Cairn-Verify"
	headerNow        = "Cairn-Now"
	// trailerError carries, as JSON, what went wrong after the first byte of a download was sent.
	trailerError = "Cairn-Error"
)

// statusOf says which HTTP status goes with a code.
var statusOf = map[Code]int{
	CodeFailed: http.StatusInternalServerError, CodeMalformed: http.StatusBadRequest, CodeNotFound: http.StatusNotFound,
	CodeNotEnough: http.StatusServiceUnavailable, CodeRefused: http.StatusForbidden, CodeCancelled: http.StatusRequestTimeout,
}

func refuse(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, &Error{Code: CodeRefused, Message: "local API: " + text})
}

func fail(w http.ResponseWriter, r *http.Request, err error) {
	e := ErrorOf(caused(r.Context(), err))
	writeJSON(w, statusOf[e.Code], e)
}

// caused returns why the server ended the request, where it did, and err otherwise.
func caused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) // an error means that the client is gone
}

// answer serves a question without arguments.
func answer[T any](ask func(context.Context) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := ask(r.Context())
		if err != nil {
			fail(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, value)
	}
}

func capabilityOf(r *http.Request) (capability.Capability, error) {
	return capability.Parse(r.Header.Get(headerCapability))
}

func (s *Server) stat(w http.ResponseWriter, r *http.Request) {
	c, err := capabilityOf(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	answer(func(ctx context.Context) (Stat, error) { return s.node.Stat(ctx, c) })(w, r)
}

func (s *Server) put(w http.ResponseWriter, r *http.Request) {
	request, err := putRequest(r.Header)
	if err != nil {
		fail(w, r, err)
		return
	}
	store := s.node.Put
	if request.Target != "" || request.Mutable {
		store = s.node.PutAt
	}
	stream(w, r, func(ctx context.Context, progress func(Progress)) (PutResult, error) {
		return store(ctx, r.Body, request, progress)
	})
}

func (s *Server) check(w http.ResponseWriter, r *http.Request) {
	c, err := capabilityOf(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	stream(w, r, func(ctx context.Context, progress func(Progress)) (Report, error) {
		return s.node.Check(ctx, c, r.Header.Get(headerVerify) != "", progress)
	})
}

func (s *Server) repair(w http.ResponseWriter, r *http.Request) {
	c, err := capabilityOf(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	stream(w, r, func(ctx context.Context, progress func(Progress)) (RepairReport, error) {
		return s.node.Repair(ctx, c, r.Header.Get(headerVerify) != "", progress)
	})
}

// get sends a range of a file. The length is not announced, so that an error after the first byte can follow in the
// trailer instead of a broken connection.
func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	off, n, err := rangeOf(r.Header)
	if err != nil {
		fail(w, r, err)
		return
	}
	file, err := s.open(w, r)
	if err != nil {
		fail(w, r, err)
		return
	}
	defer file.Close()
	if off > file.Size() {
		fail(w, r, &Error{Code: CodeMalformed, Message: fmt.Sprintf("offset %d is behind the end of the file, which has %d bytes", off, file.Size())})
		return
	}
	n = min(n, file.Size()-off)
	w.Header().Set("Trailer", trailerError)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(headerSize, strconv.FormatInt(file.Size(), 10))
	w.Header().Set(headerLength, strconv.FormatInt(n, 10))
	if last, ok := file.(interface{ Ended() bool }); ok && last.Ended() {
		w.Header().Set(headerEnded, "1")
	}
	w.WriteHeader(http.StatusOK)
	if _, err := file.WriteTo(r.Context(), w, off, n); err != nil {
		s.log.Debug("download ended early", "error", err)
		text, _ := json.Marshal(ErrorOf(caused(r.Context(), err))) // strings and numbers always encode
		w.Header().Set(trailerError, string(text))
	}
}

// open opens the file that a request names by its capability or by a target. What is known of the latter goes into a header.
func (s *Server) open(w http.ResponseWriter, r *http.Request) (File, error) {
	target, err := unescaped(r.Header, headerTarget)
	if err != nil {
		return nil, err
	}
	if target == "" {
		c, err := capabilityOf(r)
		if err != nil {
			return nil, err
		}
		return s.node.Open(r.Context(), c)
	}
	file, entry, err := s.node.OpenAt(r.Context(), target)
	if err != nil {
		return nil, err
	}
	text, _ := json.Marshal(entry) // strings, numbers and times always encode
	w.Header().Set(headerEntry, escaped(string(text)))
	return file, nil
}

// An event is one line of a stream: progress, the result, or the error. Exactly one of them is set.
type event[T any] struct {
	Progress *Progress `json:"progress,omitempty"`
	Result   *T        `json:"result,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}

// stream runs an operation and sends its progress while it runs. The answer begins before the request's body has
// been read, so that a client learns of a failure while it is still sending.
func stream[T any](w http.ResponseWriter, r *http.Request, run func(context.Context, func(Progress)) (T, error)) {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if err := control.Flush(); err != nil {
		return // the client is gone
	}
	// A read of the body does not see the end of the context by itself.
	defer context.AfterFunc(r.Context(), func() { control.SetReadDeadline(time.Unix(1, 0)) })()
	lines := newLines(w, control.Flush)
	result, err := run(r.Context(), func(p Progress) { lines.progress(p) })
	last := event[T]{Result: &result}
	if err != nil {
		last = event[T]{Error: ErrorOf(caused(r.Context(), err))}
	}
	lines.write(last)
	// To end with a body that was not read is to close the connection, which may keep the client from reading why. A client that has
	// read it ends the connection itself, unless it has sent all anyway.
	_, _ = io.Copy(io.Discard, r.Body)
}

func putRequest(h http.Header) (PutRequest, error) {
	request := PutRequest{Size: -1, Private: h.Get(headerPrivate) != "", Alone: h.Get(headerAlone) != ""}
	var err error
	if text := h.Get(headerSize); text != "" {
		if request.Size, err = strconv.ParseInt(text, 10, 64); err != nil || request.Size < 0 {
			return request, badHeader(headerSize)
		}
	}
	if text := h.Get(headerBlockSize); text != "" {
		if request.BlockSize, err = strconv.Atoi(text); err != nil || request.BlockSize < 0 {
			return request, badHeader(headerBlockSize)
		}
	}
	if text := h.Get(headerParams); text != "" {
		p := &request.Params
		if _, err := fmt.Sscanf(text, "%d/%d/%d", &p.Needed, &p.Happy, &p.Total); err != nil {
			return request, badHeader(headerParams)
		}
		if err := p.Validate(); err != nil {
			return request, &Error{Code: CodeMalformed, Message: err.Error()}
		}
	}
	if text := h.Get(headerDigest); text != "" {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != len(share.Digest{}) {
			return request, badHeader(headerDigest)
		}
		digest := share.Digest(raw)
		request.Digest = &digest
	}
	if text := h.Get(headerChecksum); text != "" {
		checksum, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			return request, badHeader(headerChecksum)
		}
		request.Checksum = &checksum
	}
	return request, putTarget(h, &request)
}

// putTarget reads where a file shall be found.
func putTarget(h http.Header, request *PutRequest) (err error) {
	request.Mutable, request.Keep = h.Get(headerMutable) != "", h.Get(headerKeep) != ""
	if request.Target, err = unescaped(h, headerTarget); err != nil {
		return err
	}
	if request.Name, err = unescaped(h, headerName); err != nil {
		return err
	}
	if text := h.Get(headerRetain); text != "" {
		versions, seconds, _ := strings.Cut(text, "/")
		if request.Retention.Versions, err = strconv.Atoi(versions); err == nil {
			request.Retention.Seconds, err = strconv.ParseInt(seconds, 10, 64)
		}
		if err != nil {
			return badHeader(headerRetain)
		}
	}
	if text := h.Get(headerPatch); text != "" {
		offset, err := strconv.ParseInt(text, 10, 64)
		if err != nil || offset < 0 {
			return badHeader(headerPatch)
		}
		request.Patch = &offset
	}
	metadata, err := unescaped(h, headerMetadata)
	if err == nil && metadata != "" && json.Unmarshal([]byte(metadata), &request.Metadata) != nil {
		err = badHeader(headerMetadata)
	}
	return err
}

// rangeOf returns the offset and length asked for; without a length it is all that follows.
func rangeOf(h http.Header) (off, n int64, err error) {
	n = 1<<63 - 1
	if text := h.Get(headerOffset); text != "" {
		if off, err = strconv.ParseInt(text, 10, 64); err != nil || off < 0 {
			return 0, 0, badHeader(headerOffset)
		}
	}
	if text := h.Get(headerLength); text != "" {
		if n, err = strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
			return 0, 0, badHeader(headerLength)
		}
	}
	return off, n, nil
}

func badHeader(name string) error {
	return &Error{Code: CodeMalformed, Message: "local API: header " + name + " is malformed"}
}
