package file_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/keys"
)

const (
	opPut   = "put"
	opFetch = "fetch"
)

// A batchServer is a testServer that takes batches.
type batchServer struct {
	*testServer
	refuses func(share.WholeShare) error
	drops   bool // answers Fetch with less than it has
}

func (s *batchServer) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := s.step(ctx, opPut); err != nil {
		return nil, err
	}
	errs, err := s.Store.Put(ctx, shares, lease)
	for i, w := range shares {
		if s.refuses != nil && err == nil && errs[i] == nil {
			errs[i] = s.refuses(w)
		}
	}
	return errs, err
}

func (s *batchServer) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	if err := s.step(ctx, opFetch); err != nil {
		return nil, err
	}
	found, err := s.Store.Fetch(ctx, indexes)
	for _, shares := range found {
		for _, w := range shares {
			if s.spoil != nil && s.spoil(0) {
				w.Data[0] ^= 1
			}
		}
	}
	if s.drops {
		clear(found)
	}
	return found, err
}

func newBatchGrid(n int) (*testGrid, []*batchServer) {
	g := newGrid(n)
	var stores []*batchServer
	for i := range g.servers {
		s := &batchServer{testServer: g.stores[i]}
		g.servers[i].Store = s
		stores = append(stores, s)
	}
	return g, stores
}

var batchOptions = file.BatchOptions{
	Params: share.Params{Needed: 3, Happy: 7, Total: 10}, Owner: "me", Lease: time.Hour, Log: slog.New(slog.DiscardHandler),
}

// smallFiles returns files of different sizes, from none to one of several segments.
func smallFiles(n int) []file.SmallFile {
	files := make([]file.SmallFile, n)
	for i := range files {
		data := bytes.Repeat([]byte{byte(i)}, i*i%5000)
		data = binary.BigEndian.AppendUint32(data, uint32(i))
		files[i] = file.SmallFile{Key: keys.ReadKey{byte(i), byte(i >> 8), 1}, Data: data}
	}
	return files
}

func refsOf(files []file.SmallFile, results []file.Result) []file.Ref {
	refs := make([]file.Ref, len(files))
	for i := range files {
		refs[i] = file.Ref{Index: results[i].Root.StorageIndex(), Key: files[i].Key, Size: int64(len(files[i].Data))}
	}
	return refs
}

func (g *testGrid) checkFetch(t *testing.T, files []file.SmallFile, results []file.Result) {
	t.Helper()
	got, err := file.FetchBatch(t.Context(), g.servers, refsOf(files, results), file.FetchOptions{Params: batchOptions.Params})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range got {
		if f.Err != nil || !bytes.Equal(f.Data, files[i].Data) {
			t.Fatalf("file %d: %d bytes of %d, %v", i, len(f.Data), len(files[i].Data), f.Err)
		}
	}
}

// TestBatch stores and reads many files in few exchanges. In virtual time: servers that get too little of the processor are hedged like slow ones.
func TestBatch(t *testing.T) { synctest.Test(t, testBatch) }

func testBatch(t *testing.T) {
	g, stores := newBatchGrid(10)
	files := smallFiles(1300)
	results, err := file.UploadBatch(t.Context(), g.servers, files, batchOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Happiness != 10 || len(r.Missing) != 0 || r.Root.Size != int64(len(files[i].Data)) {
			t.Fatalf("file %d: happiness %d, missing %v", i, r.Happiness, r.Missing)
		}
	}
	for i, s := range stores {
		if n := s.count(opPut); n > 5 || s.count(opCreate) > 0 {
			t.Errorf("server %d: %d exchanges, %d shares alone", i, n, s.count(opCreate))
		}
	}
	g.checkFetch(t, files, results)
	fetches := 0
	for _, s := range stores {
		fetches += s.count(opFetch)
		if s.count(opOpen) > 0 {
			t.Error("a share was opened alone")
		}
	}
	if fetches > 4*3 {
		t.Errorf("%d questions for what 3 servers have each time", fetches)
	}
	r, err := file.Open(t.Context(), g.servers, results[70].Root.StorageIndex(), files[70].Key, batchOptions.Log)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

// TestBatchOfOthers stores on servers that take no batches, and reads from them.
func TestBatchOfOthers(t *testing.T) { synctest.Test(t, testBatchOfOthers) }

func testBatchOfOthers(t *testing.T) {
	g, _ := newBatchGrid(10)
	for i := range 4 {
		g.servers[i].Store = struct{ share.Store }{g.stores[i]}
	}
	files := smallFiles(60)
	results, err := file.UploadBatch(t.Context(), g.servers, files, batchOptions)
	if err != nil {
		t.Fatal(err)
	}
	g.checkFetch(t, files, results)
	for i := range g.servers {
		g.servers[i].Store = struct{ share.Store }{g.stores[i]}
	}
	g.checkFetch(t, files, results)
}

// TestBatchAgain stores the same files again: nothing is sent, the leases are renewed.
func TestBatchAgain(t *testing.T) { synctest.Test(t, testBatchAgain) }

func testBatchAgain(t *testing.T) {
	g, stores := newBatchGrid(10)
	files := smallFiles(100)
	if _, err := file.UploadBatch(t.Context(), g.servers, files[:50], batchOptions); err != nil {
		t.Fatal(err)
	}
	o := batchOptions
	o.Resume, o.Lease = true, 2*time.Hour
	results, err := file.UploadBatch(t.Context(), g.servers, files, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if known := r.Skipped > 0; known != (i < 50) || r.Happiness != 10 {
			t.Errorf("file %d: %d bytes were there, happiness %d", i, r.Skipped, r.Happiness)
		}
	}
	again, err := file.UploadBatch(t.Context(), g.servers, files, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range stores {
		if s.count(opPut) != 2 || s.count(opRenew) != 2 {
			t.Errorf("server %d: %d batches, %d renewals", i, s.count(opPut), s.count(opRenew))
		}
		leases, err := s.Leases(t.Context(), results[7].Root.StorageIndex())
		if err != nil || time.Until(leases[0].Expires) < 90*time.Minute {
			t.Errorf("server %d: lease %v, %v", i, leases, err)
		}
	}
	if again[99].Skipped == 0 {
		t.Error("the second half was sent twice")
	}
}

// TestBatchReplaces has servers fail in every way: others take their shares, and who answers garbage is survived.
func TestBatchReplaces(t *testing.T) {
	for name, spoil := range map[string]func(*batchServer){
		"fails":       func(s *batchServer) { s.on(fail(share.ErrUnavailable), opPut) },
		"second time": func(s *batchServer) { s.on(failFrom(1, share.ErrNoSpace), opPut) },
		"refuses":     func(s *batchServer) { s.refuses = func(share.WholeShare) error { return share.ErrNoSpace } },
		"some": func(s *batchServer) {
			s.refuses = func(w share.WholeShare) error {
				if w.Index[0]%2 == 0 {
					return share.ErrQuota
				}
				return nil
			}
		},
		"hangs": func(s *batchServer) { s.on(hang, opPut) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, stores := newBatchGrid(13)
				for _, s := range stores[:3] {
					spoil(s)
				}
				files := smallFiles(200)
				start := time.Now()
				results, err := file.UploadBatch(t.Context(), g.servers, files, batchOptions)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %s", took)
				}
				for i, r := range results {
					if r.Happiness != 10 || len(r.Missing) > 0 {
						t.Fatalf("file %d: happiness %d, missing %v", i, r.Happiness, r.Missing)
					}
				}
				g.checkFetch(t, files, results)
			})
		})
	}
}

// TestBatchUnhappy says of each file that it could not be spread, and why.
func TestBatchUnhappy(t *testing.T) { synctest.Test(t, testBatchUnhappy) }

func testBatchUnhappy(t *testing.T) {
	g, stores := newBatchGrid(10)
	for _, s := range stores[:4] {
		s.on(fail(share.ErrUnavailable), opPut)
	}
	results, err := file.UploadBatch(t.Context(), g.servers, smallFiles(20), batchOptions)
	var batch *file.BatchError
	var unhappy *share.UnhappyError
	if !errors.As(err, &batch) || len(batch.Failed) != 20 || !errors.As(err, &unhappy) {
		t.Fatal(err)
	}
	if unhappy.Happiness != 6 || len(unhappy.Causes) != 4 || results[3].Happiness != 6 || !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("%v", unhappy)
	}
	big := []file.SmallFile{{Data: make([]byte, 400<<10)}}
	if _, err := file.UploadBatch(t.Context(), g.servers, big, batchOptions); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a large file: %v", err)
	}
}

// TestFetchBatchAround reads around servers that hang, fail, lie and hide.
func TestFetchBatchAround(t *testing.T) {
	for name, spoil := range map[string]func(*batchServer){
		"fails": func(s *batchServer) { s.on(fail(share.ErrUnavailable)) },
		"hangs": func(s *batchServer) { s.on(hang) },
		"lies":  func(s *batchServer) { s.spoil = func(int64) bool { return true } },
		"hides": func(s *batchServer) { s.drops = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, stores := newBatchGrid(10)
				files := smallFiles(200)
				results, err := file.UploadBatch(t.Context(), g.servers, files, batchOptions)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 5 {
					spoil(stores[2*i])
				}
				start := time.Now()
				g.checkFetch(t, files, results)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestFetchBatchErrors(t *testing.T) { synctest.Test(t, testFetchBatchErrors) }

func testFetchBatchErrors(t *testing.T) {
	g, _ := newBatchGrid(10)
	files := smallFiles(3)
	results, err := file.UploadBatch(t.Context(), g.servers, files, batchOptions)
	if err != nil {
		t.Fatal(err)
	}
	refs := refsOf(files, results)
	refs[0].Key = keys.NewReadKey()
	refs[1].Index = share.StorageIndex{1}
	got, err := file.FetchBatch(t.Context(), g.servers, refs, file.FetchOptions{Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{file.ErrWrongKey, share.ErrNotFound, share.ErrTooLarge} {
		if !errors.Is(got[i].Err, want) {
			t.Errorf("file %d: %v, want %v", i, got[i].Err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := file.FetchBatch(ctx, g.servers, refs, file.FetchOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := file.UploadBatch(ctx, g.servers, files, batchOptions); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A sinkBatch takes batches and keeps nothing.
type sinkBatch struct{ share.Store }

func (sinkBatch) Put(_ context.Context, shares []share.WholeShare, _ share.Lease) ([]error, error) {
	return make([]error, len(shares)), nil
}

func (sinkBatch) Fetch(context.Context, []share.StorageIndex) ([][]share.WholeShare, error) {
	return nil, fmt.Errorf("a sink: %w", share.ErrNotFound)
}

// BenchmarkUploadBatch measures what the gateway adds, with servers that cost nothing: files of 1 KB.
func BenchmarkUploadBatch(b *testing.B) {
	g := newGrid(10)
	for i := range g.servers {
		g.servers[i].Store = sinkBatch{}
	}
	files := make([]file.SmallFile, 5000)
	for i := range files {
		files[i] = file.SmallFile{Key: keys.NewReadKey(), Data: make([]byte, 1000)}
	}
	for b.Loop() {
		if _, err := file.UploadBatch(b.Context(), g.servers, files, batchOptions); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(files)*b.N)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkFetchBatch measures reading files of 1 KB from stores in memory.
func BenchmarkFetchBatch(b *testing.B) {
	g, _ := newBatchGrid(10)
	files := make([]file.SmallFile, 5000)
	for i := range files {
		files[i] = file.SmallFile{Key: keys.NewReadKey(), Data: make([]byte, 1000)}
	}
	results, err := file.UploadBatch(b.Context(), g.servers, files, batchOptions)
	if err != nil {
		b.Fatal(err)
	}
	refs := refsOf(files, results)
	for b.Loop() {
		if _, err := file.FetchBatch(b.Context(), g.servers, refs, file.FetchOptions{Params: batchOptions.Params}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(files)*b.N)/b.Elapsed().Seconds(), "files/s")
}
