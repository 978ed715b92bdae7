package mutable

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/head"
	"cairn/share/keys"
)

// A lineage is what servers tell of the past of a name: every head that they still know, tied together by parents, and who
// held which.
type lineage struct {
	heads    map[share.Digest]head.Head
	holders  map[share.Digest]map[share.ServerID]bool
	answered map[share.ServerID]bool
	// since is the sequence below which nobody was asked for heads. short is set where something was found out that may be
	// otherwise for who knows those too.
	since   uint64
	short   bool
	current map[share.Digest]int // on how many servers a head is the newest
}

// around is how far below what it is about servers are asked for heads at first: writers that collide have a version in common that is not old,
// and a name of which versions are written one after the other has hundreds.
const around = 8

// since returns from which sequence on heads are of interest to who wants to know how one of this sequence stands to others.
func since(sequence uint64) uint64 { return sequence - min(sequence, around) }

// lineage asks the head servers that are up for the heads they have kept, from a sequence on.
func (m *Files) lineage(ctx context.Context, name share.Name, since uint64) *lineage {
	ctx, cancel := awake.WithTimeout(ctx, askTimeout)
	defer cancel()
	l := &lineage{
		heads: map[share.Digest]head.Head{}, holders: map[share.Digest]map[share.ServerID]bool{}, answered: map[share.ServerID]bool{},
		since: since, current: map[share.Digest]int{},
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, server := range m.headServers(ctx, name) {
		if server.Down {
			continue
		}
		asking.Go(func() {
			records, err := server.heads.History(ctx, name, since)
			if err != nil {
				m.env.Logger.Debug("a server gave no history", "server", server.String(), "name", name.String(), "error", inTime(ctx, err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			l.answered[server.ID] = true
			if len(records) > 0 {
				l.current[sha256.Sum256(records[0])]++
			}
			if err := l.add(m, server.ID, name, records); err != nil {
				m.env.Logger.Warn("a server gave a head that does not verify", "server", server.String(), "name", name.String(), "error", err)
			}
		})
	}
	asking.Wait()
	return l
}

// add adds the records that one server gave, up to the first that does not verify.
func (l *lineage) add(m *Files, server share.ServerID, name share.Name, records [][]byte) error {
	for _, record := range records[:min(len(records), share.MaxHistory)] {
		digest := share.Digest(sha256.Sum256(record))
		if _, known := l.heads[digest]; !known {
			h, err := m.parse(name, digest, record)
			if err != nil {
				return err
			}
			l.know(h)
		}
		if l.holders[digest] == nil {
			l.holders[digest] = map[share.ServerID]bool{}
		}
		l.holders[digest][server] = true
	}
	return nil
}

// parse is head.Parse for a record of this digest. It remembers what it returned: a name of which versions are written one after the other is
// looked up over and over, and checking some hundred signatures takes longer than the others take to write the next version.
func (m *Files) parse(name share.Name, digest share.Digest, record []byte) (head.Head, error) {
	if h, known := m.parsed.Get(digest); known && h.Name == name {
		return h, nil
	}
	h, err := head.Parse(name, record)
	if err == nil {
		m.parsed.Add(digest, h)
	}
	return h, err
}

// know adds heads that are known otherwise.
func (l *lineage) know(heads ...head.Head) {
	for _, h := range heads {
		if h.Sequence > 0 {
			l.heads[h.Digest] = h
		}
	}
}

// A relation says whether one head follows another.
type relation int

const (
	// apart: it does not.
	apart relation = iota
	// follows: it does, through any of its parents.
	follows
	// forgotten: what lies between them is so old that servers do not keep it any more. The other one was left behind.
	forgotten
	// unclear: what lies between them should be kept, and is not to be found now.
	unclear
)

// tells reports whether a server has told whether it holds a head.
func (l *lineage) tells(server share.ServerID, h head.Head) bool {
	return l.answered[server] && h.Sequence >= l.since
}

// relation returns how a head stands to an older one.
func (l *lineage) relation(h, ancestor head.Head) relation {
	result := apart
	seen := map[share.Digest]bool{}
	for next := []head.Head{h}; len(next) > 0; next = next[1:] {
		for i, digest := range next[0].Parents {
			if digest == ancestor.Digest {
				return follows
			}
			if seen[digest] {
				continue
			}
			seen[digest] = true
			parent, known := l.heads[digest]
			switch {
			case known && parent.Sequence > ancestor.Sequence:
				next = append(next[:len(next):len(next)], parent)
			case known, i > 0: // who takes a fork in has its content
			case l.since > 0:
				result, l.short = unclear, true
			case !l.isForgotten(h, next[0]):
				result = unclear
			case result == apart:
				result = forgotten
			}
		}
	}
	return result
}

// isForgotten reports whether servers need not keep any more what a head follows, which is an ancestor of the newest one.
func (l *lineage) isForgotten(newest, h head.Head) bool {
	return time.Since(h.Written) >= l.age(newest, h) || newest.Sequence-h.Sequence >= share.MaxHistory/2
}

// relatedFor is how long it is waited at most for servers that know which version follows which. Longer ago, servers may have come and gone
// whatever was to be kept.
const relatedFor = 7 * 24 * time.Hour

// age returns the shortest time for which any version from h to the newest one had past ones kept, relatedFor at most: what was let go of
// then does not come back when a later version asks for more.
func (l *lineage) age(newest, h head.Head) time.Duration {
	age := min(relatedFor, newest.Retention().Age, h.Retention().Age)
	for _, other := range l.heads {
		if other.Sequence > h.Sequence {
			age = min(age, other.Retention().Age)
		}
	}
	return age
}

// lacks reports whether the version that one replaced was not found although servers keep it, or was not asked for.
func (l *lineage) lacks(newest, h head.Head) bool {
	if len(h.Parents) == 0 || l.since == 0 && l.isForgotten(newest, h) {
		return false
	}
	_, known := l.heads[h.Parents[0]]
	return !known
}

// line calls visit for a head and all that it follows and another one does not, until that returns true. It returns
// whether it did.
func (l *lineage) line(h, other head.Head, visit func(head.Head) bool) bool {
	theirs := map[share.Digest]bool{other.Digest: true}
	l.descend(other, func(a head.Head) bool {
		theirs[a.Digest] = true
		return true
	})
	if theirs[h.Digest] {
		return false
	}
	found := visit(h)
	whole := l.descend(h, func(a head.Head) bool {
		if found || theirs[a.Digest] {
			return false
		}
		found = visit(a)
		return !found
	})
	l.short = l.short || !found && !whole && l.since > 0
	return found
}

// descend calls visit for the known ancestors of a head, and goes on behind those for which that returns true. It returns whether it knows
// all that these follow.
func (l *lineage) descend(h head.Head, visit func(head.Head) bool) (whole bool) {
	whole = true
	seen := map[share.Digest]bool{}
	for next := []head.Head{h}; len(next) > 0; next = next[1:] {
		for _, digest := range next[0].Parents {
			parent, known := l.heads[digest]
			whole = whole && known
			if !known || seen[digest] {
				continue
			}
			seen[digest] = true
			if visit(parent) {
				next = append(next[:len(next):len(next)], parent)
			}
		}
	}
	return whole
}

// newest returns the head that a reader is given: the newest one, without those that were certainly not acknowledged where another one
// that they do not follow may have been. A head counts as acknowledged where so many servers are likely to have taken it.
func (l *lineage) newest(servers []headServer, missing, likely int) head.Head {
	may := func(h head.Head) bool {
		n := missing
		for _, s := range servers {
			if l.holders[h.Digest][s.ID] || !l.tells(s.ID, h) {
				n++
			}
		}
		return n >= likely
	}
	heads := slices.SortedFunc(maps.Values(l.heads), func(a, b head.Head) int { return l.compare(b, a) })
	for _, h := range heads {
		refused := !may(h) && slices.ContainsFunc(heads, func(other head.Head) bool {
			return l.current[other.Digest] > 0 && l.relation(h, other) == apart && l.line(other, h, may)
		})
		if !refused {
			return h
		}
	}
	return heads[0]
}

// newestOf is lineage.newest for the head servers of a name.
func (m *Files) newestOf(ctx context.Context, name share.Name, known *lineage) head.Head {
	servers := m.headServers(ctx, name)
	return known.newest(servers, m.missing(name, servers), likely(m.env.Params(ctx).Happy, len(servers)))
}

// A choice is a version that is about to be given as the newest, and what it was chosen from.
type choice struct {
	*survey
	key        keys.ReadKey
	happy      int
	candidates []candidate
	known      *lineage // nil until somebody has to be asked
	gone       map[share.Digest]int
	refused    []head.Head // passed over, and can be read
}

// past returns what is known of the heads from a sequence on, which it asks for once.
func (c *choice) past(ctx context.Context, sequence uint64) *lineage {
	if c.known == nil || c.known.since > sequence {
		c.known = c.m.lineage(ctx, c.name, since(sequence))
		for _, other := range c.candidates {
			c.known.know(other.head)
		}
	}
	return c.known
}

// may returns how many servers may have taken a head, for all that is known, now or before they took what follows it.
func (c *choice) may(ctx context.Context, h head.Head) int {
	known := c.past(ctx, h.Sequence)
	n := c.missing
	for _, server := range c.servers {
		a, ok := c.got[server.ID]
		ok = ok && a.err == nil
		switch told := known.tells(server.ID, h); {
		case ok && a.head.Digest == h.Digest, known.holders[h.Digest][server.ID],
			!told && (!ok || a.head.Sequence > h.Sequence):
			n++
		}
	}
	return n
}

// likely is on how many of so many servers a head is that may have been acknowledged. One server may have said yes and forgotten it, and
// may say yes to another writer now.
func likely(happy, servers int) int { return happy - slack(servers, happy) }

// slack is how many servers may have said yes to a writer and forgotten it.
func slack(servers, happy int) int { return min(1, max(0, servers-happy)) }

// forks returns the heads among the candidates behind the chosen one that it does not follow and that may have been acknowledged, or
// what they follow may have. What cannot be read and was not acknowledged is gone: the next version may replace it. It returns an
// error that wraps share.ErrUnavailable where too little can be found out to tell.
func (c *choice) forks(ctx context.Context, chosen candidate) ([]head.Head, error) {
	others := 0
	heavier := false
	for _, other := range c.candidates {
		if rivals(chosen, other) && other.count > 0 {
			others += other.count
			heavier = heavier || other.count > chosen.count || c.m.isSuspect(other.head)
		}
	}
	if !heavier && others+c.silent()+slack(len(c.servers), c.happy) < c.happy {
		return nil, nil
	}
	var forks []head.Head
	for _, other := range c.candidates {
		if !rivals(chosen, other) || head.Newer(other.head, chosen.head) && other.head.Sequence > chosen.head.Sequence {
			continue
		}
		fork, is, err := c.fork(ctx, chosen, other)
		if err != nil {
			return nil, err
		}
		if is && len(forks) < head.MaxParents-1 {
			c.m.env.Logger.Warn("two versions follow the same one", "name", c.name.String(),
				"version", chosen.head.Sequence, "other", fork.Sequence, "servers", other.count)
			forks = append(forks, fork)
		}
	}
	return forks, nil
}

// apart returns how the chosen version stands to another candidate, and of the other one and what it follows what the chosen one does not and
// may have been acknowledged.
func (c *choice) apart(ctx context.Context, known *lineage, chosen, other candidate) (relation relation, fork head.Head, is bool) {
	relation = known.relation(chosen.head, other.head)
	if known.short || relation == follows || relation == forgotten {
		return relation, fork, false
	}
	enough := likely(c.happy, len(c.servers))
	is = known.line(other.head, chosen.head, func(h head.Head) bool {
		fork = h
		return c.may(ctx, h) >= enough
	})
	return relation, fork, is
}

// fork returns the head that has to be brought together with the chosen one because of another candidate.
func (c *choice) fork(ctx context.Context, chosen, other candidate) (fork head.Head, is bool, err error) {
	known := c.past(ctx, min(chosen.head.Sequence, other.head.Sequence))
	relation, fork, is := c.apart(ctx, known, chosen, other)
	if known.short {
		relation, fork, is = c.apart(ctx, c.past(ctx, 0), chosen, other)
	}
	acknowledged := fork.Digest == other.head.Digest // the fork itself, not only what it follows
	switch {
	case relation == follows || relation == forgotten:
		return fork, false, nil
	case !is && other.count <= chosen.count && !c.m.isSuspect(other.head):
		return fork, false, nil
	case relation == unclear && is:
		return fork, false, errUnclear
	case is && acknowledged && c.may(ctx, other.head) >= c.happy:
		return fork, true, nil
	}
	if _, err := c.m.readHead(ctx, c.key, other.head); err == nil {
		return other.head, true, nil
	}
	if c.pending > 0 {
		return other.head, true, nil
	}
	c.gone[other.head.Digest] = other.count
	return fork, is && !acknowledged, nil
}
