package mutable

import (
	"context"
	"crypto/sha256"
	"sync"

	"cairn/share"
	"cairn/share/head"
	"cairn/share/keys"
)

// A lineage is every head of a name that servers still know, by digest. Parents tie them together.
type lineage map[share.Digest]head.Head

// lineage asks the head servers that are up for all heads they have kept, and says how many answered.
func (m *Files) lineage(ctx context.Context, name share.Name) (known lineage, answered int) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	known = lineage{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, server := range m.headServers(ctx, name) {
		if server.Down {
			continue
		}
		asking.Go(func() {
			records, err := server.heads.History(ctx, name)
			if err != nil {
				m.env.Logger.Debug("a server gave no history", "server", server.String(), "name", name.String(), "error", inTime(ctx, err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answered++
			if err := known.add(name, records); err != nil {
				m.env.Logger.Warn("a server gave a head that does not verify", "server", server.String(), "name", name.String(), "error", err)
			}
		})
	}
	asking.Wait()
	return known, answered
}

// add adds the records that one server gave, up to the first that does not verify.
func (l lineage) add(name share.Name, records [][]byte) error {
	for _, record := range records[:min(len(records), share.MaxHistory)] {
		if _, known := l[sha256.Sum256(record)]; known {
			continue
		}
		h, err := head.Parse(name, record)
		if err != nil {
			return err
		}
		l[h.Digest] = h
	}
	return nil
}

// follows reports whether a head comes after another, through any of its parents, and whether that is certain: it is not
// where a head between them is known to nobody any more.
func (l lineage) follows(h, ancestor head.Head) (yes, certain bool) {
	certain = true
	seen := map[share.Digest]bool{}
	next := h.Parents
	for len(next) > 0 {
		digest := next[0]
		next = next[1:]
		if digest == ancestor.Digest {
			return true, true
		}
		if seen[digest] {
			continue
		}
		seen[digest] = true
		parent, known := l[digest]
		switch {
		case !known:
			certain = false
		case parent.Sequence > ancestor.Sequence:
			next = append(next[:len(next):len(next)], parent.Parents...)
		}
	}
	return false, certain
}

// forks returns the heads among the candidates behind the chosen one that it does not follow and that may have been
// acknowledged. What cannot be read and was not acknowledged is gone: the next version may replace it.
func (m *Files) forks(
	ctx context.Context, s *survey, key keys.ReadKey, chosen candidate, candidates []candidate, gone map[share.Digest]int,
) []head.Head {
	var known lineage
	var forks []head.Head
	happy := m.env.Params(ctx).Happy
	behind := false
	for _, c := range candidates {
		if c.head.Digest == chosen.head.Digest {
			behind = true
			continue
		}
		if !behind || c.count+s.silent() < happy && c.count <= chosen.count && !m.isSuspect(c.head) {
			continue
		}
		if yes, _ := (lineage{}).follows(chosen.head, c.head); yes {
			continue
		}
		if known == nil {
			known, _ = m.lineage(ctx, s.name)
		}
		if yes, certain := known.follows(chosen.head, c.head); yes || !certain {
			continue
		}
		if c.count+s.silent() < happy && s.pending == 0 {
			if _, err := m.readHead(ctx, key, c.head); err != nil {
				gone[c.head.Digest] = c.count
				continue
			}
		}
		m.env.Logger.Warn("two versions follow the same one", "name", s.name.String(),
			"version", chosen.head.Sequence, "other", c.head.Sequence, "servers", c.count)
		forks = append(forks, c.head)
	}
	return forks
}
