package s3_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"cairn/internal/s3test"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A lockLoss is a node that runs, and whose lock somebody deletes: the owner of the bucket, or a life-cycle rule.
type lockLoss struct {
	*kit
	proxy  *proxy // before the node's server
	config s3.Config
	store  *s3.Store
}

func newLockLoss(t *testing.T) *lockLoss {
	t.Helper()
	x := &lockLoss{kit: newKit(t, nil)}
	x.proxy = newProxy(t, x.server.Endpoint)
	x.config = x.kit.config(t)
	x.config.Owner, x.config.Endpoint = "first", x.proxy.URL
	x.store = open(t, x.config)
	return x
}

// other returns the settings of another node for the same prefix.
func (x *lockLoss) other(t *testing.T) s3.Config {
	t.Helper()
	c := x.config
	c.Owner, c.Index, c.Endpoint = "second", t.TempDir(), x.server.Endpoint
	return c
}

func (x *lockLoss) key() string { return x.config.Prefix + "/lock" }

// wantLost says that the node has noticed that it lost the prefix, writes nothing any more, and leaves the other one's lock alone.
func (x *lockLoss) wantLost(t *testing.T, err error) {
	t.Helper()
	if lost, ok := errors.AsType[*s3.LockedError](err); !ok || lost.Owner != "second" {
		t.Errorf("refresh: %v, want that the second node has the prefix", err)
	}
	f := storetest.NewFile(t, 7, 1, 2, 4<<10, 100)
	if err := f.Put(t.Context(), x.store, 0, "alice"); !errors.Is(err, share.ErrReadOnly) {
		t.Errorf("a put by the node that lost the prefix: %v", err)
	}
	if lock := string(x.server.Get(x.key())); !strings.Contains(lock, `"owner":"second"`) {
		t.Errorf("the lock is %s", lock)
	}
}

// TestLockDeleted deletes the lock of a node that runs: it is there again after the next refresh, and keeps others away.
func TestLockDeleted(t *testing.T) {
	x := newLockLoss(t)
	x.server.Remove(x.key())
	for range 2 {
		if err := x.store.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s3.Open(t.Context(), x.other(t))
	wantError(t, "another node, after the lock was put again", err, share.ErrBusy, `"first"`)
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 100)
	if err := f.Put(t.Context(), x.store, 0, "alice"); err != nil {
		t.Error(err)
	}
}

// TestEmptiedWhileOpen empties the prefix of a node that runs. After the next refresh nothing is said to be there and nothing is taken, until the
// prefix is what it was.
func TestEmptiedWhileOpen(t *testing.T) {
	x := newLockLoss(t)
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 100)
	if err := f.Put(t.Context(), x.store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	moveTo(t, x.kit, x.config.Prefix, "away")
	for range 2 {
		wantError(t, "refresh", x.store.Refresh(t.Context()), share.ErrUnavailable, "the bucket has lost the object "+x.config.Prefix+"/cairn")
	}
	held, err := x.store.Numbers(t.Context(), []share.StorageIndex{f.Index})
	wantError(t, "what is held", err, share.ErrUnavailable, "has lost the object")
	if len(held) > 0 {
		t.Errorf("held: %v", held)
	}
	wantError(t, "another put", storetest.NewFile(t, 2, 1, 2, 4<<10, 100).Put(t.Context(), x.store, 0, "alice"), share.ErrUnavailable, "has lost the object")
	for object := range x.server.Objects() {
		if strings.HasPrefix(object, x.config.Prefix+"/") {
			t.Errorf("written into what was emptied: %s", object)
		}
	}
	moveTo(t, x.kit, "away", x.config.Prefix)
	if err := x.store.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), x.store, 0); err != nil {
		t.Error(err)
	}
}

// TestLockDeletedAndTaken has another node take the prefix after the lock was deleted, before the node looks, and just after it has looked.
func TestLockDeletedAndTaken(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		x := newLockLoss(t)
		x.server.Remove(x.key())
		second := open(t, x.other(t))
		x.wantLost(t, x.store.Refresh(t.Context()))
		if err := second.Refresh(t.Context()); err != nil {
			t.Errorf("refresh by the node that has taken it: %v", err)
		}
	})
	t.Run("meanwhile", func(t *testing.T) {
		x := newLockLoss(t)
		x.server.Remove(x.key())
		other := x.other(t)
		var taken atomic.Bool
		x.proxy.change(func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && r.StatusCode == http.StatusNotFound && !taken.Swap(true) {
				return s3.Claim(t.Context(), other)
			}
			return nil
		})
		x.wantLost(t, x.store.Refresh(t.Context()))
		if !taken.Load() {
			t.Error("the node did not look for its lock")
		}
	})
}

// ignoring has a server take every condition for true.
func (x *lockLoss) ignoring(t *testing.T) {
	x.proxy.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-Match") == "" && r.Header.Get("If-None-Match") == "" {
			return false
		}
		// The conditions are signed, so that they cannot just be left out on the way.
		key := strings.TrimPrefix(r.URL.Path, "/"+s3test.Bucket+"/")
		put, err := x.server.Client().PutObject(r.Context(), s3test.Bucket, key, r.Body, r.ContentLength, minio.PutObjectOptions{})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Etag", `"`+put.ETag+`"`)
		return true
	})
}

// refusing has a server refuse every condition, as Amazon's did once.
func (x *lockLoss) refusing(*testing.T) {
	x.proxy.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.Header.Get("If-Match") == "" && r.Header.Get("If-None-Match") == "" {
			return false
		}
		return refuse(w, http.StatusNotImplemented, "NotImplemented")
	})
}

// TestNoConditions has a server that does not know conditions: a takeover is noticed with the next refresh all the same, and a probe tells.
func TestNoConditions(t *testing.T) {
	for name, without := range map[string]func(*lockLoss, *testing.T){"ignored": (*lockLoss).ignoring, "refused": (*lockLoss).refusing} {
		t.Run(name, func(t *testing.T) {
			x := newLockLoss(t)
			x.store.Close()
			without(x, t)
			x.store = open(t, x.config)
			held := fill(t, x.store)
			for range 2 {
				if err := x.store.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			found, err := s3.Probe(t.Context(), x.config)
			if err != nil || found.Conditions || len(found.Notes()) != 1 || !strings.Contains(found.Notes()[0], "does not know conditional writes") {
				t.Errorf("probe: %+v, %v", found, err)
			}
			other := x.other(t)
			_, err = s3.Open(t.Context(), other)
			wantError(t, "another node", err, share.ErrBusy, `"first"`)
			other.TakeOver, other.Endpoint = true, x.proxy.URL
			second := open(t, other)
			held.want(t, second)
			x.wantLost(t, x.store.Refresh(t.Context()))
			if err := second.Refresh(t.Context()); err != nil {
				t.Errorf("refresh by the node that has taken over: %v", err)
			}
		})
	}
}
