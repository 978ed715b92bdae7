package s3_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"cairn/internal/s3test"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

func wantError(t *testing.T, what string, err, want error, words string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(s3.Explain(err), words) {
		t.Errorf("%s: got %q (%v), want %v with %q", what, s3.Explain(err), err, want, words)
	}
}

// TestTwoNodes opens one prefix from two nodes.
func TestTwoNodes(t *testing.T) { twoNodes(t, newKit(t, nil)) }

func twoNodes(t *testing.T, k *kit) {
	t.Helper()
	c := k.config(t)
	first := open(t, c)
	second := c
	second.Index = t.TempDir()
	_, err := s3.Open(t.Context(), second)
	wantError(t, "while the first runs", err, share.ErrBusy, "another node has this prefix")
	same := c
	_, err = s3.Open(t.Context(), same)
	wantError(t, "the same index folder", err, share.ErrBusy, "")
	first.Close()
	_, err = s3.Open(t.Context(), second)
	wantError(t, "after the first was closed", err, share.ErrBusy, "another node has this prefix")
	if _, ok := errors.AsType[*s3.LockedError](err); !ok {
		t.Errorf("%v is no *LockedError", err)
	}
	first = open(t, c)
	second.TakeOver = true
	taken := open(t, second)
	if err := taken.Refresh(t.Context()); err != nil {
		t.Errorf("refresh by the node that has taken over: %v", err)
	}
	wantError(t, "refresh by the node that lost it", first.Refresh(t.Context()), share.ErrBusy, "")
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 100)
	if err := f.Put(t.Context(), taken, 0, "alice"); err != nil {
		t.Error(err)
	}
}

// TestHeadOfAnother has two nodes write one name, the first of which has lost the prefix without knowing.
func TestHeadOfAnother(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	first := open(t, c)
	m := storetest.NewMutable(1)
	u := m.Next(share.StorageIndex{1}, "alice")
	if err := first.SetHead(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	m.Advance(u)
	c.Index, c.TakeOver = t.TempDir(), true
	second := open(t, c)
	theirs, ours := m.Next(share.StorageIndex{2}, "alice"), m.Next(share.StorageIndex{3}, "alice")
	if err := second.SetHead(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	err := first.SetHead(t.Context(), ours)
	conflict, ok := errors.AsType[*share.ConflictError](err)
	if !ok || !bytes.Equal(conflict.Record, theirs.Record) {
		t.Errorf("the node that lost the prefix: %v; want a conflict with the other's version", err)
	}
}

// TestSomethingElse opens a prefix that holds what is not ours, or what a later program wrote.
func TestSomethingElse(t *testing.T) {
	k := newKit(t, nil)
	put := func(key, text string) {
		t.Helper()
		if _, err := k.server.Client().PutObject(t.Context(), s3test.Bucket, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for what, test := range map[string]struct {
		key, text, words string
		want             error
	}{
		"a picture":      {"holiday.jpg", "jpeg", "holds something else", share.ErrDenied},
		"another marker": {"cairn", "of stones", "not of this program", share.ErrDenied},
		"a later format": {"cairn", `{"format":"cairn bucket","version":2}`, "its format is 2", share.ErrVersion},
	} {
		c := k.config(t)
		put(c.Prefix+"/"+test.key, test.text)
		_, err := s3.Open(t.Context(), c)
		wantError(t, what, err, test.want, test.words)
	}
	if len(k.server.Objects()) != 3 {
		t.Errorf("something was written: %v", k.server.Objects())
	}
}
