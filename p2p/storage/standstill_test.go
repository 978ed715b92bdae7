package storage

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/share"
)

// TestStandstill: a peer that could not be heard because this process stood still has the whole time again.
func TestStandstill(t *testing.T) {
	c := NewClient(unreached{}, "peer", ClientOptions{})
	defer c.Close()
	s := newReadStream(c, nil)
	defer s.kill(nil)
	s.mu.Lock()
	s.queue = append(s.queue, &fetch{})
	s.progress = time.Now().Add(-time.Minute)
	s.watch(time.Hour)
	s.due = time.Now().Add(-50 * time.Second) // the watchdog was due ten seconds after the question, and comes now
	s.mu.Unlock()
	s.check()
	if s.end.Err() != nil {
		t.Error("given up at the moment in which the process goes on")
	}
	s.mu.Lock()
	s.progress = time.Now().Add(-time.Minute) // all of it the peer's fault
	s.due = time.Now()
	s.mu.Unlock()
	s.check()
	if s.end.Err() == nil {
		t.Error("a peer that owes an answer for a minute was not given up")
	}
	s.mu.Lock()
	s.watchdog.Stop()
	s.mu.Unlock()
}

// unreached has no peer.
type unreached struct{}

func (unreached) Stream(_ context.Context, _ share.ServerID, _ string) (network.Stream, error) {
	return nil, share.ErrUnavailable
}
