package file_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

func (g *testGrid) sent() int {
	sent := 0
	for _, s := range g.stores {
		s.set(func() { sent, s.sent = sent+s.sent, 0 })
	}
	return sent
}

// holding returns which shares of a file each server holds.
func (g *testGrid) holding(t T, root encoding.Root) map[share.ServerID][]share.Number {
	t.Helper()
	holding := map[share.ServerID][]share.Number{}
	for i, s := range g.stores {
		held, err := s.Store.Numbers(context.Background(), []share.StorageIndex{root.StorageIndex()})
		if err != nil {
			t.Fatal(err)
		}
		if len(held[0].Numbers) > 0 {
			holding[g.servers[i].ID] = held[0].Numbers
		}
	}
	return holding
}

// T is what tests and properties have in common.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

// TestRepeatedUploadSendsNothing: the same bytes under the same key go to the same places, also where several shares are
// on one server, and where some servers are slow to say what they have.
func TestRepeatedUploadSendsNothing(t *testing.T) {
	const size = 30 * 2 * encoding.MinBlockSize
	for _, c := range []struct{ servers, total, slow int }{{10, 10, 2}, {4, 10, 1}, {14, 10, 3}, {7, 10, 0}, {10, 10, 4}} {
		synctest.Test(t, func(t *testing.T) {
			g, data := newGrid(c.servers), pattern(size)
			o := options(2, 3, c.total, keys.NewReadKey(), size)
			first := g.upload(t, data, o)
			holding := g.holding(t, first.Root)
			if g.sent() == 0 {
				t.Fatal("nothing was sent the first time")
			}
			slow := 0
			for i, s := range g.stores {
				if slow < c.slow && len(holding[g.servers[i].ID]) > 0 {
					s.on(delay(2*time.Second), opUploads)
					slow++
				}
			}
			again := g.upload(t, data, o)
			if sent := g.sent(); sent > 0 {
				t.Errorf("%+v: %d bytes were sent the second time", c, sent)
			}
			if want := int64(c.total * 30 * encoding.MinBlockSize); again.Skipped != want || len(again.Missing) > 0 {
				t.Errorf("%+v: skipped %d bytes of %d, missing %v", c, again.Skipped, want, again.Missing)
			}
			for id, numbers := range g.holding(t, first.Root) {
				if !slices.Equal(numbers, holding[id]) {
					t.Errorf("%+v: %s holds %v, %v before", c, id, numbers, holding[id])
				}
			}
		})
	}
}

// TestRepeatedUploadToFullServers: servers that have become full keep what they have of a file, and nothing of it goes to the one that comes last.
func TestRepeatedUploadToFullServers(t *testing.T) {
	for what, size := range map[string]int{"one segment": 2 * encoding.MinBlockSize, "several": 9 * encoding.MinBlockSize} {
		for _, free := range []int64{0, 10} {
			for _, last := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					g, data := newGrid(4), pattern(size)
					o := options(2, 3, 3, keys.NewReadKey(), size)
					all := g.servers
					g.servers = all[:3]
					first := g.upload(t, data, o)
					g.sent()
					for i := range 3 {
						all[i].Free = free
					}
					if last {
						all[3].Last = true
						g.servers = all
					}
					again := g.upload(t, data, o)
					if sent := g.sent(); sent > 0 || again.Root.StorageIndex() != first.Root.StorageIndex() || len(again.Missing) > 0 {
						t.Errorf("%s, %d bytes free, one that comes last %v: %d bytes were sent again, missing %v", what, free, last, sent, again.Missing)
					}
					if n := g.stores[3].count(opCreate); n > 0 {
						t.Errorf("%s, %d bytes free: the last one was given %d shares", what, free, n)
					}
				})
			}
		}
	}
}

// TestLiesAboutThePast: whatever servers say that they have of an upload, the file is what was stored, and a share is
// counted only where it is.
func TestLiesAboutThePast(t *testing.T) {
	const segments, size = 12, 12 * 2 * encoding.MinBlockSize
	claim := func(index share.StorageIndex, blocks int64) func([]share.Progress) []share.Progress {
		return func([]share.Progress) []share.Progress {
			var all []share.Progress
			for n := range 5 {
				all = append(all, share.Progress{Number: share.Number(n), Blocks: blocks, Index: index})
			}
			return append(all, share.Progress{Number: 200, Blocks: 1}, share.Progress{Number: 1, Blocks: 3})
		}
	}
	has := func(n int64) func(int64) int64 { return func(int64) int64 { return n } }
	for what, c := range map[string]struct {
		lie  func(*testServer)
		cost int // shares that this may cost
	}{
		"committed another file": {func(s *testServer) { s.claims = claim(share.IndexOf([]byte("another")), segments) }, 0},
		"committed and renews another file": {func(s *testServer) {
			s.claims, s.renews = claim(share.IndexOf([]byte("another")), segments), true
		}, 1},
		"more blocks than exist": {func(s *testServer) { s.claims = claim(share.StorageIndex{}, math.MaxInt64) }, 0},
		"has more than exist":    {func(s *testServer) { s.has = has(segments + 1) }, 0},
		"has most":               {func(s *testServer) { s.has = has(math.MaxInt64) }, 0},
		"has less than nothing":  {func(s *testServer) { s.has = has(-1) }, 0},
		"has all":                {func(s *testServer) { s.has = has(segments) }, 1},
		"has some":               {func(s *testServer) { s.has = has(3) }, 1},
	} {
		t.Run(what, func(t *testing.T) {
			g, key, data := newGrid(5), keys.NewReadKey(), pattern(size)
			c.lie(g.stores[1])
			o := options(2, 4, 5, key, size)
			result, err := file.Upload(t.Context(), g.servers, bytes.NewReader(data), o)
			if err != nil || len(result.Missing) > c.cost {
				t.Fatalf("missing %v, %v: %v", result.Missing, err, result.Failures)
			}
			holding := g.holding(t, result.Root)
			for number, s := range result.Placed {
				if !slices.Contains(holding[s.ID], number) {
					t.Errorf("share %d is said to be on %s, which holds %v", number, s.ID, holding[s.ID])
				}
			}
			if result.Skipped != 0 {
				t.Errorf("%d bytes are said to have been there already", result.Skipped)
			}
			if !bytes.Equal(readAll(t, g.open(t, result.Root, key)), data) {
				t.Error("read other bytes than were stored")
			}
		})
	}
}

// TestBlocksOfAStrangerAreNotTaken: an upload under a fresh key has no past; a server that says otherwise is sent all.
func TestBlocksOfAStrangerAreNotTaken(t *testing.T) {
	synctest.Test(t, testBlocksOfAStrangerAreNotTaken)
}

func testBlocksOfAStrangerAreNotTaken(t *testing.T) {
	const size = 12 * 2 * encoding.MinBlockSize
	g := newGrid(3)
	g.stores[0].has = func(int64) int64 { return 5 }
	for _, size := range []int{size, -1} {
		o := options(2, 3, 3, keys.NewReadKey(), size)
		o.Resume = false
		if result := g.upload(t, pattern(12*2*encoding.MinBlockSize), o); result.Happiness != 3 || len(result.Failures) > 0 {
			t.Errorf("happiness %d, %v", result.Happiness, result.Failures)
		}
	}
}

// TestForgottenShareIsSentAgain: a server remembers an upload of which it lost the share.
func TestForgottenShareIsSentAgain(t *testing.T) { synctest.Test(t, testForgottenShareIsSentAgain) }

func testForgottenShareIsSentAgain(t *testing.T) {
	const size = 12 * 2 * encoding.MinBlockSize
	g, key, data := newGrid(3), keys.NewReadKey(), pattern(size)
	o := options(2, 3, 3, key, size)
	first := g.upload(t, data, o)
	lost := newServer()
	index := first.Root.StorageIndex()
	var number share.Number
	for n, s := range first.Placed {
		if s.ID == g.servers[1].ID {
			number = n
		}
	}
	lost.claims = func([]share.Progress) []share.Progress {
		return []share.Progress{{Number: number, Blocks: 12, Index: index}}
	}
	g.stores[1], g.servers[1].Store = lost, lost
	if again := g.upload(t, data, o); again.Happiness != 3 || len(again.Failures) > 0 {
		t.Errorf("happiness %d, %v", again.Happiness, again.Failures)
	}
	if held := g.holding(t, first.Root)[g.servers[1].ID]; !slices.Equal(held, []share.Number{number}) {
		t.Errorf("the server holds %v, want %d", held, number)
	}
}

// TestLostShareReservesNothing: of three shares on four servers one is lost half way, too late for the fourth server; that
// one is free for the share of a server that refuses a little later.
func TestLostShareReservesNothing(t *testing.T) {
	const size = 30 * encoding.MinBlockSize
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			g := newGrid(4)
			o := options(1, 1, 3, keys.NewReadKey(), size)
			o.Resume = false
			planned := g.upload(t, pattern(size), o)
			g2 := newGrid(4)
			for i, s := range g2.stores {
				switch g2.servers[i].ID {
				case planned.Placed[0].ID:
					s.on(failFrom(9, share.ErrUnavailable), opAppend)
				case planned.Placed[1].ID:
					s.on(func(ctx context.Context, _ string) error {
						if err := sleep(ctx, time.Second); err != nil {
							return err
						}
						return share.ErrNoSpace
					}, opHave)
				}
			}
			if result := g2.upload(t, pattern(size), o); result.Happiness != 2 || len(result.Placed) != 2 {
				t.Errorf("happiness %d, placed %v", result.Happiness, result.Placed)
			}
		})
	}
}

// TestCloseAfterCommitDecidesNothing: the share is stored once Commit says so.
func TestCloseAfterCommitDecidesNothing(t *testing.T) {
	synctest.Test(t, testCloseAfterCommitDecidesNothing)
}

func testCloseAfterCommitDecidesNothing(t *testing.T) {
	g := newGrid(3)
	for _, s := range g.stores {
		s.closed = errors.New("cannot close")
	}
	if result := g.upload(t, pattern(100), options(2, 3, 3, keys.NewReadKey(), 100)); result.Happiness != 3 || len(result.Failures) > 0 {
		t.Errorf("happiness %d, %v", result.Happiness, result.Failures)
	}
}

// TestProgressNeverGoesBack and says that all is done at the end.
func TestProgressNeverGoesBack(t *testing.T) { synctest.Test(t, testProgressNeverGoesBack) }

func testProgressNeverGoesBack(t *testing.T) {
	const size = 40*2*encoding.MinBlockSize - 7
	g := newGrid(6)
	g.stores[2].on(failFrom(5, share.ErrNoSpace), opAppend)
	for _, small := range []bool{false, true} {
		n := size
		if small {
			n = 500
		}
		o := options(2, 3, 5, keys.NewReadKey(), n)
		var last file.Progress
		o.Progress = func(p file.Progress) {
			if p.Bytes < last.Bytes || p.Placed < last.Placed || p.Bytes > int64(n) {
				t.Errorf("%+v after %+v", p, last)
			}
			last = p
		}
		result := g.upload(t, pattern(n), o)
		if last.Bytes != int64(n) || last.Placed != len(result.Placed) {
			t.Errorf("at the end: %+v, placed %d", last, len(result.Placed))
		}
	}
}

// TestProgressIsThatOfTheServers: what waits for slow servers has not been stored.
func TestProgressIsThatOfTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const segments, size = 40, 40 * 2 * encoding.MinBlockSize
		g := newGrid(3)
		for _, s := range g.stores {
			s.on(delay(time.Second), opAppend)
		}
		o := options(2, 3, 3, keys.NewReadKey(), size)
		start := time.Now()
		o.Progress = func(p file.Progress) {
			if limit := int64(time.Since(start)/time.Second+1) * 2 * encoding.MinBlockSize; p.Bytes > limit {
				t.Errorf("%d bytes after %v", p.Bytes, time.Since(start))
			}
		}
		g.upload(t, pattern(size), o)
	})
}

// TestMemoryIsBounded: segments that would not fit into the memory for an upload are refused, with a word on what fits.
func TestMemoryIsBounded(t *testing.T) {
	o := options(3, 7, 256, keys.NewReadKey(), -1)
	o.BlockSize = 1 << 20
	_, err := file.Upload(t.Context(), newGrid(10).servers, zeros{}, o)
	if !errors.Is(err, share.ErrTooLarge) || !strings.Contains(err.Error(), "256 blocks of 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

// TestLostUploadDoesNotWaitForTheStream: when all servers are gone, nobody has to send more to learn of it.
func TestLostUploadDoesNotWaitForTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(4)
		for i, s := range g.stores {
			s.on(failFrom(i, share.ErrUnavailable), opCommit, opAppend)
			s.link = func(ctx context.Context, _ int) error { return sleep(ctx, time.Second) }
		}
		r, w := io.Pipe()
		defer w.Close()
		go w.Write(pattern(5 * 2 * encoding.MinBlockSize)) // and nothing more
		start := time.Now()
		_, err := file.Upload(t.Context(), g.servers, r, options(2, 3, 4, keys.NewReadKey(), -1))
		if e, ok := errors.AsType[*share.UnhappyError](err); !ok || len(e.Causes) < 3 {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestCancelAtEveryStep: a caller who gives up gets its own error at once, wherever the upload is, and nothing is left
// running.
func TestCancelAtEveryStep(t *testing.T) {
	const size = 12 * 2 * encoding.MinBlockSize
	for _, op := range []string{opUploads, opCreate, opHave, opAppend, opCommit} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGrid(3)
				for _, s := range g.stores {
					s.on(hang, op)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start := time.Now()
				_, err := file.Upload(ctx, g.servers, bytes.NewReader(pattern(size)), options(2, 3, 3, keys.NewReadKey(), size))
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took > 1100*time.Millisecond {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestErrorsSayWhatOnce: the texts name the operation, the server and the cause, each once.
func TestErrorsSayWhatOnce(t *testing.T) { synctest.Test(t, testErrorsSayWhatOnce) }

func testErrorsSayWhatOnce(t *testing.T) {
	const size = 12 * 2 * encoding.MinBlockSize
	g := newGrid(3)
	g.servers[1].Nickname = "attic"
	g.stores[1].on(fail(share.ErrNoSpace), opAppend)
	_, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(size)), options(2, 3, 3, keys.NewReadKey(), size))
	want := "upload: shares could be placed on 2 servers, 3 are needed (3 servers known): server attic (erver-01): segment 0: no space left"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(size+1)), options(2, 3, 3, keys.NewReadKey(), size))
	if text := err.Error(); strings.Count(text, "upload:") != 1 || !errors.Is(err, encoding.ErrLength) {
		t.Errorf("got %v", err)
	}
}

// TestSameServerTwice: a server that is listed twice is one server.
func TestSameServerTwice(t *testing.T) { synctest.Test(t, testSameServerTwice) }

func testSameServerTwice(t *testing.T) {
	g := newGrid(2)
	g.servers = append(g.servers, g.servers...)
	_, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(100)), options(1, 3, 3, keys.NewReadKey(), 100))
	if e, ok := errors.AsType[*share.UnhappyError](err); !ok || e.Servers != 2 || e.Happiness != 2 {
		t.Errorf("got %v", err)
	}
}

// TestConcurrentUploads runs uploads of different files at once on the same servers.
func TestConcurrentUploads(t *testing.T) { synctest.Test(t, testConcurrentUploads) }

func testConcurrentUploads(t *testing.T) {
	const size = 20 * 2 * encoding.MinBlockSize
	g := newGrid(5)
	var uploads sync.WaitGroup
	for range 4 {
		uploads.Go(func() {
			result, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(size)), options(2, 3, 5, keys.NewReadKey(), size))
			if err != nil || len(result.Missing) > 0 {
				t.Errorf("missing %v, %v", result.Missing, err)
			}
		})
	}
	uploads.Wait()
}
