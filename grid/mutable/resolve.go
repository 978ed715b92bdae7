package mutable

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	"cairn/grid/placement"
	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/head"
)

// A rival is a head that servers hold in place of what the version replaces.
type rival struct {
	head    head.Head
	record  []byte
	targets []*target
}

// resolve looks at the servers that hold something else than was thought, and prepares another round for those that can
// be brought up to date. It returns false when the version is written and there is nothing more to do.
//
// A head that was acknowledged to its writer is never replaced by one that does not follow it. Whether it was, follows from
// how many servers may have taken it: those that hold it, or held it before they took another one, those that do not answer, and those
// that are not on the list of servers any more. Where that cannot be found out it counts as acknowledged. Of several new heads that were not, the one that most servers
// hold goes on, under a sequence that all of them accept; its writer and the others' see the same.
func (c *commit) resolve(ctx context.Context) (again bool, err error) {
	enough := c.enough()
	rivals := c.rivals()
	press := false
	for _, r := range rivals {
		switch v := c.judge(ctx, r); {
		case v == replaceable:
			c.replace(r)
		case v == equal && !enough:
			press = true
		case !enough && v == newer:
			if r.head.Sequence < c.head.Sequence {
				c.m.suspect(r.head)
			}
			return false, c.collision(r)
		}
	}
	if slices.ContainsFunc(c.targets, func(t *target) bool { return t.diverged && t.state == idle }) || press {
		c.all(ctx)
	}
	if enough {
		return c.count(idle) > 0, nil
	}
	if press {
		for _, r := range rivals {
			c.replace(r)
		}
		return true, c.press()
	}
	if c.count(idle) > 0 {
		return true, nil
	}
	if c.pending > 0 {
		return true, nil
	}
	return false, c.unhappy()
}

// rivals returns what conflicting servers hold, the highest sequence first.
func (c *commit) rivals() []*rival {
	byDigest := map[share.Digest]*rival{}
	for _, t := range c.targets {
		if t.state != conflicting {
			continue
		}
		r := byDigest[t.theirs.Digest]
		if r == nil {
			r = &rival{head: t.theirs, record: t.record}
			byDigest[t.theirs.Digest] = r
		}
		r.targets = append(r.targets, t)
	}
	rivals := make([]*rival, 0, len(byDigest))
	for _, r := range byDigest {
		rivals = append(rivals, r)
	}
	slices.SortFunc(rivals, func(a, b *rival) int {
		return cmp.Or(cmp.Compare(b.head.Sequence, a.head.Sequence), cmp.Compare(len(b.targets), len(a.targets)),
			bytes.Compare(b.head.Digest[:], a.head.Digest[:]))
	})
	return rivals
}

// A verdict says what a write may do with a rival.
type verdict int

const (
	replaceable verdict = iota // it is older, and either followed or was never acknowledged
	equal                      // as new, not acknowledged, and fewer servers hold it
	newer                      // it goes first
)

func (c *commit) judge(ctx context.Context, r *rival) verdict {
	followed := r.head.Sequence == 0 || r.head.Digest == c.base.Head.Digest || c.base.follows[r.head.Digest] || c.mine[r.head.Digest] ||
		slices.Contains(c.head.Parents, r.head.Digest)
	switch {
	case r.head.Sequence > c.head.Sequence:
		return newer
	case r.head.Sequence == c.head.Sequence:
		if c.may(r.head) >= likely(c.params.Happy, len(c.targets)) || cmp.Or(cmp.Compare(c.count(acknowledged), len(r.targets)), bytes.Compare(c.head.Digest[:], r.head.Digest[:])) < 0 {
			return newer
		}
		return equal
	case followed || c.isGone(r):
		return replaceable
	}
	relation, maybe := c.apart(c.past(ctx, min(c.head.Sequence, r.head.Sequence)), r)
	if c.known.short {
		relation, maybe = c.apart(c.past(ctx, 0), r)
	}
	for _, t := range r.targets {
		t.diverged = relation != follows
	}
	if relation == follows || relation == forgotten {
		return replaceable
	}
	if maybe || len(r.targets) > c.count(acknowledged) { // some of those who have acknowledged it may have forgotten
		return newer
	}
	return replaceable
}

// apart returns how the version stands to a rival, and whether the rival or what it follows and the version does not may have been
// acknowledged.
func (c *commit) apart(known *lineage, r *rival) (relation relation, maybe bool) {
	relation = known.relation(c.head, r.head)
	if known.short || relation == follows || relation == forgotten {
		return relation, false
	}
	enough := likely(c.params.Happy, len(c.targets))
	return relation, known.line(r.head, c.head, func(h head.Head) bool { return c.may(h) >= enough })
}

// past returns what is known of the heads from a sequence on, which it asks for once.
func (c *commit) past(ctx context.Context, sequence uint64) *lineage {
	if c.known == nil || c.known.since > sequence {
		c.known = c.m.lineage(ctx, c.name, since(sequence))
	}
	c.known.know(c.head, c.base.Head)
	c.known.know(c.base.Forks...)
	for _, t := range c.targets {
		c.known.know(t.theirs)
	}
	return c.known
}

// may returns how many servers may have taken a head that this one does not follow, or may be about to, for all that is known.
func (c *commit) may(h head.Head) int {
	n := c.m.missing(c.name, c.servers)
	for _, t := range c.targets {
		if c.mayHold(t, h) {
			n++
		}
	}
	return n
}

func (c *commit) mayHold(t *target, h head.Head) bool {
	told := c.known != nil && c.known.tells(t.server.ID, h)
	switch {
	case t.showed[h.Digest] || told && c.known.holders[h.Digest][t.server.ID]:
		return true
	case t.state == acknowledged:
		return h.Sequence <= t.held && !told
	case t.state == conflicting || t.state == idle && t.theirs.Sequence > 0:
		return t.theirs.Sequence < h.Sequence || t.theirs.Sequence > h.Sequence && !told
	}
	return true
}

// all finds out what the version needs in all, for servers that may have let go of it.
func (c *commit) all(ctx context.Context) {
	if c.o.All == nil || c.needed != nil {
		return
	}
	needed, err := c.o.All(ctx)
	if err != nil {
		c.m.env.Logger.Warn("could not list what a version needs", "name", c.name.String(), "error", err)
	}
	c.needed = append(needed, c.adds...)
}

// isGone reports whether a rival is what a dead writer left behind.
func (c *commit) isGone(r *rival) bool {
	holders, gone := c.base.gone[r.head.Digest]
	if !gone || len(r.targets) > holders {
		return false
	}
	n := c.m.missing(c.name, c.servers)
	for _, t := range c.targets {
		behind := t.theirs.Sequence > 0 && t.theirs.Sequence < r.head.Sequence // its writer is dead
		if c.mayHold(t, r.head) && (!behind || t.showed[r.head.Digest]) {
			n++
		}
	}
	return n < c.params.Happy
}

// replace has the next round replace what the servers of a rival hold.
func (c *commit) replace(r *rival) {
	for _, t := range r.targets {
		t.state, t.replaces, t.held = idle, r.head.Digest, max(t.held, r.head.Sequence)
		if r.head.Sequence == c.head.Sequence {
			t.diverged = true
		}
		if r.head.Sequence > 0 {
			t.drops = append(t.drops, r.head.Root)
		}
	}
}

// press signs the same version once more, as the one after this one.
func (c *commit) press() error {
	before := c.head.Digest
	if err := c.sign(c.head.Sequence+1, []share.Digest{before}, nil); err != nil {
		return err
	}
	for _, t := range c.targets {
		if t.state == acknowledged {
			t.state = idle
		}
	}
	return nil
}

func (c *commit) collision(r *rival) error {
	left := len(c.mine) > 1 || c.count(acknowledged)+c.count(sent)+c.count(failed) > 0
	return &CollisionError{Theirs: r.head, Ours: c.head, Holders: c.count(acknowledged), Left: left, record: r.record}
}

// cover gives the shares of servers that failed or are late to others that have the head, where that makes the version
// happy.
func (c *commit) cover(ctx context.Context) {
	if c.count(acknowledged) < c.params.Happy || len(c.parcels) == 0 || c.happiness() >= c.params.Happy {
		return
	}
	var size int64
	for _, p := range c.parcels {
		size += int64(len(p.Shares[0]))
	}
	missing, places := c.uncovered()
	gives := map[*target][]share.Number{}
	for _, number := range missing {
		id, ok := placement.Replace(c.name[:], size, places, number)
		if !ok {
			continue
		}
		i := slices.IndexFunc(places, func(p placement.Server) bool { return p.ID == id })
		places[i].Holds = append(places[i].Holds, number)
		places[i].Free -= size
		gives[c.target(id)] = append(gives[c.target(id)], number)
	}
	c.give(ctx, gives)
}

// uncovered returns the shares that nobody has acknowledged, and the servers that could take them.
func (c *commit) uncovered() ([]share.Number, []placement.Server) {
	covered := map[share.Number]bool{}
	places := slices.Clone(c.places)
	for i := range places {
		p := &places[i]
		t := c.target(p.ID)
		_, batches := t.server.Store.(share.Batcher)
		p.Full = t.state != acknowledged || !batches
		p.Holds = slices.Clone(c.placed[p.ID])
		for _, number := range p.Holds {
			covered[number] = true
		}
	}
	var missing []share.Number
	for number := range c.params.Total {
		if !covered[share.Number(number)] {
			missing = append(missing, share.Number(number))
		}
	}
	return missing, places
}

// give puts further shares on servers, all at once.
func (c *commit) give(ctx context.Context, gives map[*target][]share.Number) {
	var giving sync.WaitGroup
	var mu sync.Mutex
	for t, numbers := range gives {
		giving.Go(func() {
			ctx, cancel := awake.WithTimeout(ctx, askTimeout)
			defer cancel()
			errs, err := t.server.Store.(share.Batcher).Put(ctx, c.sharesOf(numbers), c.m.lease())
			for _, e := range errs {
				if err == nil {
					err = e
				}
			}
			if err != nil {
				c.m.env.Logger.Warn("a server did not take a share in place of another", "server", t.server.String(), "error", inTime(ctx, err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			c.placed[t.server.ID] = append(slices.Clone(c.placed[t.server.ID]), numbers...)
		})
	}
	giving.Wait()
}
