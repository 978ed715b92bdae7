package mutable

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cairn/grid/file"
	"cairn/grid/health"
	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/head"
	"cairn/share/keys"
)

// History returns the versions that servers still know of, newest first (the first is the one that Read gives), and those that this writer was refused and that are
// kept; of two with one sequence, written by writers who did not know of each other, both, the one that more servers hold first. Size is -1 where no share of a version was found, and Unclear is set where the version that it
// replaced should be kept and was not found. How far back it goes follows from the
// Retention of the writes. It returns ErrNotFound when no server knows any.
func (m *Files) History(ctx context.Context, c capability.Capability) ([]Version, error) {
	versions, err := m.HistorySince(ctx, c, 0)
	if err != nil {
		return nil, err
	}
	name, _ := c.Name()
	heads := make([]head.Head, len(versions))
	for i, v := range versions {
		heads[i] = v.Head
	}
	sizes := m.sizes(ctx, name, heads)
	for i := range versions {
		if size, ok := sizes[heads[i].Root]; ok {
			versions[i].Size = size
		}
	}
	return versions, nil
}

// HistorySince is History without the sizes, which are -1, and without versions whose sequence is lower, where there are others. Unclear
// is set of those too that may have replaced one of a lower sequence.
func (m *Files) HistorySince(ctx context.Context, c capability.Capability, sequence uint64) ([]Version, error) {
	name, key, err := subject(c)
	if err != nil {
		return nil, err
	}
	known := m.lineage(ctx, name, sequence)
	if len(known.heads) == 0 && sequence > 0 {
		known = m.lineage(ctx, name, 0)
	}
	if len(known.heads) == 0 {
		if len(known.answered) == 0 {
			return nil, fmt.Errorf("history of %s: %w: no server answered", name, share.ErrUnavailable)
		}
		return nil, fmt.Errorf("history of %s: %w", name, share.ErrNotFound)
	}
	newest := m.newestOf(ctx, name, known)
	refused := map[share.Digest]bool{}
	for _, h := range m.kept(name) {
		refused[h.Digest] = h.Digest != newest.Digest && known.relation(newest, h) != follows
		known.know(h)
	}
	heads := slices.SortedFunc(maps.Values(known.heads), func(a, b head.Head) int { return known.compare(b, a) })
	at := slices.IndexFunc(heads, func(h head.Head) bool { return h.Digest == newest.Digest })
	heads = slices.Insert(slices.Delete(heads, at, at+1), 0, newest)
	versions := make([]Version, len(heads))
	for i, h := range heads {
		versions[i] = Version{Head: h, Size: -1, Refused: refused[h.Digest], m: m, key: key, top: heads[0].Sequence}
		if (sequence > 0 || !refused[h.Digest]) && known.lacks(newest, h) {
			versions[i].Unclear = errUnclear
		}
	}
	return versions, nil
}

// compare orders heads: by their sequence, then by how many servers hold them as the newest.
func (l *lineage) compare(a, b head.Head) int {
	return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(l.current[a.Digest], l.current[b.Digest]), bytes.Compare(a.Digest[:], b.Digest[:]))
}

// sizes asks for the roots of versions, which tell their sizes.
func (m *Files) sizes(ctx context.Context, name share.Name, heads []head.Head) map[share.StorageIndex]int64 {
	indexes := make([]share.StorageIndex, len(heads))
	for i, h := range heads {
		indexes[i] = h.Root
	}
	indexes = distinct(indexes, nil)
	sizes := map[share.StorageIndex]int64{}
	for _, a := range m.numbers(ctx, m.headServers(ctx, name), indexes) {
		for i, held := range a.held {
			if _, known := sizes[indexes[i]]; known || len(held.Numbers) == 0 {
				continue
			}
			if root, err := encoding.CheckRoot(indexes[i], held.Root); err == nil {
				sizes[indexes[i]] = root.Size
			}
		}
	}
	return sizes
}

// A holding is what one server says it holds of some files.
type holding struct {
	server headServer
	held   []share.Held // one for each file
}

// numbers asks servers that are up which shares they hold, and waits a little longer than most of them take.
func (m *Files) numbers(ctx context.Context, servers []headServer, indexes []share.StorageIndex) []holding {
	ctx, cancel := awake.WithTimeout(ctx, askTimeout)
	defer cancel()
	answers := make(chan holding, len(servers))
	var asking sync.WaitGroup
	up := 0
	for _, server := range servers {
		if server.Down {
			continue
		}
		up++
		asking.Go(func() {
			held, err := server.Store.Numbers(ctx, indexes)
			if err != nil || len(held) != len(indexes) {
				held = nil
			}
			answers <- holding{server, held}
		})
	}
	defer asking.Wait()
	defer cancel()
	var all []holding
	begun := time.Now()
	var grace <-chan time.Time
	for range up {
		if grace == nil && 2*len(all) > up {
			grace = time.After(max(10*minGrace, 2*time.Since(begun)))
		}
		select {
		case a := <-answers:
			all = append(all, a)
		case <-grace:
			return all
		}
	}
	return all
}

// ReadHead reads the version of a head that Read or History gave, as one of a fork. The errors are those of file.Open.
func (m *Files) ReadHead(ctx context.Context, c capability.Capability, h head.Head) (*Version, error) {
	name, key, err := subject(c)
	if err != nil {
		return nil, err
	}
	if h.Name != name {
		return nil, fmt.Errorf("read %s: %w: the version is one of %s", name, share.ErrDenied, h.Name)
	}
	v, err := m.readHead(ctx, key, h)
	if err != nil {
		return nil, fmt.Errorf("read version %d of %s: %w", h.Sequence, name, err)
	}
	return v, nil
}

func (m *Files) readHead(ctx context.Context, key keys.ReadKey, h head.Head) (*Version, error) {
	v := &Version{Head: h, m: m, key: key, top: h.Sequence}
	limit := smallShare * int64(m.env.Params(ctx).Needed)
	got, err := file.FetchBatch(ctx, m.nearest(ctx, h.Name), []Ref{{Index: h.Root, Key: key}}, file.FetchOptions{
		Params: m.env.Params(ctx), Limit: limit, Find: m.finders, Log: m.env.Logger,
	})
	if err == nil && got[0].Err == nil {
		v.data, v.Size = got[0].Data, int64(len(got[0].Data))
		return v, nil
	}
	r, err := m.open(ctx, h.Root, key)
	if err != nil {
		return nil, err
	}
	v.Size = r.Size()
	return v, r.Close()
}

// nearest returns all servers, the head servers of a name first.
func (m *Files) nearest(ctx context.Context, name share.Name) []share.Server {
	known := map[share.ServerID]bool{}
	var order []share.Server
	for _, s := range m.headServers(ctx, name) {
		known[s.ID] = true
		order = append(order, s.Server)
	}
	for _, s := range m.env.Servers(ctx) {
		if !known[s.ID] {
			order = append(order, s)
		}
	}
	return order
}

// Restore writes a new version with the content of an old one. Where enough servers still hold the old version's shares
// nothing is uploaded: the new head points at them, and their leases are renewed. Otherwise the content is read and written
// anew. It needs nothing of the newest version, which may be damaged, or out of reach so that only older ones are found. It returns
// ErrNotFound when no version has the sequence, and a *CollisionError as Write does.
//
// Where two versions have the sequence, written by writers who did not know of each other, it takes the one that the newest
// version follows; RestoreHead takes any.
func (m *Files) Restore(ctx context.Context, key keys.WriteKey, sequence uint64) (*Version, error) {
	name := capability.NameOf(key)
	base, err := m.basis(ctx, key)
	if err != nil {
		return nil, err
	}
	known := m.lineage(ctx, name, 0)
	known.know(base.Head)
	var found []head.Head
	for _, h := range known.heads {
		if h.Sequence == sequence {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b head.Head) int {
		first := known.relation(base.Head, a) == follows
		second := known.relation(base.Head, b) == follows
		switch {
		case first == second:
			return bytes.Compare(b.Digest[:], a.Digest[:])
		case first:
			return -1
		}
		return 1
	})
	if len(found) == 0 {
		return nil, fmt.Errorf("restore version %d of %s: %w", sequence, name, share.ErrNotFound)
	}
	return m.restore(ctx, key, base, found[0], WriteOptions{})
}

// RestoreHead is Restore for a version that History gave.
func (m *Files) RestoreHead(ctx context.Context, key keys.WriteKey, h head.Head) (*Version, error) {
	base, err := m.basis(ctx, key)
	if err != nil {
		return nil, err
	}
	return m.restore(ctx, key, base, h, WriteOptions{})
}

// basis returns what a restored version follows: the newest one, whether it can be read or not, or where that is out of reach the one
// before it.
func (m *Files) basis(ctx context.Context, key keys.WriteKey) (*Version, error) {
	c := capability.Mutable(key)
	v, err := m.Read(ctx, c)
	few := (*share.NotEnoughSharesError)(nil)
	switch {
	case errors.Is(err, share.ErrRollback) && v != nil:
		return v, nil
	case errors.As(err, &few), errors.Is(err, share.ErrCorrupt), errors.Is(err, share.ErrNotFound):
		versions, unknown := m.History(ctx, c)
		if unknown != nil {
			return nil, err
		}
		return m.Overrule(ctx, key, versions[0].Head)
	}
	return v, err
}

// Overrule returns a version that History gave as the base of a write that does without its contents, which may be damaged. It returns
// a *share.ConflictError when there is a newer one.
func (m *Files) Overrule(ctx context.Context, key keys.WriteKey, h head.Head) (*Version, error) {
	s := m.newSurvey(ctx, capability.NameOf(key), false)
	defer s.close()
	if err := s.all(ctx); err != nil {
		return nil, err
	}
	candidates := s.candidates()
	if len(candidates) == 0 {
		return nil, &share.NotEnoughSharesError{Asked: len(s.servers), Causes: s.causes()}
	}
	if known := m.lineage(ctx, h.Name, since(h.Sequence)); len(known.heads) > 0 && m.newestOf(ctx, h.Name, known).Sequence > h.Sequence {
		return nil, &share.ConflictError{Name: h.Name}
	}
	pick := &choice{survey: s, key: key.ReadKey(), happy: m.env.Params(ctx).Happy, candidates: candidates, gone: map[share.Digest]int{}}
	v := &Version{Head: h, m: m, key: pick.key, top: max(h.Sequence, candidates[0].head.Sequence), gone: pick.gone}
	v.Forks, v.Unclear = pick.forks(ctx, candidate{head: h})
	v.held = s.held(h, pick.gone)
	return v, nil
}

func (m *Files) restore(ctx context.Context, key keys.WriteKey, base *Version, h head.Head, o WriteOptions) (*Version, error) {
	v, err := m.relink(ctx, key, base, h, o)
	if err == nil && v == nil {
		var old *Version
		if old, err = m.ReadHead(ctx, capability.Mutable(key), h); err == nil {
			var r Reader
			if r, err = old.Open(ctx); err == nil {
				defer r.Close()
				return m.Write(ctx, key, base, section(ctx, r, 0, r.Size()), o)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("restore version %d of %s: %w", h.Sequence, h.Name, err)
	}
	return v, nil
}

// relink writes a version whose file is that of an old one. It returns nil where too few servers hold shares of it.
func (m *Files) relink(ctx context.Context, key keys.WriteKey, base *Version, h head.Head, o WriteOptions) (*Version, error) {
	w, err := m.newWrite(ctx, key, base, o)
	if err != nil {
		return nil, err
	}
	servers := m.env.Servers(ctx)
	report, err := health.Check(ctx, servers, h.Root)
	if err != nil {
		return nil, err
	}
	if report.Happiness < w.params.Happy {
		return nil, nil
	}
	lease := m.lease()
	var renewing sync.WaitGroup
	for _, s := range servers {
		if s.Down {
			continue
		}
		renewing.Go(func() {
			ctx, cancel := awake.WithTimeout(ctx, askTimeout)
			defer cancel()
			_ = s.Store.Renew(ctx, []share.StorageIndex{h.Root}, lease) // who holds nothing of it says so
		})
	}
	renewing.Wait()
	r, err := m.open(ctx, h.Root, w.read)
	if err != nil {
		return nil, err
	}
	w.root, w.size = h.Root, r.Size()
	if err := r.Close(); err != nil {
		return nil, err
	}
	w.adds = []share.StorageIndex{h.Root}
	return w.commit(ctx)
}
