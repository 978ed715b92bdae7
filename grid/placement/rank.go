package placement

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"cairn/share"
)

// rank returns the servers in the order of weighted rendezvous hashing: the first place goes to each server with a
// probability in proportion to its weight, the second place to each of the others, and so on. Adding or removing
// a server leaves the others in the same order.
func rank(seed []byte, shareSize int64, servers []Server) []*place {
	prefix := sha256.Sum256(seed)
	places := make([]*place, 0, len(servers))
	seen := make(map[share.ServerID]bool, len(servers))
	for i := range servers {
		s := &servers[i]
		if seen[s.ID] {
			continue
		}
		seen[s.ID] = true
		hash := sha256.Sum256(append(prefix[:len(prefix):len(prefix)], s.ID...))
		places = append(places, &place{
			id: s.ID, key: binary.BigEndian.Uint64(hash[:]), cost: cost(binary.BigEndian.Uint64(hash[8:]), s.Free),
			room: room(s, shareSize), held: setOf(s.Holds), last: s.Last, refused: s.Refused,
		})
	}
	slices.SortFunc(places, func(a, b *place) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id))
	})
	return places
}

// cost is the arrival time of a server in a race in which it runs with its weight as speed; the earliest ranks first.
func cost(hash uint64, free int64) float64 {
	if free <= 0 {
		return math.Inf(1)
	}
	uniform := (float64(hash>>11) + 0.5) / (1 << 53)
	return -math.Log(uniform) / weight(free)
}

// weight is the free space rounded down to three binary digits, so that an upload that is repeated a little later,
// with a little less free everywhere, is planned the same.
func weight(free int64) float64 {
	shift := max(0, bits.Len64(uint64(free))-3)
	return float64(free >> shift << shift)
}

// room returns how many shares the server can take.
func room(s *Server, shareSize int64) int64 {
	switch {
	case s.Full || s.Free <= 0:
		return 0
	case shareSize <= 0:
		return share.MaxTotal
	}
	return s.Free / shareSize
}

// pair assigns one share to each server. Each pair has a pseudorandom score and the best pair goes first, so that
// exchanging one server for another moves few of the other shares.
func pair(places []*place, numbers []share.Number, assign func(share.Number, *place)) {
	type candidate struct {
		score  uint64
		number share.Number
		place  *place
	}
	candidates := make([]candidate, 0, len(places)*len(numbers))
	for _, place := range places {
		for _, number := range numbers {
			candidates = append(candidates, candidate{mix(place.key, number), number, place})
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.number, b.number), cmp.Compare(a.place.id, b.place.id))
	})
	var done set
	for _, c := range candidates {
		if !done.has(c.number) && c.place.gets.len() == 0 {
			done.add(c.number)
			assign(c.number, c.place)
		}
	}
}

// mix derives the score of a server for one share; it is the finalizer of SplitMix64.
func mix(key uint64, number share.Number) uint64 {
	z := key + (uint64(number)+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
