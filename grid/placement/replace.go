package placement

import (
	"cmp"
	"slices"

	"cairn/share"
)

// Replace chooses a server for a share that lost its place because a server failed, refused or lags. servers are
// all that are left, as they are now: Holds includes what is on its way to them, and one that lags is Full. The choice
// is a server that has no share, else one that makes the placement happier, else one that is Last, else the one with the
// fewest shares, and among equals the first in the same order that New follows; one that is Last comes behind its equals, and one
// that is Refused is chosen where there is no other at all, or where it alone makes the placement happier. It is false when no server
// that lacks the share has room for it.
func Replace(seed []byte, shareSize int64, servers []Server, number share.Number) (share.ServerID, bool) {
	places := rank(seed, shareSize, servers)
	var candidates, refused []*place
	for _, place := range places {
		place.load = place.held.len()
		switch {
		case place.room <= 0 || place.held.has(number):
		case place.refused:
			refused = append(refused, place)
		default:
			candidates = append(candidates, place)
		}
	}
	if len(refused) > 0 && (len(candidates) == 0 || happier(places, candidates, number) == nil) {
		if place := happier(places, refused, number); place != nil {
			return place.id, true
		}
	}
	if len(candidates) == 0 {
		candidates = refused
	}
	if len(candidates) == 0 {
		return "", false
	}
	slices.SortStableFunc(candidates, func(a, b *place) int { return cmp.Or(cmp.Compare(a.load, b.load), compareLast(a, b)) })
	if candidates[0].load > 0 {
		if place := happier(places, candidates, number); place != nil {
			return place.id, true
		}
		if i := slices.IndexFunc(candidates, func(p *place) bool { return p.last }); i >= 0 {
			return candidates[i].id, true
		}
	}
	return candidates[0].id, true
}

// happier returns the first candidate that makes the placement happier when it gets the share.
func happier(places, candidates []*place, number share.Number) *place {
	before := happinessOf(places)
	for _, place := range candidates {
		held := place.held
		place.held.add(number)
		after := happinessOf(places)
		place.held = held
		if after > before {
			return place
		}
	}
	return nil
}

func happinessOf(places []*place) int {
	m := matching{total: share.MaxTotal}
	for _, place := range places {
		m.add(place.held)
	}
	return m.size
}
