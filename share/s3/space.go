package s3

import (
	"context"
	"fmt"
	"sync"

	"cairn/share"
)

// A space is what unfinished uploads take beside what the index holds. The mutex of the index guards it, so that nobody is counted twice
// or not at all when an upload becomes a share.
type space struct {
	mu     *sync.Mutex
	offer  int64
	held   *totals
	open   int64
	owners map[string]int64 // what each owner's unfinished uploads take
}

// charge changes what an unfinished upload of an owner takes. More is refused when there is no room for it.
func (s *space) charge(owner string, from, to int64) error { return s.chargeBeyond(owner, from, to, 0) }

// chargeBeyond is charge where so much more than what is offered may be taken.
func (s *space) chargeBeyond(owner string, from, to, margin int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if more := to - from; more > 0 && more > s.offer+margin-s.held.bytes-s.open {
		return fmt.Errorf("%d bytes more: %w: %d of %d bytes are used", more, share.ErrNoSpace, s.held.bytes+s.open, s.offer)
	}
	s.add(owner, to-from)
	return nil
}

// A store that is full still takes versions of names that are no larger than what they drop, so that people can remove things: together at
// most a sixteenth of what is offered beyond it, and maxRemovals at most.
const (
	maxRemovals  = 64 << 20
	removalsPart = 16
	// lighterBy is by how much such a version may be larger: pages of directories do not shrink evenly.
	lighterBy = 4 << 10
)

// beyond returns how much more than what is offered may be taken for a version.
func (s *Store) beyond(u share.HeadUpdate) (int64, error) {
	if u.Replaces == (share.Digest{}) {
		return 0, nil
	}
	files, err := s.index.files(u.Drops...)
	if err != nil {
		return 0, err
	}
	left := int64(lighterBy)
	for _, whole := range u.Shares {
		left -= int64(len(whole.Data))
	}
	seen := map[share.StorageIndex]bool{}
	for i, index := range u.Drops {
		if !seen[index] {
			left += files[i].bytes()
		}
		seen[index] = true
	}
	if left < 0 {
		return 0, nil
	}
	return min(maxRemovals, s.space.offer/removalsPart), nil
}

// add changes what an owner takes. Its caller holds the mutex.
func (s *space) add(owner string, more int64) {
	s.open += more
	if s.owners[owner] += more; s.owners[owner] == 0 {
		delete(s.owners, owner)
	}
}

// Space says what the store offers.
func (s *Store) Space(ctx context.Context) (share.Space, error) {
	if err := s.ready(ctx); err != nil {
		return share.Space{}, err
	}
	x := s.space
	x.mu.Lock()
	defer x.mu.Unlock()
	used := x.held.bytes + x.open
	told := share.Space{Offered: x.offer, Used: used, Free: max(0, x.offer-used)}
	if s.Problem() != nil {
		told.Free = 0
	}
	return told, nil
}

// Usage implements share.Accounter.
func (s *Store) Usage(ctx context.Context) (map[string]int64, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	usage := s.index.held().owners
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	for owner, n := range s.space.owners {
		usage[owner] += n
	}
	return usage, nil
}

// UsageOf implements share.Accounter.
func (s *Store) UsageOf(ctx context.Context, owner string) (int64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	return s.space.held.owners[owner] + s.space.owners[owner], nil
}

// LeaseCost implements share.Accounter.
func (s *Store) LeaseCost(ctx context.Context, owner string, indexes []share.StorageIndex) (int64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	files, err := s.index.files(indexes...)
	if err != nil {
		return 0, fmt.Errorf("leases: %w", err)
	}
	var cost int64
	seen := map[share.StorageIndex]bool{}
	for i := range files {
		if !seen[indexes[i]] && !files[i].leased(owner) {
			cost += files[i].bytes()
		}
		seen[indexes[i]] = true
	}
	return cost, nil
}
