package s3_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestIndexOfAnotherBucket opens a store with the index of another one, in which shares are, and after they are gone.
func TestIndexOfAnotherBucket(t *testing.T) {
	k := newKit(t, nil)
	c, other := k.config(t), k.config(t)
	c.Use = "this"
	other.Index = c.Index
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 3, 64<<10, 300<<10)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := s3.Peek(c.Index); !errors.Is(err, share.ErrBusy) {
		t.Errorf("peek at an open index: %v", err)
	}
	store.Close()

	_, err := s3.Open(t.Context(), other)
	refused, ok := errors.AsType[*s3.OtherError](err)
	if !ok || !errors.Is(err, share.ErrDenied) || s3.Temporary(err) {
		t.Fatalf("open: %v", err)
	}
	for _, want := range []string{c.Place(), other.Place(), "1 shares of 1 files"} {
		if !strings.Contains(s3.Explain(err), want) {
			t.Errorf("%q does not say %q", s3.Explain(err), want)
		}
	}
	if h := refused.Held; h.Use != "this" || h.Shares != 1 || h.Bytes < f.Size || !h.Is(c) || h.Is(other) {
		t.Errorf("held: %+v", h)
	}
	for key := range k.server.Objects() {
		if strings.HasPrefix(key, other.Prefix+"/") {
			t.Errorf("the refused store has written %s", key)
		}
	}
	var seen []s3.Content
	if err := s3.Contents(c.Index, func(x s3.Content) { seen = append(seen, x) }); err != nil || len(seen) != 1 || seen[0].Index != f.Index || !slices.Equal(seen[0].Owners, []string{"alice"}) {
		t.Errorf("contents: %v, %v", seen, err)
	}

	store = open(t, c)
	if err := f.Check(t.Context(), store, 1); err != nil {
		t.Error(err)
	}
	if err := store.Release(t.Context(), "alice", []share.StorageIndex{f.Index}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Collect(t.Context(), time.Now().Add(100*day)); err != nil {
		t.Fatal(err)
	}
	store.Close()
	open(t, other)
}

// TestBucketUnderAnotherName opens the bucket of an index by another name, as after a move to another provider.
func TestBucketUnderAnotherName(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 3, 64<<10, 300<<10)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	store.Close()
	moved := k.config(t)
	moved.Index = c.Index
	known, err := s3.PeekPlace(c.Index)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := s3.Same(t.Context(), moved, known); same || err != nil {
		t.Errorf("an empty prefix: %v, %v", same, err)
	}
	moveTo(t, k, c.Prefix, moved.Prefix)
	if same, err := s3.Same(t.Context(), moved, known); !same || err != nil {
		t.Errorf("the same bucket: %v, %v", same, err)
	}
	store = open(t, moved)
	if err := f.Check(t.Context(), store, 1); err != nil {
		t.Error(err)
	}
	store.Close()
	if _, err := s3.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "nobody could read") {
		t.Errorf("the prefix that was left: %v", err)
	}
}

// TestEmptiedBucket opens the store after its prefix was emptied.
func TestEmptiedBucket(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 3, 64<<10, 300<<10)
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Fatal(err)
	}
	store.Close()
	moveTo(t, k, c.Prefix, "away")
	if _, err := s3.Open(t.Context(), c); err == nil || !strings.Contains(s3.Explain(err), "what is there now is not what it was: no store is there") {
		t.Errorf("open: %v", err)
	}
	moveTo(t, k, "away", c.Prefix)
	if err := f.Check(t.Context(), open(t, c), 1); err != nil {
		t.Error(err)
	}
}

// moveTo renames a prefix of the server.
func moveTo(t *testing.T, k *kit, from, to string) {
	t.Helper()
	if err := os.Rename(k.server.File(from), k.server.File(to)); err != nil {
		t.Fatal(err)
	}
}
