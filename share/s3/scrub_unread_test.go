package s3_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// breaks has the server fail whenever an object with one of these keys is asked for.
func (p *proxy) breaks(keys ...string) {
	p.answer(func(w http.ResponseWriter, r *http.Request) bool {
		broken := slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(r.URL.Path, key) })
		return broken && refuse(w, http.StatusInternalServerError, "InternalError")
	})
}

func wantUnread(t *testing.T, err error, count int, key string) {
	t.Helper()
	if count == 0 {
		if err != nil {
			t.Errorf("scrub: %v", err)
		}
		return
	}
	unread, ok := errors.AsType[*s3.UnreadError](err)
	if !ok || unread.Count != count || !strings.HasSuffix(unread.Key, key) {
		t.Errorf("scrub: %v; want %d objects that cannot be verified, %s first", err, count, key)
	} else if words := s3.Explain(err); !strings.Contains(words, key) || !strings.Contains(words, "a day later") || !strings.Contains(words, "internal error") {
		t.Errorf("explained as: %s", words)
	}
}

// TestCondemnedThatCannotBeRead has the server fail for one condemned share: the others are looked at, and that one a day later.
func TestCondemnedThatCannotBeRead(t *testing.T) {
	x := newCondemnation(t)
	x.store.Close()
	x.store = open(t, x.config.WithAttempts(2))
	x.condemnAll(t)
	keys := x.objects(t)
	pack := keys[slices.IndexFunc(keys, func(k string) bool { return strings.Contains(k, "/p/") })]
	x.breaks(pack)
	begun := time.Now()
	scrub := func(later time.Duration, back int64, unread int) {
		t.Helper()
		report, err := x.store.ScrubAt(t.Context(), s3.ScrubOptions{DayBytes: -1}, begun.Add(later))
		if wantUnread(t, err, unread, pack); report.Back != back || !report.Compared && unread > 0 {
			t.Errorf("%v later: %+v", later, report)
		}
	}
	scrub(25*time.Hour, 1, 1)
	if err := x.large.Check(t.Context(), x.store, 0); err != nil {
		t.Error(err)
	}
	scrub(26*time.Hour, 0, 0)
	scrub(50*time.Hour, 0, 1)
	x.breaks()
	scrub(75*time.Hour, 1, 0)
	x.wantHeld(t, true)
}

// TestScrubPassesOver has the server fail for one object: all others are verified, and that one a day later, also after a restart.
func TestScrubPassesOver(t *testing.T) {
	x := newScrubbed(t, newKit(t, nil))
	x.store.Close()
	p := newProxy(t, x.server.Endpoint)
	x.config.Endpoint = p.URL
	x.config = x.config.WithAttempts(2)
	x.store = open(t, x.config)
	large := x.objects("s/")
	broken, damaged := large[0], large[1]
	if timeOf := strings.Compare(broken, damaged); timeOf > 0 {
		t.Fatal("the broken object is not the first one")
	}
	x.edit(t, damaged, flip(9<<20))
	p.breaks(broken)
	begun := time.Now()
	scrub := func(later time.Duration, unread int) s3.ScrubReport {
		t.Helper()
		report, err := x.store.ScrubAt(t.Context(), s3.ScrubOptions{}, begun.Add(later))
		wantUnread(t, err, unread, broken)
		return report
	}
	if r := scrub(0, 1); !r.Done || r.Bad != 1 || r.Unread != 1 {
		t.Errorf("%+v", r)
	}
	if r := scrub(time.Hour, 0); r.Requests != 0 || r.Unread != 1 {
		t.Errorf("an hour later: %+v", r)
	}
	x.edit(t, broken, flip(9<<10))
	if r := scrub(25*time.Hour, 1); r.Bad != 0 || r.Unread != 1 || r.Done {
		t.Errorf("a day later: %+v", r)
	}
	x.store.Close()
	x.store = open(t, x.config)
	p.breaks()
	if r := scrub(50*time.Hour, 0); r.Bad != 1 || r.Unread != 0 {
		t.Errorf("two days later: %+v", r)
	}
	for _, f := range []*storetest.File{x.large, x.parts} {
		if held, err := x.store.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || len(held[0].Numbers) != 0 {
			t.Errorf("%v, %v; want nothing that is damaged", held, err)
		}
	}
	if r := scrub(75*time.Hour, 0); r.Unread != 0 || r.Objects != 0 {
		t.Errorf("three days later: %+v", r)
	}
}

// TestScrubGivesUp has the server fail for more objects than a scrub passes over: it ends with what it met, and the next ones go on with the others.
func TestScrubGivesUp(t *testing.T) {
	k := newKit(t, nil)
	p := newProxy(t, k.server.Endpoint)
	c := k.config(t).WithPack(1).WithAttempts(1)
	c.Endpoint = p.URL
	store := open(t, c)
	const files = 20
	for i := range uint64(files) {
		if err := storetest.NewFile(t, 400+i, 1, 2, 4<<10, 1000).Put(t.Context(), store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	p.answer(func(w http.ResponseWriter, r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/s/") && refuse(w, http.StatusInternalServerError, "InternalError")
	})
	first, err := store.Scrub(t.Context(), s3.ScrubOptions{})
	wantUnread(t, err, 16, "")
	if first.Done || first.Unread != 16 {
		t.Errorf("%+v", first)
	}
	second, err := store.Scrub(t.Context(), s3.ScrubOptions{})
	wantUnread(t, err, files-16, "")
	if !second.Done || second.Unread != files {
		t.Errorf("%+v", second)
	}
}
