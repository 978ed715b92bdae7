package mutable_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func TestHistoryAndRestore(t *testing.T) { synctest.Test(t, testHistoryAndRestore) }

func testHistoryAndRestore(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	m := newFiles(t, g)
	if _, err := m.History(t.Context(), c); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("history of nothing: %v", err)
	}
	large := strings.Repeat("large ", 100_000)
	var v *mutable.Version
	texts := []string{"one", large, "three"}
	for _, text := range texts {
		v = write(t, m, key, v, text)
	}
	slices.Reverse(texts)
	if got := history(t, m, c); !slices.Equal(got, texts) {
		t.Errorf("%d versions in the history", len(got))
	}
	sent := 0
	for _, s := range g.stores {
		sent += s.count("create")
	}
	for sequence, want := range map[uint64]string{1: "one", 2: large} {
		restored, err := m.Restore(t.Context(), key, sequence)
		if err != nil {
			t.Fatal(err)
		}
		if v, got := read(t, newFiles(t, g), c); got != want || v.Head.Digest != restored.Head.Digest {
			t.Errorf("restored version %d: %d bytes", sequence, len(got))
		}
	}
	for _, s := range g.stores {
		sent -= s.count("create")
	}
	if sent != 0 {
		t.Error("what the servers hold was uploaded again")
	}
	if _, err := m.Restore(t.Context(), key, 99); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("restore nothing: %v", err)
	}
	versions, err := m.History(t.Context(), c)
	if err != nil || len(versions) != 5 || versions[4].Size != 3 || versions[3].Size != int64(len(large)) {
		t.Errorf("%d versions, %v", len(versions), err)
	}
}

// TestRestoreReadsAnew restores a version of which shares were lost: it is written anew.
func TestRestoreReadsAnew(t *testing.T) { synctest.Test(t, testRestoreReadsAnew) }

func testRestoreReadsAnew(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	v := write(t, m, key, nil, "one")
	write(t, m, key, v, "two")
	for _, s := range g.stores[:4] {
		s.Store = newStore("").Store
	}
	restored, err := m.Restore(t.Context(), key, 1)
	if err != nil {
		t.Fatal(err)
	}
	if restored.Head.Root == v.Head.Root {
		t.Error("the new version is on six servers only")
	}
	if _, got := read(t, newFiles(t, g), capability.Mutable(key)); got != "one" {
		t.Errorf("read %q", got)
	}
}

func TestPatch(t *testing.T) { synctest.Test(t, testPatch) }

func testPatch(t *testing.T) {
	g := newGrid(3)
	m := newFiles(t, g)
	for _, size := range []int{0, 10, 3 << 20} {
		key := keys.NewWriteKey()
		want := bytes.Repeat([]byte("0123456789"), size/10)
		write(t, m, key, nil, string(want))
		for _, p := range []struct{ off, n int }{{0, 3}, {5, 1}, {size, 4}, {size + 100, 5}, {2, 0}, {1, 2 << 20}, {4 << 20, 0}} {
			patch := bytes.Repeat([]byte{'p'}, p.n)
			if p.n > 0 { // what writes nothing changes nothing, wherever it is
				want = append(want, make([]byte, max(0, p.off+p.n-len(want)))...)
				copy(want[p.off:], patch)
			}
			if _, err := m.Patch(t.Context(), key, int64(p.off), bytes.NewReader(patch)); err != nil {
				t.Fatal(err)
			}
			if _, got := read(t, m, capability.Mutable(key)); got != string(want) {
				t.Fatalf("%d bytes, patched %d at %d: read %d bytes, want %d", size, p.n, p.off, len(got), len(want))
			}
		}
	}
}

// TestRetention releases what is out of the retention: the leases on old versions end.
func TestRetention(t *testing.T) { synctest.Test(t, testRetention) }

func testRetention(t *testing.T) {
	g := newGrid(3)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	var v *mutable.Version
	var roots []share.StorageIndex
	for i := range 6 {
		var err error
		v, err = m.Write(t.Context(), key, v, strings.NewReader(strings.Repeat("x", i)), mutable.WriteOptions{Retention: share.Retention{Versions: 2, Age: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		roots = append(roots, v.Head.Root)
	}
	for i, root := range roots {
		for _, s := range g.stores {
			leases, err := s.Leases(t.Context(), root)
			live := slices.ContainsFunc(leases, func(l share.Lease) bool { return l.Expires.After(time.Now()) })
			if kept := i >= 4; live != kept {
				t.Errorf("version %d on %s: a lease: %t, %v", i+1, s.name, live, err)
			}
		}
	}
}

// TestManyPages stores more pages than travel with a head.
func TestManyPages(t *testing.T) { synctest.Test(t, testManyPages) }

func testManyPages(t *testing.T) {
	g := newGrid(3)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	pages := make([]mutable.Page, 300)
	refs := make([]mutable.Ref, len(pages))
	for i := range pages {
		var err error
		if pages[i], err = mutable.Seal(share.DefaultParams(3), keys.NewReadKey(), bytes.Repeat([]byte{byte(i)}, 20_000)); err != nil {
			t.Fatal(err)
		}
		refs[i] = mutable.Ref{Index: pages[i].Index(), Key: pages[i].Key, Size: 20_000}
	}
	if _, err := m.Write(t.Context(), key, nil, strings.NewReader("root"), mutable.WriteOptions{Extra: pages}); err != nil {
		t.Fatal(err)
	}
	got, err := m.Pages(t.Context(), capability.NameOf(key), refs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pages {
		if !bytes.Equal(got[i], pages[i].Data) {
			t.Fatalf("page %d differs", i)
		}
	}
	other, err := mutable.Seal(share.Params{Needed: 1, Happy: 1, Total: 2}, keys.NewReadKey(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	v, _ := read(t, m, capability.Mutable(key))
	_, err = m.Write(t.Context(), key, v, strings.NewReader("root"), mutable.WriteOptions{Extra: []mutable.Page{other}})
	if !errors.Is(err, share.ErrDenied) {
		t.Errorf("a page of another code: %v", err)
	}
}

// TestConfirm writes a version once more that a writer left on too few servers.
func TestConfirm(t *testing.T) { synctest.Test(t, testConfirm) }

func testConfirm(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	v := write(t, m, key, nil, "one")
	g.dieAfter(5)
	if _, err := m.Write(t.Context(), key, v, strings.NewReader("two"), mutable.WriteOptions{}); err == nil {
		t.Fatal("five acknowledgements were enough")
	}
	g.heal()
	v, got := read(t, m, capability.Mutable(key))
	if got != "two" || v.Confirmed {
		t.Fatalf("read %q, confirmed: %t", got, v.Confirmed)
	}
	if v, err := m.Confirm(t.Context(), key, v, mutable.WriteOptions{}); err != nil || !v.Confirmed {
		t.Fatal(err)
	}
	v, got = read(t, newFiles(t, g), capability.Mutable(key))
	if got != "two" || !v.Confirmed || len(v.Forks) > 0 {
		t.Errorf("read %q, confirmed: %t", got, v.Confirmed)
	}
	if again, err := m.Confirm(t.Context(), key, v, mutable.WriteOptions{}); err != nil || again != v {
		t.Errorf("confirmed twice: %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	g := newGrid(10)
	m := mutable.New(mutable.Env{Servers: g.servers, Owner: "alice"})
	key := keys.NewWriteKey()
	data := strings.Repeat("x", 10_000)
	var v *mutable.Version
	for b.Loop() {
		var err error
		if v, err = m.Write(b.Context(), key, v, strings.NewReader(data), mutable.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	g := newGrid(10)
	m := mutable.New(mutable.Env{Servers: g.servers, Owner: "alice"})
	key := keys.NewWriteKey()
	if _, err := m.Write(b.Context(), key, nil, strings.NewReader(strings.Repeat("x", 10_000)), mutable.WriteOptions{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Read(b.Context(), capability.Mutable(key)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRestoreWithoutTheNewest restores a version where the newest one is damaged on all servers, and where it was on servers that
// are gone.
func TestRestoreWithoutTheNewest(t *testing.T) { synctest.Test(t, testRestoreWithoutTheNewest) }

func testRestoreWithoutTheNewest(t *testing.T) {
	for _, what := range []string{"damaged", "out of reach"} {
		g := newGrid(20)
		m := newFiles(t, g)
		key, v := writeApart(t, g, m, 10, share.DefaultParams(20).Needed)
		c := capability.Mutable(key)
		v = write(t, newFiles(t, g.part(0, 10)), key, v, "two")
		if _, got := read(t, m, c); got != "two" {
			t.Fatalf("read %q", got)
		}
		for _, s := range g.stores[:10] {
			if what == "damaged" {
				must(t, s.Drop(t.Context(), v.Head.Root, s.numbers(t, v.Head.Root)))
			} else {
				s.Store = newStore("").Store
			}
		}
		if _, err := m.Read(t.Context(), c); err == nil {
			t.Fatalf("%s: still read", what)
		}
		restored, err := m.Restore(t.Context(), key, 1)
		if err != nil || restored.Head.Sequence != 3 {
			t.Fatalf("%s: %+v, %v", what, restored, err)
		}
		if _, got := read(t, m, c); got != "one" {
			t.Errorf("%s: restored, it is %q", what, got)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
