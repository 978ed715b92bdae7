package dir_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// A side is a writer that does not see what others write, as behind a cut network: its writes follow its own.
type side struct {
	*dirtest.Memory
	own []dir.Version
}

func (s *side) Read(ctx context.Context, c capability.Capability) (dir.Content, error) {
	if len(s.own) == 0 {
		return s.Memory.Read(ctx, c)
	}
	return s.ReadVersion(ctx, c, s.own[len(s.own)-1])
}

func (s *side) Write(_ context.Context, key keys.WriteKey, w dir.Write) (dir.Version, error) {
	v := s.Fork(key, w)
	s.own = append(s.own, v)
	return v, nil
}

// cut returns directories that go on from what is there apart from everybody else.
func cut(t interface {
	Helper()
	Fatal(...any)
	Context() context.Context
}, m *dirtest.Memory, c capability.Capability,
) *dir.Dirs {
	t.Helper()
	content, err := m.Read(t.Context(), c)
	check(t, err)
	return dir.New(dir.Config{Files: &side{Memory: m, own: []dir.Version{content.Version}}, Pages: m}).WithPages(700)
}

type edit = func(*dir.Editor) error

func set(name string, n int) edit { return func(e *dir.Editor) error { return e.Set(entry(name, n)) } }
func remove(name string) edit     { return func(e *dir.Editor) error { return e.Remove(name) } }
func both(a, b edit) edit         { return func(e *dir.Editor) error { return firstOf(a(e), b(e)) } }

func rename(from, to string) edit {
	return func(e *dir.Editor) error { return e.Rename(from, to, true) }
}
func nothing(*dir.Editor) error { return nil }
func firstOf(errs ...error) (err error) {
	for _, e := range errs {
		if err == nil {
			err = e
		}
	}
	return err
}

// listed returns names and sizes.
func listed(t *testing.T, x *dir.Directory) string {
	t.Helper()
	var out []string
	for e, err := range x.All(t.Context()) {
		check(t, err)
		out = append(out, fmt.Sprintf("%s=%d", e.Name, e.Size))
	}
	return strings.Join(out, " ")
}

// TestForksComeTogether: what two sides changed apart from each other is all there, whichever of them is newer.
func TestForksComeTogether(t *testing.T) {
	day := " (conflict 2027-01-15)" // of the memory's clock
	for _, test := range []struct {
		about string
		a, b  edit
		// want is what comes of it, where a and b stand for the newer and the older side.
		want []string
	}{
		{"different names", set("new a", 7), set("new b", 8), []string{"1=1 2=2 new a=7 new b=8"}},
		{"one changes, one adds", set("1", 7), set("new", 8), []string{"1=7 2=2 new=8"}},
		{"one removes, one adds", remove("1"), set("new", 8), []string{"2=2 new=8"}},
		{"one removes, one changes", remove("1"), set("1", 8), []string{"1=8 2=2"}},
		{"both remove", remove("1"), remove("1"), []string{"2=2"}},
		{"both change the same", set("1", 7), set("1", 7), []string{"1=7 2=2"}},
		{"both change differently", set("1", 7), set("1", 8), []string{"1=7 1" + day + "=8 2=2", "1=8 1" + day + "=7 2=2"}},
		{"both add differently", set("0", 7), set("0", 8), []string{"0=7 0" + day + "=8 1=1 2=2", "0=8 0" + day + "=7 1=1 2=2"}},
		{"one renames, one changes", rename("1", "3"), set("1", 8), []string{"1=8 2=2 3=1"}},
		{"nothing changes on one side", set("0", 7), both(set("9", 1), remove("9")), []string{"0=7 1=1 2=2"}},
	} {
		t.Run(test.about, func(t *testing.T) {
			m := dirtest.New()
			c := create(t, m.Dirs(), entry("1", 1), entry("2", 2))
			a, b := cut(t, m, c), cut(t, m, c)
			update(t, a, c, test.a)
			update(t, b, c, test.b)
			x := open(t, m.Dirs(), readOnly(t, c))
			got := listed(t, x)
			if !slices.Contains(test.want, got) {
				t.Fatalf("%s, want one of %q", got, test.want)
			}
			x = update(t, m.Dirs(), c, nothing)
			content, err := m.Read(t.Context(), c)
			check(t, err)
			if listed(t, x) != got || len(content.Forks) > 0 {
				t.Errorf("after writing: %s, %d forks", listed(t, x), len(content.Forks))
			}
		})
	}
}

// TestMergersAgree: two who bring the same forks together apart from each other get the same, and what comes of both is
// that again.
func TestMergersAgree(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("x", 1))
	forked := []*dir.Dirs{cut(t, m, c), cut(t, m, c), cut(t, m, c)}
	for i, d := range forked {
		update(t, d, c, both(set("x", i+10), set(fmt.Sprint("own ", i), i)))
	}
	first := listed(t, open(t, m.Dirs(), c))
	merging := []*dir.Dirs{dir.New(dir.Config{Files: forking{m}, Pages: m}), dir.New(dir.Config{Files: forking{m}, Pages: m})}
	for _, d := range merging {
		if got := listed(t, update(t, d, c, set("after", 1))); got != strings.Replace("after=1 "+first, "  ", " ", 1) {
			t.Errorf("merged to %s, want after=1 and %s", got, first)
		}
	}
	if got := listed(t, open(t, m.Dirs(), c)); got != "after=1 "+first {
		t.Errorf("mergers brought together: %s, want after=1 and %s", got, first)
	}
}

// forking writes without looking, but reads what is there as it was before anybody merged.
type forking struct{ *dirtest.Memory }

func (f forking) Write(_ context.Context, key keys.WriteKey, w dir.Write) (dir.Version, error) {
	return f.Fork(key, w), nil
}

func (f forking) Read(ctx context.Context, c capability.Capability) (dir.Content, error) {
	content, err := f.Memory.Read(ctx, c)
	for err == nil && len(content.Parents) > 1 { // step back behind what was merged
		history, _ := f.History(ctx, c, 0)
		var forks []dir.Version
		for _, v := range history {
			if slices.Contains(content.Parents, v.Digest) {
				forks = append(forks, v)
			}
		}
		content, err = f.ReadVersion(ctx, c, forks[0])
		content.Forks = forks[1:]
	}
	return content, err
}

// TestForksOfManyEntries: forks of a directory of many pages come together, with the books of pages right.
func TestForksOfManyEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := dirtest.New()
		m.Code = share.Params{Needed: 1, Happy: 1, Total: 1}
		c, err := m.Dirs().WithPages(700).Create(t.Context(), usual(0, 150))
		check(t, err)
		sides := []*dir.Dirs{cut(t, m, c), cut(t, m, c)}
		want := map[string]int64{}
		for i := range 150 {
			want[usualEntry(i).Name] = usualEntry(i).Size
		}
		for s, d := range sides {
			for range rapid.IntRange(1, 3).Draw(t, "versions") {
				from, n := rapid.IntRange(0, 100).Draw(t, "from"), rapid.IntRange(1, 40).Draw(t, "n")
				_, err := d.Update(t.Context(), c, func(e *dir.Editor) error {
					for i := range n { // even names on one side, odd ones on the other
						name := usualEntry((from+i)/2*2 + s).Name
						entry := entry(name, i)
						want[name] = entry.Size
						check(t, e.Set(entry))
					}
					return nil
				})
				check(t, err)
			}
		}
		held := m.Reachable(t.Context(), c)
		content, err := m.Read(t.Context(), c)
		check(t, err)
		for _, v := range content.Forks {
			fork, err := m.ReadVersion(t.Context(), c, v)
			check(t, err)
			m.Reach(fork.Data, held)
		}
		m.BeforeWrite = func(w dir.Write) { account(t, held, w) }
		x, err := m.Dirs().WithPages(700).Update(t.Context(), c, nothing)
		check(t, err)
		got := map[string]int64{}
		for e, err := range x.All(t.Context()) {
			check(t, err)
			got[e.Name] = e.Size
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
		if reachable := m.Reachable(t.Context(), c); !maps.Equal(reachable, held) {
			t.Fatalf("%d pages are reachable, %d were added and not dropped", len(reachable), len(held))
		}
	})
}

// TestAncestorLost: where the version before the fork is not kept any more, everything of both sides stays.
func TestAncestorLost(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("1", 1))
	a, b := cut(t, m, c), cut(t, m, c)
	update(t, a, c, set("a", 1))
	update(t, b, c, remove("1"))
	update(t, b, c, set("b", 1))
	m.Forget(c, 1)
	if got := listed(t, open(t, m.Dirs(), c)); got != "1=1 a=1 b=1" {
		t.Errorf("brought together without the ancestor: %s", got)
	}
}

func TestConflictNamesFit(t *testing.T) {
	m := dirtest.New()
	long := strings.Repeat("ü", 127)
	c := create(t, m.Dirs(), entry(long, 1))
	a, b := cut(t, m, c), cut(t, m, c)
	update(t, a, c, set(long, 2))
	update(t, b, c, set(long, 3))
	got := names(t, open(t, m.Dirs(), c))
	want := []string{strings.Repeat("ü", 116) + " (conflict 2027-01-15)", long}
	if !slices.Equal(got, want) {
		t.Errorf("names %q", got)
	}
}
