package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A scrubbed is a store in a bucket whose owner does as they like.
type scrubbed struct {
	*kit
	config s3.Config
	store  *s3.Store
	small  []*storetest.File // packed together
	large  *storetest.File   // one object
	parts  *storetest.File   // one object that was put in parts

	mu  sync.Mutex
	bad []s3.Bad
}

// scrubbedFiles are what every scrubbed store has: encoding them is most of the work of these tests.
var scrubbedFiles = sync.OnceValues(func() (files []*storetest.File, err error) {
	make := func(seed uint64, total, blockSize, size int) {
		f, failed := storetest.MakeFile(seed, 1, total, blockSize, size)
		files, err = append(files, f), errors.Join(err, failed)
	}
	make(1, 3, 64<<10, 700<<10)
	make(2, 3, 256<<10, 11<<20)
	for i := range uint64(20) {
		make(100+i, 2, 4<<10, 20_000)
	}
	return files, err
})

func newScrubbed(t *testing.T, k *kit) *scrubbed {
	t.Helper()
	files, err := scrubbedFiles()
	if err != nil {
		t.Fatal(err)
	}
	x := &scrubbed{kit: k, large: files[0], parts: files[1], small: files[2:]}
	x.config = x.kit.config(t).WithPart(5 << 20)
	x.config.OnBad = func(b s3.Bad) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.bad = append(x.bad, b)
	}
	x.store = open(t, x.config)
	var batch []share.WholeShare
	for _, f := range x.small {
		batch = append(batch, f.Whole(0))
	}
	if _, err := x.store.Put(t.Context(), batch, share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*storetest.File{x.large, x.parts} {
		if err := f.Put(t.Context(), x.store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func (x *scrubbed) all() []*storetest.File {
	return append([]*storetest.File{x.large, x.parts}, x.small...)
}

// objects returns the keys below the store's prefix that go on so, the smallest object first.
func (x *scrubbed) objects(kind string) []string {
	sizes := x.server.Objects()
	keys := slices.Sorted(maps.Keys(sizes))
	keys = slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, x.config.Prefix+"/"+kind) })
	slices.SortStableFunc(keys, func(a, b string) int { return int(sizes[a] - sizes[b]) })
	return keys
}

// edit changes the bytes of an object behind the server's back.
func (x *scrubbed) edit(t *testing.T, key string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(x.server.File(key))
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, x.server.File(key), change(data))
}

func flip(at int) func([]byte) []byte {
	return func(p []byte) []byte {
		p[(at+len(p))%len(p)] ^= 4
		return p
	}
}

var everything = s3.ScrubOptions{CompareEvery: 1, ReadEvery: 1}

// TestScrub has the owner of a bucket do what can be done to objects: the shares that are hurt, and no others, are not held any more.
func TestScrub(t *testing.T) {
	k := newKit(t, nil)
	for what, test := range map[string]struct {
		hurt func(t *testing.T, x *scrubbed)
		bad  func(x *scrubbed) []*storetest.File
		want error
	}{
		"nothing": {func(*testing.T, *scrubbed) {}, func(*scrubbed) []*storetest.File { return nil }, nil},
		"a pack is deleted": {
			func(_ *testing.T, x *scrubbed) { x.server.Remove(x.objects("p/")[0]) },
			func(x *scrubbed) []*storetest.File { return x.small }, share.ErrNotFound,
		},
		"an object is deleted": {
			func(_ *testing.T, x *scrubbed) { x.server.Remove(x.objects("s/")[0]) },
			func(x *scrubbed) []*storetest.File { return []*storetest.File{x.large} }, share.ErrNotFound,
		},
		"a bit of one share turns": {
			func(t *testing.T, x *scrubbed) { x.edit(t, x.objects("p/")[0], flip(100)) },
			func(x *scrubbed) []*storetest.File { return x.small[:1] }, share.ErrCorrupt,
		},
		"a bit of a large share turns": {
			func(t *testing.T, x *scrubbed) { x.edit(t, x.objects("s/")[1], flip(9<<20)) },
			func(x *scrubbed) []*storetest.File { return []*storetest.File{x.parts} }, share.ErrCorrupt,
		},
		"a pack is cut": {func(t *testing.T, x *scrubbed) {
			x.edit(t, x.objects("p/")[0], func(p []byte) []byte { return p[:len(x.small[0].Whole(0).Data)*5/2] })
		}, func(x *scrubbed) []*storetest.File { return x.small[2:] }, share.ErrCorrupt},
		"an object is cut": {
			func(t *testing.T, x *scrubbed) {
				x.edit(t, x.objects("s/")[0], func(p []byte) []byte { return p[:len(p)/2] })
			},
			func(x *scrubbed) []*storetest.File { return []*storetest.File{x.large} }, share.ErrCorrupt,
		},
		"an object is emptied": {
			func(t *testing.T, x *scrubbed) { x.edit(t, x.objects("s/")[0], func([]byte) []byte { return nil }) },
			func(x *scrubbed) []*storetest.File { return []*storetest.File{x.large} }, share.ErrCorrupt,
		},
		"the directory of a pack is damaged": {
			func(t *testing.T, x *scrubbed) { x.edit(t, x.objects("p/")[0], flip(-100)) },
			func(*scrubbed) []*storetest.File { return nil }, nil,
		},
		"two objects are swapped": {func(t *testing.T, x *scrubbed) {
			keys := x.objects("s/")
			first, second := x.server.Get(keys[0]), x.server.Get(keys[1])
			x.server.Put(keys[0], second)
			x.server.Put(keys[1], first)
		}, func(x *scrubbed) []*storetest.File { return []*storetest.File{x.large, x.parts} }, share.ErrCorrupt},
		"a pack is replaced by an object": {
			func(_ *testing.T, x *scrubbed) { x.server.Put(x.objects("p/")[0], x.server.Get(x.objects("s/")[0])) },
			func(x *scrubbed) []*storetest.File { return x.small }, share.ErrCorrupt,
		},
	} {
		t.Run(what, func(t *testing.T) {
			x := newScrubbed(t, k)
			test.hurt(t, x)
			report, err := x.store.Scrub(t.Context(), everything)
			bad := test.bad(x)
			if err != nil || !report.Compared || !report.Done || report.Bad != int64(len(bad)) {
				t.Errorf("%+v, %v, want %d bad", report, err, len(bad))
			}
			if len(x.bad) != len(bad) {
				t.Errorf("told of %d: %v", len(x.bad), x.bad)
			}
			for _, b := range x.bad {
				if !errors.Is(b.Err, test.want) || b.Key == "" {
					t.Errorf("told of %+v, want %v", b, test.want)
				}
			}
			for _, f := range x.all() {
				held, err := x.store.Numbers(t.Context(), []share.StorageIndex{f.Index})
				if gone := slices.Contains(bad, f); err != nil || gone != (len(held[0].Numbers) == 0) {
					t.Errorf("file %s is held: %v, %v", f.Index, held, err)
				} else if gone {
					err = f.Put(t.Context(), x.store, 0, "alice") // as a repair does
				}
				if err = errors.Join(err, f.Check(t.Context(), x.store, 0)); err != nil {
					t.Error(err)
				}
			}
			if _, err := x.store.CollectDue(t.Context()); err != nil {
				t.Errorf("collect: %v", err)
			}
			if report, err := x.store.Scrub(t.Context(), everything); err != nil || report.Bad != 0 || !report.Done {
				t.Errorf("another scrub: %+v, %v", report, err)
			}
			x.store.Close()
			x.config.Index, x.config.TakeOver = t.TempDir(), true
			x.store = open(t, x.config)
			for _, f := range x.all() {
				if err := f.Check(t.Context(), x.store, 0); err != nil {
					t.Errorf("with an index that was computed anew: %v", err)
				}
			}
		})
	}
}

// TestScrubBudget reads a little every day, in bytes and in requests, and begins anew when a pass is old enough.
func TestScrubBudget(t *testing.T) {
	x := newScrubbed(t, newKit(t, nil))
	for i := range 10 {
		if err := storetest.NewFile(t, uint64(300+i), 1, 2, 64<<10, 400<<10).Put(t.Context(), x.store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for _, o := range []s3.ScrubOptions{{DayBytes: 3_000_000}, {DayRequests: 8}} {
		days, bytes, requests, objects := 0, int64(0), int64(0), int64(0)
		for done := false; !done; now = now.Add(time.Hour) {
			before := x.store.Stats()
			report, err := x.store.ScrubAt(t.Context(), o, now)
			after := x.store.Stats()
			if err != nil || report.Bad != 0 {
				t.Fatalf("%+v, %v", report, err)
			}
			if report.Compared {
				days++
			}
			bytes, requests, objects = bytes+report.Bytes, requests+report.Requests, objects+report.Objects
			asked := func(s s3.Stats) int64 { return s.Get.Requests + s.Head.Requests + s.List.Requests }
			if got := asked(after) - asked(before); got != report.Requests {
				t.Errorf("%d requests were made, %d reported", got, report.Requests)
			}
			if !report.Done && !report.Spent {
				t.Fatalf("neither done nor spent: %+v", report)
			}
			if o.DayRequests > 0 && report.Requests > o.DayRequests+6 || o.DayBytes > 0 && report.Bytes > o.DayBytes+12<<20 {
				t.Errorf("much more than a day's budget at once: %+v", report)
			}
			done = report.Done
		}
		if held := x.store.Stats().Objects; objects != held {
			t.Errorf("%d objects were read, %d are there", objects, held)
		}
		if o.DayBytes > 0 && bytes > int64(days+1)*o.DayBytes+12<<20 || o.DayRequests > 0 && requests > int64(days+1)*o.DayRequests {
			t.Errorf("%+v: %d bytes and %d requests in %d days", o, bytes, requests, days)
		}
		if days < 3 {
			t.Errorf("%+v: everything was read in %d days", o, days)
		}
		report, err := x.store.ScrubAt(t.Context(), o, now)
		if err != nil || report.Objects != 0 || report.Done {
			t.Errorf("just after a pass: %+v, %v", report, err)
		}
		now = now.Add(31 * day)
	}
	if report, err := x.store.ScrubAt(t.Context(), s3.ScrubOptions{DayBytes: -1}, now); err != nil || report.Objects != 0 || !report.Compared {
		t.Errorf("without reading: %+v, %v", report, err)
	}
}

// TestScrubInterrupted ends a scrub in the middle, and closes the store: the next one goes on.
func TestScrubInterrupted(t *testing.T) {
	k := newKit(t, nil)
	p := newProxy(t, k.server.Endpoint)
	c := k.config(t).WithLimits(time.Minute, time.Minute)
	c.Endpoint = p.URL
	store := open(t, c)
	for i := range 6 {
		if err := storetest.NewFile(t, uint64(300+i), 1, 2, 64<<10, 200<<10).Put(t.Context(), store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var reads atomic.Int64
	p.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/s/") && reads.Add(1) == 6 {
			cancel()
		}
		return false
	})
	first, err := store.Scrub(ctx, s3.ScrubOptions{})
	if !errors.Is(err, context.Canceled) || first.Objects == 0 || first.Done {
		t.Fatalf("%+v, %v", first, err)
	}
	store.Close()
	store = open(t, c)
	second, err := store.Scrub(t.Context(), s3.ScrubOptions{})
	if err != nil || !second.Done || second.Compared || first.Objects+second.Objects != 6 {
		t.Errorf("%+v, then %+v, %v", first, second, err)
	}
}

// TestScrubDoubts has the prefix be another one, or the server not answer: nothing is given up.
func TestScrubDoubts(t *testing.T) {
	k := newKit(t, nil)
	for what, hurt := range map[string]func(x *scrubbed, p *proxy){
		"the marker is gone": func(x *scrubbed, _ *proxy) {
			for _, key := range x.objects("") {
				x.server.Remove(key)
			}
		},
		"another marker": func(x *scrubbed, _ *proxy) {
			x.server.Remove(x.objects("p/")[0])
			x.server.Put(x.config.Prefix+"/cairn", []byte(`{"format":"cairn bucket","version":1,"id":"00"}`))
		},
		"listings are empty, the objects are there": func(_ *scrubbed, p *proxy) {
			p.answer(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Has("list-type") {
					w.Header().Set("Content-Type", "application/xml")
					fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
					return true
				}
				return false
			})
		},
		"everything is refused": func(_ *scrubbed, p *proxy) {
			p.answer(func(w http.ResponseWriter, _ *http.Request) bool {
				return refuse(w, http.StatusForbidden, "AccessDenied")
			})
		},
		"reading fails": func(_ *scrubbed, p *proxy) {
			p.answer(func(w http.ResponseWriter, r *http.Request) bool {
				return r.Header.Get("Range") != "" && refuse(w, http.StatusInternalServerError, "InternalError")
			})
		},
		"reading fails after the directory": func(_ *scrubbed, p *proxy) {
			var seen sync.Map
			p.answer(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/p/") && !strings.Contains(r.URL.Path, "/s/") {
					return false
				}
				_, again := seen.LoadOrStore(r.URL.Path, true)
				return again && refuse(w, http.StatusInternalServerError, "InternalError")
			})
		},
		"the first answer is wrong": func(_ *scrubbed, p *proxy) {
			var seen sync.Map
			p.change(func(r *http.Response) error {
				if r.Request.Method != http.MethodGet || r.Request.Header.Get("Range") == "" {
					return nil
				}
				data := new(bytes.Buffer)
				_, err := data.ReadFrom(r.Body)
				if _, again := seen.LoadOrStore(r.Request.URL.Path, true); !again && data.Len() > 200<<10 { // not the directory
					data.Bytes()[1000] ^= 1
				}
				r.Body = readCloser{data}
				return err
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			x := newScrubbed(t, k)
			x.store.Close()
			p := newProxy(t, x.server.Endpoint)
			x.config.Endpoint = p.URL
			x.config = x.config.WithAttempts(3)
			x.store = open(t, x.config)
			hurt(x, p)
			report, err := x.store.Scrub(t.Context(), everything)
			if good := strings.Contains(what, "listings") || strings.Contains(what, "first"); (err == nil) != good {
				t.Errorf("%+v, %v", report, err)
			}
			if report.Bad != 0 || len(x.bad) != 0 {
				t.Errorf("%+v, told of %v", report, x.bad)
			}
			for _, f := range x.all() {
				if held, err := x.store.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || len(held[0].Numbers) != 1 {
					t.Errorf("%v, %v", held, err)
				}
			}
		})
	}
}

type readCloser struct{ *bytes.Buffer }

func (readCloser) Close() error { return nil }
