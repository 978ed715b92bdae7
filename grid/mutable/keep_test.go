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
	"cairn/share/capability"
	"cairn/share/keys"
)

// TestLosersAreKept: five write one file at the same time, again and again, small and large. What lost is in the history of who
// wrote it, is never taken for the newest, and can be made the newest.
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
	write(t, newFiles(t, g), key, nil, "base")
	var lost, won atomic.Int32
	var all sync.WaitGroup
	for w := range 5 {
		m := newFiles(t, g)
		all.Go(func() {
			for i := range 4 {
				text := strings.Repeat(fmt.Sprintf("writer %d, text %d. ", w, i), size/10)
				base, err := m.Read(t.Context(), c)
				if err == nil {
					_, err = m.Write(t.Context(), key, base, strings.NewReader(text), mutable.WriteOptions{Keep: true})
				}
				var collision *mutable.CollisionError
				switch {
				case err == nil:
					won.Add(1)
				case !errors.As(err, &collision) || collision.Kept.IsZero():
					t.Errorf("writer %d: %v", w, err)
				default:
					lost.Add(1)
					isKept(t, m, c, collision, text)
				}
				if collision != nil && i == 3 {
					if v, err := m.RestoreHead(t.Context(), key, collision.Ours); err == nil {
						if data, err := v.Bytes(t.Context(), 1<<20); err != nil && v.Size != int64(len(text)) || err == nil && len(data) > 0 && string(data) != text {
							t.Errorf("restored %d bytes, %v", v.Size, err)
						}
					}
				}
			}
		})
	}
	all.Wait()
	if lost.Load() == 0 || won.Load() == 0 {
		t.Errorf("%d lost, %d won", lost.Load(), won.Load())
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
	if i < 1 { // also -1; the first one is the newest
		t.Errorf("what lost is number %d of %d in the history", i, len(versions))
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
