package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
	"cairn/share/memory"
)

func pattern(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), 7}).Read(p)
	return p
}

// testServer is a server whose store can be broken.
type testServer struct {
	share.Store
	share.Resumer

	mu     sync.Mutex
	hang   bool                 // every call blocks until its context ends
	refuse error                // Create fails
	spoil  func(off int64) bool // reads at these offsets come back wrong
	failAt int64                // Append fails at this segment, -1 never
	reads  int
	bytes  int
}

func newServer() *testServer {
	m := memory.New(memory.Options{})
	return &testServer{Store: m, Resumer: m, failAt: -1}
}

func (s *testServer) wait(ctx context.Context) error {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (s *testServer) Numbers(ctx context.Context, ids []share.StorageIndex) ([]share.Held, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Store.Numbers(ctx, ids)
}

func (s *testServer) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Resumer.Uploads(ctx, owner, id)
}

func (s *testServer) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	if s.refuse != nil {
		return nil, s.refuse
	}
	w, err := s.Store.Create(ctx, u)
	return &testWriter{Writer: w, s: s}, err
}

type testWriter struct {
	share.Writer
	s    *testServer
	next int64
}

func (w *testWriter) Have(ctx context.Context) (int64, error) {
	if err := w.s.wait(ctx); err != nil {
		return 0, err
	}
	n, err := w.Writer.Have(ctx)
	w.next = n
	return n, err
}

func (w *testWriter) Append(ctx context.Context, d []share.Digest, b []byte) error {
	if err := w.s.wait(ctx); err != nil {
		return err
	}
	if w.next == w.s.failAt {
		return share.ErrUnavailable
	}
	w.next++
	w.s.mu.Lock()
	w.s.bytes += len(b)
	w.s.mu.Unlock()
	return w.Writer.Append(ctx, d, b)
}

func (w *testWriter) Commit(ctx context.Context, root []byte) error {
	if err := w.s.wait(ctx); err != nil {
		return err
	}
	return w.Writer.Commit(ctx, root)
}

func (s *testServer) Open(ctx context.Context, si share.StorageIndex, n share.Number) (share.Reader, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	r, err := s.Store.Open(ctx, si, n)
	return &testReader{r, s}, err
}

type testReader struct {
	share.Reader
	s *testServer
}

func (r *testReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := r.s.wait(ctx); err != nil {
		return 0, err
	}
	n, err := r.Reader.ReadAt(ctx, p, off)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.reads++
	if r.s.spoil != nil && r.s.spoil(off) && n > 0 {
		p[n/2] ^= 1
	}
	return n, err
}

type testGrid struct {
	stores  []*testServer
	servers []share.Server
}

func newGrid(n int) *testGrid {
	g := &testGrid{}
	for i := range n {
		s := newServer()
		g.stores = append(g.stores, s)
		g.servers = append(g.servers, share.Server{ID: share.ServerID(fmt.Sprintf("server-%02d", i)), Store: s, Free: 1 << 40})
	}
	return g
}

func options(k, happy, n int, key keys.ReadKey, size int) file.UploadOptions {
	return file.UploadOptions{
		Params: share.Params{Needed: k, Happy: happy, Total: n}, BlockSize: encoding.MinBlockSize, Key: key, Size: int64(size),
		Resume: true, Owner: "me", Lease: time.Hour, Log: slog.New(slog.DiscardHandler),
	}
}

func (g *testGrid) upload(t *testing.T, data []byte, o file.UploadOptions) file.Result {
	t.Helper()
	result, err := file.Upload(t.Context(), g.servers, bytes.NewReader(data), o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (g *testGrid) open(t *testing.T, root encoding.Root, key keys.ReadKey) *file.Reader {
	t.Helper()
	r, err := file.Open(t.Context(), g.servers, root.StorageIndex(), key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func readAll(t *testing.T, r *file.Reader) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := r.WriteTo(t.Context(), &out, 0, r.Size()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	const b = encoding.MinBlockSize
	for _, c := range []struct{ k, happy, n, servers, size int }{
		{3, 7, 10, 10, 0}, {3, 7, 10, 10, 1}, {3, 7, 10, 10, 56}, {3, 7, 10, 12, 3*b + 1}, {3, 7, 10, 7, 100 * b},
		{1, 1, 1, 1, 5 * b}, {2, 3, 3, 3, 300*2*b + 5}, {4, 4, 4, 4, 17*b - 1}, {256, 2, 256, 256, 3 * 256 * b},
	} {
		t.Run(fmt.Sprintf("%d-of-%d/%d", c.k, c.n, c.size), func(t *testing.T) {
			g, key, data := newGrid(c.servers), keys.NewReadKey(), pattern(c.size)
			result := g.upload(t, data, options(c.k, max(c.k, c.happy), c.n, key, c.size))
			if len(result.Missing) > 0 || result.Happiness != min(c.n, c.servers) {
				t.Fatalf("missing %v, happiness %d", result.Missing, result.Happiness)
			}
			r := g.open(t, result.Root, key)
			if !bytes.Equal(readAll(t, r), data) {
				t.Fatal("read other bytes than were stored")
			}
			for range 20 {
				off := rand.Int64N(int64(c.size) + 1)
				p := make([]byte, rand.IntN(5*b))
				n, err := r.ReadAt(t.Context(), p, off)
				if err != nil && err != io.EOF {
					t.Fatal(err)
				}
				if want := data[off:min(int(off)+len(p), len(data))]; !bytes.Equal(p[:n], want) {
					t.Fatalf("range %d+%d differs", off, len(p))
				}
			}
		})
	}
}

func TestWrongKeyIsAnError(t *testing.T) {
	g, key := newGrid(3), keys.NewReadKey()
	result := g.upload(t, pattern(100), options(2, 3, 3, key, 100))
	_, err := file.Open(t.Context(), g.servers, result.Root.StorageIndex(), keys.NewReadKey(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, file.ErrWrongKey) {
		t.Fatalf("got %v, want ErrWrongKey", err)
	}
}

func TestRandomReadTouchesOneBlock(t *testing.T) {
	const b = encoding.MinBlockSize
	g, key, data := newGrid(10), keys.NewReadKey(), pattern(100*3*b)
	result := g.upload(t, data, options(3, 7, 10, key, len(data)))
	r := g.open(t, result.Root, key)
	p := make([]byte, 1000)
	off := int64(50*3*b + b + 10)
	if _, err := r.ReadAt(t.Context(), p, off); err != nil || !bytes.Equal(p, data[off:off+1000]) {
		t.Fatalf("wrong bytes (%v)", err)
	}
	// One block, one row of ten digests, one node of a hundred digests.
	if got, want := r.Source().Fetched(), int64(b+10*32+100*32); got != want {
		t.Fatalf("fetched %d bytes, want %d", got, want)
	}
}

// TestEveryLoss reads a 3-of-10 file from every set of three servers.
func TestEveryLoss(t *testing.T) {
	g, key, data := newGrid(10), keys.NewReadKey(), pattern(40000)
	result := g.upload(t, data, options(3, 7, 10, key, len(data)))
	all := g.servers
	for a := range 10 {
		for b := range a {
			for c := range b {
				g.servers = []share.Server{all[a], all[b], all[c]}
				if !bytes.Equal(readAll(t, g.open(t, result.Root, key)), data) {
					t.Fatalf("servers %d %d %d give other bytes", a, b, c)
				}
			}
		}
	}
	g.servers = all[:2]
	_, err := file.Open(t.Context(), g.servers, result.Root.StorageIndex(), key, slog.New(slog.DiscardHandler))
	if e, ok := errors.AsType[*share.NotEnoughSharesError](err); !ok || e.Found != 2 || e.Needed != 3 || e.Answered != 2 {
		t.Fatalf("two of three shares: %v", err)
	}
	_, err = file.Open(t.Context(), newGrid(3).servers, result.Root.StorageIndex(), key, slog.New(slog.DiscardHandler))
	if !errors.Is(err, share.ErrNotFound) {
		t.Fatalf("no shares at all: %v", err)
	}
}

// TestBadBlocksCostOneBlock spoils a different segment on every server: with k = N = 3 servers nothing could be read,
// with two more every segment can, and each liar is named.
func TestBadBlocksCostOneBlock(t *testing.T) {
	const b = encoding.MinBlockSize
	g, key, data := newGrid(5), keys.NewReadKey(), pattern(20*3*b)
	result := g.upload(t, data, options(3, 5, 5, key, len(data)))
	for i, s := range g.stores {
		s.spoil = func(off int64) bool { return off == int64(i*b) || off == int64((i+7)*b) }
	}
	r := g.open(t, result.Root, key)
	if !bytes.Equal(readAll(t, r), data) {
		t.Fatal("read other bytes than were stored")
	}
	if len(r.Source().Corrupt()) == 0 {
		t.Fatal("nobody was blamed")
	}
	for _, c := range r.Source().Corrupt() {
		number := c.Number
		if result.Placed[number].ID != c.Server || c.Segment < 0 {
			t.Errorf("blamed %v", c)
		}
	}
}

func TestCorruptIndexIsBlamed(t *testing.T) {
	const b = encoding.MinBlockSize
	g, key, data := newGrid(4), keys.NewReadKey(), pattern(20*2*b)
	result := g.upload(t, data, options(2, 4, 4, key, len(data)))
	liar := result.Placed[0]
	for i, s := range g.servers {
		if s.ID == liar.ID {
			g.stores[i].spoil = func(off int64) bool { return off >= 20*b }
		}
	}
	r := g.open(t, result.Root, key)
	if !bytes.Equal(readAll(t, r), data) {
		t.Fatal("read other bytes than were stored")
	}
	for _, c := range r.Source().Corrupt() {
		if c.Server != liar.ID || c.Segment != -1 {
			t.Errorf("blamed %v", c)
		}
	}
}

func TestHungServerDelaysLittle(t *testing.T) {
	const b = encoding.MinBlockSize
	g, key, data := newGrid(10), keys.NewReadKey(), pattern(60*3*b)
	o := options(3, 7, 10, key, len(data))
	var background sync.WaitGroup
	o.Background = func(f func(context.Context)) { background.Go(func() { f(t.Context()) }) }
	g.stores[4].hang = true
	start := time.Now()
	result := g.upload(t, data, o)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("upload took %v with one hung server", took)
	}
	if result.Happiness < 7 {
		t.Errorf("happiness %d", result.Happiness)
	}
	background.Wait()
	g.stores[4].hang = false
	g.stores[0].hang, g.stores[1].hang = true, true
	start = time.Now()
	if !bytes.Equal(readAll(t, g.open(t, result.Root, key)), data) {
		t.Fatal("read other bytes than were stored")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("download took %v with two hung servers", took)
	}
}

func TestRefusingServerIsReplaced(t *testing.T) {
	for _, size := range []int{100, 100000} {
		g, key, data := newGrid(12), keys.NewReadKey(), pattern(size)
		g.stores[0].refuse, g.stores[1].refuse = share.ErrNoSpace, share.ErrReadOnly
		result := g.upload(t, data, options(3, 10, 10, key, size))
		if result.Happiness != 10 || len(result.Missing) > 0 {
			t.Fatalf("size %d: happiness %d, missing %v", size, result.Happiness, result.Missing)
		}
	}
}

func TestUnhappyUploadSaysWhyAndResumes(t *testing.T) {
	const b = encoding.MinBlockSize
	g, key, data := newGrid(5), keys.NewReadKey(), pattern(30*2*b)
	for _, s := range g.stores[:2] {
		s.failAt = 12
	}
	o := options(2, 5, 5, key, len(data))
	result, err := file.Upload(t.Context(), g.servers, bytes.NewReader(data), o)
	unhappy, ok := errors.AsType[*share.UnhappyError](err)
	if !ok || unhappy.Happiness != 3 || unhappy.Happy != 5 || len(unhappy.Causes) != 2 || !errors.Is(err, share.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if len(result.Placed) != 3 || len(result.Missing) != 2 {
		t.Fatalf("placed %d, missing %v", len(result.Placed), result.Missing)
	}
	for _, s := range g.stores {
		s.failAt = -1
	}
	for _, s := range g.stores {
		s.bytes = 0
	}
	result = g.upload(t, data, o)
	sent := 0
	for _, s := range g.stores {
		sent += s.bytes
	}
	if want := 2 * 18 * b; sent != want {
		t.Errorf("the second attempt sent %d bytes, want the %d that were missing", sent, want)
	}
	if result.Happiness != 5 || result.Skipped != int64(3*30*b+2*12*b) {
		t.Errorf("happiness %d, skipped %d", result.Happiness, result.Skipped)
	}
	if !bytes.Equal(readAll(t, g.open(t, result.Root, key)), data) {
		t.Fatal("read other bytes than were stored")
	}
}

func TestTooFewServers(t *testing.T) {
	g := newGrid(2)
	_, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(100)), options(2, 3, 3, keys.NewReadKey(), 100))
	if e, ok := errors.AsType[*share.UnhappyError](err); !ok || e.Happiness != 2 || e.Happy != 3 || e.Servers != 2 {
		t.Fatalf("got %v", err)
	}
}

// TestSlowServerDoesNotStopTheOthers streams more than the buffers hold past a server that takes nothing.
func TestSlowServerDoesNotStopTheOthers(t *testing.T) {
	g, key := newGrid(5), keys.NewReadKey()
	o := options(1, 3, 5, key, -1)
	o.BlockSize = 1 << 20
	hung := make(chan struct{})
	g.servers[2].Store = &stuckStore{Store: g.stores[2], hung: hung}
	size := int64(16 << 20)
	result, err := file.Upload(t.Context(), g.servers, io.LimitReader(zeros{}, size), o)
	if err != nil {
		t.Fatal(err)
	}
	if result.Happiness != 4 || len(result.Failures) == 0 {
		t.Fatalf("happiness %d, failures %v", result.Happiness, result.Failures)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// stuckStore accepts uploads and then takes nothing.
type stuckStore struct {
	share.Store
	hung chan struct{}
}

func (s *stuckStore) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	w, err := s.Store.Create(ctx, u)
	return stuckWriter{w}, err
}

type stuckWriter struct{ share.Writer }

func (stuckWriter) Append(ctx context.Context, _ []share.Digest, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCancelledUploadEnds(t *testing.T) {
	g := newGrid(3)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		w.Write(pattern(100000))
		cancel()
		w.CloseWithError(errors.New("gone"))
	}()
	_, err := file.Upload(ctx, g.servers, r, options(2, 3, 3, keys.NewReadKey(), -1))
	if err == nil {
		t.Fatal("a cancelled upload succeeded")
	}
}
