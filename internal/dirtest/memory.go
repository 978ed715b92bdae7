// Package dirtest keeps the files of directories in memory, for tests of what is built on directories.
package dirtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// Memory is dir.Files and dir.Pages. It keeps every version and every page, and counts what is moved.
type Memory struct {
	// Code is k, happy and N.
	Code share.Params
	// BeforeWrite, if set, is called before each Write takes effect, without the lock.
	BeforeWrite func(dir.Write)

	mu    sync.Mutex // guards what follows
	clock int64
	files map[share.Name][]dir.Content // in the order of writing
	pages map[share.StorageIndex]dir.Page
	moved Moved
}

// Moved counts what went in and out since the last call of Reset, in plaintext bytes.
type Moved struct {
	Reads, Writes, Fetches int // exchanges
	PagesIn, PagesOut      int // roots among them
	BytesIn, BytesOut      int // of plaintext
	Shares                 int // bytes of the shares that were written
}

var (
	_ dir.Files = (*Memory)(nil)
	_ dir.Pages = (*Memory)(nil)
)

// New returns an empty memory with 3-of-10.
func New() *Memory {
	return &Memory{
		Code:  share.Params{Needed: 3, Happy: 7, Total: 10},
		files: map[share.Name][]dir.Content{}, pages: map[share.StorageIndex]dir.Page{},
	}
}

// Dirs returns directories on the memory.
func (m *Memory) Dirs() *dir.Dirs {
	return dir.New(dir.Config{Files: m, Pages: m, Secret: keys.ConvergenceSecret{1}})
}

// Reset returns what was moved and starts anew.
func (m *Memory) Reset() Moved {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.moved = Moved{} }()
	return m.moved
}

// Read implements dir.Files.
func (m *Memory) Read(_ context.Context, c capability.Capability) (dir.Content, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, _ := c.Name()
	versions := m.files[name]
	if len(versions) == 0 {
		return dir.Content{}, share.ErrNotFound
	}
	newest := versions[0]
	for _, v := range versions {
		if newer(v.Version, newest.Version) {
			newest = v
		}
	}
	newest.Forks = forks(versions, newest.Version)
	m.moved.Reads++
	m.out(newest.Data)
	return newest, nil
}

func newer(a, b dir.Version) bool {
	if a.Sequence != b.Sequence {
		return a.Sequence > b.Sequence
	}
	return slices.Compare(a.Digest[:], b.Digest[:]) > 0
}

// forks returns the versions that nothing follows, but for the newest.
func forks(versions []dir.Content, newest dir.Version) []dir.Version {
	followed := map[share.Digest]bool{}
	for _, v := range versions {
		for _, p := range v.Parents {
			followed[p] = true
		}
	}
	var out []dir.Version
	for _, v := range versions {
		if !followed[v.Digest] && v.Digest != newest.Digest {
			out = append(out, v.Version)
		}
	}
	return out
}

// ReadVersion implements dir.Files.
func (m *Memory) ReadVersion(_ context.Context, c capability.Capability, v dir.Version) (dir.Content, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, _ := c.Name()
	for _, content := range m.files[name] {
		if content.Digest == v.Digest {
			m.moved.Reads++
			m.out(content.Data)
			return content, nil
		}
	}
	return dir.Content{}, share.ErrNotFound
}

// History implements dir.Files.
func (m *Memory) History(_ context.Context, c capability.Capability, since uint64) ([]dir.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, _ := c.Name()
	var out []dir.Version
	for _, content := range m.files[name] {
		if content.Sequence >= since {
			out = append(out, content.Version)
		}
	}
	for i := range out {
		has := func(v dir.Version) bool { return v.Digest == out[i].Parents[0] }
		out[i].Cut = since > 0 && len(out[i].Parents) > 0 && !slices.ContainsFunc(out, has)
	}
	slices.SortFunc(out, func(a, b dir.Version) int {
		if newer(a, b) {
			return -1
		}
		return 1
	})
	return out, nil
}

// Write implements dir.Files.
func (m *Memory) Write(_ context.Context, key keys.WriteKey, w dir.Write) (dir.Version, error) {
	if m.BeforeWrite != nil {
		m.BeforeWrite(w)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name := capability.NameOf(key)
	for _, v := range m.files[name] {
		if len(w.Bases) == 0 || newer(v.Version, w.Bases[0]) {
			return dir.Version{}, &share.ConflictError{Name: name}
		}
	}
	return m.append(name, w), nil
}

// Fork stores a version whatever is there, as a partition would.
func (m *Memory) Fork(key keys.WriteKey, w dir.Write) dir.Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.append(capability.NameOf(key), w)
}

// Again stores a version once more under the next sequence, as a writer does who is as far as another one.
func (m *Memory) Again(c capability.Capability, v dir.Version) dir.Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, _ := c.Name()
	at := slices.IndexFunc(m.files[name], func(other dir.Content) bool { return other.Digest == v.Digest })
	m.clock++
	again := dir.Content{Version: v, Data: m.files[name][at].Data}
	again.Sequence, again.Parents, again.Ties = v.Sequence+1, []share.Digest{v.Digest}, nil
	again.Digest = sha256.Sum256(binary.BigEndian.AppendUint64(again.Root[:], uint64(m.clock)))
	m.files[name] = append(m.files[name], again)
	return again.Version
}

func (m *Memory) append(name share.Name, w dir.Write) dir.Version {
	m.clock++
	v := dir.Version{Sequence: 1, Root: sha256.Sum256(binary.BigEndian.AppendUint64(w.Data[:len(w.Data):len(w.Data)], uint64(m.clock))), Written: time.Unix(1_800_000_000+m.clock, 0).UTC()}
	for _, base := range w.Bases {
		v.Sequence = max(v.Sequence, base.Sequence+1)
		v.Parents, v.Ties = append(v.Parents, base.Digest), append(v.Ties, head.Has)
	}
	for _, other := range w.Follows {
		v.Sequence = max(v.Sequence, other.Sequence+1)
		if at := slices.Index(v.Parents, other.Digest); at >= 0 {
			v.Ties[at] = max(v.Ties[at], head.Remade)
			continue
		}
		v.Parents, v.Ties = append(v.Parents, other.Digest), append(v.Ties, head.Left)
	}
	v.Digest = sha256.Sum256(binary.BigEndian.AppendUint64(append(name[:], w.Data...), uint64(m.clock)))
	m.files[name] = append(m.files[name], dir.Content{Version: v, Data: w.Data})
	m.moved.Writes++
	m.in(w.Data)
	m.store(w.Pages)
	return v
}

func (m *Memory) store(pages []dir.Page) {
	for _, p := range pages {
		m.pages[p.Index] = p
		m.in(p.Data)
	}
}

func (m *Memory) in(data []byte) {
	m.moved.PagesIn++
	m.moved.BytesIn += len(data)
	block := (len(data) + m.Code.Needed - 1) / m.Code.Needed
	m.moved.Shares += m.Code.Total * (block + 32*m.Code.Total + 118)
}

func (m *Memory) out(data []byte) {
	m.moved.PagesOut++
	m.moved.BytesOut += len(data)
}

// Params implements dir.Pages.
func (m *Memory) Params(context.Context) share.Params { return m.Code }

// Store implements dir.Pages.
func (m *Memory) Store(_ context.Context, pages []dir.Page) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(pages)
	return nil
}

// Fetch implements dir.Pages.
func (m *Memory) Fetch(_ context.Context, refs []page.Ref) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moved.Fetches++
	var out [][]byte
	for _, ref := range refs {
		p, ok := m.pages[ref.Index]
		if !ok || p.Key != ref.Key {
			return nil, fmt.Errorf("page %v: %w", ref.Index, share.ErrNotFound)
		}
		m.out(p.Data)
		out = append(out, p.Data)
	}
	return out, nil
}

// Reachable returns the pages, but for the root, that lead from the newest version of a directory.
func (m *Memory) Reachable(ctx context.Context, c capability.Capability) map[share.StorageIndex]bool {
	out := map[share.StorageIndex]bool{}
	content, err := m.Read(ctx, c)
	if err != nil {
		return out
	}
	m.Reach(content.Data, out)
	return out
}

// Reach adds the pages that lead from a page.
func (m *Memory) Reach(data []byte, out map[share.StorageIndex]bool) {
	p, err := page.Parse(data)
	if err != nil {
		panic(err)
	}
	for _, ref := range p.Refs {
		out[ref.Index] = true
		m.mu.Lock()
		below := m.pages[ref.Index].Data
		m.mu.Unlock()
		m.Reach(below, out)
	}
}

// Forget lets go of the versions of a directory with a sequence, as servers do after the retention.
func (m *Memory) Forget(c capability.Capability, sequence uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, _ := c.Name()
	m.files[name] = slices.DeleteFunc(m.files[name], func(v dir.Content) bool { return v.Sequence == sequence })
}
