package discovery

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ipfs/go-datastore"

	"cairn/share"
)

func TestValueStoreIsBounded(t *testing.T) {
	store, ctx := newValueStore(2), t.Context()
	put := func(name string) error { return store.Put(ctx, datastore.NewKey(name), []byte("value")) }
	for _, name := range []string{"a", "b", "a"} {
		if err := put(name); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
	}
	if err := put("c"); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a third value: %v, want ErrTooLarge", err)
	}
	if err := store.Delete(ctx, datastore.NewKey("a")); err != nil {
		t.Fatal(err)
	}
	if err := put("c"); err != nil {
		t.Errorf("a value in the place of a deleted one: %v", err)
	}
}

// picky accepts values that start with the name.
type picky struct{}

func (picky) Validate(name string, value []byte) error {
	if !strings.HasPrefix(string(value), name) {
		return fmt.Errorf("no value of %s", name)
	}
	return nil
}

func (picky) Newer(_ string, a, b []byte) bool { return string(a) > string(b) }

// FuzzJudge feeds keys and values as any member may send them.
func FuzzJudge(f *testing.F) {
	f.Add("/list/a", "a1")
	f.Add("/list/", "")
	f.Add("list/a", "a1")
	f.Add("//list/a", "a1")
	f.Add("/other/a", "a1")
	f.Add("/list/a/b", "a/b")
	f.Fuzz(func(t *testing.T, key, value string) {
		err := judge{"list": picky{}}.Validate(key, []byte(value))
		name, found := strings.CutPrefix(key, "/list/")
		good := found && name != "" && len(name) <= maxValueName && len(value) <= MaxValue && strings.HasPrefix(value, name)
		if (err == nil) != good {
			t.Errorf("Validate(%q, %q): %v", key, value, err)
		}
	})
}

func TestSelectNewest(t *testing.T) {
	j := judge{"list": picky{}}
	best, err := j.Select("/list/a", [][]byte{[]byte("a1"), []byte("a3"), []byte("a2"), []byte("a3")})
	if best != 1 || err != nil {
		t.Errorf("Select: %d, %v; want the first of the newest", best, err)
	}
	if _, err := j.Select("/list/a", nil); err == nil {
		t.Error("Select from nothing: no error")
	}
}
