package control

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// progressEvery is how often progress is sent at most.
const progressEvery = 100 * time.Millisecond

// lines writes JSON lines to a client, from any number of goroutines.
type lines struct {
	mu    sync.Mutex // guards what follows
	enc   *json.Encoder
	flush func() error
	last  time.Time
	ended bool
}

func newLines(w io.Writer, flush func() error) *lines {
	return &lines{enc: json.NewEncoder(w), flush: flush}
}

// progress sends a line of progress unless one was sent a moment ago.
func (l *lines) progress(p Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); !l.ended && now.Sub(l.last) >= progressEvery {
		l.last = now
		l.send(event[struct{}]{Progress: &p})
	}
}

// write sends the last line; progress that comes later is dropped.
func (l *lines) write(value any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.send(value)
}

func (l *lines) send(value any) {
	if l.enc.Encode(value) != nil || l.flush() != nil {
		l.ended = true // the client is gone; the request's context says so to the operation
	}
}

// sendAll sends one line for each value that the function hands out, some at a time. The last line is an error or says nothing, so
// that a client can tell the end of the list from the end of the node.
func sendAll[T any](w http.ResponseWriter, r *http.Request, atOnce int, all func(each func(T) error) error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return // the client is gone
	}
	encoder, sent := json.NewEncoder(w), 0
	err := all(func(value T) error {
		if err := encoder.Encode(event[T]{Result: &value}); err != nil {
			return err
		}
		if sent++; sent%atOnce == 0 {
			return flush()
		}
		return nil
	})
	last := event[T]{}
	if err != nil {
		last.Error = ErrorOf(caused(r.Context(), err))
	}
	encoder.Encode(last) // an error means that the client is gone
}

// receiveAll calls each for the values that sendAll sent, until it returns an error, which receiveAll then returns.
func receiveAll[T any](ctx context.Context, c *Client, from io.Reader, each func(T) error) error {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(make([]byte, 0, 4<<10), maxLine)
	for scanner.Scan() {
		var line event[T]
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return fmt.Errorf("local API: %w", err)
		}
		switch {
		case line.Error != nil:
			return line.Error
		case line.Result == nil:
			return nil // all has been said
		}
		if err := each(*line.Result); err != nil {
			return err
		}
	}
	return c.explain(ctx, cmp.Or(scanner.Err(), io.ErrUnexpectedEOF))
}
