package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cairn/internal/waittest"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A misbehaviour is what an endpoint does instead of answering. It ends when stop is closed.
type misbehaviour struct {
	name string
	do   func(w http.ResponseWriter, r *http.Request, stop <-chan struct{})
}

var misbehaviours = []misbehaviour{
	{"never answers", func(_ http.ResponseWriter, r *http.Request, stop <-chan struct{}) { await(r, stop) }},
	{"stalls in the body", func(w http.ResponseWriter, r *http.Request, stop <-chan struct{}) {
		begin(w)
		await(r, stop)
	}},
	{"trickles", func(w http.ResponseWriter, r *http.Request, stop <-chan struct{}) {
		begin(w)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = w.Write([]byte{' '})
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			case <-stop:
				return
			}
		}
	}},
	{"resets", func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if linger, ok := connection.(interface{ SetLinger(int) error }); ok {
			_ = linger.SetLinger(0)
		}
		_ = connection.Close()
	}},
}

func await(r *http.Request, stop <-chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-stop:
	}
}

// begin sends the head of an answer that promises as much as any request here wants.
func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", "1000000")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
}

// Limits of the tests here: when a request is given up on which nothing moves, and any request.
const (
	stallLimit = 150 * time.Millisecond
	wholeLimit = 600 * time.Millisecond
	patience   = 5 * time.Second // more than any operation here may take by itself
)

// A stuck is a store that was filled, behind a proxy that can be made to misbehave.
type stuck struct {
	proxy  *proxy
	config s3.Config
	store  *s3.Store
	small  *storetest.File
	large  *storetest.File
	name   *storetest.Mutable
	writer share.Writer // of an upload that has sent parts
	upload *storetest.File
	stop   chan struct{}
}

func newStuck(t *testing.T, k *kit) *stuck {
	t.Helper()
	x := &stuck{stop: make(chan struct{}), name: storetest.NewMutable(1)}
	x.proxy = newProxy(t, k.server.Endpoint)
	x.config = k.config(t)
	x.config.Endpoint = x.proxy.URL
	x.config = x.config.WithPart(5<<20).WithLimits(stallLimit, wholeLimit)
	x.store = open(t, x.config.WithLimits(time.Minute, time.Minute))
	x.small, x.large = storetest.NewFile(t, 1, 1, 3, 4<<10, 100), storetest.NewFile(t, 2, 1, 3, 64<<10, 300<<10)
	for _, f := range []*storetest.File{x.small, x.large} {
		if err := f.Put(t.Context(), x.store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	version := storetest.NewFile(t, 3, 1, 2, 4<<10, 700)
	u := x.name.Next(version.Index, "alice")
	u.Shares = []share.WholeShare{version.Whole(0)}
	if err := x.store.SetHead(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	x.name.Advance(u)
	x.upload = storetest.NewFile(t, 4, 1, 2, 128<<10, 12<<20)
	var err error
	if x.writer, err = x.store.Create(t.Context(), x.upload.Upload(0, "alice")); err != nil {
		t.Fatal(err)
	}
	if err := x.upload.Append(t.Context(), x.writer, 0, 0, 50); err != nil {
		t.Fatal(err)
	}
	return x
}

// reopen has the store use other limits, and go on with the upload. Where the limits are over before the endpoint, which does not
// misbehave yet, has answered, it begins anew.
func (x *stuck) reopen(t *testing.T, c s3.Config) {
	t.Helper()
	if err := x.store.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	defer func() {
		if err != nil {
			t.Log(err)
		}
	}()
	waittest.Eventually(t, "the store goes on with other limits", func() bool {
		if err = x.resume(t, c); err != nil {
			_ = x.store.Close()
		}
		return err == nil
	})
}

func (x *stuck) resume(t *testing.T, c s3.Config) (err error) {
	t.Helper()
	store, err := s3.Open(t.Context(), c)
	if err != nil {
		return err
	}
	x.store, x.config = store, c
	t.Cleanup(func() { store.Close() })
	if x.writer, err = x.store.Create(t.Context(), x.upload.Upload(0, "alice")); err != nil {
		return err
	}
	if have, err := x.writer.Have(t.Context()); err != nil || have != 50 {
		return fmt.Errorf("have %d, %w", have, err)
	}
	return nil
}

// operations are all that ask the bucket.
var operations = map[string]func(t *testing.T, ctx context.Context, x *stuck) error{ //nolint:revive // a test comes first
	"commit a small share": func(_ *testing.T, ctx context.Context, x *stuck) error { return x.small.Put(ctx, x.store, 1, "alice") },
	"commit a large share": func(_ *testing.T, ctx context.Context, x *stuck) error { return x.large.Put(ctx, x.store, 1, "alice") },
	"put a batch": func(_ *testing.T, ctx context.Context, x *stuck) error {
		_, err := x.store.Put(ctx, []share.WholeShare{x.small.Whole(2)}, share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)})
		return err
	},
	"fetch a batch": func(_ *testing.T, ctx context.Context, x *stuck) error {
		_, err := x.store.Fetch(ctx, []share.StorageIndex{x.small.Index})
		return err
	},
	"read a small share": func(_ *testing.T, ctx context.Context, x *stuck) error { return x.small.Check(ctx, x.store, 0) },
	"read a large share": func(_ *testing.T, ctx context.Context, x *stuck) error { return x.large.Check(ctx, x.store, 0) },
	"go on with parts": func(_ *testing.T, ctx context.Context, x *stuck) error {
		err := x.upload.Append(ctx, x.writer, 0, 50, x.upload.Segments())
		if err == nil {
			err = x.writer.Commit(ctx, x.upload.Root)
		}
		return err
	},
	"set a head": func(_ *testing.T, ctx context.Context, x *stuck) error {
		u := x.name.Next(share.StorageIndex{7}, "alice")
		u.Retention = share.Retention{Versions: 5}
		return x.store.SetHead(ctx, u)
	},
	"heads with shares": func(_ *testing.T, ctx context.Context, x *stuck) error {
		_, err := x.store.Heads(ctx, []share.Name{x.name.Name}, true)
		return err
	},
	"collect": func(_ *testing.T, ctx context.Context, x *stuck) error {
		_, err := x.store.CollectDue(ctx)
		return err
	},
	"refresh the lock": func(_ *testing.T, ctx context.Context, x *stuck) error { return x.store.Refresh(ctx) },
	"probe":            func(_ *testing.T, ctx context.Context, x *stuck) error { _, err := s3.Probe(ctx, x.config); return err },
	"open": func(t *testing.T, ctx context.Context, x *stuck) error {
		c := x.config
		c.Index, c.TakeOver = t.TempDir(), true
		store, err := s3.Open(ctx, c)
		if err == nil {
			_ = store.Close()
		}
		return err
	},
}

// TestStuck has the endpoint misbehave in each way during each operation: the operation ends by its own limit with one clear error, or
// when its caller's context ends, and the store can be closed.
func TestStuck(t *testing.T) {
	k := newKit(t, nil)
	for _, bad := range misbehaviours {
		t.Run(bad.name, func(t *testing.T) {
			x := newStuck(t, k)
			x.reopen(t, x.config.WithLimits(stallLimit, wholeLimit))
			x.proxy.answer(func(w http.ResponseWriter, r *http.Request) bool {
				bad.do(w, r, x.stop)
				return true
			})
			defer close(x.stop)
			var group sync.WaitGroup
			for name, do := range operations {
				group.Go(func() {
					var err error
					took := waittest.Took(func() { err = do(t, t.Context(), x) })
					if took > patience || !errors.Is(err, share.ErrUnavailable) {
						t.Errorf("%s: %v after %s, want %v within %s", name, err, took, share.ErrUnavailable, patience)
					}
				})
			}
			group.Wait()
			took := waittest.Took(func() { _ = x.store.Close() }) // says of parts that they did not arrive
			if took > patience {
				t.Errorf("close: took %s", took)
			}
		})
	}
}

// TestStuckDeadline has callers that wait less long than the store would.
func TestStuckDeadline(t *testing.T) {
	k := newKit(t, nil)
	x := newStuck(t, k)
	x.reopen(t, x.config.WithLimits(time.Hour, time.Hour))
	x.proxy.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		await(r, x.stop)
		return true
	})
	var group sync.WaitGroup
	for name, do := range operations {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			var err error
			took := waittest.Took(func() { err = do(t, ctx, x) })
			if took > patience || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v after %s, want %v", name, err, took, context.DeadlineExceeded)
			}
		})
	}
	group.Wait()
	close(x.stop)
	x.proxy.answer(func(http.ResponseWriter, *http.Request) bool { return false })
	// What was abandoned can be done again.
	for name, do := range operations {
		if name == "open" || name == "go on with parts" {
			continue // takes the prefix over; appends from a place that it has passed
		}
		if err := do(t, t.Context(), x); err != nil {
			t.Errorf("%s, once the endpoint answers again: %v", name, err)
		}
	}
	usage, err := x.store.UsageOf(t.Context(), "alice")
	if space, _ := x.store.Space(t.Context()); err != nil || usage != space.Used {
		t.Errorf("one owner uses %d of %d, %v", usage, space.Used, err)
	}
}

// TestStuckAlone has some requests never end: others go on meanwhile.
func TestStuckAlone(t *testing.T) {
	const held = 5
	k := newKit(t, nil)
	x := newStuck(t, k)
	x.reopen(t, x.config.WithLimits(time.Hour, time.Hour))
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seized atomic.Int64
	arrived := make(chan struct{}, held)
	x.proxy.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if seized.Add(1) > held {
			return false
		}
		arrived <- struct{}{}
		await(r, x.stop)
		return true
	})
	defer close(x.stop)
	for i := range held {
		group.Go(func() { // each is one request; the last is a head, behind which others wait for nothing either
			if i < held-1 {
				_ = storetest.NewFile(t, uint64(20+i), 1, 2, 4<<10, 100).Put(ctx, x.store, 0, "alice")
				return
			}
			_ = x.store.SetHead(ctx, x.name.Next(share.StorageIndex{7}, "alice"))
		})
		<-arrived
	}
	deadline, end := context.WithTimeout(t.Context(), waittest.Patience)
	defer end()
	f := storetest.NewFile(t, 50, 1, 2, 4<<10, 100)
	if err := f.Put(deadline, x.store, 0, "alice"); err != nil {
		t.Fatalf("put while other requests are stuck: %v", err)
	}
	for _, f := range []*storetest.File{f, x.small, x.large} {
		if err := f.Check(deadline, x.store, 0); err != nil {
			t.Errorf("read while other requests are stuck: %v", err)
		}
	}
	other := storetest.NewMutable(2)
	if err := x.store.SetHead(deadline, other.Next(share.StorageIndex{8}, "alice")); err != nil {
		t.Errorf("another name while one is stuck: %v", err)
	}
	if err := x.upload.Append(deadline, x.writer, 0, 50, x.upload.Segments()); err != nil {
		t.Errorf("an upload in parts: %v", err)
	}
}
