package fault

import (
	"context"

	"cairn/share"
)

// Operations of a share.HeadStore and a share.Batcher, as an Injector counts them.
const (
	OpHeads   = "heads"
	OpSetHead = "set head"
	OpHistory = "history"
	OpPut     = "put"
	OpFetch   = "fetch"
)

// A headStore is a fullStore whose inner store keeps heads and takes batches.
type headStore struct {
	*fullStore
	heads share.HeadStore
	batch share.Batcher
}

// Heads, when corrupted, gives records with a wrong bit; when truncated, none.
func (s *headStore) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	action, hit := s.in.next(OpHeads)
	if hit {
		if err := action.run(ctx, OpHeads); err != nil {
			return nil, err
		}
	}
	held, err := s.heads.Heads(ctx, names, shares)
	for i := range held {
		if hit && action.Truncate {
			held[i] = share.HeldHead{}
		}
		if hit && action.Corrupt {
			held[i].Record = flipped(held[i].Record)
		}
	}
	return held, err
}

// SetHead, when corrupted, hands on a record with a wrong bit.
func (s *headStore) SetHead(ctx context.Context, u share.HeadUpdate) error {
	action, hit := s.in.next(OpSetHead)
	if hit {
		if err := action.run(ctx, OpSetHead); err != nil {
			return err
		}
		if action.Corrupt {
			u.Record = flipped(u.Record)
		}
	}
	return s.heads.SetHead(ctx, u)
}

func (s *headStore) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	if err := s.in.Step(ctx, OpHistory); err != nil {
		return nil, err
	}
	return s.heads.History(ctx, name, since)
}

// Put, when corrupted, hands on shares with a wrong bit; when truncated, only the first half of them, and says so of the rest.
func (s *headStore) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	action, hit := s.in.next(OpPut)
	if !hit {
		return s.batch.Put(ctx, shares, lease)
	}
	if err := action.run(ctx, OpPut); err != nil {
		return nil, err
	}
	given := append([]share.WholeShare(nil), shares...)
	if action.Truncate {
		given = given[:len(given)/2]
	}
	for i := range given {
		if action.Corrupt {
			given[i].Data = flipped(given[i].Data)
		}
	}
	errs, err := s.batch.Put(ctx, given, lease)
	for err == nil && len(errs) < len(shares) {
		errs = append(errs, ErrInjected)
	}
	return errs, err
}

// Fetch, when corrupted, gives shares with a wrong bit; when truncated, none.
func (s *headStore) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	action, hit := s.in.next(OpFetch)
	if hit {
		if err := action.run(ctx, OpFetch); err != nil {
			return nil, err
		}
	}
	found, err := s.batch.Fetch(ctx, indexes)
	for i := range found {
		if hit && action.Truncate {
			found[i] = nil
		}
		for j := range found[i] {
			if hit && action.Corrupt {
				found[i][j].Data = flipped(found[i][j].Data)
			}
		}
	}
	return found, err
}

// flipped returns a copy with one bit changed.
func flipped(p []byte) []byte {
	p = append([]byte(nil), p...)
	if len(p) > 0 {
		p[len(p)/2] ^= 1
	}
	return p
}
