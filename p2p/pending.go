package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// startedFor is how long after its start a host counts peers that it only hears of among those that it is about to meet: what
// members tell later cannot make anybody wait.
const startedFor = 5 * time.Second

// A Pending peer is one that may answer soon: it is being tried for the first time since the host started or heard of it, or
// since the connection to it ended.
type Pending struct {
	Peer
	Since time.Time
	// Parted says that it was connected, and may have started again or not.
	Parted bool
}

// Pending returns the peers that have neither answered nor failed to yet, and a channel that is closed when one of them does or
// another one joins them. A peer that does neither stops being pending no later than when its first hello is overdue.
func (h *Host) Pending() (list []Pending, changed <-chan struct{}) { return h.members.pending() }

func (t *members) pending() (list []Pending, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.byID {
		if !m.pending.IsZero() {
			list = append(list, Pending{m.peer(), m.pending, m.parted})
		}
	}
	if t.news == nil {
		t.news = make(chan struct{})
	}
	return list, t.news
}

// await makes a peer pending. The lock is held.
func (t *members) await(m *member, now time.Time) {
	m.pending = now
	t.announce()
}

// settle notes that a peer has answered or failed to. The lock is held.
func (t *members) settle(m *member) {
	if !m.pending.IsZero() {
		m.pending = time.Time{}
		t.announce()
	}
}

// settled notes that a peer has answered or failed to.
func (t *members) settled(id peer.ID) { t.with(id, t.settle) }

// announce wakes those who wait for a change among the pending peers. The lock is held.
func (t *members) announce() {
	if t.news != nil {
		close(t.news)
		t.news = nil
	}
}
