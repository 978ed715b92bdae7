package grid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid"
	"cairn/share"
	"cairn/share/keys"
	"cairn/share/memory"
)

// TestTheSameFileAtOnce: files with the same contents, as backups and copied folders have many, are stored at once without
// getting in each other's way.
func TestTheSameFileAtOnce(t *testing.T) {
	for _, size := range []int{1000, 2000000} {
		synctest.Test(t, func(t *testing.T) { sameFileAtOnce(t, size) }) // no server is left to the background for being slow
	}
}

func sameFileAtOnce(t *testing.T, size int) {
	g := newMembers(6).grid(t, keys.NewConvergenceSecret())
	data := pattern(size)
	results := make([]grid.PutResult, 8)
	var puts sync.WaitGroup
	for i := range results {
		puts.Go(func() {
			var err error
			if results[i], err = g.Put(t.Context(), bytes.NewReader(data), known(data)); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		})
	}
	puts.Wait()
	for _, r := range results {
		if !r.Capability.Equal(results[0].Capability) || r.Happiness != 6 {
			t.Errorf("%d bytes: %+v", size, r)
		}
	}
}

// slowly makes every upload take its time, or fail.
type slowly struct {
	share.Store
	commit func(ctx context.Context) error
}

func (s *slowly) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	w, err := s.Store.Create(ctx, u)
	return &slowWriter{w, s}, err
}

type slowWriter struct {
	share.Writer
	s *slowly
}

func (w *slowWriter) Commit(ctx context.Context, root []byte) error {
	if err := w.s.commit(ctx); err != nil {
		return err
	}
	return w.Writer.Commit(ctx, root)
}

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestWaitingForTheSameFileEnds with the caller's patience.
func TestWaitingForTheSameFileEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(3)
		for i := range m.servers {
			m.servers[i].Store = &slowly{m.servers[i].Store, hang}
		}
		g := m.grid(t, keys.NewConvergenceSecret())
		data := pattern(1000)
		first, stop := context.WithCancel(t.Context())
		var puts sync.WaitGroup
		puts.Go(func() { _, _ = g.Put(first, bytes.NewReader(data), known(data)) })
		synctest.Wait()
		second, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := g.Put(second, bytes.NewReader(data), known(data))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		stop()
		puts.Wait()
	})
}

// TestCloseIsQuick: servers that hang do not keep a grid from closing, nor a Put that comes too late.
func TestCloseIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(10)
		m.servers[4].Store = &slowly{m.servers[4].Store, hang}
		g := m.grid(t, keys.NewConvergenceSecret())
		data := pattern(1000)
		result := put(t, g, data, known(data))
		if result.Happiness < 9 {
			t.Errorf("%+v", result)
		}
		start := time.Now()
		g.Close()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("closing took %v", took)
		}
		start = time.Now()
		if _, err := g.Put(t.Context(), bytes.NewReader(pattern(999)), known(pattern(999))); err != nil && !errors.Is(err, share.ErrClosed) {
			t.Errorf("a Put after Close: %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("a Put after Close took %v", took)
		}
	})
}

// TestHungServerIsMadeUpFor: where the last share counts, one that a hung server kept is made anew on another one.
func TestHungServerIsMadeUpFor(t *testing.T) {
	for _, size := range []int{1000, 1000, 1000, 3000000, 3000000, 3000000} { // its place in the order differs each time
		synctest.Test(t, func(t *testing.T) {
			m := newMembers(3)
			m.servers[1].Store = &slowly{m.servers[1].Store, hang}
			g := m.grid(t, keys.NewConvergenceSecret())
			data := pattern(size)
			o := known(data)
			o.Params = share.Params{Needed: 1, Happy: 2, Total: 2}
			start := time.Now()
			result := put(t, g, data, o)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%d bytes: it took %v", size, took)
			}
			if result.Happiness != 2 || !bytes.Equal(get(t, g, result.Capability), data) {
				t.Errorf("%d bytes: %+v", size, result)
			}
		})
	}
}

// TestBrokenStreamIsRefused: a connection that breaks is not the end of the file.
func TestBrokenStreamIsRefused(t *testing.T) { synctest.Test(t, testBrokenStreamIsRefused) }

func testBrokenStreamIsRefused(t *testing.T) {
	g := newMembers(3).grid(t, keys.NewConvergenceSecret())
	for _, n := range []int{0, 10, 56, 100, 1000000} {
		r := io.MultiReader(bytes.NewReader(pattern(n)), errorReader{io.ErrUnexpectedEOF})
		if result, err := g.Put(t.Context(), r, grid.PutOptions{Size: -1}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %+v, %v", n, result, err)
		}
	}
}

// TestLocateDoesNotDelay: looking for further holders of a file takes no time from one whose holders are known.
func TestLocateDoesNotDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(3)
		elsewhere := newMembers(3)
		for i := range elsewhere.servers {
			elsewhere.servers[i].ID = share.ServerID(fmt.Sprintf("elsewhere-%d", i))
		}
		secret := keys.NewConvergenceSecret()
		data := pattern(1000)
		c := put(t, elsewhere.grid(t, secret), data, known(data)).Capability
		near := put(t, m.grid(t, secret), data[:900], known(data[:900])).Capability
		g := grid.New(grid.Config{
			Servers: func(context.Context) []share.Server { return m.servers },
			Locate: func(ctx context.Context, _ share.StorageIndex) []share.Server {
				select {
				case <-time.After(8 * time.Second):
				case <-ctx.Done():
				}
				return append(m.servers[:1:1], elsewhere.servers...)
			},
			Secret: secret, Owner: "me",
		})
		defer g.Close()
		start := time.Now()
		if !bytes.Equal(get(t, g, near), data[:900]) {
			t.Error("read other bytes")
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("a file nearby took %v", took)
		}
		if !bytes.Equal(get(t, g, c), data) {
			t.Error("read other bytes")
		}
	})
}

// A refuser is a server that commits nothing while it is told to refuse, and lets go of leases.
type refuser struct {
	*memory.Store
	refuses *atomic.Bool
}

func (r refuser) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	w, err := r.Store.Create(ctx, u)
	return &slowWriter{w, &slowly{commit: func(context.Context) error {
		if r.refuses.Load() {
			return errRefused
		}
		return nil
	}}}, err
}

var errRefused = errors.New("not now")

// TestFailedPutIsLetGo: a stream that is not stored leaves nothing with a lease, whatever was made of it when it was to be rescued. One that was rescued
// keeps all, and so does a file that is stored when the same one fails later.
func TestFailedPutIsLetGo(t *testing.T) { synctest.Test(t, testFailedPutIsLetGo) }

func testFailedPutIsLetGo(t *testing.T) {
	var refuses atomic.Bool
	m := newMembers(8)
	stores := make([]*memory.Store, len(m.servers))
	leases := func() (n int) {
		t.Helper()
		for _, s := range stores {
			n += leased(t, s)
		}
		return n
	}
	for i := range m.servers {
		stores[i] = m.servers[i].Store.(*memory.Store)
		if i >= 4 {
			m.servers[i].Store = refuser{stores[i], &refuses}
		}
	}
	g := m.grid(t, keys.NewConvergenceSecret())
	data := pattern(3000000)
	stream := grid.PutOptions{Size: -1, Params: share.Params{Needed: 3, Happy: 7, Total: 8}}
	refuses.Store(true)
	if result, err := g.Put(t.Context(), bytes.NewReader(data), stream); err == nil {
		t.Fatalf("stored: %+v", result)
	}
	if n := leases(); n != 0 {
		t.Errorf("%d servers have leases on a stream that was not stored", n)
	}
	file := known(data)
	file.Params = stream.Params
	refuses.Store(false)
	stored := put(t, g, data, file)
	refuses.Store(true)
	for _, s := range stores[4:] {
		index, _ := stored.Capability.StorageIndex()
		for n := range 8 {
			if err := s.Drop(t.Context(), index, []share.Number{share.Number(n)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if result, err := g.Put(t.Context(), bytes.NewReader(data), file); err == nil {
		t.Fatalf("stored: %+v", result)
	}
	if n := leases(); n != 4 {
		t.Errorf("%d servers have leases on a file that was stored before, want 4", n)
	}
	for _, s := range stores {
		s.Collect(time.Now().Add(14 * 24 * time.Hour))
	}
	if !bytes.Equal(get(t, g, stored.Capability), data) {
		t.Error("read other bytes")
	}
}
