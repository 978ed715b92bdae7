package dir_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/share/capability"
	"cairn/share/keys"
)

// passing gives a version as the newest until the next write, and what has a higher sequence as its forks, as a reader does who can tell that
// these were refused.
type passing struct {
	loser
	newest dir.Version
}

func (p *passing) Read(ctx context.Context, c capability.Capability) (dir.Content, error) {
	content, err := p.Memory.Read(ctx, c)
	if err != nil || p.newest.Sequence == 0 {
		return content, err
	}
	heads := append(content.Forks, content.Version)
	content, err = p.ReadVersion(ctx, c, p.newest)
	content.Forks = slices.DeleteFunc(heads, func(v dir.Version) bool { return v.Digest == p.newest.Digest })
	return content, err
}

func (p *passing) Write(ctx context.Context, key keys.WriteKey, w dir.Write) (dir.Version, error) {
	if p.losses > 0 {
		return p.loser.Write(ctx, key, w)
	}
	p.newest = dir.Version{}
	return p.Fork(key, w), nil
}

// TestForkOfHigherSequence: the version that is given as the newest is the one into which others are brought, whatever their sequence.
func TestForkOfHigherSequence(t *testing.T) {
	for about, further := range map[string]int{"the same sequence": 0, "one more": 1, "many more": 12} {
		t.Run(about, func(t *testing.T) {
			m := dirtest.New()
			c := create(t, m.Dirs(), entry("1", 1), entry("2", 2), entry("3", 3))
			a, b := cut(t, m, c), cut(t, m, c)
			newest := update(t, a, c, set("1", 7)).Version()
			other := update(t, b, c, both(set("1", 8), remove("2"))).Version()
			keep, conflict := 7, 8
			if further == 0 && slices.Compare(newest.Digest[:], other.Digest[:]) > 0 {
				newest, keep, conflict = other, 8, 7
			}
			for i := range further {
				update(t, b, c, set("further", i))
			}
			want := fmt.Sprintf("1=%d 1 (conflict 2027-01-15)=%d 3=3", keep, conflict)
			if further > 0 {
				want += fmt.Sprintf(" further=%d", further-1)
			}
			p := &passing{loser: loser{Memory: m}, newest: newest}
			d := dir.New(dir.Config{Files: p, Pages: m})
			if got := listed(t, open(t, d, c)); got != want {
				t.Fatalf("brought together: %s, want %s", got, want)
			}
			written := update(t, d, c, nothing).Version()
			content, err := m.Read(t.Context(), c)
			check(t, err)
			if content.Digest != written.Digest || len(content.Forks) > 0 {
				t.Errorf("version %d was written, version %d is the newest, with %d forks", written.Sequence, content.Sequence, len(content.Forks))
			}
			if got := listed(t, open(t, m.Dirs(), c)); got != want {
				t.Errorf("written: %s, want %s", got, want)
			}
		})
	}
}

// TestRefusedHasHigherSequence: what a writer tried was built upon, and has a higher sequence than what was acknowledged. The writer takes it back
// and makes it again.
func TestRefusedHasHigherSequence(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("n", 0))
	beside := cut(t, m, c)
	p := &passing{loser: loser{Memory: m, losses: 1}}
	p.lost = func() {
		upon := cut(t, m, c)
		for i := range 3 {
			update(t, upon, c, set("upon", i))
		}
		p.newest = update(t, beside, c, count("n")).Version()
	}
	x := update(t, dir.New(dir.Config{Files: p, Pages: m}), c, both(count("n"), take("name", 8)))
	if got, want := listed(t, open(t, m.Dirs(), c)), "beside=8 n=2 name=8 upon=2"; got != want {
		t.Errorf("afterwards, in version %d: %s, want %s", x.Version().Sequence, got, want)
	}
}
