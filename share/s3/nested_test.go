package s3_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/internal/s3test"
	"cairn/share"
	"cairn/share/s3"
)

// TestNested has two nodes whose prefixes are above one another: whichever comes second is refused by name, and nothing of it is left.
func TestNested(t *testing.T) {
	k := newKit(t, nil)
	at := func(prefix, owner string) s3.Config {
		c := k.config(t)
		c.Prefix, c.Owner, c.Name = prefix, owner, "the node of "+owner
		return c
	}
	for _, test := range []struct {
		name, first, second string
		below               bool
	}{
		{"below", "a", "a/x", false},
		{"far below", "b", "b/x/y/z", false},
		{"among the packs", "c", "c/p", false},
		{"above", "d/x", "d", true},
		{"far above", "e/x/y/z", "e", true},
		{"above one among the heads", "f/h", "f", true},
	} {
		first, second := at(test.first, "first"), at(test.second, "second")
		fill(t, open(t, first))
		before := k.server.Objects()
		for what, try := range map[string]func(context.Context, s3.Config) error{
			"look": s3.Look, "claim": s3.Claim, "nested": s3.Nested,
			"open": func(ctx context.Context, c s3.Config) error {
				store, err := s3.Open(ctx, c)
				if err == nil {
					store.Close()
				}
				return err
			},
		} {
			err := try(t.Context(), second)
			nested, ok := errors.AsType[*s3.NestedError](err)
			if !ok || !errors.Is(err, share.ErrDenied) {
				t.Errorf("%s, %s: %v", test.name, what, err)
				continue
			}
			if nested.Below != test.below || nested.URL != first.URL() || nested.Owner != "first" || nested.Ago > time.Minute {
				t.Errorf("%s, %s: %+v", test.name, what, nested)
			}
			if text := s3.Explain(err); !strings.Contains(text, first.URL()) || !strings.Contains(text, `"the node of first" (first), last heard of `) {
				t.Errorf("%s, %s: %q", test.name, what, text)
			}
		}
		if after := k.server.Objects(); !maps.Equal(before, after) {
			t.Errorf("%s: the bucket has %v", test.name, slices.Sorted(maps.Keys(after)))
		}
		if err := s3.Look(t.Context(), first); err != nil {
			t.Errorf("%s: the first one: %v", test.name, err)
		}
	}

	root := at("", "root")
	if err := s3.Claim(t.Context(), root); !errors.Is(err, share.ErrDenied) {
		t.Errorf("the whole bucket: %v", err)
	}
	open(t, at("aa", "beside"))
	open(t, at("g/x", "one"))
	open(t, at("g/xy", "other"))
}

// TestNestedBefore has two stores above one another that nobody refused: both say so when they are tried, and open, because what is in them is needed.
func TestNestedBefore(t *testing.T) {
	k := newKit(t, nil)
	upper, lower := k.config(t), k.config(t)
	upper.Prefix, upper.Owner, lower.Prefix, lower.Owner = "u", "upper", "u/x/lower", "lower"
	held := fill(t, open(t, upper))
	for _, name := range []string{"cairn", "lock"} {
		k.server.Put("u/x/lower/"+name, k.server.Get("u/"+name))
	}
	var lock map[string]any
	if err := json.Unmarshal(k.server.Get("u/lock"), &lock); err != nil {
		t.Fatal(err)
	}
	lock["owner"] = "lower"
	data, err := json.Marshal(lock)
	if err != nil {
		t.Fatal(err)
	}
	k.server.Put("u/x/lower/lock", data)
	for _, test := range []struct {
		config s3.Config
		below  bool
		url    string
	}{{upper, true, lower.URL()}, {lower, false, upper.URL()}} {
		nested, ok := errors.AsType[*s3.NestedError](s3.Nested(t.Context(), test.config))
		if !ok || nested.Below != test.below || nested.URL != test.url {
			t.Errorf("%s: %+v", test.config.URL(), nested)
		}
	}
	upper.Index = t.TempDir()
	upper.TakeOver = true
	held.want(t, open(t, upper))
	open(t, lower)
}

// TestNestedUnseen has keys that may see nothing above the prefix: the prefix is taken.
func TestNestedUnseen(t *testing.T) {
	k := newKit(t, nil)
	p := newProxy(t, k.server.Endpoint)
	p.answer(func(w http.ResponseWriter, r *http.Request) bool {
		query := r.URL.Query()
		return !strings.HasPrefix(strings.TrimPrefix(r.URL.Path+query.Get("prefix"), "/"+s3test.Bucket+"/"), "some/mine/") && refuse(w, http.StatusForbidden, "AccessDenied")
	})
	c := k.config(t)
	c.Endpoint, c.Prefix = p.URL, "some/mine"
	fill(t, open(t, c))
}

// TestNestedAtOnce makes two prefixes above one another at the same moment: both write before they see each other, and not both stay.
func TestNestedAtOnce(t *testing.T) {
	k := newKit(t, nil)
	upper, lower := k.config(t), k.config(t)
	upper.Prefix, lower.Prefix = "u", "u/x"
	p := newProxy(t, k.server.Endpoint)
	upper.Endpoint = p.URL
	made := make(chan error, 1)
	p.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/u/cairn") { // it has looked, and saw nothing
			made <- s3.Claim(t.Context(), lower)
		}
		return false
	})
	_, nested := errors.AsType[*s3.NestedError](s3.Claim(t.Context(), upper))
	if err := <-made; err != nil || !nested {
		t.Errorf("the lower one: %v; the upper one was refused: %v", err, nested)
	}
	if _, there := k.server.Objects()["u/cairn"]; there {
		t.Error("the one that was refused has left its marker")
	}
	open(t, lower)
}

// TestTakeOverAlive takes a prefix over from a node that was heard of a moment ago, whatever that node's clock says.
func TestTakeOverAlive(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	c.Owner, c.Name = "first", "ann"
	held := fill(t, open(t, c))
	var lock map[string]any
	if err := json.Unmarshal(k.server.Get(c.Prefix+"/lock"), &lock); err != nil {
		t.Fatal(err)
	}
	lock["refreshed"] = time.Now().Add(-time.Hour) // its clock is wrong
	data, err := json.Marshal(lock)
	if err != nil {
		t.Fatal(err)
	}
	k.server.Put(c.Prefix+"/lock", data)

	other := c
	other.Owner, other.Index, other.TakeOver, other.Silent = "second", t.TempDir(), true, 3*time.Minute
	for what, try := range map[string]func(context.Context, s3.Config) error{"look": s3.Look, "claim": s3.Claim} {
		locked, ok := errors.AsType[*s3.LockedError](try(t.Context(), other))
		if !ok || !locked.Alive || locked.Ago > time.Minute || locked.Name != "ann" {
			t.Errorf("%s: %+v", what, locked)
		}
	}
	if has, err := s3.Has(t.Context(), other); has || err != nil {
		t.Errorf("the second one has it: %v, %v", has, err)
	}
	other.Silent = 0
	if err := s3.Claim(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if has, err := s3.Has(t.Context(), other); !has || err != nil {
		t.Errorf("after it was taken over: %v, %v", has, err)
	}
	other.TakeOver = false
	held.want(t, open(t, other))
}

// TestTakeOverNobody is told to take a prefix over that nobody has, as one that is misspelt, and leaves nothing there.
func TestTakeOverNobody(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	c.Owner, c.TakeOver = "second", true
	for what, try := range map[string]func(context.Context, s3.Config) error{"look": s3.Look, "claim": s3.Claim} {
		if err := try(t.Context(), c); !errors.Is(err, s3.ErrNobody) || !errors.Is(err, share.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if keys := k.server.Objects(); len(keys) > 0 {
		t.Errorf("there is %v now", keys)
	}
	c.TakeOver = false
	if err := s3.Claim(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.TakeOver = true
	if err := s3.Claim(t.Context(), c); err != nil {
		t.Errorf("one that it has already: %v", err)
	}
}
