package dir_test

import (
	"errors"
	"strings"
	"testing"

	"cairn/grid/dir"
	"cairn/grid/dir/page"
	"cairn/grid/mutable"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// A hand writes pages as it likes, as somebody can who has the write key.
type hand struct {
	t *testing.T
	m *dirtest.Memory
}

// put stores a page and returns a reference that tells the truth about it.
func (h hand) put(p page.Page) page.Ref {
	h.t.Helper()
	key := keys.NewReadKey()
	sealed, err := mutable.Seal(h.m.Code, key, p.Marshal())
	check(h.t, err)
	check(h.t, h.m.Store(h.t.Context(), []dir.Page{{Index: sealed.Index(), Key: key, Data: p.Marshal()}}))
	return page.Ref{Last: p.Last(), Count: p.Count(), Index: sealed.Index(), Key: key}
}

// root makes a directory of a root page.
func (h hand) root(p page.Page) capability.Capability {
	key := keys.NewWriteKey()
	h.m.Fork(key, dir.Write{Data: p.Marshal()})
	return capability.Directory(key)
}

func leaf(names ...string) page.Page {
	var p page.Page
	for _, n := range names {
		p.Entries = append(p.Entries, page.Entry{Name: n, Capability: file(1).Text()})
	}
	return p
}

func above(level int, refs ...page.Ref) page.Page { return page.Page{Level: level, Refs: refs} }

// TestHostileTrees: what somebody with the write key can put together is refused as corrupt by whoever walks into it,
// with bounded work.
func TestHostileTrees(t *testing.T) {
	for about, build := range map[string]func(h hand) page.Page{
		"a count too high": func(h hand) page.Page {
			ref := h.put(leaf("a", "b"))
			ref.Count = 1 << 30
			return above(1, ref, h.put(leaf("c", "d")))
		},
		"a count too low": func(h hand) page.Page {
			ref := h.put(leaf("a", "b"))
			ref.Count = 1
			return above(1, ref, h.put(leaf("c", "d")))
		},
		"another last name": func(h hand) page.Page {
			ref := h.put(leaf("a", "b"))
			ref.Last = "bb"
			return above(1, ref, h.put(leaf("c", "d")))
		},
		"names of the page before": func(h hand) page.Page {
			return above(1, h.put(leaf("a", "d")), h.put(leaf("c", "e")))
		},
		"one page twice": func(h hand) page.Page {
			ref := h.put(leaf("a", "b"))
			again := ref
			again.Last = "c"
			return above(1, ref, again)
		},
		"a leaf two levels down": func(h hand) page.Page {
			return above(2, h.put(leaf("a", "b")))
		},
		"a page above its own level": func(h hand) page.Page {
			inner := h.put(above(1, h.put(leaf("a", "b"))))
			return above(1, inner)
		},
		"a page that is no page": func(h hand) page.Page {
			ref := h.put(leaf("a", "b"))
			check(h.t, h.m.Store(h.t.Context(), []dir.Page{{Index: ref.Index, Key: ref.Key, Data: []byte("page")}}))
			return above(1, ref)
		},
		"an unsealed write capability": func(h hand) page.Page {
			p := leaf("a")
			p.Entries[0].Capability = capability.Mutable(keys.NewWriteKey()).Text()
			return above(1, h.put(p))
		},
	} {
		t.Run(about, func(t *testing.T) {
			m := dirtest.New()
			c := hand{t, m}.root(build(hand{t, m}))
			d := m.Dirs()
			x := open(t, d, c)
			_, err := x.List(t.Context(), "", 100)
			refused(t, "list", err)
			_, err = d.Update(t.Context(), c, func(e *dir.Editor) error {
				return firstOf(e.Set(entry("a", 1)), e.Set(entry("c", 1)), e.Set(entry("z", 1)))
			})
			refused(t, "change", err)
			if moved := m.Reset(); moved.PagesOut > 12 {
				t.Errorf("%d pages read", moved.PagesOut)
			}
		})
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestDeepTree: the deepest tree there can be is read in as many steps as it has levels.
func TestDeepTree(t *testing.T) {
	m := dirtest.New()
	h := hand{t, m}
	ref := h.put(leaf("a"))
	for level := 1; level < page.MaxLevel; level++ {
		ref = h.put(above(level, ref))
	}
	c := h.root(above(page.MaxLevel, ref))
	m.Reset()
	if got := names(t, open(t, m.Dirs(), c)); len(got) != 1 {
		t.Errorf("names %q", got)
	}
	if moved := m.Reset(); moved.PagesOut != page.MaxLevel+1 {
		t.Errorf("%d pages read", moved.PagesOut)
	}
	x := update(t, m.Dirs(), c, set("b", 1))
	if got := names(t, x); strings.Join(got, "") != "ab" {
		t.Errorf("after a change: %q", got)
	}
	if moved := m.Reachable(t.Context(), c); len(moved) != 0 {
		t.Errorf("%d pages below the root of two entries", len(moved))
	}
}

// TestForgedLinks: a sealed capability counts for the name, the directory and the read capability that it was sealed for,
// and for nothing else.
func TestForgedLinks(t *testing.T) {
	m := dirtest.New()
	key, other := keys.NewWriteKey(), keys.NewWriteKey()
	mine, their := page.NewSealer(key), page.NewSealer(other)
	child, second := capability.Mutable(keys.NewWriteKey()), capability.Mutable(keys.NewWriteKey())
	sealed := func(s *page.Sealer, name string, c capability.Capability) page.Entry {
		e := page.Entry{Name: name}
		s.Seal(&e, c)
		return e
	}
	a := sealed(mine, "a", child)
	renamed, swapped, moved, flipped := a, a, sealed(their, "d", child), sealed(mine, "e", child)
	renamed.Name, swapped.Name = "b", "c"
	swapped.Capability = readOnly(t, second).Text()
	flipped.Sealed[30] ^= 1
	m.Fork(key, dir.Write{Data: page.Page{Entries: []page.Entry{a, renamed, swapped, moved, flipped}}.Marshal()})
	c := capability.Directory(key)
	x := open(t, m.Dirs(), c)
	if e := lookup(t, x, "a"); !e.Capability.Equal(child) {
		t.Errorf("the right one leads to %v", e.Capability)
	}
	for _, name := range []string{"b", "c", "d", "e"} {
		_, err := x.Lookup(t.Context(), name)
		refused(t, "look up "+name, err)
		if _, err := m.Dirs().Update(t.Context(), c, rename(name, "new")); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("rename %s: %v", name, err)
		}
		lookup(t, open(t, m.Dirs(), readOnly(t, c)), name) // readers cannot tell
	}
	x = update(t, m.Dirs(), c, func(e *dir.Editor) error {
		return firstOf(e.Remove("b"), e.Remove("c"), e.Remove("d"), e.Remove("e"))
	})
	if x.Len() != 1 {
		t.Errorf("%d entries", x.Len())
	}
}

// TestMutableInImmutable: a reader refuses what can change in a directory that cannot.
func TestMutableInImmutable(t *testing.T) {
	m := dirtest.New()
	p := leaf("a", "b")
	p.Entries[1].Capability = readOnly(t, capability.Mutable(keys.NewWriteKey())).Text()
	ref := hand{t, m}.put(p)
	x := open(t, m.Dirs(), capability.ImmutableDirectory(ref.Index, ref.Key))
	lookup(t, x, "a")
	if _, err := x.Lookup(t.Context(), "b"); !errors.Is(err, dir.ErrMutable) || !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("a mutable file in an immutable directory: %v", err)
	}
}

// TestShapeFollowsFromEntries: the pages of a directory do not depend on the order in which it was filled.
func TestShapeFollowsFromEntries(t *testing.T) {
	m := dirtest.New()
	all := create(t, m.Dirs())
	check(t, fill(t, m.Dirs(), all, 0, 3000, 3000))
	slowly := create(t, m.Dirs())
	for _, part := range [][2]int{{2000, 500}, {0, 700}, {2900, 100}, {700, 1300}, {2500, 400}} {
		check(t, fill(t, m.Dirs(), slowly, part[0], part[1], 61))
	}
	a, b := shape(t, m, all), shape(t, m, slowly)
	if a != b || len(a) < 20 {
		t.Errorf("filled at once   %s\nfilled in pieces %s", a, b)
	}
}

// fill adds n entries, some in each Update.
func fill(t *testing.T, d *dir.Dirs, c capability.Capability, from, n, together int) error {
	for i := 0; i < n; i += together {
		_, err := d.Update(t.Context(), c, func(e *dir.Editor) error {
			for j := i; j < min(n, i+together); j++ {
				if err := e.Set(usualEntry(from + j)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// shape returns the last names of all pages.
func shape(t *testing.T, m *dirtest.Memory, c capability.Capability) string {
	t.Helper()
	content, err := m.Read(t.Context(), c)
	check(t, err)
	root, err := page.Parse(content.Data)
	check(t, err)
	var out []string
	for _, ref := range root.Refs {
		out = append(out, ref.Last)
	}
	return strings.Join(out, " ")
}
