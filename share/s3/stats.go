package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Count says how often something was asked of the server, and how many bytes went with it.
type Count struct {
	Requests int64 `json:"requests"`
	Failed   int64 `json:"failed"`   // answered with an error, or not at all
	Sent     int64 `json:"sent"`     // bytes of bodies
	Received int64 `json:"received"` // bytes of bodies
}

// Stats are the requests since the Store was opened, each repetition counted as the server counts it.
type Stats struct {
	Since time.Time `json:"since"`
	Put   Count     `json:"put"`  // whole objects, parts, and what begins and ends an upload in parts
	Get   Count     `json:"get"`  // objects and ranges of them
	Head  Count     `json:"head"` // what is known of an object
	List  Count     `json:"list"`
	// Delete counts objects and unfinished uploads that were removed.
	Delete Count `json:"delete"`
	// Repeated are the requests that were sent again after a failure.
	Repeated int64 `json:"repeated"`
	// Objects and Stored are what the bucket holds under the prefix, as far as the index knows.
	Objects int64 `json:"objects"`
	Stored  int64 `json:"stored"`
}

// A meter counts requests on their way. It is the transport of the client.
type meter struct {
	next  http.RoundTripper
	since time.Time

	mu       sync.Mutex
	counts   [kinds]Count
	taken    [kinds]Count // of counts, what months have
	repeated atomic.Int64
	clock    atomic.Int64           // the server's time of the last answer in Unix seconds
	answered atomic.Int64           // when that came, in nanoseconds since the meter began
	met      [2]atomic.Pointer[Met] // of requests that read, and of those that write
}

const (
	kindPut = iota
	kindGet
	kindHead
	kindList
	kindDelete
	kinds
)

func (m *meter) stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{
		Since: m.since, Put: m.counts[kindPut], Get: m.counts[kindGet], Head: m.counts[kindHead], List: m.counts[kindList],
		Delete: m.counts[kindDelete], Repeated: m.repeated.Load(),
	}
}

// take returns what was counted since the last time.
func (m *meter) take() [kinds]Count {
	m.mu.Lock()
	defer m.mu.Unlock()
	news := m.counts
	for i := range news {
		news[i] = news[i].less(m.taken[i])
	}
	m.taken = m.counts
	return news
}

// giveBack has the next take return these as well.
func (m *meter) giveBack(news [kinds]Count) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range news {
		m.taken[i] = m.taken[i].less(news[i])
	}
}

func (c Count) less(other Count) Count {
	return Count{c.Requests - other.Requests, c.Failed - other.Failed, c.Sent - other.Sent, c.Received - other.Received}
}

// A Met is an error that a request met, and when.
type Met struct {
	Err error
	At  time.Time
}

// Met returns what the last request met that reads, and the last one that writes: nil for one that was answered, or where there was none yet. A request that is to be sent
// again counts, so that it tells more than the error of who did not wait for that.
func (s *Store) Met() (reading, writing *Met) {
	m := s.bucket.meter
	return m.met[0].Load(), m.met[1].Load()
}

// meet notes how a request ended. What its caller's context ended tells nothing.
func (h *hint) meet(m *meter, err error) {
	met := &m.met[0]
	if h.writes {
		met = &m.met[1]
	}
	if e, ok := errors.AsType[*Error](err); ok {
		met.Store(&Met{Err: e, At: time.Now()})
	} else if err == nil || errors.Is(err, errNoKey) || errors.Is(err, errTaken) {
		met.Store(nil)
	}
}

// quiet returns how long the server has not answered.
func (m *meter) quiet() time.Duration {
	return time.Since(m.since) - time.Duration(m.answered.Load())
}

func (m *meter) count(kind int, change func(*Count)) {
	m.mu.Lock()
	change(&m.counts[kind])
	m.mu.Unlock()
}

func kindOf(r *http.Request) int {
	query := r.URL.Query()
	switch r.Method {
	case http.MethodHead:
		return kindHead
	case http.MethodDelete:
		return kindDelete
	case http.MethodGet:
		if query.Has("list-type") || query.Has("uploads") || query.Has("uploadId") || query.Has("location") {
			return kindList
		}
		return kindGet
	case http.MethodPost:
		if query.Has("delete") {
			return kindDelete
		}
	}
	return kindPut
}

// hintKey is the key of the context under which a request finds its hint.
type hintKey struct{}

// A hint is what the transport learnt of an answer that the client's error does not tell.
type hint struct {
	moved  func() // called when bytes have moved
	failed error  // why there was no answer
	status int
	after  time.Duration // what Retry-After asked for
	kind   string        // the content type of the answer
	writes bool
}

// RoundTrip sends a request and counts it.
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	kind := kindOf(r)
	m.count(kind, func(c *Count) { c.Requests++; c.Sent += max(0, r.ContentLength) })
	h, _ := r.Context().Value(hintKey{}).(*hint)
	if h == nil {
		h = &hint{moved: func() {}}
	}
	h.writes = kind == kindPut || kind == kindDelete
	if r.Body != nil && r.Body != http.NoBody {
		watched := *r
		watched.Body = &countedBody{ReadCloser: r.Body, add: func(int) { h.moved() }}
		r = &watched
	}
	answer, err := m.next.RoundTrip(r)
	if err != nil || answer.StatusCode >= http.StatusBadRequest {
		m.count(kind, func(c *Count) { c.Failed++ })
	}
	if err != nil {
		h.failed = err
		return answer, err
	}
	h.moved()
	m.answered.Store(int64(time.Since(m.since)))
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		m.clock.Store(date.Unix())
	}
	h.status, h.kind = answer.StatusCode, answer.Header.Get("Content-Type")
	h.after = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	answer.Body = &countedBody{ReadCloser: answer.Body, add: func(n int) {
		h.moved()
		m.count(kind, func(c *Count) { c.Received += int64(n) })
	}}
	return answer, nil
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

type countedBody struct {
	io.ReadCloser
	add func(int)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.add(n)
	return n, err
}

func withHint(ctx context.Context, moved func()) (context.Context, *hint) {
	h := &hint{moved: moved}
	return context.WithValue(ctx, hintKey{}, h), h
}
