package grid_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/cespare/xxhash/v2"

	"cairn/grid"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
	"cairn/share/memory"
)

func pattern(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), 9}).Read(p)
	return p
}

// members is a set of servers that a test changes while a grid uses it.
type members struct{ servers []share.Server }

func newMembers(n int) *members {
	m := &members{}
	for i := range n {
		m.add(i)
	}
	return m
}

func (m *members) add(i int) {
	m.servers = append(m.servers, share.Server{
		ID: share.ServerID(fmt.Sprintf("server-%02d", i)), Store: memory.New(memory.Options{}), Free: 1 << 40,
	})
}

func (m *members) grid(t *testing.T, secret keys.ConvergenceSecret) *grid.Grid {
	g := grid.New(grid.Config{Servers: func(context.Context) []share.Server { return m.servers }, Secret: secret, Owner: "me"})
	t.Cleanup(func() { g.Close() })
	return g
}

func put(t *testing.T, g *grid.Grid, data []byte, o grid.PutOptions) grid.PutResult {
	t.Helper()
	result, err := g.Put(t.Context(), bytes.NewReader(data), o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func get(t *testing.T, g *grid.Grid, c capability.Capability) []byte {
	t.Helper()
	r, err := g.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	if _, err := r.WriteTo(t.Context(), &out, 0, r.Size()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func known(data []byte) grid.PutOptions {
	digest := share.Digest(sha256.Sum256(data))
	return grid.PutOptions{Size: int64(len(data)), Digest: &digest}
}

func TestPutGet(t *testing.T) {
	synctest.Test(t, putGet) // all servers answer at the same moment
}

func putGet(t *testing.T) {
	m := newMembers(10)
	g := m.grid(t, keys.NewConvergenceSecret())
	for _, size := range []int{0, 1, 55, 56, 1000, 400000, 2000000} {
		data := pattern(size)
		for name, o := range map[string]grid.PutOptions{
			"known": known(data), "stream": {Size: -1}, "private": {Size: int64(size), Private: true},
		} {
			result := put(t, g, data, o)
			if literal := result.Capability.Kind() == capability.KindLiteral; literal != (size <= 55) {
				t.Errorf("%d bytes, %s: kind %s", size, name, result.Capability.Kind())
			}
			if size > 55 && (result.Missing > 0 || result.Happiness != 10) {
				t.Errorf("%d bytes, %s: %+v", size, name, result)
			}
			if !bytes.Equal(get(t, g, result.Capability), data) {
				t.Errorf("%d bytes, %s: read other bytes", size, name)
			}
		}
	}
}

func TestConvergence(t *testing.T) { synctest.Test(t, testConvergence) }

func testConvergence(t *testing.T) {
	m := newMembers(3)
	secret := keys.NewConvergenceSecret()
	mine, also, other := m.grid(t, secret), m.grid(t, secret), m.grid(t, keys.NewConvergenceSecret())
	data := pattern(2000000)
	first := put(t, mine, data, known(data))
	again := put(t, also, data, known(data))
	if !again.Capability.Equal(first.Capability) {
		t.Error("the same account gets two capabilities for the same bytes")
	}
	if again.Resumed == 0 {
		t.Error("storing the same file again sent it again")
	}
	foreign := put(t, other, data, known(data))
	if foreign.Capability.Equal(first.Capability) {
		t.Error("another account gets the same capability: it could test for files")
	}
	private := known(data)
	private.Private = true
	if put(t, mine, data, private).Capability.Equal(first.Capability) {
		t.Error("a private file has the convergent key")
	}
}

func TestPutRefusesAChangedFile(t *testing.T) { synctest.Test(t, testPutRefusesAChangedFile) }

func testPutRefusesAChangedFile(t *testing.T) {
	g := newMembers(3).grid(t, keys.NewConvergenceSecret())
	for _, size := range []int{20, 100000} {
		data := pattern(size)
		o := known(data)
		changed := bytes.Clone(data)
		changed[size/2] ^= 1
		for name, stream := range map[string][]byte{"changed": changed, "shorter": data[:size-1], "longer": append(bytes.Clone(data), 1)} {
			checksum := xxhash.Sum64(data)
			for _, o.Checksum = range []*uint64{nil, &checksum} {
				if _, err := g.Put(t.Context(), bytes.NewReader(stream), o); !errors.Is(err, grid.ErrChanged) {
					t.Errorf("%d bytes, %s, checksum %v: got %v, want ErrChanged", size, name, o.Checksum != nil, err)
				}
			}
		}
	}
}

func TestReadErrorIsReported(t *testing.T) { synctest.Test(t, testReadErrorIsReported) }

func testReadErrorIsReported(t *testing.T) {
	g := newMembers(3).grid(t, keys.NewConvergenceSecret())
	broken := errors.New("disk on fire")
	for _, n := range []int{10, 100000} {
		_, err := g.Put(t.Context(), io.MultiReader(bytes.NewReader(pattern(n)), errorReader{broken}), grid.PutOptions{Size: -1})
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: got %v", n, err)
		}
	}
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

func TestLoseCheckRepair(t *testing.T) { synctest.Test(t, testLoseCheckRepair) }

func testLoseCheckRepair(t *testing.T) {
	m := newMembers(10)
	g := m.grid(t, keys.NewConvergenceSecret())
	data := pattern(2000000)
	file := put(t, g, data, known(data)).Capability
	verify, err := file.Verify()
	if err != nil {
		t.Fatal(err)
	}
	m.servers = m.servers[7:]
	if !bytes.Equal(get(t, g, file), data) {
		t.Fatal("three of ten servers do not give the file back")
	}
	report, err := g.Check(t.Context(), verify, true, nil)
	if err != nil || report.SharesGood != 3 || !report.Recoverable || report.Healthy {
		t.Fatalf("check: %+v, %v", report, err)
	}
	for i := range 7 {
		m.add(20 + i)
	}
	repaired, err := g.Repair(t.Context(), verify, false, nil)
	if err != nil || len(repaired.Made) != 7 || !repaired.After.Healthy || repaired.After.Happiness != 10 {
		t.Fatalf("repair: %+v, %v", repaired, err)
	}
	m.servers = m.servers[3:]
	if !bytes.Equal(get(t, g, file), data) {
		t.Fatal("the repaired shares do not give the file back")
	}
}

func TestOpenRefuses(t *testing.T) { synctest.Test(t, testOpenRefuses) }

func testOpenRefuses(t *testing.T) {
	m := newMembers(3)
	g := m.grid(t, keys.NewConvergenceSecret())
	data := pattern(1000)
	file := put(t, g, data, known(data)).Capability
	verify, _ := file.Verify()
	if _, err := g.Open(t.Context(), verify); err == nil {
		t.Error("a verify capability opened a file")
	}
	elsewhere := newMembers(3).grid(t, keys.NewConvergenceSecret())
	if _, err := elsewhere.Open(t.Context(), file); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("a file of another grid: %v", err)
	}
	m.servers = m.servers[:1]
	if _, err := g.Open(t.Context(), file); err == nil {
		t.Error("one of two shares needed opened a file")
	}
	stat, err := g.Stat(t.Context(), file)
	if err == nil {
		t.Errorf("stat of an unreachable file: %+v", stat)
	}
}

func TestStat(t *testing.T) { synctest.Test(t, testStat) }

func testStat(t *testing.T) {
	g := newMembers(10).grid(t, keys.NewConvergenceSecret())
	data := pattern(100000)
	file := put(t, g, data, known(data)).Capability
	index, _ := file.StorageIndex()
	got, err := g.Stat(t.Context(), file)
	want := grid.Stat{Kind: "file", Size: 100000, Needed: 3, Total: 10, BlockSize: 128 << 10, StorageIndex: index.String()}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// TestLostServerIsReplacedDuringAnUpload lets a server fail half way; another one gets its share.
func TestLostServerIsReplacedDuringAnUpload(t *testing.T) {
	synctest.Test(t, testLostServerIsReplacedDuringAnUpload)
}

func testLostServerIsReplacedDuringAnUpload(t *testing.T) {
	m := newMembers(4)
	g := m.grid(t, keys.NewConvergenceSecret())
	m.servers[1].Store = &failing{Store: m.servers[1].Store}
	data := pattern(3000000)
	o := known(data)
	o.Params = share.Params{Needed: 2, Happy: 3, Total: 3}
	o.BlockSize = 4096
	result := put(t, g, data, o)
	if result.Missing != 0 || result.Happiness != 3 {
		t.Fatalf("%+v", result)
	}
	if !bytes.Equal(get(t, g, result.Capability), data) {
		t.Fatal("read other bytes")
	}
}

// failing is a store whose uploads die after some segments.
type failing struct{ share.Store }

func (f *failing) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	w, err := f.Store.Create(ctx, u)
	return &failingWriter{w, 0}, err
}

type failingWriter struct {
	share.Writer
	n int
}

func (w *failingWriter) Append(ctx context.Context, d []share.Digest, b []byte) error {
	if w.n++; w.n > 20 {
		return share.ErrUnavailable
	}
	return w.Writer.Append(ctx, d, b)
}
