package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/share"
)

const (
	rosterName = "roster/1"
	// maxMessage bounds one message, maxSent the statements of one side in one exchange.
	maxMessage = 64 << 10
	maxSent    = 32 << 20
	buckets    = 256
)

// digests opens an exchange, and answers: what one side holds. Buckets is empty where the other side is known to hold the same.
type digests struct {
	Digest  []byte `cbor:"1,keyasint"`
	Buckets []byte `cbor:"2,keyasint,omitempty"` // 256 digests
}

// A batch is part of the statements of the wanted buckets. The first batch of the client says which those are.
type batch struct {
	Wanted     []byte   `cbor:"1,keyasint,omitempty"` // a bit for each bucket, the lowest first
	Statements [][]byte `cbor:"2,keyasint,omitempty"`
	More       bool     `cbor:"3,keyasint,omitempty"`
}

func (d digests) validate() error {
	if len(d.Digest) != len(share.Digest{}) || len(d.Buckets) != 0 && len(d.Buckets) != buckets*len(share.Digest{}) {
		return fmt.Errorf("%w: digests of %d and %d bytes", share.ErrCorrupt, len(d.Digest), len(d.Buckets))
	}
	return nil
}

func (b batch) validate(first bool) error {
	if len(b.Wanted) != 0 && (!first || len(b.Wanted) != buckets/8) || first && len(b.Wanted) == 0 {
		return fmt.Errorf("%w: a choice of buckets of %d bytes", share.ErrCorrupt, len(b.Wanted))
	}
	for _, s := range b.Statements {
		if len(s) == 0 || len(s) > introducer.MaxStatement {
			return fmt.Errorf("%w: a statement of %d bytes", share.ErrTooLarge, len(s))
		}
	}
	return nil
}

// differing returns the bits of the buckets whose digests differ.
func differing(mine [buckets]share.Digest, theirs []byte) (wanted [buckets / 8]byte, some bool) {
	for i, digest := range mine {
		if string(digest[:]) != string(theirs[i*len(digest):(i+1)*len(digest)]) {
			wanted[i/8] |= 1 << (i % 8)
			some = true
		}
	}
	return wanted, some
}

// statements returns those of the roster that are in the wanted buckets.
func statements(r *introducer.Roster, wanted []byte) (list [][]byte) {
	for i := range buckets {
		if wanted[i/8]&(1<<(i%8)) != 0 {
			list = append(list, r.Bucket(i)...)
		}
	}
	return list
}

// send sends the statements in as few batches as they fit.
func send(s p2p.Stream, wanted []byte, list [][]byte) error {
	for begun := false; !begun || len(list) > 0; begun = true {
		b, size := batch{Wanted: wanted}, 256 // what is around the statements takes less
		for len(list) > 0 && size+len(list[0])+4 <= maxMessage {
			size += len(list[0]) + 4
			b.Statements, list = append(b.Statements, list[0]), list[1:]
		}
		b.More, wanted = len(list) > 0, nil
		s.SetDeadline(time.Now().Add(messageWithin))
		if err := message.Write(s, b, maxMessage); err != nil {
			return err
		}
	}
	return nil
}

// receive returns the statements that the other side sends, and which buckets it wants when it is the client.
func receive(s p2p.Stream, client bool) (wanted []byte, list [][]byte, err error) {
	size := 0
	for first, more := client, true; more; first = false {
		var b batch
		s.SetDeadline(time.Now().Add(messageWithin))
		if err := message.Read(s, &b, maxMessage); err != nil {
			return nil, nil, err
		}
		if err := b.validate(first); err != nil {
			return nil, nil, err
		}
		if first {
			wanted = b.Wanted
		}
		for _, statement := range b.Statements {
			size += len(statement)
		}
		if size > maxSent {
			return nil, nil, fmt.Errorf("%w: more than %d bytes of statements", share.ErrTooLarge, maxSent)
		}
		list, more = append(list, b.Statements...), b.More
	}
	return wanted, list, nil
}

// With exchanges statements with one member and returns how many were news. Statements that the roster refuses are left out and
// logged with the member who sent them.
func (x *Exchange) With(ctx context.Context, id share.ServerID) (news int, err error) {
	ctx, cancel := awake.WithTimeout(ctx, within)
	defer cancel()
	s, err := x.host.Stream(ctx, id, rosterName)
	if err != nil {
		return 0, fmt.Errorf("exchange roster: %w", err)
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if news, err = x.ask(s, id); err != nil {
		s.Reset()
		return news, fmt.Errorf("exchange roster with %s: %w", id.Short(), p2p.Reason(err))
	}
	return news, nil
}

// Tell runs an exchange with every member that answers and returns when all are done, or when the context ends. Members who
// part because of what they hear have been told.
func (x *Exchange) Tell(ctx context.Context) {
	var group sync.WaitGroup
	for _, id := range x.responsive() {
		group.Go(func() {
			if _, err := x.With(ctx, id); err != nil {
				x.log.Debug("no roster exchange", "peer", id.Short(), "error", err)
			}
		})
	}
	group.Wait()
}

func (x *Exchange) ask(s p2p.Stream, id share.ServerID) (news int, err error) {
	digest := x.roster.Digest()
	s.SetDeadline(time.Now().Add(messageWithin))
	if err := message.Write(s, digests{Digest: digest[:]}, maxMessage); err != nil {
		return 0, err
	}
	var answer digests
	if err := message.Read(s, &answer, maxMessage); err != nil {
		return 0, err
	}
	if err := answer.validate(); err != nil {
		return 0, err
	}
	if len(answer.Buckets) == 0 {
		x.agree(id, digest)
		return 0, nil
	}
	wanted, some := differing(x.roster.Buckets(), answer.Buckets)
	if !some {
		return 0, nil // it changed meanwhile; whoever changed it tells
	}
	if err := send(s, wanted[:], statements(x.roster, wanted[:])); err != nil {
		return 0, err
	}
	_, list, err := receive(s, false)
	if err != nil {
		return 0, err
	}
	return x.take(id, list)
}

// take adds what a member sent.
func (x *Exchange) take(id share.ServerID, list [][]byte) (news int, err error) {
	news, err = x.roster.Add(list...)
	if refused, ok := errors.AsType[*introducer.RefusedError](err); ok {
		x.log.Info("statements refused", "from", id.Short(), "error", refused)
		return news, nil
	}
	return news, err
}

// serveRoster answers an exchange that a member began.
func (x *Exchange) serveRoster(s p2p.Stream) {
	select {
	case x.serve <- struct{}{}:
		defer func() { <-x.serve }()
	default:
		s.Reset() // the other side tries again, or when something changes, or at its next turn
		return
	}
	id := share.ServerID(s.Conn().RemotePeer().String())
	if err := x.answer(s, id); err != nil {
		x.log.Debug("roster exchange ended", "peer", id.Short(), "error", err)
		s.Reset()
		return
	}
	s.Close()
}

func (x *Exchange) answer(s p2p.Stream, id share.ServerID) error {
	var theirs digests
	s.SetDeadline(time.Now().Add(messageWithin))
	if err := message.Read(s, &theirs, maxMessage); err != nil {
		return err
	}
	if err := theirs.validate(); err != nil {
		return err
	}
	digest := x.roster.Digest()
	mine := digests{Digest: digest[:]}
	if string(theirs.Digest) == string(digest[:]) {
		x.agree(id, digest)
		return message.Write(s, mine, maxMessage)
	}
	for _, d := range x.roster.Buckets() {
		mine.Buckets = append(mine.Buckets, d[:]...)
	}
	if err := message.Write(s, mine, maxMessage); err != nil {
		return err
	}
	wanted, list, err := receive(s, true)
	if errors.Is(err, io.EOF) {
		return nil // the other side holds the same by now
	}
	if err != nil {
		return err
	}
	// What the other side sent is added first, so that both hold the same at the end.
	if _, err := x.take(id, list); err != nil {
		return err
	}
	return send(s, nil, without(statements(x.roster, wanted), list))
}

// without returns the statements that are not among those known already.
func without(list, known [][]byte) [][]byte {
	have := make(map[string]bool, len(known))
	for _, s := range known {
		have[string(s)] = true
	}
	return slices.DeleteFunc(list, func(s []byte) bool { return have[string(s)] })
}
