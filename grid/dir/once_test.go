package dir_test

import (
	"testing"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
)

// TestOnce: within a Once context a directory is read once, an Update's version is seen at once, and what somebody else
// wrote meanwhile is neither lost nor overlooked by an Update.
func TestOnce(t *testing.T) {
	m := dirtest.New()
	writer, other := m.Dirs(), m.Dirs()
	c := create(t, writer, entry("a", 1))
	set := func(name string) func(*dir.Editor) error {
		return func(e *dir.Editor) error { return e.Set(entry(name, 1)) }
	}
	ctx := dir.Once(t.Context())
	length := func() int64 {
		t.Helper()
		x, err := other.Open(ctx, c)
		check(t, err)
		return x.Len()
	}
	m.Reset()
	for range 3 {
		if got := length(); got != 1 {
			t.Fatalf("%d entries, want 1", got)
		}
	}
	if reads := m.Reset().Reads; reads != 1 {
		t.Errorf("opened three times, the servers were asked %d times, want 1", reads)
	}
	if _, err := other.Update(ctx, c, set("b")); err != nil {
		t.Fatal(err)
	}
	if moved := m.Reset(); moved.Reads != 0 || moved.Writes != 1 {
		t.Errorf("the update of what was just seen took %d reads and %d writes, want 0 and 1", moved.Reads, moved.Writes)
	}
	if got := length(); got != 2 {
		t.Errorf("%d entries after the update, want 2", got)
	}
	update(t, writer, c, set("c"))
	if got := open(t, other, c).Len(); got != 3 {
		t.Errorf("%d entries outside of the context, want 3", got)
	}
	x, err := other.Update(ctx, c, set("d"))
	check(t, err)
	if x.Len() != 4 || length() != 4 {
		t.Errorf("%d entries after another's update and one more, then %d, want 4", x.Len(), length())
	}
}
