package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// Verify is Check, and then downloads every share and checks every byte of it against the storage index. Shares that
// do not verify, and shares that a server claims and does not have, are in Report.Corrupt, and their servers are asked to
// look for themselves (share.Rechecker); those of servers that
// stop answering are in Report.Undelivered; neither count. progress may be nil; it is called often and from
// one goroutine at a time.
func Verify(ctx context.Context, servers []share.Server, index share.StorageIndex, progress func(Progress)) (Report, error) {
	s, err := takeSurvey(ctx, servers, index)
	if err != nil {
		return Report{}, err
	}
	if err := s.verify(ctx, newMeter(progress)); err != nil {
		return Report{}, err
	}
	return s.report(), nil
}

// verify downloads every share claimed and drops those that are not good: one share of a server after the other,
// several servers at once.
func (s *survey) verify(ctx context.Context, m *meter) error {
	s.verified = true
	if s.rootBlock == nil {
		return nil
	}
	var total Progress
	l := s.root.Layout()
	for i := range s.claims {
		total.TotalShares += len(s.claims[i])
		total.TotalBytes += int64(len(s.claims[i])) * verifyBytes(l, len(s.rootBlock))
	}
	m.add(total)
	var mu sync.Mutex // guards the lists of faults
	each(s.servers, verifyAtOnce, func(i int, server share.Server) {
		gone := false
		for _, number := range s.claims[i] {
			if err := s.verifyShare(ctx, server, number, gone, m); err != nil {
				dropped := complain(ctx, server, s.index, number, err)
				mu.Lock()
				gone = s.blame(i, number, err, dropped)
				mu.Unlock()
			}
		}
	})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("verify %s: %w", s.index, err)
	}
	for _, faults := range [][]Fault{s.corrupt, s.undelivered} {
		s.dropFaults(faults)
	}
	return nil
}

var errGone = errors.New("not tried, the server does not answer")

// verifyShare downloads one share and checks every byte of it, unless its server is gone. It counts as progress either
// way.
func (s *survey) verifyShare(ctx context.Context, server share.Server, number share.Number, gone bool, m *meter) error {
	left := atomic.Int64{}
	left.Store(verifyBytes(s.root.Layout(), len(s.rootBlock)))
	defer func() { m.add(Progress{Shares: 1, TotalBytes: -left.Load()}) }()
	if gone {
		return errGone
	}
	reader, err := openShare(ctx, server, s.index, number)
	if err != nil {
		return err
	}
	defer reader.Close()
	counted := timedReader{reader, func(n int) {
		left.Add(-int64(n))
		m.add(Progress{Bytes: int64(n)})
	}}
	return encoding.Verify(ctx, counted, s.index, number, s.rootBlock)
}

// blame lists a share that could not be verified, and reports whether its server stopped answering.
func (s *survey) blame(i int, number share.Number, err error, dropped bool) (gone bool) {
	fault := Fault{Number: number, Peer: s.servers[i].ID, Reason: reason(err), Dropped: dropped}
	var corrupt *share.CorruptShareError
	switch {
	case errors.As(err, &corrupt):
		fault.Reason = faultReason(corrupt)
	case errors.Is(err, share.ErrNotFound):
		fault.Reason = "the server claims the share and does not have it"
	case errors.Is(err, io.ErrUnexpectedEOF):
		fault.Reason = "the share ends too soon"
	case errors.Is(err, share.ErrCorrupt):
		fault.Reason = "the server itself finds it damaged"
	default:
		s.undelivered = append(s.undelivered, fault)
		return true
	}
	s.corrupt = append(s.corrupt, fault)
	return false
}

func faultReason(err *share.CorruptShareError) string {
	if err.Segment < 0 {
		return err.Reason
	}
	return fmt.Sprintf("segment %d: %s", err.Segment, err.Reason)
}

func (s *survey) dropFaults(faults []Fault) {
	for _, f := range faults {
		for i, server := range s.servers {
			if server.ID == f.Peer {
				s.drop(i, f.Number)
			}
		}
	}
}

func openShare(ctx context.Context, server share.Server, index share.StorageIndex, number share.Number) (share.Reader, error) {
	ctx, cancel := awake.WithTimeout(ctx, askTimeout)
	defer cancel()
	return server.Store.Open(ctx, index, number)
}

// verifyBytes returns how many bytes encoding.Verify reads of one share.
func verifyBytes(l encoding.Layout, rootLen int) int64 {
	rows := l.RowOffset(l.Segments()) - l.RowOffset(0)
	levels := l.RootOffset() - l.LevelOffset(1)
	return l.RowOffset(0) + 2*rows + 2*levels + int64(rootLen)
}
