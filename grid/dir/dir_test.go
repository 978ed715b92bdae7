package dir_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func create(t *testing.T, d *dir.Dirs, entries ...dir.Entry) capability.Capability {
	t.Helper()
	c, err := d.Create(t.Context(), dir.Entries(entries...))
	check(t, err)
	return c
}

func open(t *testing.T, d *dir.Dirs, c capability.Capability) *dir.Directory {
	t.Helper()
	x, err := d.Open(t.Context(), c)
	check(t, err)
	return x
}

func update(t *testing.T, d *dir.Dirs, c capability.Capability, edit func(*dir.Editor) error) *dir.Directory {
	t.Helper()
	x, err := d.Update(t.Context(), c, edit)
	check(t, err)
	return x
}

func lookup(t *testing.T, x *dir.Directory, name string) dir.Entry {
	t.Helper()
	e, err := x.Lookup(t.Context(), name)
	check(t, err)
	return e
}

func readOnly(t *testing.T, c capability.Capability) capability.Capability {
	t.Helper()
	r, err := c.Read()
	check(t, err)
	return r
}

func names(t *testing.T, x *dir.Directory) []string {
	t.Helper()
	var out []string
	for e, err := range x.All(t.Context()) {
		check(t, err)
		out = append(out, e.Name)
	}
	return out
}

// TestReadOnlyIsTransitive: who reads a directory gets what reads, down to the last level, and what every page of it
// holds gives no more.
func TestReadOnlyIsTransitive(t *testing.T) {
	m := dirtest.New()
	d := m.Dirs()
	leaf := capability.Mutable(keys.NewWriteKey())
	inner := create(t, d, dir.Entry{Name: "file", Capability: leaf})
	outer := create(t, d, dir.Entry{Name: "inner", Capability: inner})

	if e := lookup(t, open(t, d, outer), "inner"); !e.Capability.Equal(inner) {
		t.Errorf("a writer gets %v", e.Capability)
	}
	x := open(t, d, readOnly(t, outer))
	if x.Writable() {
		t.Error("writable by a read capability")
	}
	e := lookup(t, x, "inner")
	if !e.Capability.Equal(readOnly(t, inner)) {
		t.Fatalf("a reader gets %v", e.Capability)
	}
	e = lookup(t, open(t, d, e.Capability), "file")
	if !e.Capability.Equal(readOnly(t, leaf)) {
		t.Errorf("a reader gets %v", e.Capability)
	}
	for _, c := range []capability.Capability{outer, inner} {
		content, err := m.Read(t.Context(), c)
		check(t, err)
		for _, secret := range []capability.Capability{leaf, inner} {
			key, _ := secret.WriteKey()
			if bytes.Contains(content.Data, key[:]) || bytes.Contains(content.Data, []byte(secret.Text())) {
				t.Errorf("the page of %v holds the write key of %v in the clear", c, secret)
			}
		}
	}
}

// TestAttenuatedLink: a link by a read capability gives writers of the directory no more than reading.
func TestAttenuatedLink(t *testing.T) {
	d := dirtest.New().Dirs()
	child := create(t, d)
	c := create(t, d, dir.Entry{Name: "child", Capability: readOnly(t, child)})
	if e := lookup(t, open(t, d, c), "child"); e.Capability.Authority() != capability.AuthorityRead {
		t.Errorf("the link gives %v", e.Capability)
	}
}

// TestSealedIsBound: renaming seals anew, so that the write capability is there under the new name.
func TestSealedIsBound(t *testing.T) {
	d := dirtest.New().Dirs()
	child := create(t, d)
	c := create(t, d, dir.Entry{Name: "a", Capability: child}, dir.Entry{Name: "b", Capability: file(1)})
	x := update(t, d, c, func(e *dir.Editor) error { return e.Rename("a", "c", false) })
	if e := lookup(t, x, "c"); !e.Capability.Equal(child) {
		t.Errorf("after renaming: %v", e.Capability)
	}
	if got := names(t, x); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("names %q", got)
	}
}

func TestRename(t *testing.T) {
	d := dirtest.New().Dirs()
	c := create(t, d, entry("a", 1), entry("b", 2))
	rename := func(from, to string, replace bool) func(*dir.Editor) error {
		return func(e *dir.Editor) error { return e.Rename(from, to, replace) }
	}
	if _, err := d.Update(t.Context(), c, rename("a", "b", false)); !errors.Is(err, share.ErrExists) {
		t.Errorf("onto another: %v", err)
	}
	if _, err := d.Update(t.Context(), c, rename("x", "y", false)); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	if x := update(t, d, c, rename("a", "a", false)); x.Version().Sequence != 1 {
		t.Error("renaming to itself wrote a version")
	}
	x := update(t, d, c, rename("a", "b", true))
	if e := lookup(t, x, "b"); x.Len() != 1 || e.Size != 1 {
		t.Errorf("after replacing: %d entries, %v", x.Len(), e)
	}
}

func TestNamesAreNormalised(t *testing.T) {
	d := dirtest.New().Dirs()
	const composed, decomposed = "caf\u00e9", "cafe\u0301"
	c := create(t, d, entry(decomposed, 1), entry("Caf\u00e9", 2))
	x := open(t, d, c)
	if got := names(t, x); !slices.Equal(got, []string{"Caf\u00e9", composed}) {
		t.Errorf("names %q", got)
	}
	for _, name := range []string{composed, decomposed} {
		if e := lookup(t, x, name); e.Name != composed || e.Size != 1 {
			t.Errorf("%q leads to %q", name, e.Name)
		}
	}
	x = update(t, d, c, func(e *dir.Editor) error { return e.Set(entry(composed, 3)) })
	if x.Len() != 2 {
		t.Errorf("%d entries", x.Len())
	}
	x = update(t, d, c, func(e *dir.Editor) error { return e.Remove(decomposed) })
	if x.Len() != 1 {
		t.Errorf("%d entries", x.Len())
	}
}

func TestIllegalEntries(t *testing.T) {
	d := dirtest.New().Dirs()
	c := create(t, d)
	verify, err := c.Verify()
	check(t, err)
	good := entry("good", 1)
	for about, change := range map[string]func(*dir.Entry){
		"no name":             func(e *dir.Entry) { e.Name = "" },
		"a slash":             func(e *dir.Entry) { e.Name = "a/b" },
		"no capability":       func(e *dir.Entry) { e.Capability = capability.Capability{} },
		"a negative size":     func(e *dir.Entry) { e.Size = -1 },
		"a time far off":      func(e *dir.Entry) { e.Modified = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a long content type": func(e *dir.Entry) { e.ContentType = strings.Repeat("x", 256) },
		"a content type with controls": func(e *dir.Entry) {
			e.ContentType = "text/plain\n"
		},
		"a large value":      func(e *dir.Entry) { e.User = map[string]string{"k": strings.Repeat("x", 4096)} },
		"an empty key":       func(e *dir.Entry) { e.User = map[string]string{"": "x"} },
		"a key beyond UTF-8": func(e *dir.Entry) { e.User = map[string]string{"\xff": "x"} },
		"many values": func(e *dir.Entry) {
			e.User = map[string]string{}
			for i := range 65 {
				e.User[fmt.Sprint(i)] = ""
			}
		},
	} {
		bad := good
		change(&bad)
		if _, err := d.Update(t.Context(), c, func(e *dir.Editor) error { return e.Set(bad) }); err == nil {
			t.Errorf("an entry with %s was taken", about)
		}
		if _, err := d.Create(t.Context(), dir.Entries(bad)); err == nil {
			t.Errorf("an entry with %s was taken by Create", about)
		}
	}
	x := update(t, d, c, func(e *dir.Editor) error {
		return errors.Join(e.Set(good), e.Set(dir.Entry{Name: "verify", Capability: verify}))
	})
	if x.Len() != 2 {
		t.Errorf("%d entries", x.Len())
	}
	if _, err := d.Create(t.Context(), dir.Entries(good, good)); !errors.Is(err, share.ErrExists) {
		t.Errorf("one name twice: %v", err)
	}
}

func TestMetadata(t *testing.T) {
	m := dirtest.New()
	want := dir.Entry{Name: "photo.jpg", Capability: file(1), Metadata: dir.Metadata{
		Size: 1 << 40, Modified: time.Unix(1, 2).UTC(), Created: time.Unix(0, 0).UTC(), Changed: time.Date(1700, 1, 1, 0, 0, 0, 1, time.UTC),
		ContentType: "image/jpeg", Executable: true, User: map[string]string{"tag": "holiday", "ключ": "значение"},
	}}
	c := create(t, m.Dirs(), want)
	got := lookup(t, open(t, m.Dirs(), c), "photo.jpg")
	if !got.Equal(want.Metadata) || !maps.Equal(got.User, want.User) || !got.Created.Equal(want.Created) || got.Created.IsZero() {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestUnknownKinds: what this version does not understand is carried as it is. Readers get it only where its name says
// that it gives no write authority.
func TestUnknownKinds(t *testing.T) {
	d := dirtest.New().Dirs()
	kinds := []string{"cairn:vault:abc:def", "cairn:vault-read:abc", "cairn:vault-verify:abc"}
	var entries []dir.Entry
	for i, text := range kinds {
		u, err := capability.Parse(text)
		check(t, err)
		entries = append(entries, dir.Entry{Name: fmt.Sprint(i), Capability: u})
	}
	c := create(t, d, entries...)
	update(t, d, c, func(e *dir.Editor) error { return e.Rename("0", "4", false) })
	for i, e := range map[int]string{0: "4", 1: "1", 2: "2"} {
		if got := lookup(t, open(t, d, c), e); got.Capability.Text() != kinds[i] || got.Capability.Kind() != capability.KindUnknown {
			t.Errorf("a writer gets %q for %q", got.Capability.Text(), kinds[i])
		}
		got := lookup(t, open(t, d, readOnly(t, c)), e)
		if want := map[int]string{0: "", 1: kinds[1], 2: kinds[2]}[i]; got.Capability.Text() != want {
			t.Errorf("a reader gets %q for %q", got.Capability.Text(), kinds[i])
		}
	}
	if _, err := d.CreateImmutable(t.Context(), dir.Entries(entries[1])); !errors.Is(err, dir.ErrMutable) {
		t.Errorf("an unknown kind in an immutable directory: %v", err)
	}
}

func TestImmutable(t *testing.T) {
	m := dirtest.New()
	d := m.Dirs()
	for _, n := range []int{0, 1, 3000} {
		c, err := d.CreateImmutable(t.Context(), usual(0, n))
		check(t, err)
		again, err := m.Dirs().CreateImmutable(t.Context(), usual(0, n))
		check(t, err)
		if !c.Equal(again) {
			t.Errorf("%d entries: the same entries make another directory", n)
		}
		x := open(t, m.Dirs(), c)
		if x.Len() != int64(n) || len(names(t, x)) != n || x.Writable() {
			t.Errorf("%d entries, want %d", x.Len(), n)
		}
		if _, err := d.Update(t.Context(), c, func(*dir.Editor) error { return nil }); !errors.Is(err, share.ErrReadOnly) {
			t.Errorf("changed: %v", err)
		}
	}
	mutable := create(t, d)
	for _, c := range []capability.Capability{mutable, readOnly(t, mutable), capability.Mutable(keys.NewWriteKey())} {
		if _, err := d.CreateImmutable(t.Context(), dir.Entries(dir.Entry{Name: "x", Capability: c})); !errors.Is(err, dir.ErrMutable) {
			t.Errorf("%v in an immutable directory: %v", c, err)
		}
	}
}

// TestRefusedCapabilities: the error says which capability would do.
func TestRefusedCapabilities(t *testing.T) {
	d := dirtest.New().Dirs()
	c := create(t, d)
	_, err := d.Update(t.Context(), readOnly(t, c), func(*dir.Editor) error { return nil })
	if !errors.Is(err, capability.ErrAuthority) || !errors.Is(err, share.ErrReadOnly) || !strings.Contains(err.Error(), "write capability (cairn:dir:…) is needed") {
		t.Errorf("a change with a read capability: %v", err)
	}
	verify, err := c.Verify()
	check(t, err)
	var kind *capability.KindError
	for _, c := range []capability.Capability{verify, file(1)} {
		if _, err := d.Open(t.Context(), c); !errors.As(err, &kind) {
			t.Errorf("open %v: %v", c, err)
		}
		if _, err := d.Update(t.Context(), c, nil); !errors.As(err, &kind) {
			t.Errorf("change %v: %v", c, err)
		}
		if _, err := d.Versions(t.Context(), c); !errors.As(err, &kind) {
			t.Errorf("versions of %v: %v", c, err)
		}
	}
	if _, err := d.Open(t.Context(), capability.Directory(keys.NewWriteKey())); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("a directory that nobody made: %v", err)
	}
}

// TestNothingToDo: an edit that changes nothing writes nothing, and one that fails neither.
func TestNothingToDo(t *testing.T) {
	m := dirtest.New()
	d := m.Dirs()
	c := create(t, d, entry("a", 1))
	writes := 0
	m.BeforeWrite = func(dir.Write) { writes++ }
	failure := errors.New("failure")
	for _, edit := range []func(*dir.Editor) error{
		func(*dir.Editor) error { return nil },
		func(e *dir.Editor) error { return e.Set(entry("a", 1)) },
		func(e *dir.Editor) error { return errors.Join(e.Set(entry("b", 1)), e.Remove("b")) },
		func(e *dir.Editor) error { return errors.Join(e.Set(entry("b", 1)), failure) },
	} {
		if _, err := d.Update(t.Context(), c, edit); err != nil && !errors.Is(err, failure) {
			t.Error(err)
		}
	}
	if writes > 0 {
		t.Errorf("%d writes", writes)
	}
}

func TestEditorSeesItsChanges(t *testing.T) {
	d := dirtest.New().Dirs()
	c := create(t, d, entry("a", 1), entry("c", 2), entry("e", 3))
	update(t, d, c, func(e *dir.Editor) error {
		check(t, errors.Join(e.Set(entry("b", 4)), e.Set(entry("f", 5)), e.Remove("c"), e.Rename("e", "d", false)))
		var got []string
		for entry, err := range e.All() {
			check(t, err)
			got = append(got, fmt.Sprint(entry.Name, entry.Size))
		}
		if want := []string{"a1", "b4", "d3", "f5"}; !slices.Equal(got, want) {
			t.Errorf("entries %q, want %q", got, want)
		}
		for _, gone := range []string{"c", "e"} {
			if _, err := e.Get(gone); !errors.Is(err, share.ErrNotFound) {
				t.Errorf("%s: %v", gone, err)
			}
			if err := e.Remove(gone); !errors.Is(err, share.ErrNotFound) {
				t.Errorf("remove %s: %v", gone, err)
			}
		}
		return nil
	})
}

func TestHistory(t *testing.T) {
	m := dirtest.New()
	d := m.Dirs()
	c := create(t, d, entry("a", 1))
	for i := range 5 {
		update(t, d, c, func(e *dir.Editor) error { return e.Set(entry("a", i+2)) })
	}
	versions, err := d.Versions(t.Context(), readOnly(t, c))
	check(t, err)
	if len(versions) != 6 || versions[0].Sequence != 6 {
		t.Fatalf("%d versions, the first is %d", len(versions), versions[0].Sequence)
	}
	for _, v := range versions {
		x, err := d.At(t.Context(), c, v.Sequence)
		check(t, err)
		if e := lookup(t, x, "a"); e.Size != int64(v.Sequence) || x.Version().Sequence != v.Sequence {
			t.Errorf("version %d has %d", v.Sequence, e.Size)
		}
	}
	if _, err := d.At(t.Context(), c, 7); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("version 7: %v", err)
	}
}
