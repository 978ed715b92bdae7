package p2p

import (
	"slices"
	"sync"
	"time"
)

// A Change says what happened to a peer.
type Change string

// The changes a host reports.
const (
	Up           Change = "up"           // a member answered for the first time on a new connection
	Down         Change = "down"         // the last connection to a member ended
	Unresponsive Change = "unresponsive" // a connected member stopped answering
	Responsive   Change = "responsive"   // and answers again
	Moved        Change = "moved"        // a connected peer is reached on another path now, which Peer.Path says
	Refused      Change = "refused"      // a peer is not, or no longer, a member of this grid; Reason says why
)

// An Event is one change of one peer.
type Event struct {
	Time   time.Time `json:"time"`
	Change Change    `json:"change"`
	Peer   Peer      `json:"peer"`
	Reason string    `json:"reason,omitempty"`
}

const eventBacklog = 256

// events hands every event to every subscriber.
type events struct {
	mu          sync.Mutex
	closed      bool
	subscribers []chan Event
}

// Subscribe returns a channel of the events from now on, and a function that ends the subscription. The channel is closed
// by that function or with the host. A subscriber that falls more than 256 events behind loses the newer ones.
func (h *Host) Subscribe() (<-chan Event, func()) {
	return h.events.subscribe()
}

func (e *events) subscribe() (<-chan Event, func()) {
	c := make(chan Event, eventBacklog)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		close(c)
		return c, func() {}
	}
	e.subscribers = append(e.subscribers, c)
	return c, func() { e.unsubscribe(c) }
}

func (e *events) unsubscribe(c chan Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.Index(e.subscribers, c); i >= 0 {
		e.subscribers = slices.Delete(e.subscribers, i, i+1)
		close(c)
	}
}

func (e *events) publish(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.subscribers {
		select {
		case c <- event:
		default:
		}
	}
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, c := range e.subscribers {
		close(c)
	}
	e.subscribers = nil
}
