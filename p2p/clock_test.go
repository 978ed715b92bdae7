package p2p_test

import (
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/p2p"
	"cairn/share"
)

func TestClock(t *testing.T) {
	one := open(t, nil)
	other := open(t, func(c *p2p.Config) { c.Bootstrap = one.Addresses() })
	eventually(t, "met", func() bool { return responsive(one) == 1 && responsive(other) == 1 })
	// One answer is waited for as long as a person would; a machine that stands still meanwhile is asked again.
	var offset p2p.ClockOffset
	var err error
	told := func() bool { offset, err = one.Clock(t.Context(), other.ID()); return err == nil }
	eventually(t, "the time is told", told)
	if offset.Ahead.Abs() > offset.Error+time.Millisecond || offset.Error <= 0 || offset.Error > time.Minute {
		t.Errorf("two clocks of one machine: %+v, %v", offset, err)
	}
	// A peer whose clock is a day ahead.
	other.Handle("clock/1", func(s network.Stream) {
		defer s.Close()
		at := uint64(time.Now().Add(24 * time.Hour).UnixMicro())
		var told [8]byte
		for i := range told {
			told[i] = byte(at >> (56 - 8*i))
		}
		s.Write(told[:])
	})
	eventually(t, "another time is told", told)
	if (offset.Ahead - 24*time.Hour).Abs() > offset.Error+time.Millisecond {
		t.Errorf("a day ahead: %+v, %v", offset, err)
	}
	// One that tells less than a time, and one that runs older software.
	other.Handle("clock/1", func(s network.Stream) { s.Close() })
	if offset, err = one.Clock(t.Context(), other.ID()); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("no time: %+v, %v", offset, err)
	}
}
