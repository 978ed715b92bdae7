package dir_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// A loser loses its first collisions, although what it wrote stands on some servers.
type loser struct {
	*dirtest.Memory
	losses int
	// lost is called after each loss.
	lost func()
}

func (l *loser) Write(ctx context.Context, key keys.WriteKey, w dir.Write) (dir.Version, error) {
	if l.losses == 0 {
		return l.Memory.Write(ctx, key, w)
	}
	l.losses--
	v := l.Fork(key, w)
	if l.lost != nil {
		l.lost()
	}
	return dir.Version{}, &mutable.CollisionError{Left: true, Ours: head.Head{
		Name: capability.NameOf(key), Sequence: v.Sequence, Root: v.Root, Parents: v.Parents, Written: v.Written, Digest: v.Digest,
	}}
}

// take sets a name that nobody may have yet.
func take(name string, n int) edit {
	return func(e *dir.Editor) error {
		if _, err := e.Get(name); err == nil {
			return share.ErrExists
		}
		return firstOf(e.Set(entry(name, n)), e.Set(entry("beside", n)))
	}
}

// count raises the size of an entry.
func count(name string) edit {
	return func(e *dir.Editor) error {
		was, err := e.Get(name)
		was.Size++
		return firstOf(err, e.Set(was))
	}
}

// TestRefusedChangeTakesNoEffect: two take one name at the same time. The one who is told that it is taken leaves nothing behind,
// whether somebody has brought what it tried into the directory meanwhile or not.
func TestRefusedChangeTakesNoEffect(t *testing.T) {
	for about, test := range map[string]struct {
		losses int
		lost   func(t *testing.T, m *dirtest.Memory, c capability.Capability)
		want   string
	}{
		"nobody else looks": {losses: 1, want: "1=1 2=2 name=7"},
		"refused twice":     {losses: 2, want: "1=1 2=2 name=7"},
		"brought in": {losses: 1, want: "1=1 2=2 name=7 other=3", lost: func(t *testing.T, m *dirtest.Memory, c capability.Capability) {
			update(t, m.Dirs(), c, set("other", 3))
		}},
		"brought in twice": {losses: 2, want: "1=1 2=2 name=7 other=3", lost: func(t *testing.T, m *dirtest.Memory, c capability.Capability) {
			update(t, m.Dirs(), c, set("other", 3))
		}},
	} {
		t.Run(about, func(t *testing.T) {
			m := dirtest.New()
			c := create(t, m.Dirs(), entry("1", 1))
			l := &loser{Memory: m, losses: test.losses}
			if test.lost != nil {
				l.lost = func() { test.lost(t, m, c) }
			}
			d := dir.New(dir.Config{Files: l, Pages: m})
			first := true
			_, err := d.Update(t.Context(), c, func(e *dir.Editor) error {
				if first {
					first = false
					update(t, m.Dirs(), c, set("name", 7))
					update(t, m.Dirs(), c, set("2", 2))
				}
				return take("name", 8)(e)
			})
			if !errors.Is(err, share.ErrExists) {
				t.Errorf("took a name that somebody has: %v", err)
			}
			if got := listed(t, open(t, m.Dirs(), c)); got != test.want {
				t.Errorf("afterwards: %s, want %s", got, test.want)
			}
			content, err := m.Read(t.Context(), c)
			check(t, err)
			if len(content.Forks) > 0 {
				t.Errorf("%d forks are left", len(content.Forks))
			}
		})
	}
}

// TestRepeatedChangeCountsOnce: a change that depends on what it finds takes effect once, whatever became of what it tried before.
func TestRepeatedChangeCountsOnce(t *testing.T) {
	counted := int64(0) // by those who brought it in
	for about, lost := range map[string]func(t *testing.T, m *dirtest.Memory, c capability.Capability){
		"counted upon": func(t *testing.T, m *dirtest.Memory, c capability.Capability) {
			update(t, m.Dirs(), c, count("n"))
			counted++
		},
		"counted upon apart": func(t *testing.T, m *dirtest.Memory, c capability.Capability) {
			update(t, m.Dirs(), c, both(set(fmt.Sprint("other ", counted), 3), count("n")))
			update(t, m.Dirs(), c, count("n"))
			counted += 2
		},
		"nobody else looks": func(*testing.T, *dirtest.Memory, capability.Capability) {},
		"brought in": func(t *testing.T, m *dirtest.Memory, c capability.Capability) {
			update(t, m.Dirs(), c, set("other", 3))
		},
		"built upon": func(t *testing.T, m *dirtest.Memory, c capability.Capability) {
			d := cut(t, m, c)
			update(t, d, c, set("other", 3))
			update(t, d, c, set("another", 3))
		},
	} {
		for losses := range 6 {
			rival := losses%2 == 0 // who is first counts too
			t.Run(about, func(t *testing.T) {
				m := dirtest.New()
				c := create(t, m.Dirs(), entry("n", 0))
				l := &loser{Memory: m, losses: losses/2 + 1, lost: func() { lost(t, m, c) }}
				d := dir.New(dir.Config{Files: l, Pages: m})
				first := true
				counted = 0
				_, err := d.Update(t.Context(), c, func(e *dir.Editor) error {
					if first {
						first = false
						if rival {
							update(t, m.Dirs(), c, both(count("n"), set("rival", 1)))
							counted++
						}
						update(t, m.Dirs(), c, set("theirs", 1))
						update(t, m.Dirs(), c, set("later", 1))
					}
					return count("n")(e)
				})
				check(t, err)
				if got := lookup(t, open(t, m.Dirs(), c), "n").Size; got != 1+counted {
					t.Errorf("%d losses: counted %d times, it is %d", losses/2+1, 1+counted, got)
				}
			})
		}
	}
}

// A curious Memory notes what was asked of histories: from which sequences on.
type curious struct {
	loser
	since []uint64
}

func (c *curious) History(ctx context.Context, of capability.Capability, since uint64) ([]dir.Version, error) {
	c.since = append(c.since, since)
	return c.loser.History(ctx, of, since)
}

// TestRetryAsksForLittle: who makes a change once more after a collision asks for the versions since the one from which it was made first, however
// many there are.
func TestRetryAsksForLittle(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("n", 0))
	for range 100 {
		update(t, m.Dirs(), c, count("n"))
	}
	files := &curious{loser: loser{Memory: m, losses: 3}}
	files.lost = func() { update(t, m.Dirs(), c, set("other", files.losses)) }
	update(t, dir.New(dir.Config{Files: files, Pages: m}), c, count("n"))
	if got := lookup(t, open(t, m.Dirs(), c), "n").Size; got != 101 {
		t.Errorf("counted 101 times, it is %d", got)
	}
	if len(files.since) == 0 || slices.Min(files.since) < 101-8 {
		t.Errorf("of 101 versions and some more asked for those since %v", files.since)
	}
}

// TestForkOfLongAgo: forks whose common ancestor is many versions old are brought together like others.
func TestForkOfLongAgo(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("gone", 1), entry("left", 1), entry("right", 1))
	for i := range 30 {
		update(t, m.Dirs(), c, set("n", i))
	}
	a, b := cut(t, m, c), cut(t, m, c)
	for i := range 20 {
		update(t, a, c, set("left", i+2))
		update(t, b, c, set("right", i+2))
	}
	update(t, a, c, remove("gone"))
	files := &curious{loser: loser{Memory: m}}
	if got := listed(t, open(t, dir.New(dir.Config{Files: files, Pages: m}), c)); got != "left=21 n=29 right=21" {
		t.Errorf("brought together: %s", got)
	}
	if len(files.since) != 2 || files.since[0] < 20 || files.since[1] != 0 {
		t.Errorf("asked for the versions since %v, want those of late and then all", files.since)
	}
}

// TestAncestorOutOfReach: where the version before a fork should be kept and is not found, the directory does not change, since it
// could bring back what was removed.
func TestAncestorOutOfReach(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("1", 1), entry("2", 2))
	a, b := cut(t, m, c), cut(t, m, c)
	update(t, a, c, remove("1"))
	update(t, b, c, remove("2"))
	files := &secretive{Memory: m, hides: 3}
	d := dir.New(dir.Config{Files: files, Pages: m})
	if got := listed(t, update(t, d, c, set("3", 3))); got != "3=3" {
		t.Errorf("brought together while a version was out of reach: %s", got)
	}
	if files.hides >= 0 {
		t.Error("the change did not wait")
	}
}

// secretive does not tell of the first version, so often.
type secretive struct {
	*dirtest.Memory
	hides int
}

func (s *secretive) History(ctx context.Context, c capability.Capability, since uint64) ([]dir.Version, error) {
	all, err := s.Memory.History(ctx, c, since)
	if s.hides--; s.hides < 0 {
		return all, err
	}
	var told []dir.Version
	for _, v := range all {
		v.Cut = v.Sequence == 2
		if v.Sequence != 1 {
			told = append(told, v)
		}
	}
	return told, err
}
