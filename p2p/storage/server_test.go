package storage_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A broken store panics wherever it can.
type broken struct{ share.Store }

func (broken) Numbers(context.Context, []share.StorageIndex) ([]share.Held, error) { panic("numbers") }

func (broken) Open(context.Context, share.StorageIndex, share.Number) (share.Reader, error) {
	return brokenReader{}, nil
}

func (broken) Create(context.Context, share.Upload) (share.Writer, error) { return brokenWriter{}, nil }

func (broken) Space(context.Context) (share.Space, error) { return share.Space{}, nil }

type brokenReader struct{ share.Reader }

func (brokenReader) ReadAt(context.Context, []byte, int64) (int, error) { panic("read") }
func (brokenReader) Size() int64                                        { return 100 }
func (brokenReader) Close() error                                       { return nil }

type brokenWriter struct{ share.Writer }

func (brokenWriter) Append(context.Context, []share.Digest, []byte) error { panic("append") }
func (brokenWriter) Close() error                                         { return nil }

// TestPanic has the store panic: the peer gets an error, the log the stack, and the server serves on.
func TestPanic(t *testing.T) {
	var log lockedBuilder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	p := connect(t, broken{}, storage.ServerOptions{Logger: logger}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 2, 4096, 10)
	if _, err := p.client.Numbers(t.Context(), []share.StorageIndex{{}}); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("numbers: %v", err)
	}
	r, err := p.client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(t.Context(), make([]byte, 10), 0); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	if err := f.Put(t.Context(), p.client, 0, ""); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	p.mustWork(t)
	for _, want := range []string{"panic: numbers", "panic: read", "panic: append", "server_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not tell of %q", want)
		}
	}
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A failing store fails in ways that have no name on the wire.
type failing struct{ share.Store }

func (failing) Numbers(context.Context, []share.StorageIndex) ([]share.Held, error) {
	return nil, errors.New("sector 7 of /dev/alice is gone")
}

// TestInternalError keeps what is nobody's business on the server.
func TestInternalError(t *testing.T) {
	var log lockedBuilder
	p := connect(t, failing{}, storage.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}, storage.ClientOptions{})
	_, err := p.client.Numbers(t.Context(), []share.StorageIndex{{}})
	if err == nil || strings.Contains(err.Error(), "alice") || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("the peer got: %v", err)
	}
	if !strings.Contains(log.String(), "sector 7 of /dev/alice") {
		t.Errorf("the log does not have the error: %s", log.String())
	}
}

// TestPlainStore serves a store that can neither resume nor tell its space.
func TestPlainStore(t *testing.T) {
	p := connect(t, struct{ share.Store }{memory.New(memory.Options{})}, storage.ServerOptions{}, storage.ClientOptions{})
	if _, err := p.client.Space(t.Context()); !errors.Is(err, share.ErrDenied) {
		t.Errorf("space: %v", err)
	}
	if progress, err := p.client.Uploads(t.Context(), "", share.UploadID{}); err != nil || len(progress) != 0 {
		t.Errorf("uploads: %v, %v", progress, err)
	}
}

// TestOwner keeps leases under the identity that the connection authenticated, whatever the upload names.
func TestOwner(t *testing.T) {
	store := memory.New(memory.Options{})
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 2, 4096, 5000)
	if err := f.Put(t.Context(), p.client, 0, "somebody else"); err != nil {
		t.Fatal(err)
	}
	leases, err := store.Leases(t.Context(), f.Index)
	if err != nil || len(leases) != 1 || leases[0].Owner != p.owner() {
		t.Errorf("leases: %v, %v; want one of %s", leases, err, p.owner())
	}
}

func TestOnCommit(t *testing.T) {
	var got atomic.Pointer[share.StorageIndex]
	o := storage.ServerOptions{OnCommit: func(index share.StorageIndex) { got.Store(&index) }}
	p := connect(t, memory.New(memory.Options{}), o, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 2, 4096, 5000)
	w, err := p.client.Create(t.Context(), f.Upload(0, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), w, 0, 0, f.Segments()); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), storetest.NewFile(t, 2, 1, 2, 4096, 5000).Root); !errors.Is(err, share.ErrCorrupt) {
		t.Fatalf("commit of a foreign root: %v", err)
	}
	if got.Load() != nil {
		t.Error("called although nothing was committed")
	}
	if err := f.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	if index := got.Load(); index == nil || *index != f.Index {
		t.Errorf("called with %v, want %s", index, f.Index)
	}
}

func TestStats(t *testing.T) {
	p := newPair(t)
	f := storetest.NewFile(t, 1, 1, 2, 64<<10, 200_000)
	if err := f.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	s := p.server.Stats()
	if s.Commits != 1 || s.Requests != 1+f.Segments()+1 || s.Received < 200_000 || s.Received > 210_000 || s.Sent > 1000 || s.Streams != 1 {
		t.Errorf("after an upload: %+v", s)
	}
	wantShare(t, p.client, f, 0)
	s = p.server.Stats()
	if s.Sent < 200_000 || s.Sent > 210_000 || s.Failures != 0 || s.Refused != 0 {
		t.Errorf("after a download: %+v", s)
	}
	if _, err := p.client.Open(t.Context(), f.Index, 1); !errors.Is(err, share.ErrNotFound) {
		t.Fatal(err)
	}
	if s = p.server.Stats(); s.Failures != 1 {
		t.Errorf("after a failure: %+v", s)
	}
}

// TestUploadLimit begins one upload more than a peer may have; one that ends makes room.
func TestUploadLimit(t *testing.T) {
	p := connect(t, memory.New(memory.Options{}), storage.ServerOptions{Uploads: storage.Limit{PerPeer: 2}}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 5, 4096, 5000)
	begin := func(n share.Number) (share.Writer, error) {
		w, err := p.client.Create(t.Context(), f.Upload(n, ""))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		_, err = w.Have(t.Context())
		return w, err
	}
	first, err := begin(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := begin(1); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(2); !errors.Is(err, share.ErrBusy) || !strings.Contains(err.Error(), "at most 2 uploads per peer") {
		t.Errorf("an upload beyond the limit: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(2); err != nil {
		t.Errorf("after one ended: %v", err)
	}
}

// A counting store counts the shares that are open.
type counting struct {
	share.Store
	open, opened atomic.Int64
}

func (s *counting) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	r, err := s.Store.Open(ctx, index, number)
	if err != nil {
		return nil, err
	}
	s.open.Add(1)
	s.opened.Add(1)
	return &countingReader{r, s}, nil
}

type countingReader struct {
	share.Reader
	s *counting
}

func (r *countingReader) Close() error {
	r.s.open.Add(-1)
	return r.Reader.Close()
}

// TestReadersAreKept opens a share once for many reads, keeps no more open than it may, and none in the end.
func TestReadersAreKept(t *testing.T) {
	store := &counting{Store: memory.New(memory.Options{})}
	p := connect(t, store, storage.ServerOptions{Readers: 3}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 10, 4096, 5000)
	for n := range share.Number(10) {
		if err := f.Put(t.Context(), store.Store, n, "somebody"); err != nil {
			t.Fatal(err)
		}
	}
	r, err := p.client.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := r.ReadAt(t.Context(), make([]byte, 10), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.opened.Load(); n != 1 {
		t.Errorf("opened %d times for 20 reads", n)
	}
	var group sync.WaitGroup
	for n := range share.Number(10) {
		group.Go(func() {
			for range 20 {
				wantShare(t, p.client, f, n)
			}
		})
	}
	group.Wait()
	if n := store.open.Load(); n > 3 {
		t.Errorf("%d shares are open, at most 3 may be", n)
	}
	p.server.Close()
	if n := store.open.Load(); n != 0 {
		t.Errorf("%d shares are open after the server was closed", n)
	}
}

// TestServerClose closes a server that is at work: its peers hear of it, and the store is left alone afterwards.
func TestServerClose(t *testing.T) {
	p := newPair(t)
	f := storetest.NewFile(t, 1, 1, 2, 4096, 5000)
	w, err := p.client.Create(t.Context(), f.Upload(0, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Have(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.server.Close(); err != nil {
		t.Error(err)
	}
	if s := p.server.Stats(); s.Streams != 0 {
		t.Errorf("%d streams are open", s.Streams)
	}
	err = f.Append(t.Context(), w, 0, 0, f.Segments())
	if err == nil {
		err = w.Commit(t.Context(), f.Root)
	}
	if !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("the upload: %v", err)
	}
	if _, err := p.client.Space(t.Context()); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("a question: %v", err)
	}
}

// TestRestartedServer finds the server again after all its streams are gone.
func TestRestartedServer(t *testing.T) {
	store := memory.New(memory.Options{})
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 1, 1, 5, 4096, 5000)
	if err := f.Put(t.Context(), p.client, 0, ""); err != nil {
		t.Fatal(err)
	}
	wantShare(t, p.client, f, 0)
	p.server.Close()
	next := storage.NewServer(store, storage.ServerOptions{})
	defer next.Close()
	next.Register(p.far)
	if _, err := p.client.Space(t.Context()); err != nil {
		t.Errorf("space: %v", err)
	}
	wantShare(t, p.client, f, 0)
	eventually(t, "uploads work again", func() bool { return f.Put(t.Context(), p.client, 1, "") == nil })
	wantShare(t, p.client, f, 1)
}

// TestConcurrentUploads stores many small files at a time over few streams.
func TestConcurrentUploads(t *testing.T) {
	p := newPair(t)
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() {
			for j := range 10 {
				f := storetest.NewFile(t, uint64(100*i+j), 1, 2, 4096, 1000)
				errs[i] = errors.Join(errs[i], f.Put(t.Context(), p.client, 0, ""))
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if s := p.server.Stats(); s.Commits != 80 || s.Streams > 8 {
		t.Errorf("%d commits over %d streams", s.Commits, s.Streams)
	}
}
