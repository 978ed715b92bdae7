package mutable_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// TestLosersAreKept: five write one file at the same time, again and again, small and large. What lost is in the history of who
// wrote it, can be made the newest, and hides nothing that was acknowledged.
func TestLosersAreKept(t *testing.T) {
	for _, size := range []int{10, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fiveCollide(t, size) })
		})
	}
}

func fiveCollide(t *testing.T, size int) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	var lost atomic.Int32
	var mu sync.Mutex
	acknowledged := []head.Head{write(t, newFiles(t, g), key, nil, "base").Head}
	succeeded := func(v *mutable.Version) {
		mu.Lock()
		defer mu.Unlock()
		acknowledged = append(acknowledged, v.Head)
	}
	var all sync.WaitGroup
	for w := range 5 {
		m := newFiles(t, g)
		all.Go(func() {
			for i := range 4 {
				text := strings.Repeat(fmt.Sprintf("writer %d, text %d. ", w, i), size/10)
				base, err := m.Read(t.Context(), c)
				var v *mutable.Version
				if err == nil {
					v, err = m.Write(t.Context(), key, base, strings.NewReader(text), mutable.WriteOptions{Keep: true})
				}
				var collision *mutable.CollisionError
				switch {
				case err == nil:
					succeeded(v)
				case !errors.As(err, &collision) || collision.Kept.IsZero():
					t.Errorf("writer %d: %v", w, err)
				default:
					lost.Add(1)
					isKept(t, m, c, collision, text)
				}
				if collision != nil && i == 3 {
					if v, err := m.RestoreHead(t.Context(), key, collision.Ours); err == nil {
						succeeded(v)
						if data, err := v.Bytes(t.Context(), 1<<20); err != nil && v.Size != int64(len(text)) || err == nil && len(data) > 0 && string(data) != text {
							t.Errorf("restored %d bytes, %v", v.Size, err)
						}
					}
				}
			}
		})
	}
	all.Wait()
	if lost.Load() == 0 {
		t.Error("nobody lost")
	}
	hidesNothing(t, newFiles(t, g), c, acknowledged)
}

// hidesNothing checks that what is read is one of these versions, which were acknowledged, or follows all of them, and that its forks do
// where it does not.
func hidesNothing(t *testing.T, m *mutable.Files, c capability.Capability, acknowledged []head.Head) {
	t.Helper()
	v, text := read(t, m, c)
	versions, err := m.History(t.Context(), c)
	must(t, err)
	parents := map[share.Digest][]share.Digest{}
	for _, known := range versions {
		parents[known.Head.Digest] = known.Head.Parents
	}
	line := func(heads ...head.Head) map[share.Digest]bool {
		met := map[share.Digest]bool{}
		var next []share.Digest
		for _, h := range heads {
			next = append(next, h.Digest)
		}
		for ; len(next) > 0; next = next[1:] {
			if !met[next[0]] {
				met[next[0]] = true
				next = append(next, parents[next[0]]...)
			}
		}
		return met
	}
	is := func(h head.Head) bool { return h.Digest == v.Head.Digest }
	own, all := line(v.Head), line(append(v.Forks, v.Head)...)
	for _, h := range acknowledged {
		switch {
		case !all[h.Digest]:
			t.Errorf("version %d was acknowledged, and %d, %.40q, does not follow it, nor do its %d forks", h.Sequence, v.Head.Sequence, text, len(v.Forks))
		case !own[h.Digest] && !slices.ContainsFunc(acknowledged, is):
			t.Errorf("version %d was acknowledged, and %d, %.40q, which was refused, is read in its place", h.Sequence, v.Head.Sequence, text)
		}
	}
}

// isKept checks that a version which lost can be read.
func isKept(t *testing.T, m *mutable.Files, c capability.Capability, lost *mutable.CollisionError, want string) {
	t.Helper()
	versions, err := m.History(t.Context(), c)
	if err != nil {
		t.Error(err)
		return
	}
	i := slices.IndexFunc(versions, func(v mutable.Version) bool { return v.Head.Digest == lost.Ours.Digest })
	if i < 0 {
		t.Errorf("what lost is not among %d in the history", len(versions))
		return
	}
	v, err := m.ReadHead(t.Context(), c, versions[i].Head)
	if err != nil {
		t.Error(err)
		return
	}
	if data, err := v.Bytes(t.Context(), 1<<24); err != nil || string(data) != want || versions[i].Size != int64(len(want)) {
		t.Errorf("what lost is %d bytes, %d in the history, want %d: %v", len(data), versions[i].Size, len(want), err)
	}
}
