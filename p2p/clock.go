package p2p

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/awake"
	"cairn/share"
)

const (
	clockName = "clock/1"
	// clockPatience bounds asking for and telling the time.
	clockPatience = 5 * time.Second
)

// A ClockOffset says how far the clock of a member is ahead of this one's. The truth is at most Error away from Ahead.
type ClockOffset struct {
	Ahead, Error time.Duration
}

// Clock asks a member what time it has. The answer is the member's claim. It returns an error that wraps share.ErrVersion
// when the member runs software that does not tell.
func (h *Host) Clock(ctx context.Context, id share.ServerID) (ClockOffset, error) {
	ctx, cancel := awake.WithTimeout(ctx, clockPatience)
	defer cancel()
	s, err := h.Stream(ctx, id, clockName)
	if err != nil {
		return ClockOffset{}, err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	var told [8]byte
	// The stream opens with its first write, so the way there is part of what is measured.
	begin := time.Now()
	if err := s.CloseWrite(); err != nil {
		return ClockOffset{}, fmt.Errorf("ask %s for the time: %w", id.Short(), Reason(err))
	}
	if _, err := io.ReadFull(s, told[:]); err != nil {
		return ClockOffset{}, fmt.Errorf("ask %s for the time: %w", id.Short(), Reason(err))
	}
	trip := time.Since(begin)
	theirs := time.UnixMicro(int64(binary.BigEndian.Uint64(told[:])))
	return ClockOffset{Ahead: theirs.Round(0).Sub(begin.Add(trip / 2).Round(0)), Error: trip / 2}, nil
}

// serveClock tells the time as microseconds since 1970, in eight bytes.
func serveClock(s network.Stream) {
	defer s.Close()
	s.SetDeadline(time.Now().Add(clockPatience))
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMicro()))); err != nil {
		s.Reset()
	}
}
