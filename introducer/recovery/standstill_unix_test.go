//go:build unix

package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"cairn/internal/membertest"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/introducer/recovery"
	"cairn/p2p"
	"cairn/share"
)

// A sleeper reaches nobody, and stands still the first time.
type sleeper struct {
	t     *testing.T
	id    share.ServerID
	tries int
}

func (s *sleeper) ID() share.ServerID { return s.id }

func (s *sleeper) Reach(context.Context, []string, string) (p2p.Stream, share.ServerID, error) {
	if s.tries++; s.tries == 1 {
		waittest.StandStill(s.t, 2*time.Second)
	}
	return nil, "", fmt.Errorf("%w: too late", share.ErrUnavailable)
}

// TestStandstill: a member is asked again where the attempt failed while this process stood still.
func TestStandstill(t *testing.T) {
	key, id := membertest.Node(t)
	s := &sleeper{t: t, id: id}
	_, err := recovery.Recover(t.Context(), s, []string{"/ip4/127.0.0.1/tcp/1/p2p/x"}, recovery.Claimant{Account: introducer.NewAccount(), Node: key})
	if s.tries < 2 || !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("asked %d times, want again: %v", s.tries, err)
	}
}
