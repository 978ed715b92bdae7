package control

import (
	"encoding/json"
	"io"
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
