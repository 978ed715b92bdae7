package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/waittest"
	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A slow store lets a test decide when it answers.
type slow struct {
	share.Store
	gate chan struct{} // every read and append takes from it; closed to let all through
}

func (s *slow) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	r, err := s.Store.Open(ctx, index, number)
	return &slowReader{r, s.gate}, err
}

func (s *slow) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	w, err := s.Store.Create(ctx, u)
	return &slowWriter{w, s.gate}, err
}

type slowReader struct {
	share.Reader
	gate chan struct{}
}

func (r *slowReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	select {
	case <-r.gate:
		return r.Reader.ReadAt(ctx, p, off)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

type slowWriter struct {
	share.Writer
	gate chan struct{}
}

func (w *slowWriter) Append(ctx context.Context, row []share.Digest, block []byte) error {
	select {
	case <-w.gate:
		return w.Writer.Append(ctx, row, block)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestParallelReaders reads one share from 200 goroutines, some of which give up, and checks every byte.
func TestParallelReaders(t *testing.T) {
	p := newPair(t)
	f := storetest.NewFile(t, 1, 1, 2, 64<<10, 3<<20)
	if err := f.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	want := f.Share(0)
	r, err := p.client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	type abandoned struct{ got, then []byte }
	var mu sync.Mutex
	var left []abandoned
	read := func(i, j int) {
		off, size := (i*7919+j*104729)%(len(want)-200_000), 1+(i*j*3301)%200_000
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if (i+j)%4 == 0 {
			go cancel()
		}
		got := make([]byte, size)
		n, err := r.ReadAt(ctx, got, int64(off))
		switch {
		case err == nil && (n != size || !bytes.Equal(got, want[off:off+size])):
			t.Errorf("read %d bytes at %d: wrong bytes", size, off)
		case err != nil && !errors.Is(err, context.Canceled):
			t.Errorf("read %d bytes at %d: %v", size, off, err)
		case err != nil:
			mu.Lock()
			left = append(left, abandoned{got, slices.Clone(got)})
			mu.Unlock()
		}
	}
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			for j := range 4 {
				read(i, j)
			}
		})
	}
	group.Wait()
	if len(left) == 0 {
		t.Error("no read was given up")
	}
	for _, a := range left {
		if !bytes.Equal(a.got, a.then) {
			t.Error("bytes arrived after the call had given up")
		}
	}
}

// TestReadAtLarge reads more at once than one request may ask for.
func TestReadAtLarge(t *testing.T) {
	p := newPair(t)
	f := storetest.NewFile(t, 1, 1, 1, 1<<20, 3<<20)
	if err := f.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	want := f.Share(0)
	r, err := p.client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := r.ReadAt(t.Context(), got, 0); n != len(want) || err != nil || !bytes.Equal(got, want) {
		t.Errorf("read the share: %d, %v", n, err)
	}
	got = append(got, 1, 2, 3)
	if n, err := r.ReadAt(t.Context(), got[5:], 5); n != len(want)-5 || err != io.ErrUnexpectedEOF || !bytes.Equal(got[5:len(want)], want[5:]) {
		t.Errorf("read past the end: %d, %v", n, err)
	}
}

// TestAbandonedRead gives up a read that is under way: the others on the stream are not disturbed.
func TestAbandonedRead(t *testing.T) {
	store := &slow{memory.New(memory.Options{}), make(chan struct{})}
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{ReadStreams: 1})
	f := storetest.NewFile(t, 1, 1, 1, 256<<10, 1<<20)
	if err := f.Put(t.Context(), store.Store, 0, p.owner()); err != nil {
		t.Fatal(err)
	}
	r, err := p.client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	given := make([]byte, 256<<10)
	go func() {
		_, err := r.ReadAt(ctx, given, 0)
		results <- err
	}()
	eventually(t, "the server has the request", func() bool { return p.server.Stats().Requests == 2 })
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the read that was given up: %v", err)
	}
	got := make([]byte, 1000)
	go func() {
		_, err := r.ReadAt(t.Context(), got, 300_000)
		results <- err
	}()
	store.gate <- struct{}{}
	store.gate <- struct{}{}
	if err := <-results; err != nil || !bytes.Equal(got, f.Share(0)[300_000:301_000]) {
		t.Errorf("the read behind it: %v", err)
	}
	if !bytes.Equal(given, make([]byte, len(given))) {
		t.Error("the answer to the read that was given up went into its buffer")
	}
}

// TestStalledRead has a store that does not answer: the reader hears so in time, and the next read finds a new stream.
func TestStalledRead(t *testing.T) {
	t.Parallel()
	store := &slow{memory.New(memory.Options{}), make(chan struct{})}
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{ReadTimeout: 300 * time.Millisecond})
	f := storetest.NewFile(t, 1, 1, 1, 4096, 5000)
	if err := f.Put(t.Context(), store.Store, 0, p.owner()); err != nil {
		t.Fatal(err)
	}
	r, err := p.client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	ran := waittest.Took(func() {
		if _, err := r.ReadAt(t.Context(), make([]byte, 10), 0); !errors.Is(err, share.ErrUnavailable) {
			t.Errorf("a read that stalls: %v", err)
		}
	})
	if took := time.Since(begin); took < 250*time.Millisecond || ran > 5*time.Second {
		t.Errorf("it was given up after %s, of which the process ran %s", took, ran)
	}
	close(store.gate)
	if _, err := r.ReadAt(t.Context(), make([]byte, 10), 0); err != nil {
		t.Errorf("the next read: %v", err)
	}
}

// TestManyIndexes asks for more than one message can carry, with answers that need many frames.
func TestManyIndexes(t *testing.T) {
	p := newPair(t)
	var indexes []share.StorageIndex
	var want []int
	for i := range 1000 {
		indexes, want = append(indexes, share.StorageIndex{byte(i), byte(i >> 8)}), append(want, 0)
		if i%100 == 7 {
			f := storetest.NewFile(t, uint64(i), 1, 3, 4096, 100)
			for n := range share.Number(2) {
				if err := f.Put(t.Context(), p.client, n, ""); err != nil {
					t.Fatal(err)
				}
			}
			indexes, want = append(indexes, f.Index), append(want, 2)
		}
	}
	held, err := p.client.Numbers(t.Context(), indexes)
	if err != nil || len(held) != len(indexes) {
		t.Fatalf("%d answers, %v", len(held), err)
	}
	for i, h := range held {
		if h.Index != indexes[i] || len(h.Numbers) != want[i] || want[i] > 0 && share.IndexOf(h.Root) != h.Index {
			t.Errorf("index %d: %v", i, h)
		}
	}
	lease := share.Lease{Expires: time.Now().Add(time.Hour)}
	if err := p.client.Renew(t.Context(), indexes, lease); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("renew: %v", err)
	}
	if held, err := p.client.Numbers(t.Context(), nil); err != nil || len(held) != 0 {
		t.Errorf("no question: %v, %v", held, err)
	}
}

// TestRefusalWhileWriting has the server refuse in the middle of a long upload: the writer notices without asking.
func TestRefusalWhileWriting(t *testing.T) {
	for _, address := range []string{tcp, quic} {
		p := connectAt(t, address, memory.New(memory.Options{Offer: 2 << 20}), storage.ServerOptions{}, storage.ClientOptions{})
		f := storetest.NewFile(t, 1, 1, 1, 256<<10, 1<<20)
		u := f.Upload(0, "")
		u.Size = -1 // else it is refused at once
		w, err := p.client.Create(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; err == nil; i++ {
			if i > 1000 {
				t.Fatal("the refusal is never noticed")
			}
			err = w.Append(t.Context(), f.Row(0), f.Block(0, 0))
		}
		if !errors.Is(err, share.ErrNoSpace) || !strings.Contains(err.Error(), p.far.ID().Short()) {
			t.Errorf("append: %v; want no space, and which server said so", err)
		}
		if err := w.Commit(t.Context(), f.Root); !errors.Is(err, share.ErrNoSpace) {
			t.Errorf("commit after that: %v", err)
		}
		w.Close()
	}
}

// TestHungServer appends to a server that takes nothing: only the context, or the client's own patience, ends that.
func TestHungServer(t *testing.T) {
	t.Parallel()
	store := &slow{memory.New(memory.Options{}), make(chan struct{})}
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 1, 1<<20, 1<<20)
	u := f.Upload(0, "")
	u.Size = -1
	fill := func(ctx context.Context, c *storage.Client) error {
		w, err := c.Create(ctx, u)
		if err != nil {
			return err
		}
		defer w.Close()
		for range 100 { // more than every window and buffer on the way
			if err := w.Append(ctx, f.Row(0), f.Block(0, 0)); err != nil {
				return err
			}
		}
		return errors.New("a hung server took 100 MB")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	took := waittest.Took(func() {
		if err := fill(ctx, p.client); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, share.ErrUnavailable) {
			t.Errorf("with a deadline: %v", err)
		}
	})
	if took > 5*time.Second {
		t.Errorf("the deadline was overrun: %s", took)
	}
	impatient := p.newClient(t, storage.ClientOptions{WriteTimeout: 300 * time.Millisecond})
	if err := fill(t.Context(), impatient); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("without a deadline: %v", err)
	}
}

// TestSlowCommit takes longer than the client's patience, but keeps going: the client waits.
func TestSlowCommit(t *testing.T) {
	t.Parallel()
	store := &slow{memory.New(memory.Options{}), make(chan struct{})}
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{WriteTimeout: 5 * time.Second})
	f := storetest.NewFile(t, 1, 1, 1, 4096, 4*4096)
	result := make(chan error, 1)
	go func() { result <- f.Put(t.Context(), p.client, 0, "") }()
	tick := time.NewTicker(1500 * time.Millisecond)
	defer tick.Stop()
	for range f.Segments() {
		<-tick.C
		select {
		case store.gate <- struct{}{}:
		case err := <-result:
			t.Fatalf("put gave up: %v", err)
		}
	}
	if err := <-result; err != nil {
		t.Errorf("put: %v", err)
	}
}

// TestUnreachable asks a peer that is gone, and one that does not serve shares.
func TestUnreachable(t *testing.T) {
	far := host(t)
	near := host(t, far.Addresses()...)
	for what, c := range map[string]struct {
		id   share.ServerID
		want error
	}{
		"a peer that speaks no storage protocol": {far.ID(), share.ErrVersion},
		"a peer that is not there":               {"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", share.ErrUnavailable},
		"no peer":                                {"nobody", share.ErrUnavailable},
	} {
		client := storage.NewClient(near, c.id, storage.ClientOptions{AskTimeout: time.Second})
		if _, err := client.Numbers(t.Context(), []share.StorageIndex{{}}); !errors.Is(err, c.want) {
			t.Errorf("%s: numbers: %v; want %v", what, err, c.want)
		}
		if _, err := client.Open(t.Context(), share.StorageIndex{}, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: open: %v; want %v", what, err, c.want)
		}
		if _, err := client.Create(t.Context(), share.Upload{}); !errors.Is(err, c.want) {
			t.Errorf("%s: create: %v; want %v", what, err, c.want)
		}
		client.Close()
	}
}

// TestClosed uses a client after, and while, it is closed.
func TestClosed(t *testing.T) {
	store := &slow{memory.New(memory.Options{}), make(chan struct{})}
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 2, 4096, 5000)
	if err := f.Put(t.Context(), store.Store, 0, p.owner()); err != nil {
		t.Fatal(err)
	}
	r, err := p.client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 2)
	go func() {
		_, err := r.ReadAt(t.Context(), make([]byte, 10), 0)
		results <- err
	}()
	go func() { results <- f.Put(t.Context(), p.client, 1, "") }()
	eventually(t, "the server has the requests", func() bool { return p.server.Stats().Requests >= 4 })
	if err := p.client.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-results; !errors.Is(err, share.ErrClosed) {
			t.Errorf("a call under way: %v", err)
		}
	}
	if _, err := p.client.Space(t.Context()); !errors.Is(err, share.ErrClosed) {
		t.Errorf("space: %v", err)
	}
	if _, err := r.ReadAt(t.Context(), make([]byte, 10), 0); !errors.Is(err, share.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := f.Put(t.Context(), p.client, 1, ""); !errors.Is(err, share.ErrClosed) {
		t.Errorf("put: %v", err)
	}
}

// A cutter cuts streams after a number of bytes in one direction.
type cutter struct {
	storage.StreamOpener

	mu            sync.Mutex
	name          string
	sent, receive int // bytes until the next cut; negative for none
}

func (c *cutter) Stream(ctx context.Context, id share.ServerID, name string) (network.Stream, error) {
	s, err := c.StreamOpener.Stream(ctx, id, name)
	if err != nil || name != c.name {
		return s, err
	}
	return &cutStream{s, c}, nil
}

// spend takes up to n bytes from a budget, and returns how many of them there are.
func (c *cutter) spend(budget *int, n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *budget < 0 {
		return n
	}
	n = min(n, *budget)
	*budget -= n
	return n
}

func (c *cutter) refill(sent, receive int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent, c.receive = sent, receive
}

type cutStream struct {
	network.Stream
	c *cutter
}

func (s *cutStream) Write(p []byte) (int, error) {
	n := s.c.spend(&s.c.sent, len(p))
	if n == len(p) {
		return s.Stream.Write(p)
	}
	s.Stream.Write(p[:n])
	s.Stream.CloseWrite() // what was written arrives, unlike with a reset
	return n, io.ErrClosedPipe
}

func (s *cutStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if got := s.c.spend(&s.c.receive, n); got < n {
		s.Stream.Reset()
		return got, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestCutUpload cuts an upload after so and so many bytes, and resumes it: nothing is lost that the server had, nothing is
// published that is not whole.
func TestCutUpload(t *testing.T) {
	p := newPair(t)
	c := &cutter{StreamOpener: p.near, name: storage.Write}
	client := storage.NewClient(c, p.far.ID(), storage.ClientOptions{WriteTimeout: waittest.Patience})
	defer client.Close()
	for i, n := 0, 0; n < 45_000; i, n = i+1, n+1+n/20 {
		f := storetest.NewFile(t, uint64(n), 1, 2, 4096, 40_000)
		c.refill(n, -1)
		if err := f.Put(t.Context(), client, 1, ""); err == nil && n < 40_000 {
			t.Fatalf("an upload of which %d bytes were sent succeeded", n)
		} else if err != nil && !errors.Is(err, share.ErrUnavailable) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		c.refill(-1, -1)
		if err := resume(t.Context(), client, f, 1); err != nil {
			t.Fatalf("resume after %d bytes: %v", n, err)
		}
		wantShare(t, client, f, 1)
	}
}

// resume continues an upload where the server says.
func resume(ctx context.Context, store share.Store, f *storetest.File, n share.Number) error {
	w, err := store.Create(ctx, f.Upload(n, ""))
	if err != nil {
		return err
	}
	defer w.Close()
	have, err := w.Have(ctx)
	if err != nil {
		return err
	}
	if err := f.Append(ctx, w, n, have, f.Segments()); err != nil {
		return err
	}
	return w.Commit(ctx, f.Root)
}

func wantShare(t *testing.T, store share.Store, f *storetest.File, n share.Number) {
	t.Helper()
	r, err := store.Open(t.Context(), f.Index, n)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := f.Share(n)
	got := make([]byte, r.Size())
	if _, err := r.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read back %d bytes, want %d: %v", len(got), len(want), err)
	}
}

// TestCutAnswers cuts the answers to reads, questions and uploads after each byte: a call fails or is right.
func TestCutAnswers(t *testing.T) {
	p := newPair(t)
	f := storetest.NewFile(t, 1, 1, 2, 4096, 100)
	if err := f.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(*storage.Client) error{
		storage.Ask: func(c *storage.Client) error {
			held, err := c.Numbers(t.Context(), []share.StorageIndex{f.Index})
			if err == nil && (len(held[0].Numbers) == 0 || !bytes.Equal(held[0].Root, f.Root)) {
				return fmt.Errorf("wrong answer: %v", held)
			}
			return err
		},
		storage.Read: func(c *storage.Client) error {
			r, err := c.Open(t.Context(), f.Index, 0)
			if err != nil {
				return err
			}
			got := make([]byte, 90)
			_, err = r.ReadAt(t.Context(), got, 5)
			if err == nil && !bytes.Equal(got, f.Share(0)[5:95]) {
				return errors.New("wrong answer")
			}
			return err
		},
		storage.Write: func(c *storage.Client) error { return f.Put(t.Context(), c, 1, "") },
	} {
		c := &cutter{StreamOpener: p.near, name: name}
		failed := 0
		for n := range 400 {
			client := storage.NewClient(c, p.far.ID(), storage.ClientOptions{})
			c.refill(-1, n)
			err := ask(client)
			client.Close()
			if err == nil {
				break
			}
			failed++
			if !errors.Is(err, share.ErrUnavailable) {
				t.Fatalf("%s: cut after %d bytes: %v", name, n, err)
			}
		}
		if failed < 5 || failed == 400 {
			t.Errorf("%s: %d cuts failed", name, failed)
		}
	}
}
