// Package placement decides which server gets which share, and measures the happiness of a placement.
//
// The rules are LAFS's servers of happiness: the happiness of a placement is the size of a maximum matching between
// servers and distinct shares, that is the largest number of servers that could each stand for a share of its own.
// Any k of those servers are enough to read the file. Everything here is a pure function of its arguments: equal
// input gives equal output.
package placement

import (
	"cmp"
	"slices"

	"cairn/share"
)

// A Server is one place where shares can go.
type Server struct {
	ID share.ServerID
	// Free is how many bytes the server can still take; what is on its way to it is already taken off.
	Free int64
	// Holds are the shares of this file or upload that are there already, complete or partial. They cost no space.
	Holds []share.Number
	// Full is true for a server that takes nothing new, but counts for what it holds: it is read-only, lagging,
	// or has refused.
	Full bool
	// Refused is true for a server that gets something new only where the placement is not happy without it.
	Refused bool
	// Last is true for a server that gets only what the others cannot take. It is preferred to a second share on one of them.
	Last bool
}

// A Plan says where each share goes.
type Plan struct {
	// Assign names one server for each share. A share is missing here only when no server is left with room for it.
	Assign map[share.Number]share.ServerID
	// Happiness is that of the assigned shares together with all that the servers hold already.
	Happiness int
}

// New plans where the shares of one file go. Of two servers with the same id, the second is ignored; numbers held
// that the parameters do not have are ignored too.
//
// The happiness of the plan is the highest that any placement has; servers that are Refused are left out as long as it is
// params.Happy without them and every share has a place. Shares stay where they are as long as that
// costs no happiness; no server is assigned two shares while another one with room has none; beyond that they
// are spread as evenly as room allows. Room is Free divided by shareSize; a share of unknown or no length
// (shareSize ≤ 0) fits as often as wanted wherever anything is free. Where several servers would do, the order of
// the servers decides: it is pseudorandom, given by the seed, and servers with more free space come first more often,
// in proportion.
//
// A server that is Last gets a share when every other one with room has one, and then takes all shares that are left, as far as
// it has room.
//
// The error is a *share.UnhappyError when the happiness is below params.Happy; the plan is the best there is then.
func New(seed []byte, params share.Params, shareSize int64, servers []Server) (Plan, error) {
	if err := params.Validate(); err != nil {
		return Plan{}, err
	}
	if slices.ContainsFunc(servers, func(s Server) bool { return s.Refused }) {
		willing := slices.Clone(servers)
		for i := range willing {
			willing[i].Full = willing[i].Full || willing[i].Refused
		}
		if plan, err := newPlan(seed, params, shareSize, willing); err == nil && len(plan.Assign) == params.Total {
			return plan, nil
		}
	}
	return newPlan(seed, params, shareSize, servers)
}

func newPlan(seed []byte, params share.Params, shareSize int64, servers []Server) (Plan, error) {
	p := newPlanner(seed, params.Total, shareSize, servers)
	happiness := p.keep()
	happiness += p.spread()
	p.fill()
	plan := Plan{Assign: make(map[share.Number]share.ServerID, params.Total), Happiness: happiness}
	for number, place := range p.assigned {
		if place != nil {
			plan.Assign[share.Number(number)] = place.id
		}
	}
	if happiness < params.Happy {
		return plan, &share.UnhappyError{Happiness: happiness, Happy: params.Happy, Needed: params.Needed, Servers: len(p.places)}
	}
	return plan, nil
}

// A place is a server while a plan is made.
type place struct {
	id   share.ServerID
	last bool
	// refused says that the server is chosen when no other is any good.
	refused bool
	key     uint64 // pseudorandom, from seed and id
	cost    float64
	room    int64
	held    set
	// gets are the shares assigned, and load is how many distinct shares the server has with those it holds.
	gets set
	load int
}

func (p *place) give(number share.Number) {
	if !p.held.has(number) {
		p.room--
		p.load++
	}
	p.gets.add(number)
}

// A planner makes one plan: keep, then spread, then fill.
type planner struct {
	places   []*place // in order of the ranking
	assigned []*place // by share number
}

func newPlanner(seed []byte, total int, shareSize int64, servers []Server) *planner {
	p := &planner{places: rank(seed, shareSize, servers), assigned: make([]*place, total)}
	valid := firstNumbers(total)
	for _, place := range p.places {
		place.held = place.held.and(valid)
		place.load = place.held.len()
	}
	return p
}

func (p *planner) assign(number share.Number, to *place) {
	p.assigned[number] = to
	to.give(number)
}

// keep matches as many servers as possible with a share that they hold, those without room first, because nothing
// else can make them count, and the last ones last. It returns how many.
func (p *planner) keep() int {
	m := matching{total: len(p.assigned)}
	order := slices.Clone(p.places)
	slices.SortStableFunc(order, func(a, b *place) int {
		return cmp.Or(cmp.Compare(min(a.room, 1), min(b.room, 1)), compareLast(a, b))
	})
	for _, place := range order {
		m.add(place.held)
	}
	for number, server := range m.server {
		if server > 0 {
			p.assign(share.Number(number), order[server-1])
		}
	}
	return m.size
}

// spread gives one share each to the servers with room that have none assigned, first to those that hold nothing
// at all, and to the last ones when there are shares left. Shares that are nowhere go first, then those of the servers that
// hold most. It returns how many.
func (p *planner) spread() int { return p.spreadOver(false) + p.spreadOver(true) }

func (p *planner) spreadOver(last bool) int {
	var free []*place
	for _, place := range p.places {
		if place.last == last && place.room > 0 && place.gets.len() == 0 {
			free = append(free, place)
		}
	}
	slices.SortStableFunc(free, func(a, b *place) int { return cmp.Compare(min(a.load, 1), min(b.load, 1)) })
	numbers := p.unassigned()
	crowd := make([]int, len(p.assigned))
	for _, number := range numbers {
		crowd[number] = p.crowd(number)
	}
	slices.SortStableFunc(numbers, func(a, b share.Number) int { return cmp.Compare(crowd[b], crowd[a]) })
	n := min(len(free), len(numbers))
	pair(free[:n], numbers[:n], p.assign)
	return n
}

// crowd returns how many shares the emptiest holder of a share has; a share that nobody holds comes before all others.
func (p *planner) crowd(number share.Number) int {
	crowd := share.MaxTotal + 1
	for _, place := range p.places {
		if place.held.has(number) {
			crowd = min(crowd, place.load)
		}
	}
	return crowd
}

// fill assigns what is left: a share that is somewhere stays, another goes to a last server, else where fewest shares are.
func (p *planner) fill() {
	rest := p.unassigned()
	for _, number := range rest {
		if to := p.emptiest(func(s *place) bool { return s.held.has(number) }); to != nil {
			p.assign(number, to)
		}
	}
	for _, last := range []bool{true, false} {
		for _, number := range p.unassigned() {
			if to := p.emptiest(func(s *place) bool { return s.last == last && s.room > 0 }); to != nil {
				p.assign(number, to)
			}
		}
	}
}

// compareLast orders places: the last ones come last.
func compareLast(a, b *place) int {
	switch {
	case a.last == b.last:
		return 0
	case a.last:
		return 1
	}
	return -1
}

// emptiest returns the server with the fewest shares among those that fit, the first in the ranking if equal.
func (p *planner) emptiest(fits func(*place) bool) *place {
	var best *place
	for _, place := range p.places {
		if fits(place) && (best == nil || place.load < best.load) {
			best = place
		}
	}
	return best
}

func (p *planner) unassigned() []share.Number {
	var numbers []share.Number
	for number, place := range p.assigned {
		if place == nil {
			numbers = append(numbers, share.Number(number))
		}
	}
	return numbers
}
