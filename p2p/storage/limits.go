package storage

import (
	"fmt"
	"sync"

	"cairn/share"
)

// A Limit bounds how many of something there are at a time. What exceeds it is refused with share.ErrBusy.
type Limit struct {
	PerPeer int
	Total   int
}

// or returns the limit with the fields that are unset taken from another one.
func (l Limit) or(other Limit) Limit {
	if l.PerPeer <= 0 {
		l.PerPeer = other.PerPeer
	}
	if l.Total <= 0 {
		l.Total = other.Total
	}
	return l
}

// A counter enforces a Limit.
type counter struct {
	what  string
	limit Limit

	mu    sync.Mutex
	peers map[share.ServerID]int
	total int
}

func newCounter(what string, limit Limit) *counter {
	return &counter{what: what, limit: limit, peers: make(map[share.ServerID]int)}
}

func (c *counter) acquire(peer share.ServerID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.peers[peer] >= c.limit.PerPeer:
		return fmt.Errorf("%w: at most %d %s per peer", share.ErrBusy, c.limit.PerPeer, c.what)
	case c.total >= c.limit.Total:
		return fmt.Errorf("%w: at most %d %s in total", share.ErrBusy, c.limit.Total, c.what)
	}
	c.peers[peer]++
	c.total++
	return nil
}

func (c *counter) release(peer share.ServerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.peers[peer]--; c.peers[peer] == 0 {
		delete(c.peers, peer)
	}
}
