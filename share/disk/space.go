package disk

import (
	"fmt"
	"math"
	"sync"

	"cairn/share"
)

// space keeps account of the disk. It is safe for concurrent use.
//
// A claim is what one unfinished upload may take: a promise first, then bytes on the disk. The file system's own
// count of free bytes knows the second part but not the first.
type space struct {
	files   files
	dir     string
	offer   int64 // 0 means whatever the disk has
	reserve int64 // bytes of the disk that are never taken

	mu      sync.Mutex
	used    int64 // bytes of committed shares
	claimed int64 // sum of all claims
	written int64 // bytes of the claims that are on the disk already
	owners  map[string]*ownerSpace
}

// check returns ErrNoSpace unless n more bytes can be promised, where so much more than what is offered may be taken. Its caller holds the
// mutex.
func (s *space) check(n, margin int64) error {
	room, err := s.room()
	if err != nil {
		return err
	}
	free := max(0, room+margin)
	if n > free {
		return fmt.Errorf("%w: %d bytes wanted, %d can be taken", share.ErrNoSpace, n, free)
	}
	return nil
}

// free returns what can still be promised. Its caller holds the mutex.
func (s *space) free() (int64, error) {
	room, err := s.room()
	return max(0, room), err
}

// room is free, less than zero where more was taken than is offered. Its caller holds the mutex.
func (s *space) room() (int64, error) {
	disk, err := s.files.Free(s.dir)
	if err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	free := disk - s.reserve - (s.claimed - s.written)
	if s.offer > 0 {
		free = min(free, s.offer-s.used-s.claimed)
	}
	return free, nil
}

// A store that is full still takes versions of names that are no larger than what they drop, so that people can remove things: together at
// most a sixteenth of what is offered beyond it, maxRemovals at most, and nothing of what the index needs.
const (
	maxRemovals  = 64 << 20
	removalsPart = 16
	// lighterBy is by how much such a version may be larger: pages of directories do not shrink evenly.
	lighterBy = 4 << 10
)

// removals returns how much beyond what is offered is there for that.
func (s *space) removals() int64 {
	margin := min(int64(maxRemovals), s.reserve-indexHeadroom)
	if s.offer > 0 {
		margin = min(margin, s.offer/removalsPart)
	}
	return max(0, margin)
}

// A claim is the part of the disk that one unfinished upload has. It is used from one goroutine at a time.
type claim struct {
	space   *space
	owner   string
	total   int64
	written int64
	charged int64 // what the owner is charged with
}

// grow makes the claim at least so large, or returns ErrNoSpace and leaves it.
func (c *claim) grow(total int64) error { return c.growBeyond(total, 0) }

// growBeyond is grow where so much more than what is offered may be taken.
func (c *claim) growBeyond(total, margin int64) error {
	if total <= c.total {
		return nil
	}
	s := c.space
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(total-c.total, margin); err != nil {
		return err
	}
	s.claimed += total - c.total
	c.total = total
	return nil
}

// wrote says how many bytes of the claim are on the disk.
func (c *claim) wrote(written int64) {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	c.set(max(c.total, written), written)
}

// charge says with how many bytes the owner is charged.
func (c *claim) charge(n int64) {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	c.setCharged(n)
}

// shrink gives back the promise and keeps what is written.
func (c *claim) shrink() {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	c.set(c.written, c.written)
	c.setCharged(c.written)
}

// release gives everything back.
func (c *claim) release() {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	c.set(0, 0)
	c.setCharged(0)
}

func (c *claim) set(total, written int64) {
	c.space.claimed += total - c.total
	c.space.written += written - c.written
	c.total, c.written = total, written
}

func (c *claim) setCharged(n int64) {
	c.space.owner(c.owner).open += n - c.charged
	c.charged = n
	c.space.tidy(c.owner)
}

// settle says how many bytes committed shares have, by how many each owner has more, and whose uploads they were, which are
// not charged any longer: at no time an owner is charged twice for a share, or not at all.
func (s *space) settle(used int64, more map[string]int64, finished []*claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = used
	for owner, n := range more {
		s.owner(owner).held += n
		s.tidy(owner)
	}
	for _, c := range finished {
		c.setCharged(0)
	}
}

// index returns ErrNoSpace when the disk is too full for the index to be written safely.
func (s *space) index(n int64) error {
	disk, err := s.files.Free(s.dir)
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if disk < indexHeadroom+n {
		return fmt.Errorf("%w: %d bytes are free, the index needs %d", share.ErrNoSpace, disk, indexHeadroom+n)
	}
	return nil
}

func (s *space) space() (share.Space, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := s.free()
	if err != nil {
		return share.Space{}, err
	}
	used := s.used + s.written
	offered := s.offer
	if offered == 0 {
		offered = used + min(free, math.MaxInt64-used)
	}
	return share.Space{Offered: offered, Used: used, Free: free}, nil
}
