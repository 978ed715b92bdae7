package placement

import "cairn/share"

// Happiness returns the size of a maximum matching between servers and distinct shares: on how many servers the
// file can count at once.
func Happiness(holders map[share.ServerID][]share.Number) int {
	m := matching{total: share.MaxTotal}
	for _, numbers := range holders {
		m.add(setOf(numbers))
	}
	return m.size
}

// A matching is a maximum matching between servers, which are added one after the other, and share numbers. A server
// or share that is matched stays matched, though not always with the same partner.
type matching struct {
	total   int
	servers []set
	server  [share.MaxTotal]int // the server matched with a share, counted from 1; 0 for none
	matched set
	size    int
}

// add adds a server that holds the given shares, and reports whether the matching grew.
func (m *matching) add(held set) bool {
	m.servers = append(m.servers, held)
	if m.size == m.total {
		return false
	}
	var visited set
	if !m.augment(len(m.servers), &visited) {
		return false
	}
	m.size++
	return true
}

// augment finds a share for a server, moving other servers to other shares of theirs where that helps. It looks at
// each share at most once.
func (m *matching) augment(server int, visited *set) bool {
	held := m.servers[server-1]
	if n, ok := held.without(m.matched).first(); ok {
		m.matched.add(n)
		m.server[n] = server
		return true
	}
	for n, ok := held.without(*visited).first(); ok; n, ok = held.without(*visited).first() {
		visited.add(n)
		if m.augment(m.server[n], visited) {
			m.server[n] = server
			return true
		}
	}
	return false
}
