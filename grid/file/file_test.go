package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

func pattern(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), 7}).Read(p)
	return p
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
		{3, 7, 10, 10, 0},
		{3, 7, 10, 10, 1},
		{3, 7, 10, 10, 56},
		{3, 7, 10, 12, 3*b + 1},
		{3, 7, 10, 7, 100 * b},
		{1, 1, 1, 1, 5 * b},
		{2, 3, 3, 3, 300*2*b + 5},
		{4, 4, 4, 4, 17*b - 1},
		{256, 2, 256, 256, 3 * 256 * b},
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

func TestWrongKeyIsAnError(t *testing.T) { synctest.Test(t, testWrongKeyIsAnError) }

func testWrongKeyIsAnError(t *testing.T) {
	g, key := newGrid(3), keys.NewReadKey()
	result := g.upload(t, pattern(100), options(2, 3, 3, key, 100))
	_, err := file.Open(t.Context(), g.servers, result.Root.StorageIndex(), keys.NewReadKey(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, file.ErrWrongKey) {
		t.Fatalf("got %v, want ErrWrongKey", err)
	}
}

func TestRandomReadTouchesOneBlock(t *testing.T) { synctest.Test(t, testRandomReadTouchesOneBlock) }

func testRandomReadTouchesOneBlock(t *testing.T) {
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
func TestEveryLoss(t *testing.T) { synctest.Test(t, testEveryLoss) }

func testEveryLoss(t *testing.T) {
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

// TestLiarAmongMany reads so many segments that they are verified together, of which one server spoils a few in the middle.
func TestLiarAmongMany(t *testing.T) { synctest.Test(t, testLiarAmongMany) }

func testLiarAmongMany(t *testing.T) {
	const b, segments, first, last = encoding.MinBlockSize, 300, 150, 153
	g, key, data := newGrid(5), keys.NewReadKey(), pattern(segments*3*b)
	result := g.upload(t, data, options(3, 5, 5, key, len(data)))
	liar := result.Placed[1].ID
	for i, s := range g.stores {
		if g.servers[i].ID == liar {
			s.spoil = func(off int64) bool { return off >= first*b && off <= last*b }
		}
	}
	r := g.open(t, result.Root, key)
	if !bytes.Equal(readAll(t, r), data) {
		t.Fatal("read other bytes than were stored")
	}
	blamed := r.Source().Corrupt()
	if len(blamed) == 0 {
		t.Error("nobody was blamed")
	}
	for _, c := range blamed {
		if c.Server != liar || c.Number != 1 || c.Segment < first || c.Segment > last {
			t.Errorf("blamed %v", c)
		}
	}
	if fetched, limit := r.Source().Fetched(), int64(len(data))*5/4; fetched > limit {
		t.Errorf("%d bytes were fetched for %d", fetched, len(data))
	}
}

// TestBadBlocksCostOneBlock spoils a different segment on every server: with k = N = 3 servers nothing could be read,
// with two more every segment can, and each liar is named.
func TestBadBlocksCostOneBlock(t *testing.T) { synctest.Test(t, testBadBlocksCostOneBlock) }

func testBadBlocksCostOneBlock(t *testing.T) {
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

func TestCorruptIndexIsBlamed(t *testing.T) { synctest.Test(t, testCorruptIndexIsBlamed) }

func testCorruptIndexIsBlamed(t *testing.T) {
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

func TestRefusingServerIsReplaced(t *testing.T) { synctest.Test(t, testRefusingServerIsReplaced) }

func testRefusingServerIsReplaced(t *testing.T) {
	for _, size := range []int{100, 100000} {
		g, key, data := newGrid(12), keys.NewReadKey(), pattern(size)
		g.stores[0].on(fail(share.ErrNoSpace), opCreate)
		g.stores[1].on(fail(share.ErrReadOnly), opCreate)
		result := g.upload(t, data, options(3, 10, 10, key, size))
		if result.Happiness != 10 || len(result.Missing) > 0 {
			t.Fatalf("size %d: happiness %d, missing %v", size, result.Happiness, result.Missing)
		}
	}
}

func TestUnhappyUploadSaysWhyAndResumes(t *testing.T) {
	synctest.Test(t, testUnhappyUploadSaysWhyAndResumes)
}

func testUnhappyUploadSaysWhyAndResumes(t *testing.T) {
	const b = encoding.MinBlockSize
	g, key, data := newGrid(5), keys.NewReadKey(), pattern(30*2*b)
	for _, s := range g.stores[:2] {
		s.on(failFrom(12, share.ErrUnavailable), opAppend)
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
		s.before, s.sent = nil, 0
	}
	result = g.upload(t, data, o)
	sent := 0
	for _, s := range g.stores {
		sent += s.sent
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

func TestTooFewServers(t *testing.T) { synctest.Test(t, testTooFewServers) }

func testTooFewServers(t *testing.T) {
	g := newGrid(2)
	_, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(100)), options(2, 3, 3, keys.NewReadKey(), 100))
	if e, ok := errors.AsType[*share.UnhappyError](err); !ok || e.Happiness != 2 || e.Happy != 3 || e.Servers != 2 {
		t.Fatalf("got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCancelledUploadEnds(t *testing.T) { synctest.Test(t, testCancelledUploadEnds) }

func testCancelledUploadEnds(t *testing.T) {
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

func TestFullServersAreNamed(t *testing.T) { synctest.Test(t, testFullServersAreNamed) }

func testFullServersAreNamed(t *testing.T) {
	g := newGrid(3)
	g.servers[0].Free, g.servers[1].Free = 10, 0
	_, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(5000)), options(2, 3, 3, keys.NewReadKey(), 5000))
	unhappy, ok := errors.AsType[*share.UnhappyError](err)
	if !ok || len(unhappy.Causes) != 2 || !errors.Is(err, share.ErrNoSpace) {
		t.Fatalf("got %v", err)
	}
	for i, cause := range unhappy.Causes {
		if e, ok := errors.AsType[*file.ServerError](cause); !ok || e.Server != g.servers[i].ID {
			t.Errorf("cause %d: %v", i, cause)
		}
	}
}
