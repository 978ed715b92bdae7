package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"cairn/grid"
	"cairn/grid/health"
	"cairn/node/control"
	"cairn/p2p"
	"cairn/share/capability"
)

// Limits of the events that are kept.
const (
	keptEvents    = 1000
	maxEventText  = 500 // bytes of each text in an event
	eventsAtATime = 100
)

// A history keeps the latest events of a node, a bounded number of them. It is safe for concurrent use.
type history struct {
	mu     sync.Mutex // guards what follows
	last   uint64     // how many events there were
	kept   []control.Event
	stored int           // how many of them say that a file was stored
	more   chan struct{} // closed when an event comes
	closed bool
}

func newHistory() *history { return &history{more: make(chan struct{})} }

// add completes the event with its number and time, and keeps it.
func (h *history) add(e control.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.last++
	e.Seq, e.Time = h.last, time.Now()
	e.Text, e.Reason = oneLine(e.Text), oneLine(e.Reason)
	if len(h.kept) == keptEvents {
		oldest := h.expendable()
		h.stored -= stored(h.kept[oldest])
		h.kept = slices.Delete(h.kept, oldest, oldest+1)
	}
	h.kept = append(h.kept, e)
	h.stored += stored(e)
	close(h.more)
	h.more = make(chan struct{})
}

// expendable returns which event goes first: the oldest one, but a client that stores many small files does not push out
// what happened to peers and shares.
func (h *history) expendable() int {
	if h.stored <= keptEvents/2 {
		return 0
	}
	return slices.IndexFunc(h.kept, func(e control.Event) bool { return e.Kind == control.KindStored })
}

// stored counts one for the event of a file that was stored.
func stored(e control.Event) int {
	if e.Kind == control.KindStored {
		return 1
	}
	return 0
}

// after returns some of the events that came after one, and a channel that is closed when the next one comes.
func (h *history) after(seq uint64) (some []control.Event, more <-chan struct{}, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from, found := slices.BinarySearchFunc(h.kept, seq, func(e control.Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	if found {
		from++
	}
	some = append(some, h.kept[from:min(from+eventsAtATime, len(h.kept))]...)
	return some, h.more, !h.closed
}

// each calls f for the events that are wanted.
func (h *history) each(ctx context.Context, request control.EventsRequest, f func(control.Event) error) error {
	seq := request.After
	for {
		some, more, open := h.after(seq)
		for _, e := range some {
			if err := f(e); err != nil {
				return err
			}
			seq = e.Seq
		}
		if len(some) > 0 {
			continue
		}
		if !request.Follow || !open {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the waiting of those who follow.
func (h *history) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.more)
	}
	return nil
}

// oneLine makes a text fit into a line of a list, whatever a peer put into it.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxEventText {
		text = strings.ToValidUTF8(text[:maxEventText], "") + "…"
	}
	return text
}

// openEvents turns what the host tells into events.
func (n *Node) openEvents(context.Context) error {
	n.opened(n.history)
	changes, cancel := n.host.Subscribe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for change := range changes {
			n.history.add(peerEvent(change))
		}
	}()
	n.opened(closerFunc(func() error {
		cancel()
		<-done
		return nil
	}))
	n.history.add(control.Event{Kind: control.KindStarted, Text: fmt.Sprintf("node %s of grid %q started, version %s", n.dir.id.Short(), n.GridName(), n.options.Version)})
	return nil
}

var peerKinds = map[p2p.Change]struct {
	kind control.Kind
	verb string
}{
	p2p.Up:           {control.KindPeerUp, "is up"},
	p2p.Down:         {control.KindPeerDown, "is gone"},
	p2p.Unresponsive: {control.KindPeerSilent, "does not answer"},
	p2p.Responsive:   {control.KindPeerAnswers, "answers again"},
	p2p.Refused:      {control.KindPeerRefused, "is refused"},
	"moved":          {control.KindPeerMoved, "is reached on another path"},
}

// peerEvent says what happened to a peer.
func peerEvent(change p2p.Event) control.Event {
	what := peerKinds[change.Change]
	text := nameOf(change.Peer) + " " + what.verb
	if (change.Change == p2p.Up || what.kind == control.KindPeerMoved) && change.Peer.Path != "" {
		text += ", " + change.Peer.Path + " over " + change.Peer.Transport
	}
	return control.Event{Kind: what.kind, Text: text, Peer: change.Peer.ID, Nickname: change.Peer.Nickname, Reason: change.Reason}
}

func (a api) Events(ctx context.Context, request control.EventsRequest, each func(control.Event) error) error {
	return a.n.history.each(ctx, request, each)
}

// storedEvent says how the storing of a file ended.
func storedEvent(result grid.PutResult, err error) control.Event {
	if err != nil {
		return control.Event{Kind: control.KindStoreFailed, Text: "a file could not be stored", Reason: ended(err)}
	}
	return control.Event{
		Kind: control.KindStored, File: fileOf(result.Capability),
		Text: fmt.Sprintf("stored a file of %s, on %d servers", humanize.Bytes(uint64(result.Size)), result.Happiness),
	}
}

// repairedEvent says how the repair of a file ended.
func repairedEvent(c capability.Capability, result health.Result, err error) control.Event {
	e := control.Event{Kind: control.KindRepaired, File: fileOf(c), Text: fmt.Sprintf("repaired a file, %d shares made anew", len(result.Made))}
	if err != nil {
		e.Kind, e.Text, e.Reason = control.KindRepairFailed, "a file could not be repaired", ended(err)
	}
	return e
}

// ended says why an operation failed.
func ended(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	return err.Error()
}

// fileOf names the file that a capability opens, without giving away how.
func fileOf(c capability.Capability) string {
	if index, ok := c.StorageIndex(); ok {
		return index.String()
	}
	return ""
}
