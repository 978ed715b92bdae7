package p2p

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/p2p/wire"
	"cairn/share"
)

// members is the table of the peers a host knows. It does no I/O.
type members struct {
	self peer.ID

	mu   sync.Mutex
	byID map[peer.ID]*member
	// version counts the changes worth telling the others about: a member met, its addresses changed.
	version uint64
	large   bool // there are more members than a host keeps connected
	started time.Time
	news    chan struct{} // closed when a peer is pending or not any more; nil while nobody waits
}

// changed notes that there is something to tell about a member. The lock is held.
func (t *members) changed(m *member) {
	t.version++
	m.version = t.version
}

func newMembers(self peer.ID) *members {
	return &members{self: self, byID: make(map[peer.ID]*member), version: 1, started: time.Now()}
}

// with runs f on the member, if there is one, under the table's lock.
func (t *members) with(id peer.ID, f func(*member)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[id]
	if m != nil {
		f(m)
	}
	return m != nil
}

// learn notes addresses of a peer and reports whether it is to be dialled soon.
func (t *members) learn(info peer.AddrInfo, from source, now time.Time) bool {
	if info.ID == t.self || info.ID == "" {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[info.ID]
	if m == nil {
		if m = t.add(info.ID); m == nil {
			return false
		}
		m.nextDial = t.courtesy(info.ID, from, now)
		if from == bootstrap || now.Sub(t.started) < startedFor {
			t.await(m, now)
		}
	}
	m.source = max(m.source, from)
	if m.problem != "" && from == told {
		return false
	}
	if m.connected {
		if !m.responsive { // otherwise the peer itself says where it listens
			m.hear(info.Addrs)
		}
		return false
	}
	if m.hear(info.Addrs) && m.failures > 0 {
		m.failures, m.nextDial = 0, now
	}
	return true
}

// courtesy returns when to dial a peer first heard of now. Of two members that hear of each other at the same time, or
// start at the same time and remember each other, the one with the greater id waits a moment, so that they make one
// connection and not two.
func (t *members) courtesy(id peer.ID, from source, now time.Time) time.Time {
	if from == told && t.self > id {
		return now.Add(patience)
	}
	return now
}

// add makes room for a new peer, at the cost of one never met where the table is full. It returns nil when there is none.
func (t *members) add(id peer.ID) *member {
	if len(t.byID) >= maxMembers && !t.evict() {
		return nil
	}
	m := newMember(id)
	t.byID[id] = m
	return m
}

func (t *members) evict() bool {
	for id, m := range t.byID {
		if !m.met && !m.connected && !m.dialling && m.source == told {
			delete(t.byID, id)
			return true
		}
	}
	return false
}

// restore adds a member remembered from an earlier run.
func (t *members) restore(m *member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.id != t.self && t.byID[m.id] == nil && len(t.byID) < maxMembers {
		t.byID[m.id] = m
		t.changed(m)
	}
}

// connect notes that a peer is connected. It returns the channel on which a hello is asked for, or nil when somebody attends
// to the peer already.
func (t *members) connect(id peer.ID, leave func()) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[id]
	if m == nil {
		if m = t.add(id); m == nil {
			return nil
		}
	}
	if m.connected {
		return nil
	}
	if t.alone() {
		t.hurryAll(time.Now()) // what kept us from one member may have kept us from all
	}
	m.connected, m.up, m.responsive, m.toldAt, m.leave = true, false, false, 0, leave
	return m.greet
}

// disconnect notes that the last connection ended; spared says that one side parted with the other because it has many. It returns what is
// known of the peer, and whether it was up.
func (t *members) disconnect(id peer.ID, spared bool, now, next time.Time) (p Peer, wasUp bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[id]
	if m == nil || !m.connected {
		return Peer{}, false
	}
	wasUp, m.parted = m.up, m.parted || m.up
	answered := wasUp && m.responsive
	lost := !spared && (m.kept || !m.responsive || !t.large)
	m.leave()
	m.connected, m.up, m.responsive, m.kept, m.leave = false, false, false, false, nil
	if m.problem == "" {
		m.nextDial, m.ended = next, now
		if lost {
			m.tried = now
		}
		if answered && !spared && !t.large {
			t.await(m, now)
		}
	}
	if !m.met && m.source == told && len(m.addresses) == 0 {
		delete(t.byID, id)
	}
	return m.peer(), wasUp
}

// heard notes a hello of a connected peer; latency is 0 when it was not measured. It returns the change that is news to
// the subscribers, if any.
func (t *members) heard(id peer.ID, hello wire.Hello, latency time.Duration, now time.Time) (Peer, Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[id]
	if m == nil || !m.connected {
		return Peer{}, ""
	}
	hello.Peers = nil
	var change Change
	switch {
	case !m.up:
		change = Up
	case !m.responsive:
		change = Responsive
	}
	if !m.met || m.problem != "" || now.Sub(m.lastSeen) > freshFor {
		t.changed(m)
	}
	m.hello, m.lastSeen, m.met, m.up, m.responsive, m.problem = hello, now, true, true, true, ""
	m.failures, m.failure = 0, ""
	if latency > 0 {
		if m.latency > 0 {
			latency = m.latency + (latency-m.latency)/smoothLatency
		}
		m.latency = latency
	}
	return m.peer(), change
}

// addresses notes where a connected peer says it listens, and where we reached it (nil when it connected to us). It
// reports whether that is news.
func (t *members) addresses(id peer.ID, announced []multiaddr.Multiaddr, reached multiaddr.Multiaddr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[id]
	if m == nil {
		return false
	}
	changed := m.listens(announced, reached)
	if reached != nil {
		m.reached(reached)
	}
	if changed {
		t.changed(m)
	}
	return changed
}

// alone reports whether no member is connected. The lock is held.
func (t *members) alone() bool {
	for _, m := range t.byID {
		if m.connected {
			return false
		}
	}
	return true
}

// hurry makes every member that is not connected due, because what kept us from it may have gone.
func (t *members) hurry(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hurryAll(now)
}

func (t *members) hurryAll(now time.Time) {
	for _, m := range t.byID {
		if !m.connected && m.problem == "" {
			m.failures, m.tried, m.nextDial = 0, time.Time{}, now.Add(rand.N(patience))
		}
	}
}

// greetAll has every connected member greeted now.
func (t *members) greetAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.byID {
		if m.connected {
			select {
			case m.greet <- struct{}{}:
			default:
			}
		}
	}
}

// silent notes that a connected peer does not answer and reports whether that is news.
func (t *members) silent(id peer.ID) (p Peer, news bool) {
	t.with(id, func(m *member) {
		news = m.connected && m.responsive
		m.responsive = false
		p = m.peer()
	})
	return p, news
}

// quiet returns how long nothing has come from the peer.
func (t *members) quiet(id peer.ID, now time.Time) (d time.Duration) {
	t.with(id, func(m *member) { d = now.Sub(time.Unix(0, m.active.Load())) })
	return d
}

// activity returns where to note that bytes came from the peer, nil when it is not known.
func (t *members) activity(id peer.ID) (active *atomic.Int64) {
	t.with(id, func(m *member) { active = &m.active })
	return active
}

// missed notes that a peer could not be reached when somebody wanted to.
func (t *members) missed(id peer.ID, now time.Time) {
	t.with(id, func(m *member) {
		if !m.connected {
			m.tried = now
		}
	})
}

// unreachable reports whether the connection ended or an attempt to connect failed a moment ago.
func (t *members) unreachable(id peer.ID, now time.Time) (failed bool) {
	t.with(id, func(m *member) { failed = !m.connected && now.Sub(m.tried) < giveUpFor })
	return failed
}

// refuse notes why a peer is not used and reports whether that is news.
func (t *members) refuse(id peer.ID, why error, now time.Time) (p Peer, news bool) {
	t.with(id, func(m *member) {
		reason := refusal(why)
		news = m.problem != reason
		m.problem, m.responsive, m.denies = reason, false, errors.Is(why, ErrNotAdmitted)
		m.nextDial = now.Add(refusedRetry/2 + rand.N(refusedRetry))
		t.settle(m)
		p = m.peer()
	})
	return p, news
}

// refusal returns why a peer is not used. That it is refused is said once, and not by everybody on the way.
func refusal(why error) string {
	refused := share.ErrDenied.Error()
	rest, ok := strings.CutPrefix(why.Error(), refused+": ")
	if !ok {
		return why.Error()
	}
	return refused + ": " + strings.ReplaceAll(rest, ": "+refused, "")
}

// retry makes the peers that were refused due again, and notes of those that are away whether the gate refuses them.
func (t *members) retry(admit func(peer.ID) error, now time.Time) {
	refused := map[peer.ID]string{}
	_, ids := t.known()
	for _, id := range ids {
		if err := admit(id); err != nil {
			refused[id] = err.Error()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, m := range t.byID {
		if reason := refused[id]; reason != "" && !m.connected {
			m.problem, m.nextDial = reason, now.Add(refusedRetry/2+rand.N(refusedRetry))
			continue
		}
		if m.problem == "" {
			continue
		}
		m.nextDial = now
		if !m.connected { // otherwise we are about to part, and the dialler tries when that is done
			m.problem = ""
		}
	}
}

// due marks up to limit peers as being dialled and returns them, with the time at which the next one is due (zero when
// none is). At most as many peers as wanted are connected to or dialled; those of the configuration beyond that, but seldom: in a large
// grid everybody has the same few, which cannot stay connected to all.
func (t *members) due(now time.Time, limit, keep int) (dial []peer.AddrInfo, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep = t.wanted(keep)
	busy, dialling := 0, 0
	for _, m := range t.byID {
		if m.connected || m.dialling {
			busy++
		}
		if m.dialling {
			dialling++
		}
	}
	for _, m := range t.apart(now) {
		at := m.nextDial
		if busy >= keep {
			at = later(at, m.ended.Add(seldom))
		}
		switch {
		case m.source != bootstrap && busy >= keep:
			t.settle(m) // it may answer, but is not going to be asked
		case at.After(now):
			if next.IsZero() || at.Before(next) {
				next = at
			}
		case dialling < limit:
			m.dialling = true
			busy, dialling = busy+1, dialling+1
			dial = append(dial, m.info())
		}
	}
	return dial, next
}

// apart returns the peers that are neither connected nor being dialled: first those that are due, of whom the ones that were
// seen last are the likeliest to be there. The lock is held.
func (t *members) apart(now time.Time) []*member {
	var due, others []*member
	for _, m := range t.byID {
		switch {
		case m.connected || m.dialling:
		case m.nextDial.After(now):
			others = append(others, m)
		default:
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(a, b *member) int { return b.lastSeen.Compare(a.lastSeen) })
	return append(due, others...)
}

// dialled notes the end of an attempt. A peer that was never met is forgotten after a few.
func (t *members) dialled(id peer.ID, failure error, now time.Time, longest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[id]
	if m == nil {
		return
	}
	m.dialling = false
	if failure == nil {
		// The next attempt, should the connection end at once.
		m.nextDial = now.Add(firstRetry)
		return
	}
	t.settle(m)
	if t.alone() {
		longest = min(longest, aloneRetry)
	}
	if m.failed(failure, now, longest) && !m.connected {
		delete(t.byID, id)
	}
}

// tell returns what to tell a member about up to limit others, which is what has changed since it was told last, oldest
// first, and for untell what it had been told before.
func (t *members) tell(to peer.ID, limit int, now time.Time) (list []wire.PeerAddresses, before uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[to]
	if m == nil || m.toldAt == t.version {
		return nil, t.version
	}
	var news []*member
	for id, other := range t.byID {
		if id == to || other.version <= m.toldAt || !other.met || other.problem != "" || len(other.addresses) == 0 {
			continue
		}
		if other.connected || now.Sub(other.lastSeen) <= freshFor {
			news = append(news, other)
		}
	}
	slices.SortFunc(news, func(a, b *member) int { return cmp.Compare(a.version, b.version) })
	before, m.toldAt = m.toldAt, t.version
	if len(news) > limit { // the rest follows next time
		news = news[:limit]
		m.toldAt = news[len(news)-1].version
	}
	for _, other := range news {
		list = append(list, wire.PeerAddresses{ID: other.server, Addresses: slices.Clone(other.texts)})
	}
	return list, before
}

// untell makes the next hello repeat what an unanswered one told.
func (t *members) untell(id peer.ID, before uint64) {
	t.with(id, func(m *member) { m.toldAt = min(m.toldAt, before) })
}

// seen returns when a peer last greeted or answered.
func (t *members) seen(id peer.ID) (at time.Time) {
	t.with(id, func(m *member) { at = m.lastSeen })
	return at
}

func (t *members) met(id peer.ID) (met bool) {
	t.with(id, func(m *member) { met = m.met && m.problem == "" })
	return met
}

func (t *members) info(id peer.ID) (info peer.AddrInfo) {
	t.with(id, func(m *member) { info = m.info() })
	return info
}

// connected returns up to limit members that are connected and answer.
func (t *members) connected(limit int) []peer.AddrInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []peer.AddrInfo
	for _, m := range t.byID {
		if len(list) < limit && m.connected && m.responsive {
			list = append(list, m.info())
		}
	}
	return list
}

// known returns the peers that are or should be members, and those that were refused, in no order.
func (t *members) known() (list []Peer, ids []peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, m := range t.byID {
		if m.met || m.source == bootstrap || m.problem != "" {
			list, ids = append(list, m.peer()), append(ids, id)
		}
	}
	return list, ids
}

// attended reports whether a peer is connected.
func (t *members) attended(id peer.ID) (connected bool) {
	t.with(id, func(m *member) { connected = m.connected })
	return connected
}

// mute reports whether a peer is connected and does not answer.
func (t *members) mute(id peer.ID) (mute bool) {
	t.with(id, func(m *member) { mute = m.connected && !m.responsive })
	return mute
}

// snapshot returns the members worth remembering and the table's version.
func (t *members) snapshot() ([]bookEntry, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []bookEntry
	for _, m := range t.byID {
		if m.met && m.problem == "" {
			list = append(list, entryOf(m))
		}
	}
	return list, t.version
}

func (t *members) changedSince(version uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.version != version
}

// wanted returns how many members a host wants to be connected to: keep where there are no more, and half as many in a larger
// grid. There whoever comes later finds everybody connected to enough others already, and must be let in all the same. The lock
// is held.
func (t *members) wanted(keep int) int {
	known := 0
	for _, m := range t.byID {
		if m.met && m.problem == "" {
			known++
		}
	}
	if t.large = known > keep; t.large {
		return max(1, keep/2)
	}
	return keep
}

// kept returns which of the connected members to keep: those that are kept already, and others up to as many as wanted.
func (t *members) kept(keep int) (stay, leave []peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep = t.wanted(keep)
	for _, already := range []bool{true, false} {
		for id, m := range t.byID {
			if !m.connected || m.kept != already {
				continue
			}
			if m.up && m.problem == "" && len(stay) < keep {
				stay = append(stay, id)
			} else {
				leave = append(leave, id)
			}
		}
	}
	for _, id := range stay {
		t.byID[id].kept = true
	}
	for _, id := range leave {
		t.byID[id].kept = false
	}
	return stay, leave
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
