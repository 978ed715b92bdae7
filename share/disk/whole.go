package disk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cairn/share"
	"cairn/share/column"
)

// Limits of how many whole shares become stable in one go.
const (
	maxPutShares = 512
	maxPutBytes  = 1 << 20
)

// Put stores whole shares in the journal, many with one sync. It implements share.Batcher.
func (s *Store) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	if err := column.CheckLease(lease, time.Now()); err != nil {
		return nil, err
	}
	if err := column.CheckBatch(shares); err != nil {
		return nil, err
	}
	verdicts := make([]error, len(shares))
	p := put{store: s, lease: recordLease(lease), verdicts: verdicts}
	for i, w := range shares {
		root, err := column.CheckWhole(w)
		if err != nil {
			verdicts[i] = err
			continue
		}
		if err := p.add(ctx, i, wholeRecord(w, root, p.lease)); err != nil {
			return nil, err
		}
	}
	return verdicts, p.flush(ctx)
}

// wholeRecord returns the record of a share that column.CheckWhole accepted.
func wholeRecord(w share.WholeShare, root []byte, lease leaseRecord) journalRecord {
	return journalRecord{
		Index: w.Index, Number: w.Number, Root: root, Size: int64(len(w.Data)), Lease: lease, Data: w.Data[:len(w.Data)-len(root)],
	}
}

// A put is a batch of whole shares on its way to the journal.
type put struct {
	store    *Store
	lease    leaseRecord
	verdicts []error

	at      []int // of the records, in verdicts
	records []journalRecord
	bytes   int64
}

// add takes one more share up, and stores what there is when that is enough for one go.
func (p *put) add(ctx context.Context, i int, r journalRecord) error {
	p.at, p.records, p.bytes = append(p.at, i), append(p.records, r), p.bytes+r.Size
	if len(p.records) < maxPutShares && p.bytes < maxPutBytes {
		return nil
	}
	return p.flush(ctx)
}

func (p *put) flush(ctx context.Context) error {
	at, records := p.at, p.records
	p.at, p.records, p.bytes = p.at[:0], p.records[:0], 0
	if len(records) == 0 {
		return nil
	}
	c := claim{space: p.store.space, owner: p.lease.Owner}
	defer c.release()
	var total int64
	for i, r := range records {
		if p.verdicts[at[i]] = c.grow(total + r.Size); p.verdicts[at[i]] == nil {
			total += r.Size
		}
	}
	c.charge(total)
	err := p.store.committer.finish(ctx, &c, func(b *batch) error {
		for i, r := range records {
			if p.verdicts[at[i]] == nil {
				p.verdicts[at[i]] = b.store(kindSmall, r)
			}
		}
		return nil
	})
	if err == nil || ctx.Err() != nil || errors.Is(err, share.ErrClosed) {
		return err
	}
	for _, i := range at {
		if p.verdicts[i] == nil {
			p.verdicts[i] = err
		}
	}
	return nil
}

// Fetch returns whole shares. It implements share.Batcher.
func (s *Store) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if len(indexes) > share.MaxBatchShares {
		return nil, fmt.Errorf("fetch: %w: %d indexes, at most %d", share.ErrTooLarge, len(indexes), share.MaxBatchShares)
	}
	found := make([][]share.WholeShare, len(indexes))
	room := int64(share.MaxBatchBytes)
	for i, index := range indexes {
		var err error
		if found[i], err = s.wholes(ctx, index, &room); err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
	}
	return found, nil
}

// wholes returns the shares of one file that are small and fit into the room. One that cannot be read is left out, for the
// scrub to find.
func (s *Store) wholes(ctx context.Context, index share.StorageIndex, room *int64) ([]share.WholeShare, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	f, err := s.index.file(index)
	if errors.Is(err, share.ErrCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []share.WholeShare
	for _, held := range f.Shares {
		if held.Size > share.MaxWholeShare || held.Size > *room {
			continue
		}
		data, err := s.whole(ctx, index, held)
		if s.closed() || ctx.Err() != nil {
			return nil, s.ready(ctx)
		}
		if err != nil {
			continue
		}
		*room -= held.Size
		found = append(found, share.WholeShare{Index: index, Number: held.Number, Data: data})
	}
	return found, nil
}

func (s *Store) whole(ctx context.Context, index share.StorageIndex, held shareRecord) ([]byte, error) {
	r, err := s.Open(ctx, index, held.Number)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if flat, ok := r.(*reader).at.(flatReader); ok {
		return flat, nil
	}
	data := make([]byte, r.Size())
	_, err = r.ReadAt(ctx, data, 0)
	return data, err
}
