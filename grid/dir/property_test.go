package dir_test

import (
	"errors"
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

// file returns a capability of an immutable file that a number decides.
func file(n int) capability.Capability {
	return capability.File(share.StorageIndex{byte(n), byte(n >> 8), byte(n >> 16)}, keys.ReadKey{byte(n)})
}

func entry(name string, n int) dir.Entry {
	return dir.Entry{Name: name, Capability: file(n), Metadata: dir.Metadata{Size: int64(n)}}
}

// a step is one Update.
type step map[string]int // what each name is set to; negative to remove it

// TestAgainstMap: a directory does what a map does, whatever is put in and taken out in whatever batches, and the pages
// that are reachable are those that were added and not dropped.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := dirtest.New()
		m.Code = share.Params{Needed: 1, Happy: 1, Total: 1}
		held := map[share.StorageIndex]bool{}
		m.BeforeWrite = func(w dir.Write) { account(t, held, w) }
		dirs := m.Dirs().WithPages(rapid.SampledFrom([]int{600, 2000}).Draw(t, "page"))
		c, err := dirs.Create(t.Context(), nil)
		check(t, err)
		model := map[string]int{}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			s := drawStep(t, model)
			x, err := dirs.Update(t.Context(), c, func(e *dir.Editor) error { return apply(e, s, model) })
			check(t, err)
			for name, n := range s {
				if model[name] = n; n < 0 {
					delete(model, name)
				}
			}
			compare(t, x, model)
			fresh, err := m.Dirs().Open(t.Context(), c)
			check(t, err)
			compare(t, fresh, model)
			if pages := m.Reachable(t.Context(), c); !maps.Equal(pages, held) {
				t.Fatalf("%d pages are reachable, %d were added and not dropped", len(pages), len(held))
			}
		}
	})
}

// account keeps the pages that servers hold for the newest version.
func account(t *rapid.T, held map[share.StorageIndex]bool, w dir.Write) {
	for _, p := range w.Pages {
		if held[p.Index] {
			t.Fatal("a page was added that is there")
		}
		held[p.Index] = true
	}
	for _, index := range w.Drops {
		if !held[index] {
			t.Fatal("a page was dropped that is not there")
		}
		delete(held, index)
	}
}

// drawStep draws up to some hundreds of changes: scattered, in a run, or the removal of most.
func drawStep(t *rapid.T, model map[string]int) step {
	s := step{}
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0: // a few
		for range rapid.IntRange(1, 5).Draw(t, "few") {
			s[name(rapid.IntRange(0, 600).Draw(t, "name"))] = rapid.IntRange(-1, 1000).Draw(t, "value")
		}
	case 1: // a run
		from, n := rapid.IntRange(0, 600).Draw(t, "from"), rapid.IntRange(1, 300).Draw(t, "run")
		for i := range n {
			s[name(from+i)] = i
		}
	case 2: // scattered
		stride := rapid.IntRange(1, 97).Draw(t, "stride")
		for i := 0; i < 600; i += stride {
			s[name(i)] = i + stride
		}
	default: // remove most
		keep := rapid.IntRange(1, 50).Draw(t, "keep")
		for i, n := range slices.Sorted(maps.Keys(model)) {
			if i%keep != 1 {
				s[n] = -1
			}
		}
	}
	return s
}

// name makes names of different lengths.
func name(n int) string {
	return fmt.Sprintf("%05d%s", n, strings.Repeat("x", n%7*n%40))
}

func apply(e *dir.Editor, s step, model map[string]int) error {
	for name, n := range s {
		if n >= 0 {
			if err := e.Set(entry(name, n)); err != nil {
				return err
			}
			continue
		}
		_, there := model[name]
		if err := e.Remove(name); there && err != nil || !there && !errors.Is(err, share.ErrNotFound) {
			return fmt.Errorf("remove %q, which is there: %v: %w", name, there, err)
		}
	}
	return nil
}

func compare(t *rapid.T, x *dir.Directory, model map[string]int) {
	if x.Len() != int64(len(model)) {
		t.Fatalf("%d entries, want %d", x.Len(), len(model))
	}
	names := slices.Sorted(maps.Keys(model))
	i := 0
	for e, err := range x.All(t.Context()) {
		check(t, err)
		if i >= len(names) || e.Name != names[i] || !e.Capability.Equal(file(model[e.Name])) {
			t.Fatalf("entry %d is %q", i, e.Name)
		}
		i++
	}
	if i != len(names) {
		t.Fatalf("%d entries listed, want %d", i, len(names))
	}
	from := rapid.IntRange(0, len(names)).Draw(t, "from")
	limit := rapid.IntRange(1, 40).Draw(t, "limit")
	after := ""
	if from > 0 {
		after = names[from-1]
	}
	list, err := x.List(t.Context(), after, limit)
	check(t, err)
	if want := min(limit, len(names)-from); len(list) != want {
		t.Fatalf("%d entries listed after %q, want %d", len(list), after, want)
	}
	for i, e := range list {
		if e.Name != names[from+i] {
			t.Fatalf("%q listed, want %q", e.Name, names[from+i])
		}
	}
	n := name(rapid.IntRange(0, 600).Draw(t, "looked up"))
	e, err := x.Lookup(t.Context(), n)
	value, there := model[n]
	if there != (err == nil) || !there && !errors.Is(err, share.ErrNotFound) || there && e.Size != int64(value) {
		t.Fatalf("look up %q: %v, %v", n, e, err)
	}
}

func check(t interface {
	Helper()
	Fatal(...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func literal(t interface {
	Helper()
	Fatal(...any)
}, text string,
) capability.Capability {
	t.Helper()
	c, err := capability.Literal([]byte(text))
	check(t, err)
	return c
}
