package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A largeShare is one of many blocks, and what it has to be.
type largeShare struct {
	store *s3.Store
	proxy *proxy
	want  []byte
	file  *storetest.File
}

func newLargeShare(t *testing.T) *largeShare {
	t.Helper()
	k := newKit(t, nil)
	x := &largeShare{proxy: newProxy(t, k.server.Endpoint), file: storetest.NewFile(t, 1, 1, 3, 128<<10, 24<<20)}
	c := k.config(t)
	c.Endpoint = x.proxy.URL
	x.store = open(t, c)
	if err := x.file.Put(t.Context(), x.store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	x.want = x.file.Share(0)
	return x
}

func (x *largeShare) open(t *testing.T) share.Reader {
	t.Helper()
	r, err := x.store.Open(t.Context(), x.file.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func (x *largeShare) read(ctx context.Context, r share.Reader, off, n int) error {
	p := make([]byte, n)
	if _, err := r.ReadAt(ctx, p, int64(off)); err != nil {
		return err
	}
	if !bytes.Equal(p, x.want[off:off+n]) {
		return fmt.Errorf("wrong bytes at %d", off)
	}
	return nil
}

// TestReadAhead reads a share from end to end with few requests, also when several blocks are asked for at a time, and reads little in vain.
func TestReadAhead(t *testing.T) {
	x := newLargeShare(t)
	const block = 128 << 10
	for what, parallel := range map[string]int{"one after the other": 1, "many at a time": 24} {
		r := x.open(t)
		before := x.store.Stats()
		group, ctx := errgroup.WithContext(t.Context())
		group.SetLimit(parallel)
		for off := 0; off < len(x.want); off += block {
			group.Go(func() error { return x.read(ctx, r, off, min(block, len(x.want)-off)) })
		}
		if err := group.Wait(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		after := x.store.Stats()
		requests, received := after.Get.Requests-before.Get.Requests, after.Get.Received-before.Get.Received
		t.Logf("%s: %d requests, %d bytes for %d", what, requests, received, len(x.want))
		if requests > 40 || received > int64(len(x.want))*5/4 {
			t.Errorf("%s: %d requests, %d bytes for %d", what, requests, received, len(x.want))
		}
		_ = r.Close()
	}
	r := x.open(t)
	before := x.store.Stats()
	for range 20 { // here and there
		if err := x.read(t.Context(), r, rand.IntN(11)*2<<20, 4000); err != nil {
			t.Fatal(err)
		}
	}
	if received := x.store.Stats().Get.Received - before.Get.Received; received > 20*4000*3 {
		t.Errorf("%d bytes were received for %d that were read here and there", received, 20*4000)
	}
	if n := x.store.ReadAhead(); n > 4<<20 {
		t.Errorf("%d bytes are read ahead", n)
	}
	_ = r.Close()
}

// TestReadAheadEnds has readers give up, and be closed, while something is on its way: nothing is left behind.
func TestReadAheadEnds(t *testing.T) {
	x := newLargeShare(t)
	var slow atomic.Bool
	stop := make(chan struct{})
	x.proxy.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if slow.Load() && r.Method == http.MethodGet {
			await(r, stop)
		}
		return false
	})
	r := x.open(t)
	off := 0
	for ; off < 4<<20; off += 128 << 10 {
		if err := x.read(t.Context(), r, off, 128<<10); err != nil {
			t.Fatal(err)
		}
	}
	slow.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for i := range 60 {
		group.Go(func() { _ = x.read(ctx, r, off+i*128<<10, 128<<10) })
	}
	cancel()
	group.Wait()
	_ = r.Close()
	close(stop)
	if n := x.store.ReadAhead(); n != 0 {
		t.Errorf("%d bytes are still read ahead", n)
	}
	slow.Store(false)
	other := x.open(t)
	if err := x.read(t.Context(), other, 0, 1000); err != nil {
		t.Error(err)
	}
	if err := x.read(t.Context(), r, 0, 1000); err == nil {
		t.Error("a closed reader reads")
	}
}

// TestReadAheadBroken cuts every third answer: each read gets what is right, and what has arrived is not asked for again.
func TestReadAheadBroken(t *testing.T) {
	x := newLargeShare(t)
	var answers atomic.Int64
	x.proxy.change(func(r *http.Response) error {
		if r.Request.Method == http.MethodGet && answers.Add(1)%3 == 0 {
			r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength*3/4))
		}
		return nil
	})
	r := x.open(t)
	before := x.store.Stats().Get.Received
	for off := 0; off < len(x.want); off += 128 << 10 {
		if err := x.read(t.Context(), r, off, min(128<<10, len(x.want)-off)); err != nil {
			t.Fatal(err)
		}
	}
	if received := x.store.Stats().Get.Received - before; received > int64(len(x.want))*5/4 {
		t.Errorf("%d bytes were received for %d", received, len(x.want))
	}
}
