//go:build unix

package invite

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/share"
)

// A sleeper reaches nobody, and stands still the first time.
type sleeper struct {
	Reacher
	t     *testing.T
	tries int
}

func (s *sleeper) Reach(context.Context, []string, string) (p2p.Stream, share.ServerID, error) {
	if s.tries++; s.tries == 1 {
		waittest.StandStill(s.t, 2*time.Second)
	}
	return nil, "", fmt.Errorf("%w: too late", share.ErrUnavailable)
}

// TestStandstill: the node that issued the invitation is asked again where the attempt failed while this process stood still.
func TestStandstill(t *testing.T) {
	h, guest := newHome(t), newGuest(t, "bert")
	s := &sleeper{Reacher: guest.host, t: t}
	_, err := Redeem(t.Context(), s, h.issue(Terms{}), guest.me)
	if s.tries < 2 || !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("asked %d times, want again: %v", s.tries, err)
	}
}
