package hostile

import (
	"context"
	"fmt"
	"sync"

	"cairn/share"
)

// firsts keeps the first record of each name that a peer was given, to repeat it.
type firsts struct {
	mu      sync.Mutex
	records map[share.Name][]byte
}

// of returns the first record of a name, which is this one where there was none before.
func (f *firsts) of(name share.Name, record []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.records[name] == nil && record != nil {
		f.records[name] = append([]byte(nil), record...)
	}
	return f.records[name]
}

// forge flips a bit in the signature of a record.
func forge(record []byte) []byte {
	forged := append([]byte(nil), record...)
	if len(forged) > 20 {
		forged[20] ^= 1
	}
	return forged
}

// headStore returns the inner store as one that keeps heads.
func (s *store) headStore() (share.HeadStore, error) {
	if h, ok := s.Store.(share.HeadStore); ok {
		return h, nil
	}
	return nil, fmt.Errorf("heads: %w", share.ErrDenied)
}

// batcher returns the inner store as one that takes batches.
func (s *store) batcher() (share.Batcher, error) {
	if b, ok := s.Store.(share.Batcher); ok {
		return b, nil
	}
	return nil, fmt.Errorf("batch: %w", share.ErrDenied)
}

// Heads implements share.HeadStore.
func (s *store) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	inner, err := s.headStore()
	if err != nil {
		return nil, err
	}
	held, err := inner.Heads(ctx, names, shares)
	if err != nil {
		return nil, err
	}
	for i := range held {
		switch s.behaviour {
		case Repeats:
			held[i] = share.HeldHead{Record: s.firsts.of(names[i], held[i].Record)}
		case ForgesHeads:
			held[i].Record = forge(held[i].Record)
		case Claims:
			held[i].Shares = nil
		}
		held[i].Shares = s.spoil(held[i].Shares)
	}
	return held, nil
}

// SetHead implements share.HeadStore.
func (s *store) SetHead(ctx context.Context, u share.HeadUpdate) error {
	inner, err := s.headStore()
	if err != nil {
		return err
	}
	switch s.behaviour {
	case Forgets:
		return nil
	case Refuses:
		return fmt.Errorf("set head: %w", share.ErrNoSpace)
	case Conflicts:
		held, err := inner.Heads(ctx, []share.Name{u.Name}, false)
		if err != nil {
			return err
		}
		return &share.ConflictError{Name: u.Name, Record: forge(held[0].Record)}
	}
	if err := inner.SetHead(ctx, u); err != nil {
		return err
	}
	s.firsts.of(u.Name, u.Record)
	return nil
}

// History implements share.HeadStore.
func (s *store) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	inner, err := s.headStore()
	if err != nil {
		return nil, err
	}
	records, err := inner.History(ctx, name, since)
	if err != nil || len(records) == 0 {
		return records, err
	}
	switch s.behaviour {
	case Repeats:
		return [][]byte{s.firsts.of(name, records[0])}, nil
	case ForgesHeads:
		for i := range records {
			records[i] = forge(records[i])
		}
	}
	return records, nil
}

// Put implements share.Batcher.
func (s *store) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	inner, err := s.batcher()
	if err != nil {
		return nil, err
	}
	switch s.behaviour {
	case Forgets:
		return make([]error, len(shares)), nil
	case Refuses:
		errs := make([]error, len(shares))
		for i := range errs {
			errs[i] = fmt.Errorf("commit: %w", share.ErrNoSpace)
		}
		return errs, nil
	}
	return inner.Put(ctx, shares, lease)
}

// Fetch implements share.Batcher.
func (s *store) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	inner, err := s.batcher()
	if err != nil || s.behaviour == Claims {
		return make([][]share.WholeShare, len(indexes)), err
	}
	found, err := inner.Fetch(ctx, indexes)
	for i := range found {
		found[i] = s.spoil(found[i])
	}
	return found, err
}

// spoil does to whole shares what the behaviour does to bytes that are read.
func (s *store) spoil(shares []share.WholeShare) []share.WholeShare {
	for i := range shares {
		data := append([]byte(nil), shares[i].Data...)
		switch s.behaviour {
		case Lies:
			for j := range data {
				data[j] ^= 1
			}
		case Truncates:
			data = data[:len(data)/2]
		}
		shares[i].Data = data
	}
	return shares
}
