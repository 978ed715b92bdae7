package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cairn/node/control"
	"cairn/p2p"
)

func seqs(t *testing.T, h *history, after uint64) []uint64 {
	t.Helper()
	var got []uint64
	err := h.each(t.Context(), control.EventsRequest{After: after}, func(e control.Event) error {
		got = append(got, e.Seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory()
	for range keptEvents + 20 {
		h.add(control.Event{Kind: control.KindPeerUp})
	}
	if got := seqs(t, h, 0); len(got) != keptEvents || got[0] != 21 || got[keptEvents-1] != keptEvents+20 {
		t.Errorf("%d events from %d", len(got), got[0])
	}
	if got := seqs(t, h, keptEvents+18); !slices.Equal(got, []uint64{keptEvents + 19, keptEvents + 20}) {
		t.Errorf("after the last but two: %v", got)
	}
	if got := seqs(t, h, keptEvents+50); len(got) != 0 {
		t.Errorf("after one that is yet to come: %v", got)
	}
}

func TestManyUploadsLeaveTheRest(t *testing.T) {
	h := newHistory()
	h.add(control.Event{Kind: control.KindQuarantined})
	for range 3 * keptEvents {
		h.add(control.Event{Kind: control.KindStored})
	}
	h.add(control.Event{Kind: control.KindPeerDown})
	got := seqs(t, h, 0)
	if len(got) != keptEvents || got[0] != 1 || got[1] != 2*keptEvents+4 || got[keptEvents-1] != 3*keptEvents+2 {
		t.Errorf("%d events, %d, %d … %d: the damaged share is forgotten, or old uploads are kept", len(got), got[0], got[1], got[len(got)-1])
	}
	if !slices.IsSorted(got) {
		t.Error("the events are not in order")
	}
}

func TestHistoryIsFollowed(t *testing.T) {
	h := newHistory()
	h.add(control.Event{Text: "one"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string)
	ended := make(chan error, 1)
	go func() {
		ended <- h.each(ctx, control.EventsRequest{Follow: true}, func(e control.Event) error { got <- e.Text; return nil })
	}()
	for _, want := range []string{"one", "two", "three"} {
		if text := <-got; text != want {
			t.Fatalf("event %q, want %q", text, want)
		}
		switch want {
		case "one":
			h.add(control.Event{Text: "two"})
		case "two":
			h.add(control.Event{Text: "three"})
		}
	}
	h.Close()
	h.add(control.Event{Text: "too late"})
	if err := <-ended; err != nil {
		t.Errorf("after the end of the history: %v", err)
	}
	if got := seqs(t, h, 0); len(got) != 3 {
		t.Errorf("%d events are kept after the end", len(got))
	}
}

func TestEventsAreOneLine(t *testing.T) {
	h := newHistory()
	h.add(control.Event{Text: "a\nb\x1b[31m", Reason: strings.Repeat("é", maxEventText)})
	err := h.each(t.Context(), control.EventsRequest{}, func(e control.Event) error {
		if e.Text != "a b [31m" || len(e.Reason) > maxEventText+len("…") || strings.ContainsRune(e.Reason, '�') {
			return fmt.Errorf("%q %q", e.Text, e.Reason)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPeerEvents(t *testing.T) {
	p := p2p.Peer{ID: "12D3KooWabcdef", Nickname: "attic", Path: p2p.Direct, Transport: "tcp"}
	for change, want := range map[p2p.Change]struct {
		kind control.Kind
		text string
	}{
		p2p.Up:           {control.KindPeerUp, "attic is up, direct over tcp"},
		p2p.Down:         {control.KindPeerDown, "attic is gone"},
		p2p.Unresponsive: {control.KindPeerSilent, "attic does not answer"},
		p2p.Responsive:   {control.KindPeerAnswers, "attic answers again"},
		p2p.Refused:      {control.KindPeerRefused, "attic is refused"},
	} {
		e := peerEvent(p2p.Event{Change: change, Peer: p, Reason: "why"})
		if e.Kind != want.kind || e.Text != want.text || e.Peer != p.ID || e.Reason != "why" {
			t.Errorf("%s: %+v", change, e)
		}
	}
}

func TestEndedSaysInterrupted(t *testing.T) {
	for err, want := range map[error]string{fmt.Errorf("put: %w", context.Canceled): "interrupted", errors.New("odd"): "odd"} {
		if got := ended(err); got != want {
			t.Errorf("%v: %q", err, got)
		}
	}
}
