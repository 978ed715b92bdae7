package s3_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A condemnation is a store behind a proxy that changes what shares it likes, and no samples.
type condemnation struct {
	*proxy
	kit          *kit
	config       s3.Config
	store        *s3.Store
	small, large *storetest.File
}

func newCondemnation(t *testing.T) *condemnation {
	t.Helper()
	k := newKit(t, nil)
	x := &condemnation{proxy: newProxy(t, k.server.Endpoint), kit: k, config: k.config(t)}
	x.config.Endpoint = x.URL
	x.config = x.config.WithAttempts(4)
	x.store = open(t, x.config)
	x.small, x.large = storetest.NewFile(t, 1, 1, 2, 4<<10, 5000), storetest.NewFile(t, 2, 1, 2, 64<<10, 500<<10)
	for _, f := range x.files() {
		if err := f.Put(t.Context(), x.store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func (x *condemnation) files() []*storetest.File { return []*storetest.File{x.small, x.large} }

// spoil has the proxy change what is read of shares, or stop it.
func (x *condemnation) spoil(on bool) {
	x.change(func(r *http.Response) error {
		path := r.Request.URL.Path
		if !on || r.Request.Method != http.MethodGet || !strings.Contains(path, "/p/") && !strings.Contains(path, "/s/") {
			return nil
		}
		data, err := io.ReadAll(r.Body)
		data[len(data)/3] ^= 1
		r.Body = io.NopCloser(bytes.NewReader(data))
		return err
	})
}

// condemnAll has all shares be read twice, and changed on their way each time.
func (x *condemnation) condemnAll(t *testing.T) {
	t.Helper()
	x.spoil(true)
	for _, f := range x.files() {
		if held, err := x.store.Recheck(t.Context(), f.Index, 0, 0); held || err != nil {
			t.Fatalf("recheck: %v, %v", held, err)
		}
	}
	x.spoil(false)
	x.wantHeld(t, false)
}

func (x *condemnation) wantHeld(t *testing.T, want bool) {
	t.Helper()
	for _, f := range x.files() {
		numbers, err := x.store.Numbers(t.Context(), []share.StorageIndex{f.Index})
		if err != nil || slices.Contains(numbers[0].Numbers, 0) != want {
			t.Errorf("held: %v, %v; want %v", numbers, err, want)
		}
		if !want {
			continue
		}
		if err := f.Check(t.Context(), x.store, 0); err != nil {
			t.Error(err)
		}
		if leases, err := x.store.Leases(t.Context(), f.Index); err != nil || len(leases) != 1 || leases[0].Owner != "alice" {
			t.Errorf("leases %v, %v", leases, err)
		}
	}
}

// objects returns the keys of all objects with shares.
func (x *condemnation) objects(t *testing.T) (keys []string) {
	t.Helper()
	if _, err := x.store.Collect(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Sorted(maps.Keys(x.kit.server.Objects())) {
		if strings.Contains(key, "/p/") || strings.Contains(key, "/s/") {
			keys = append(keys, key)
		}
	}
	return keys
}

// scrub scrubs so long after now.
func (x *condemnation) scrub(t *testing.T, later time.Duration, want s3.ScrubReport) {
	t.Helper()
	report, err := x.store.ScrubAt(t.Context(), s3.ScrubOptions{DayBytes: -1}, time.Now().Add(later))
	if err != nil || report.Back != want.Back || report.Bad != want.Bad {
		t.Errorf("scrub %v later: %+v, %v; want %+v", later, report, err, want)
	}
}

// TestCondemnedByMistake has good shares be condemned behind a path that changes them: they stay in the bucket, count for nothing, and are held
// again a day later, also after a restart.
func TestCondemnedByMistake(t *testing.T) {
	x := newCondemnation(t)
	before, err := x.store.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x.condemnAll(t)
	if usage, err := x.store.Usage(t.Context()); err != nil || usage["alice"] != 0 {
		t.Errorf("usage %v, %v", usage, err)
	}
	if keys := x.objects(t); len(keys) != 2 {
		t.Errorf("objects %v, want those of what was condemned", keys)
	}
	x.scrub(t, 23*time.Hour, s3.ScrubReport{})
	x.wantHeld(t, false)
	if err := x.store.Close(); err != nil {
		t.Fatal(err)
	}
	x.store = open(t, x.config)
	x.scrub(t, 25*time.Hour, s3.ScrubReport{Back: 2})
	x.wantHeld(t, true)
	if usage, err := x.store.Usage(t.Context()); err != nil || usage["alice"] != before["alice"] {
		t.Errorf("usage %v, %v; it was %v", usage, err, before)
	}
	x.scrub(t, 50*time.Hour, s3.ScrubReport{})
	if stats := x.store.Stats(); stats.Objects != 2 {
		t.Errorf("%d objects", stats.Objects)
	}
	x.wantHeld(t, true)
}

// TestCondemnedForGood has shares be damaged in the bucket: they are deleted a day later, and what was stored in their place stays.
func TestCondemnedForGood(t *testing.T) {
	x := newCondemnation(t)
	for _, f := range x.files() {
		if !x.kit.hurt(t, x.config, f, 0, storetest.Flip) {
			t.Fatal("nothing was damaged")
		}
		if held, err := x.store.Recheck(t.Context(), f.Index, 0, 0); held || err != nil {
			t.Fatalf("recheck: %v, %v", held, err)
		}
	}
	damaged := x.objects(t)
	if err := x.large.Put(t.Context(), x.store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	if keys := x.objects(t); len(damaged) != 2 || len(keys) != 3 {
		t.Errorf("objects %v, before the large one was stored again %v", keys, damaged)
	}
	x.scrub(t, 25*time.Hour, s3.ScrubReport{})
	keys := x.objects(t)
	if len(keys) != 1 || slices.Contains(damaged, keys[0]) {
		t.Errorf("objects %v, want only the new one", keys)
	}
	if err := x.large.Check(t.Context(), x.store, 0); err != nil {
		t.Error(err)
	}
	if numbers, err := x.store.Numbers(t.Context(), []share.StorageIndex{x.small.Index}); err != nil || len(numbers[0].Numbers) != 0 {
		t.Errorf("held: %v, %v", numbers, err)
	}
}

// TestCondemnedWhileThePathIsBad has what was condemned be read by the same bad path a day later, which shows then: nothing is deleted, and it is
// held again when the path is good.
func TestCondemnedWhileThePathIsBad(t *testing.T) {
	x := newCondemnation(t)
	x.condemnAll(t)
	x.change(func(r *http.Response) error {
		if r.Request.Method != http.MethodGet || r.ContentLength < 500 || r.Request.URL.Query().Has("list-type") {
			return nil
		}
		data, err := io.ReadAll(r.Body)
		data[len(data)/3] ^= 1
		r.Body = io.NopCloser(bytes.NewReader(data))
		return err
	})
	x.scrub(t, 25*time.Hour, s3.ScrubReport{})
	x.spoil(false)
	if keys := x.objects(t); len(keys) != 2 {
		t.Errorf("objects %v", keys)
	}
	x.scrub(t, 26*time.Hour, s3.ScrubReport{})
	x.wantHeld(t, false)
	x.scrub(t, 50*time.Hour, s3.ScrubReport{Back: 2})
	x.wantHeld(t, true)
}

// TestCondemnedIsBounded condemns more than is kept: the rest is deleted at once.
func TestCondemnedIsBounded(t *testing.T) {
	x := newCondemnation(t)
	x.store.Close()
	x.store = open(t, x.config.WithCondemned(100<<10))
	x.condemnAll(t)
	if keys := x.objects(t); len(keys) != 1 || !strings.Contains(keys[0], "/p/") {
		t.Errorf("objects %v, want the small one", keys)
	}
	x.scrub(t, 25*time.Hour, s3.ScrubReport{Back: 1})
	if err := x.small.Check(t.Context(), x.store, 0); err != nil {
		t.Error(err)
	}
}
