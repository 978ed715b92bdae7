package dir_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// A crowd is a file in memory with writers that hinder each other: what one has tried may stand on some servers, where others see it or not, or be
// what all have in the end, and it may have been signed again. Nothing that does not follow what was acknowledged is acknowledged.
type crowd struct {
	*dirtest.Memory
	c capability.Capability

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	settled map[share.Digest]bool
}

func (w *crowd) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (w *crowd) dawdle() { time.Sleep(time.Duration(w.draw(1000)) * time.Millisecond) }

// past returns all versions, and which of them some follow.
func (w *crowd) past(of ...share.Digest) (all map[share.Digest]dir.Version, past map[share.Digest]bool) {
	all, past = map[share.Digest]dir.Version{}, map[share.Digest]bool{}
	versions, _ := w.Memory.History(context.Background(), w.c, 0)
	for _, v := range versions {
		all[v.Digest] = v
	}
	for len(of) > 0 {
		digest := of[0]
		of = of[1:]
		if !past[digest] {
			past[digest] = true
			of = append(of, all[digest].Parents...)
		}
	}
	return all, past
}

func (w *crowd) Read(ctx context.Context, c capability.Capability) (dir.Content, error) {
	w.dawdle()
	defer w.dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	all, _ := w.past()
	var newest dir.Version
	var seen []dir.Version
	for _, v := range ordered(all) {
		if !w.settled[v.Digest] && w.rng.IntN(3) == 0 {
			continue
		}
		seen = append(seen, v)
		newest = v
	}
	content, err := w.ReadVersion(ctx, c, newest)
	content.Unsure = !w.settled[newest.Digest]
	_, past := w.past(newest.Digest)
	for _, v := range seen {
		if !past[v.Digest] {
			content.Forks = append(content.Forks, v)
		}
	}
	return content, err
}

// ordered returns versions, the newest last.
func ordered(all map[share.Digest]dir.Version) []dir.Version {
	var out []dir.Version
	for _, v := range all {
		at := 0
		for at < len(out) && (out[at].Sequence < v.Sequence || out[at].Sequence == v.Sequence && string(out[at].Digest[:]) < string(v.Digest[:])) {
			at++
		}
		out = append(out[:at:at], append([]dir.Version{v}, out[at:]...)...)
	}
	return out
}

func (w *crowd) Write(_ context.Context, key keys.WriteKey, next dir.Write) (dir.Version, error) {
	w.dawdle()
	defer w.dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	var follows []share.Digest
	for _, v := range append(next.Bases[:len(next.Bases):len(next.Bases)], next.Follows...) {
		follows = append(follows, v.Digest)
	}
	_, past := w.past(follows...)
	refused := false
	for digest := range w.settled {
		refused = refused || !past[digest]
	}
	luck := w.rng.IntN(10)
	if luck < 2 || refused && luck < 4 {
		return dir.Version{}, &mutable.CollisionError{Left: luck == 0, Ours: w.lost(follows)}
	}
	v := w.Fork(key, next)
	if !refused && luck > 4 {
		w.settled[v.Digest] = true
		if luck > 5 {
			return v, nil
		}
	}
	if w.rng.IntN(4) == 0 {
		v = w.Again(w.c, v)
	}
	return dir.Version{}, &mutable.CollisionError{Left: true, Ours: dir.HeadOf(capability.NameOf(key), v)}
}

// lost is a version that no server has taken.
func (w *crowd) lost(follows []share.Digest) head.Head {
	all, _ := w.past()
	h := head.Head{Sequence: 1, Parents: follows}
	binary.BigEndian.PutUint64(h.Root[:], w.rng.Uint64())
	binary.BigEndian.PutUint64(h.Digest[:], w.rng.Uint64())
	for _, digest := range follows {
		h.Sequence = max(h.Sequence, all[digest].Sequence+1)
	}
	return h
}

// TestCrowd measures how often something is lost, or counted twice, among writers who are hindered far more than in a grid: CROWD=0+300
// is the range of seeds. docs/threat-model.md has the figures.
func TestCrowd(t *testing.T) {
	of, more, ok := strings.Cut(os.Getenv("CROWD"), "+")
	if !ok {
		t.Skip("measures; CROWD=0+300 are the seeds")
	}
	first, err := strconv.ParseUint(of, 10, 64)
	check(t, err)
	n, err := strconv.ParseUint(more, 10, 64)
	check(t, err)
	miscounted, lost := 0, 0
	for seed := first; seed < first+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			count, names := crowded(t, seed)
			t.Logf("seed %d: the count is off by %d, %d names were lost", seed, count, names)
			miscounted += min(1, max(count, -count))
			lost += min(1, names)
		})
	}
	t.Logf("of %d runs: the count was off in %d, names were lost in %d", n, miscounted, lost)
}

// crowded returns how far the count is from what was acknowledged, and how many names are not there that were.
func crowded(t *testing.T, seed uint64) (miscounted, lost int) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("n", 0))
	content, err := m.Read(t.Context(), c)
	check(t, err)
	w := &crowd{Memory: m, c: c, rng: rand.New(rand.NewPCG(seed, 1)), settled: map[share.Digest]bool{content.Digest: true}}
	var all sync.WaitGroup
	var mu sync.Mutex
	counted, failed := 0, 0
	there := map[string]bool{}
	for writer := range 2 + int(seed%3) {
		d := dir.New(dir.Config{Files: w, Pages: m})
		rng := rand.New(rand.NewPCG(seed, uint64(writer)+2))
		all.Go(func() {
			for change := range 4 {
				name := own(writer, change)
				edit, counts, sets := count("n"), 1, false
				switch rng.IntN(3) {
				case 0:
					edit, counts, sets = set(name, 1), 0, true
				case 1:
					edit, sets = both(edit, set(name, 1)), true
				}
				_, err := d.Update(t.Context(), c, edit)
				mu.Lock()
				if err == nil {
					counted += counts
					there[name] = sets
				} else {
					t.Logf("%s: %v", name, err)
					failed++
				}
				mu.Unlock()
				if rng.IntN(2) == 0 {
					time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	x := open(t, m.Dirs(), c)
	for name, want := range there {
		if _, err := x.Lookup(t.Context(), name); want && err != nil {
			lost++
		}
	}
	n := int(lookup(t, x, "n").Size)
	return max(0, n-counted-failed) + min(0, n-counted), lost
}

// TestSharedCount: two count the same at the same time, and a third one builds upon what the first has tried and was not told of. Both count.
func TestSharedCount(t *testing.T) {
	type scene struct {
		m *dirtest.Memory
		c capability.Capability
		t *testing.T
		// beside goes on from before the first one tried.
		beside *dir.Dirs
	}
	// built upon what was tried, so many times
	upon := func(times int) func(scene) {
		return func(s scene) {
			d := cut(s.t, s.m, s.c)
			for i := range times {
				update(s.t, d, s.c, set(fmt.Sprint("other ", i), 3))
			}
		}
	}
	counts := func(times int) func(scene) {
		return func(s scene) {
			for range times {
				update(s.t, s.beside, s.c, count("n"))
			}
		}
	}
	countsUpon := func(s scene) { update(s.t, cut(s.t, s.m, s.c), s.c, count("n")) }
	met := func(s scene) { update(s.t, s.m.Dirs(), s.c, set("another", 3)) }
	for about, test := range map[string]struct {
		edit   edit
		losses int
		lost   []func(scene)
		want   string
	}{
		"what was tried is the newest":        {count("n"), 1, []func(scene){upon(1), counts(1)}, "n=2 other 0=3"},
		"and brought together":                {count("n"), 1, []func(scene){upon(1), counts(1), met}, "another=3 n=2 other 0=3"},
		"what was acknowledged is the newest": {count("n"), 1, []func(scene){upon(1), counts(3)}, "n=4 other 0=3"},
		"and brought together, too":           {count("n"), 1, []func(scene){upon(1), counts(3), met}, "another=3 n=4 other 0=3"},
		"two were acknowledged":               {count("n"), 1, []func(scene){upon(2), counts(2)}, "n=3 other 0=3 other 1=3"},
		"somebody counts upon it":             {count("n"), 1, []func(scene){countsUpon, counts(1)}, "n=3"},
		"and that is brought together":        {count("n"), 1, []func(scene){countsUpon, counts(1), met}, "another=3 n=3"},
		"nobody counts beside it":             {count("n"), 1, []func(scene){upon(1), met}, "another=3 n=1 other 0=3"},
		"lost twice":                          {count("n"), 2, []func(scene){upon(1), counts(1)}, "n=3 other 0=3"},
		"other names too":                     {both(count("n"), take("name", 8)), 1, []func(scene){upon(1), counts(1), met}, "another=3 beside=8 n=2 name=8 other 0=3"},
	} {
		t.Run(about, func(t *testing.T) {
			m := dirtest.New()
			c := create(t, m.Dirs(), entry("n", 0))
			s := scene{m, c, t, nil}
			l := &loser{Memory: m, losses: test.losses, lost: func() {
				for _, happens := range test.lost {
					happens(s)
				}
			}}
			_, err := dir.New(dir.Config{Files: l, Pages: m}).Update(t.Context(), c, func(e *dir.Editor) error {
				if s.beside == nil || l.losses > 0 {
					s.beside = cut(t, m, c)
				}
				return test.edit(e)
			})
			check(t, err)
			if got := listed(t, open(t, m.Dirs(), c)); got != test.want {
				t.Errorf("afterwards: %s, want %s", got, test.want)
			}
		})
	}
}

// TestBothMakeItAgain: two count at the same time, neither is told so, and what they tried is brought together. Each of them finds that one of
// the changes may be missing. Both count once, whoever comes first, and also where what they make again collides.
func TestBothMakeItAgain(t *testing.T) {
	for losses := 1; losses <= 3; losses++ {
		m := dirtest.New()
		c := create(t, m.Dirs(), entry("n", 0))
		tried := []chan struct{}{make(chan struct{}), make(chan struct{})}
		var both sync.WaitGroup
		for i, other := range []int{1, 0} {
			l := &loser{Memory: m, losses: losses}
			first := true
			l.lost = func() {
				if first {
					first = false
					close(tried[i])
					<-tried[other]
				}
				if _, err := m.Dirs().Update(t.Context(), c, set(fmt.Sprint("met by ", i), l.losses)); err != nil {
					t.Error(err)
				}
			}
			both.Go(func() {
				if _, err := dir.New(dir.Config{Files: l, Pages: m}).Update(t.Context(), c, count("n")); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if got := lookup(t, open(t, m.Dirs(), c), "n").Size; got != 2 {
			t.Errorf("%d losses each: counted to %d, want 2", losses, got)
		}
	}
}
