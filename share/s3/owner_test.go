package s3_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestHeadsOfTheOwner has the owner of the bucket do to heads what can be done: what is read stays the same, the next version can be
// written, and a scrub puts the object right and tells of it.
func TestHeadsOfTheOwner(t *testing.T) {
	k := newKit(t, nil)
	for what, test := range map[string]struct {
		hurt func(x *scrubbed, key, other string, old []byte)
		want error
	}{
		"deleted":           {func(x *scrubbed, key, _ string, _ []byte) { x.server.Remove(key) }, share.ErrNotFound},
		"an older one":      {func(x *scrubbed, key, _ string, old []byte) { x.server.Put(key, old) }, share.ErrRollback},
		"garbage":           {func(x *scrubbed, key, _ string, _ []byte) { x.server.Put(key, bytes.Repeat([]byte("x"), 700)) }, share.ErrCorrupt},
		"of another name":   {func(x *scrubbed, key, other string, _ []byte) { x.server.Put(key, x.server.Get(other)) }, share.ErrCorrupt},
		"a bit has changed": {func(x *scrubbed, key, _ string, _ []byte) { x.server.Put(key, flip(90)(x.server.Get(key))) }, share.ErrCorrupt},
	} {
		t.Run(what, func(t *testing.T) {
			for _, scrub := range []bool{true, false} {
				x := newScrubbed(t, k)
				var names []*storetest.Mutable
				var old []byte
				for i := range 4 {
					m := storetest.NewMutable(uint64(i + 1))
					for version := range 3 {
						u := m.Next(share.StorageIndex{byte(version + 1)}, "alice")
						u.Retention = share.Retention{Versions: 5}
						if err := x.store.SetHead(t.Context(), u); err != nil {
							t.Fatal(err)
						}
						m.Advance(u)
						if i == 0 && version == 1 {
							old = x.server.Get(x.config.Prefix + "/h/" + m.Name.String())
						}
					}
					names = append(names, m)
				}
				of := names[0]
				key := x.config.Prefix + "/h/" + of.Name.String()
				test.hurt(x, key, x.config.Prefix+"/h/"+names[1].Name.String(), old)
				if scrub {
					report, err := x.store.Scrub(t.Context(), everything)
					if err != nil || report.Heads != 1 {
						t.Errorf("%+v, %v", report, err)
					}
				}
				if held, err := x.store.Heads(t.Context(), []share.Name{of.Name}, false); err != nil || !bytes.Equal(held[0].Record, of.Record) {
					t.Errorf("another head is told: %v", err)
				}
				u := of.Next(share.StorageIndex{9}, "alice")
				u.Retention = share.Retention{Versions: 5}
				if err := x.store.SetHead(t.Context(), u); err != nil {
					t.Errorf("the next version: %v", err)
				}
				of.Advance(u)
				if len(x.bad) != 1 || !errors.Is(x.bad[0].Err, test.want) || x.bad[0].Name != of.Name {
					t.Errorf("told of %+v, want %v", x.bad, test.want)
				}
				fresh := storetest.NewMutable(99)
				x.server.Put(x.config.Prefix+"/h/"+fresh.Name.String(), []byte("what nobody stored"))
				u = fresh.Next(share.StorageIndex{9}, "alice")
				if err := x.store.SetHead(t.Context(), u); err != nil {
					t.Errorf("a name whose object is garbage: %v", err)
				}
				fresh.Advance(u)
				names = append(names, fresh)
				x.store.Close()
				x.config.Index, x.config.TakeOver = t.TempDir(), true
				x.store = open(t, x.config)
				for _, m := range names {
					held, err := x.store.Heads(t.Context(), []share.Name{m.Name}, false)
					if err != nil || !bytes.Equal(held[0].Record, m.Record) {
						t.Errorf("with an index that was computed anew: another head of %s, %v", m.Name, err)
					}
				}
			}
		})
	}
}

// TestForgery has the owner of the bucket, whose program knows all formats, put objects there that a person never stored: an index that is
// computed from the bucket takes none that does not verify, and what it takes is what its name says.
func TestForgery(t *testing.T) {
	x := newScrubbed(t, newKit(t, nil))
	victim := storetest.NewFile(t, 900, 1, 2, 4<<10, 9_000)
	if err := victim.Put(t.Context(), x.store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	x.store.Close()
	packs := x.objects("p/")
	for i, change := range []func([]byte) []byte{
		func(p []byte) []byte { return nil },
		func(p []byte) []byte { return []byte("cairnpk1") },
		func(p []byte) []byte { return append([]byte{0xff, 0xff, 0xff, 0xff}, "cairnpk1"...) },
		func(p []byte) []byte { return append(bytes.Repeat([]byte{0}, 40), p...) }, // every offset is wrong
		func(p []byte) []byte { return p[7:] },
		flip(-14),
		flip(-60),
	} {
		forged := change(bytes.Clone(x.server.Get(packs[0])))
		x.server.Put(strings.Replace(packs[0], "/p/0", "/p/1", 1)+string(rune('a'+i)), forged)
	}
	// A forged share under a name that exists: other bytes, its own root, the index of the victim.
	x.server.Put(x.config.Prefix+"/p/100000000000-00", s3.ForgePack(victim.Index, storetest.NewFile(t, 901, 1, 2, 4<<10, 9_000).Whole(1)))
	x.config.Index, x.config.TakeOver = t.TempDir(), true
	x.store = open(t, x.config)
	held, err := x.store.Numbers(t.Context(), []share.StorageIndex{victim.Index})
	if err != nil || !slices.Equal(held[0].Numbers, []share.Number{0}) {
		t.Errorf("%v, %v, want share 0 alone", held, err)
	}
	for _, f := range append(x.all(), victim) {
		if err := f.Check(t.Context(), x.store, 0); err != nil {
			t.Error(err)
		}
	}
	if n := x.store.Stats().Objects; n != int64(len(packs)+2) {
		t.Errorf("%d objects are used, want %d: %v", n, len(packs)+2, slices.Sorted(maps.Keys(x.server.Objects())))
	}
}

// TestOldBucket has the owner put the whole bucket back to what it was before: what is missing since is noticed, and heads are put right.
func TestOldBucket(t *testing.T) {
	x := newScrubbed(t, newKit(t, nil))
	m := storetest.NewMutable(1)
	write := func(i byte) {
		t.Helper()
		u := m.Next(share.StorageIndex{i}, "alice")
		if err := x.store.SetHead(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		m.Advance(u)
	}
	write(1)
	before := map[string][]byte{}
	for _, key := range x.objects("") {
		before[key] = x.server.Get(key)
	}
	write(2)
	late := storetest.NewFile(t, 700, 1, 2, 64<<10, 300<<10)
	if err := late.Put(t.Context(), x.store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	for _, key := range x.objects("") {
		x.server.Remove(key)
	}
	for key, data := range before {
		x.server.Put(key, data)
	}
	report, err := x.store.Scrub(t.Context(), everything)
	if err != nil || report.Bad != 1 || report.Heads != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if !slices.ContainsFunc(x.bad, func(b s3.Bad) bool { return errors.Is(b.Err, share.ErrRollback) && b.Name == m.Name }) ||
		!slices.ContainsFunc(x.bad, func(b s3.Bad) bool { return b.Index == late.Index }) {
		t.Errorf("told of %+v", x.bad)
	}
	if held, err := x.store.Heads(t.Context(), []share.Name{m.Name}, false); err != nil || !bytes.Equal(held[0].Record, m.Record) {
		t.Errorf("another head is told: %v", err)
	}
	write(3)
}
