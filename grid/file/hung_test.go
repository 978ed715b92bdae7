package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// background runs what an upload leaves behind, and waits for it.
type background struct {
	group   sync.WaitGroup
	settled file.Result
}

// in lets an upload leave things behind, until ctx ends.
func (b *background) in(ctx context.Context, o *file.UploadOptions) {
	o.Background = func(f func(context.Context)) { b.group.Go(func() { f(ctx) }) }
	o.Settled = func(r file.Result) { b.settled = r }
}

// roundTrip is how long every operation takes in tests that compare times.
const roundTrip = 20 * time.Millisecond

func (g *testGrid) slow(d time.Duration) {
	for _, s := range g.stores {
		s.on(delay(d))
	}
}

// TestHungServerDoesNotDelayAnUpload: with one of ten servers hung at any step, an upload takes at most twice as long.
func TestHungServerDoesNotDelayAnUpload(t *testing.T) {
	const b = encoding.MinBlockSize
	for _, size := range []int{100, 3 * b, 26 * 3 * b} {
		for _, resume := range []bool{false, true} {
			healthy := timeOfUpload(t, size, resume, "")
			for _, op := range []string{opUploads, opCreate, opHave, opAppend, opCommit} {
				if took := timeOfUpload(t, size, resume, op); took > 2*healthy+30*time.Millisecond {
					t.Errorf("%d bytes, resume %v: %v with a server that hangs in %s, %v without", size, resume, took, op, healthy)
				}
			}
		}
	}
}

func timeOfUpload(t *testing.T, size int, resume bool, hangs string) (took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(10)
		g.slow(roundTrip)
		if hangs != "" {
			g.stores[4].on(hang, hangs)
		}
		o := options(3, 7, 10, keys.NewReadKey(), size)
		o.Resume = resume
		var b background
		b.in(t.Context(), &o)
		start := time.Now()
		result := g.upload(t, pattern(size), o)
		took = time.Since(start)
		if result.Happiness < 7 {
			t.Errorf("happiness %d", result.Happiness)
		}
		b.group.Wait()
		if n := len(b.settled.Placed); n < 9 {
			t.Errorf("only %d shares were placed in the end", n)
		}
	})
	return took
}

// TestHungServerIsReplaced: where every share must have a server of its own and there are more servers than shares, one
// that hangs at any step costs a few seconds. Only a large file may be left without its share, for a repair to make.
func TestHungServerIsReplaced(t *testing.T) {
	const b = encoding.MinBlockSize
	for _, size := range []int{100, 60 * 3 * b} {
		for _, op := range []string{opUploads, opCreate, opHave, opAppend, opCommit} {
			t.Run(fmt.Sprintf("%s/%d", op, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { hungServerIsReplaced(t, op, size) })
			})
		}
	}
}

func hungServerIsReplaced(t *testing.T, op string, size int) {
	g, key, data := newGrid(12), keys.NewReadKey(), pattern(size)
	o := options(3, 10, 10, key, size)
	probe := g.upload(t, data, options(3, 10, 10, key, size))
	hung := probe.Placed[4].ID // where a share goes when nobody hangs
	g = newGrid(12)
	for i, s := range g.servers {
		if s.ID == hung {
			g.stores[i].on(hang, op)
		}
	}
	start := time.Now()
	result, err := file.Upload(t.Context(), g.servers, bytes.NewReader(data), o)
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("it took %v", took)
	}
	late := size > 3*encoding.MinBlockSize && (op == opAppend || op == opCommit)
	unhappy, ok := errors.AsType[*share.UnhappyError](err)
	switch {
	case late && (!ok || unhappy.Happiness != 9 || len(result.Missing) != 1 || result.Root.Needed != 3):
		t.Errorf("got %v, missing %v", err, result.Missing)
	case !late && (err != nil || len(result.Missing) > 0):
		t.Errorf("got %v, missing %v", err, result.Missing)
	}
}

// TestUploadWithoutSubstituteEnds: when the hung server is needed, the upload waits for it, but not for ever, and says
// what is wrong.
func TestUploadWithoutSubstituteEnds(t *testing.T) {
	for _, op := range []string{opUploads, opCreate, opHave, opAppend, opCommit} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 10 * 2 * encoding.MinBlockSize
				g := newGrid(4)
				g.stores[1].on(hang, op)
				start := time.Now()
				_, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(size)), options(2, 4, 4, keys.NewReadKey(), size))
				if e, ok := errors.AsType[*share.UnhappyError](err); !ok || e.Happiness != 3 || !errors.Is(err, share.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took > 11*time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestLateServersAreWaitedFor: a server that is slow but gets on keeps its share, however quick the others are.
func TestLateServersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 27 * 3 * encoding.MinBlockSize
		g := newGrid(10)
		g.stores[3].on(delay(4*time.Second), opAppend)
		o := options(3, 7, 10, keys.NewReadKey(), size)
		var b background
		b.in(t.Context(), &o)
		start := time.Now()
		g.upload(t, pattern(size), o)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the upload waited %v for one slow server", took)
		}
		b.group.Wait()
		if len(b.settled.Missing) > 0 {
			t.Errorf("missing in the end: %v, %v", b.settled.Missing, b.settled.Failures)
		}
	})
}

// TestClosingEndsLateServers: the end of the background does not wait for a server that hangs.
func TestClosingEndsLateServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(10)
		g.stores[3].on(hang, opCommit)
		o := options(3, 7, 10, keys.NewReadKey(), 100)
		ctx, end := context.WithCancel(t.Context())
		var b background
		b.in(ctx, &o)
		g.upload(t, pattern(100), o)
		start := time.Now()
		end()
		b.group.Wait()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("closing took %v", took)
		}
		if len(b.settled.Placed) != 9 {
			t.Errorf("settled with %d shares", len(b.settled.Placed))
		}
	})
}

// bigBlocks are options for a stream of which few segments fit into memory.
func bigBlocks(happy int) file.UploadOptions {
	o := options(1, happy, 5, keys.NewReadKey(), -1)
	o.BlockSize = 1 << 20
	return o
}

// TestStuckServerDoesNotStopAStream streams more than the buffers hold past a server that takes nothing.
func TestStuckServerDoesNotStopAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(5)
		for i := range g.servers {
			g.servers[i].Store = sink{}
		}
		g.servers[2].Store = slowSink{append: time.Hour}
		start := time.Now()
		result, err := file.Upload(t.Context(), g.servers, io.LimitReader(zeros{}, 16<<20), bigBlocks(3))
		if err != nil {
			t.Fatal(err)
		}
		if result.Happiness != 4 || len(result.Failures) != 1 {
			t.Errorf("happiness %d, failures %v", result.Happiness, result.Failures)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// slowSink is a sink that takes its time.
type slowSink struct {
	sink
	append time.Duration
}

func (s slowSink) Create(context.Context, share.Upload) (share.Writer, error) {
	return slowSinkWriter{s: s}, nil
}

type slowSinkWriter struct {
	sinkWriter
	s slowSink
}

func (w slowSinkWriter) Append(ctx context.Context, _ []share.Digest, _ []byte) error {
	return sleep(ctx, w.s.append)
}

// TestSlowServersKeepTheirShares: servers that are two or three times slower than enough others are not given up, not
// even where many segments have to wait for them; one that is twenty times slower is.
func TestSlowServersKeepTheirShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(5)
		for i, d := range []time.Duration{300, 300, 300, 600, 900} {
			g.servers[i].Store = slowSink{append: d * time.Millisecond}
		}
		result, err := file.Upload(t.Context(), g.servers, io.LimitReader(zeros{}, 60<<20), bigBlocks(3))
		if err != nil || result.Happiness != 5 {
			t.Errorf("two or three times slower: %v, happiness %d, %v", err, result.Happiness, result.Failures)
		}
		g.servers[4].Store = slowSink{append: 6 * time.Second}
		start := time.Now()
		result, err = file.Upload(t.Context(), g.servers, io.LimitReader(zeros{}, 60<<20), bigBlocks(3))
		if err != nil || result.Happiness != 4 {
			t.Errorf("twenty times slower: %v, happiness %d", err, result.Happiness)
		}
		if took := time.Since(start); took > 90*time.Second { // 60 segments at 600 ms each take 36
			t.Errorf("it took %v", took)
		}
	})
}

// TestEncoderThatWaitsForHungServersGivesThemUp: so many servers hang that the encoder keeps pace with one of them, long before
// the buffers are full. They are given up after a few seconds, since there are others for a repair.
func TestEncoderThatWaitsForHungServersGivesThemUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, block = 60 * 3 * (64 << 10), 64 << 10
		key := keys.NewReadKey()
		o := options(3, 7, 10, key, size)
		o.BlockSize = block
		probe := newGrid(14).upload(t, pattern(size), o)
		hung := map[share.ServerID]bool{}
		for _, number := range []share.Number{1, 3, 5, 7} {
			hung[probe.Placed[number].ID] = true
		}
		g := newGrid(14)
		for i, s := range g.servers {
			if hung[s.ID] {
				g.stores[i].on(hang, opAppend)
			}
		}
		start := time.Now()
		result, err := file.Upload(t.Context(), g.servers, bytes.NewReader(pattern(size)), o)
		if e, ok := errors.AsType[*share.UnhappyError](err); !ok || e.Happiness != 6 || len(result.Placed) != 6 {
			t.Errorf("got %v, placed %d", err, len(result.Placed))
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
