package file_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

var quiet = slog.New(slog.DiscardHandler)

// stored is a grid with a file on it.
type stored struct {
	*testGrid
	key    keys.ReadKey
	data   []byte
	result file.Result
}

func store(t *testing.T, k, n, servers, size int) *stored {
	t.Helper()
	s := &stored{testGrid: newGrid(servers), key: keys.NewReadKey(), data: pattern(size)}
	s.result = s.upload(t, s.data, options(k, k, n, s.key, size))
	return s
}

func (s *stored) reader(t *testing.T) *file.Reader {
	t.Helper()
	return s.testGrid.open(t, s.result.Root, s.key)
}

func (s *stored) try(ctx context.Context) (*file.Reader, error) {
	return file.Open(ctx, s.servers, s.result.Root.StorageIndex(), s.key, quiet)
}

// holder returns the server that has a share.
func (s *stored) holder(number share.Number) *testServer {
	for i := range s.servers {
		if s.servers[i].ID == s.result.Placed[number].ID {
			return s.stores[i]
		}
	}
	panic("no such share")
}

func (s *stored) check(t *testing.T, r *file.Reader) {
	t.Helper()
	if !bytes.Equal(readAll(t, r), s.data) {
		t.Error("read other bytes than were stored")
	}
}

func (s *stored) bytesRead() int {
	n := 0
	for _, server := range s.stores {
		n += server.bytesRead()
	}
	return n
}

// TestHungServersDelayAReadLittle: two of the servers that have plain data hang at any step.
func TestHungServersDelayAReadLittle(t *testing.T) {
	for _, op := range []string{opNumbers, opOpen, opRead} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store(t, 3, 10, 10, 100*3*encoding.MinBlockSize)
				s.slow(roundTrip)
				s.holder(0).on(hang, op)
				s.holder(2).on(hang, op)
				start := time.Now()
				r := s.reader(t)
				s.check(t, r)
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestRandomReadsAroundAHungServer: once a server is known to hang, reads do not wait for it each time.
func TestRandomReadsAroundAHungServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 3, 10, 10, 100*3*encoding.MinBlockSize)
		s.slow(roundTrip)
		r := s.reader(t)
		s.holder(1).on(hang)
		p := make([]byte, 3*encoding.MinBlockSize)
		start := time.Now()
		for i := range 50 {
			off := int64(i * len(p))
			if _, err := r.ReadAt(t.Context(), p, off); err != nil || !bytes.Equal(p, s.data[off:][:len(p)]) {
				t.Fatalf("segment %d: %v", i, err)
			}
		}
		if took := time.Since(start); took > 5*time.Second { // 50 reads take two round trips each, 2 s
			t.Errorf("50 reads took %v", took)
		}
	})
}

// TestServerThatRecoversIsUsedAgain: a pause of some seconds does not degrade the rest of a long read.
func TestServerThatRecoversIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 2, 4, 4, 100*2*encoding.MinBlockSize)
		s.slow(roundTrip)
		r := s.reader(t)
		p := make([]byte, 2*encoding.MinBlockSize)
		for i := range 100 {
			if i == 10 {
				s.holder(0).on(hang)
				time.AfterFunc(2*time.Second, func() { s.holder(0).on(delay(roundTrip)) })
			}
			if i == 60 {
				if err := sleep(t.Context(), 10*time.Second); err != nil {
					t.Fatal(err)
				}
				s.holder(0).set(func() { s.holder(0).counts[opRead] = 0 })
			}
			if _, err := r.ReadAt(t.Context(), p, int64(i*len(p))); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.holder(0).count(opRead); n < 40 {
			t.Errorf("the server was asked for %d of the last 40 blocks", n)
		}
	})
}

// TestCloseEndsReads: Close does not wait for servers that hang, and reads that it ends say so.
func TestCloseEndsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 2, 2, 2, 50*2*encoding.MinBlockSize)
		r := s.reader(t)
		for _, server := range s.stores {
			server.on(hang)
		}
		var reads sync.WaitGroup
		reads.Go(func() {
			if _, err := r.WriteTo(t.Context(), io.Discard, 0, r.Size()); !errors.Is(err, share.ErrClosed) {
				t.Errorf("WriteTo: %v", err)
			}
		})
		reads.Go(func() {
			if _, err := r.ReadAt(t.Context(), make([]byte, 10), 5); !errors.Is(err, share.ErrClosed) {
				t.Errorf("ReadAt: %v", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		r.Close()
		reads.Wait()
		if took := time.Since(start); took > 0 {
			t.Errorf("closing took %v", took)
		}
		if _, err := r.ReadAt(t.Context(), make([]byte, 10), 5); !errors.Is(err, share.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestCancelledReadEnds at every step, with the caller's error.
func TestCancelledReadEnds(t *testing.T) {
	for _, op := range []string{opNumbers, opOpen, opRead} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store(t, 2, 3, 3, 50*2*encoding.MinBlockSize)
				for _, server := range s.stores {
					server.on(hang, op)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start := time.Now()
				r, err := s.try(ctx)
				if err == nil {
					_, err = r.WriteTo(ctx, io.Discard, 0, r.Size())
					r.Close()
				}
				if !errors.Is(err, context.Canceled) || time.Since(start) > time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}

// TestServersBelievedDownAreAskedWhenNeeded and only then.
func TestServersBelievedDownAreAskedWhenNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 3, 10, 10, 20*3*encoding.MinBlockSize)
		down := func(numbers ...share.Number) (stores []*testServer) {
			for i := range s.servers {
				s.servers[i].Down = false
			}
			for _, n := range numbers {
				for i := range s.servers {
					if s.servers[i].ID == s.result.Placed[n].ID {
						s.servers[i].Down = true
						stores = append(stores, s.stores[i])
					}
				}
			}
			return stores
		}
		asked := func(stores []*testServer) (n int) {
			for _, server := range stores {
				n += server.count(opNumbers)
			}
			for _, server := range s.stores {
				server.set(func() { server.counts[opNumbers] = 0 })
			}
			return n
		}
		seven := down(0, 1, 2, 3, 4, 5, 6)
		s.check(t, s.reader(t))
		if n := asked(seven); n > 0 {
			t.Errorf("%d servers believed down were asked though three others have enough", n)
		}
		eight := down(0, 1, 2, 3, 4, 5, 6, 7)
		s.check(t, s.reader(t))
		if n := asked(eight); n != 8 {
			t.Errorf("%d servers believed down were asked, want all 8", n)
		}
		// Of the three that are up one has bad blocks: that is found out while reading.
		seven = down(0, 1, 2, 3, 4, 5, 6)
		s.holder(8).spoil = func(off int64) bool { return off == 7*encoding.MinBlockSize }
		s.check(t, s.reader(t))
		if n := asked(seven); n != 7 {
			t.Errorf("%d servers believed down were asked, want all 7", n)
		}
		// Of the three that are up one does not answer at all.
		s.holder(8).spoil = nil
		s.holder(9).on(hang)
		start := time.Now()
		s.check(t, s.reader(t))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestNotFoundIsCertain: only when every server says that it has nothing does the file not exist.
func TestNotFoundIsCertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 2, 3, 3, 1000)
		elsewhere := newGrid(5)
		s.servers = elsewhere.servers
		if _, err := s.try(t.Context()); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("nobody has it: %v", err)
		}
		elsewhere.servers[2].Down = true
		if _, err := s.try(t.Context()); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("nobody has it, not even one believed down: %v", err)
		}
		for what, h := range map[string]hook{"hangs": hang, "fails": fail(share.ErrUnavailable)} {
			elsewhere.stores[2].on(h)
			_, err := s.try(t.Context())
			few, ok := errors.AsType[*share.NotEnoughSharesError](err)
			if errors.Is(err, share.ErrNotFound) || !ok || few.Answered != 4 || few.Asked != 5 || len(few.Causes) != 1 {
				t.Errorf("one %s: %v", what, err)
			}
		}
		elsewhere.stores[2].on(nil)
		elsewhere.stores[2].before = nil
		elsewhere.stores[1].held = func(h share.Held) share.Held {
			return share.Held{Index: h.Index, Numbers: []share.Number{0, 0, 1}, Root: []byte("not the root")}
		}
		_, err := s.try(t.Context())
		if few, ok := errors.AsType[*share.NotEnoughSharesError](err); !ok || few.Found != 0 || !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("one lies about the root: %v", err)
		}
		s.servers = nil
		if _, err := s.try(t.Context()); err == nil || errors.Is(err, share.ErrNotFound) {
			t.Errorf("no servers: %v", err)
		}
	})
}

// TestCountsOfAFailedRead: what is told is what happened.
func TestCountsOfAFailedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 3, 5, 5, 20*3*encoding.MinBlockSize)
		r := s.reader(t)
		synctest.Wait()
		for n := range 3 {
			s.holder(share.Number(n)).spoil = func(off int64) bool { return off == 5*encoding.MinBlockSize }
		}
		p := make([]byte, r.Size())
		n, err := r.ReadAt(t.Context(), p, 0)
		few, ok := errors.AsType[*share.NotEnoughSharesError](err)
		if !ok || few.Found != 2 || few.Needed != 3 || few.Answered != 5 || few.Asked != 5 || len(few.Causes) != 3 {
			t.Errorf("got %v", err)
		}
		if n != 5*3*encoding.MinBlockSize || !bytes.Equal(p[:n], s.data[:n]) {
			t.Errorf("%d bytes came before the error", n)
		}
		blamed := map[share.ServerID]bool{}
		for _, c := range r.Source().Corrupt() {
			blamed[c.Server] = true
		}
		if len(blamed) != 3 {
			t.Errorf("blamed %v", blamed)
		}
	})
}

// TestLiarBesideFailure: what came before a segment has to be computed is verified before it is used for that, and who sent it is named.
func TestLiarBesideFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 3, 6, 6, 20*3*encoding.MinBlockSize)
		s.holder(0).spoil = func(off int64) bool { return off < 20*encoding.MinBlockSize }
		s.holder(1).on(func(ctx context.Context, _ string) error {
			if err := sleep(ctx, 10*time.Millisecond); err != nil {
				return err
			}
			return share.ErrUnavailable
		}, opRead)
		r := s.reader(t)
		s.check(t, r)
		blamed := r.Source().Corrupt()
		if len(blamed) == 0 {
			t.Error("nobody was blamed")
		}
		for _, c := range blamed {
			if c.Number != 0 {
				t.Errorf("blamed %v", c)
			}
		}
	})
}

// TestReadAtTheEdges takes offsets that no file has.
func TestReadAtTheEdges(t *testing.T) { synctest.Test(t, testReadAtTheEdges) }

func testReadAtTheEdges(t *testing.T) {
	s := store(t, 2, 3, 3, 10000)
	r := s.reader(t)
	p := make([]byte, 100)
	for _, off := range []int64{10000, 10001, math.MaxInt64 - 10, math.MaxInt64} {
		if n, err := r.ReadAt(t.Context(), p, off); n != 0 || err != io.EOF {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
		if n, err := r.WriteTo(t.Context(), io.Discard, off, 100); n != 0 || err != nil {
			t.Errorf("to a writer at %d: %d, %v", off, n, err)
		}
	}
	if n, err := r.ReadAt(t.Context(), p, 9950); n != 50 || err != io.EOF || !bytes.Equal(p[:50], s.data[9950:]) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := r.WriteTo(t.Context(), io.Discard, 9950, math.MaxInt64); n != 50 || err != nil {
		t.Errorf("to a writer at the end: %d, %v", n, err)
	}
	for _, off := range []int64{-1, math.MinInt64} {
		if _, err := r.ReadAt(t.Context(), p, off); err == nil || err == io.EOF {
			t.Errorf("at %d: %v", off, err)
		}
	}
	if n, err := r.ReadAt(t.Context(), nil, 5); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

// TestIndexFaultIsTold: when nobody gives a part of the index, that is the error, and it does not take many questions.
func TestIndexFaultIsTold(t *testing.T) { synctest.Test(t, testIndexFaultIsTold) }

func testIndexFaultIsTold(t *testing.T) {
	const segments = 3 * 256
	s := store(t, 1, 4, 4, segments*encoding.MinBlockSize)
	l := s.result.Root.Layout()
	for _, server := range s.stores {
		server.spoil = func(off int64) bool { return off >= l.LevelOffset(2) && off < l.LevelOffset(3) }
	}
	r := s.reader(t)
	_, err := r.WriteTo(t.Context(), io.Discard, 0, r.Size())
	if _, ok := errors.AsType[*share.NotEnoughSharesError](err); !ok || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	reads := 0
	for _, server := range s.stores {
		reads += server.count(opRead)
	}
	if reads > 16 {
		t.Errorf("%d reads were made to find that four servers are wrong", reads)
	}
	for _, c := range r.Source().Corrupt() {
		if c.Segment != -1 {
			t.Errorf("blamed %v", c)
		}
	}
}

// TestIndexFaultLater: what can be read before the fault is.
func TestIndexFaultLater(t *testing.T) { synctest.Test(t, testIndexFaultLater) }

func testIndexFaultLater(t *testing.T) {
	const segments = 3 * 256
	s := store(t, 1, 4, 4, segments*encoding.MinBlockSize)
	l := s.result.Root.Layout()
	for _, server := range s.stores {
		server.spoil = func(off int64) bool { return off >= l.RowOffset(500) && off < l.LevelOffset(1) }
	}
	r := s.reader(t)
	n, err := r.WriteTo(t.Context(), io.Discard, 0, r.Size())
	if _, ok := errors.AsType[*share.NotEnoughSharesError](err); !ok {
		t.Errorf("got %v", err)
	}
	if n < 470*encoding.MinBlockSize {
		t.Errorf("%d segments were read before the fault at 500", n/encoding.MinBlockSize)
	}
}

// TestCopyOfAShareIsReadFirst: where another server has the same share, a bad block costs one block more, not k.
func TestCopyOfAShareIsReadFirst(t *testing.T) { synctest.Test(t, copyOfAShareIsReadFirst) }

func copyOfAShareIsReadFirst(t *testing.T) {
	s := store(t, 3, 5, 5, 20*3*encoding.MinBlockSize)
	// A server of another grid with the same file has share 1 too.
	twin := newGrid(5)
	twin.upload(t, s.data, options(3, 3, 5, s.key, len(s.data)))
	var copied *testServer
	for i, server := range twin.servers {
		if server.ID == s.result.Placed[1].ID {
			copied = twin.stores[i]
			s.servers = append(s.servers, share.Server{ID: "copy", Store: copied})
		}
	}
	s.holder(1).spoil = func(int64) bool { return true }
	r := s.reader(t)
	synctest.Wait() // the copy is known
	p := make([]byte, 100)
	if _, err := r.ReadAt(t.Context(), p, encoding.MinBlockSize+5); err != nil || !bytes.Equal(p, s.data[encoding.MinBlockSize+5:][:100]) {
		t.Fatalf("got %v", err)
	}
	if n := s.bytesRead() + copied.bytesRead(); n > 2*encoding.MinBlockSize+2000 {
		t.Errorf("%d bytes were read for one bad block", n)
	}
}

// TestLateHoldersCostNothing: that more holders become known is no reason to ask for the index again.
func TestLateHoldersCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 2, 10, 10, 20*2*encoding.MinBlockSize)
		for n := range 10 {
			d := time.Duration(n) * 50 * time.Millisecond
			s.holder(share.Number(n)).on(func(ctx context.Context, op string) error {
				if op == opNumbers {
					return sleep(ctx, d)
				}
				return sleep(ctx, 90*time.Millisecond)
			})
		}
		r := s.reader(t)
		if _, err := r.ReadAt(t.Context(), make([]byte, 10), 0); err != nil {
			t.Fatal(err)
		}
		reads := 0
		for _, server := range s.stores {
			reads += server.count(opRead)
		}
		if reads > 3 { // rows, the node above them, a block
			t.Errorf("%d reads for one block", reads)
		}
	})
}

// TestLocalShareIsPreferred over a copy elsewhere.
func TestLocalShareIsPreferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 1, 1, 1, 20*encoding.MinBlockSize)
		remote := share.Server{ID: "remote", Store: s.servers[0].Store}
		own := newServer()
		s.servers[0].ID = "local"
		alone := &testGrid{stores: []*testServer{own}, servers: []share.Server{{ID: "local", Store: own, Free: 1 << 40, Local: true}}}
		alone.upload(t, s.data, options(1, 1, 1, s.key, len(s.data)))
		s.servers = []share.Server{remote, alone.servers[0]}
		r := s.reader(t)
		synctest.Wait() // both are known
		s.check(t, r)
		if afar, here := s.stores[0].bytesRead(), own.bytesRead(); afar > 0 || here == 0 {
			t.Errorf("%d bytes were read from afar, %d here", afar, here)
		}
	})
}
