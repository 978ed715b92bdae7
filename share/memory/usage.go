package memory

import (
	"context"

	"cairn/share"
	"cairn/share/column"
)

// Usage implements share.Accounter.
func (s *Store) Usage(ctx context.Context) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	usage := map[string]int64{}
	for _, f := range s.files {
		for owner := range f.leases {
			usage[owner] += f.size()
		}
	}
	for _, n := range s.names {
		usage[n.owner] += n.size()
	}
	for key, session := range s.sessions {
		if n := session.charge(); n > 0 {
			usage[key.owner] += n
		}
	}
	return usage, ctx.Err()
}

// UsageOf implements share.Accounter. It counts anew each time.
func (s *Store) UsageOf(ctx context.Context, owner string) (int64, error) {
	usage, err := s.Usage(ctx)
	return usage[owner], err
}

// LeaseCost implements share.Accounter.
func (s *Store) LeaseCost(ctx context.Context, owner string, indexes []share.StorageIndex) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cost := map[share.StorageIndex]int64{}
	for _, index := range indexes {
		f := s.files[index]
		if f == nil {
			continue
		}
		if _, leased := f.leases[owner]; !leased {
			cost[index] = f.size()
		}
	}
	var total int64
	for _, n := range cost {
		total += n
	}
	return total, ctx.Err()
}

// size returns the bytes of the shares that are held.
func (f *file) size() int64 {
	var total int64
	for _, data := range f.shares {
		total += int64(len(data))
	}
	return total
}

// charge returns with how many bytes the owner of an unfinished upload is charged.
func (s *session) charge() int64 {
	if s.writer == nil || s.upload.Size < 0 {
		return s.size()
	}
	return max(s.size(), column.ShareSize(s.upload))
}
