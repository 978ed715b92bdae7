package file_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// A mood is how a server behaves.
type mood int

const (
	honest  mood = iota
	refuses      // takes nothing
	hangs        // does not answer in some operation, or in any
	fails        // fails from some call on
	slow         // takes its time
	lies         // gives wrong bytes, or claims what it has not
	forgets      // acknowledges and keeps nothing
	moods
)

func (m mood) String() string {
	return []string{"honest", "refuses", "hangs", "fails", "slow", "lies", "forgets"}[m]
}

var allOps = []string{opNumbers, opOpen, opRead, opUploads, opCreate, opHave, opAppend, opCommit, opRenew}

// some draws operations, at least one.
func some(t *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(allOps), 1, len(allOps), rapid.ID).Draw(t, "operations")
}

// behave makes a server behave so.
func (s *testServer) behave(t *rapid.T, m mood) {
	s.set(func() {
		s.before, s.spoil, s.has, s.claims, s.held, s.forgets, s.renews = nil, nil, nil, nil, nil, false, false
	})
	switch m {
	case refuses:
		s.on(fail(share.ErrNoSpace), opCreate)
	case hangs:
		s.on(hang, some(t)...)
	case fails:
		s.on(failFrom(rapid.IntRange(0, 40).Draw(t, "calls until it fails"), share.ErrUnavailable), some(t)...)
	case slow:
		s.on(delay(time.Duration(rapid.IntRange(1, 2500).Draw(t, "delay"))*time.Millisecond), some(t)...)
	case lies:
		s.lie(t)
	case forgets:
		s.forgets = true
	case honest, moods:
	}
}

func (s *testServer) lie(t *rapid.T) {
	nth := rapid.Int64Range(1, 4).Draw(t, "lies in one read of")
	reads := int64(0)
	if rapid.Bool().Draw(t, "spoils") {
		s.spoil = func(int64) bool { reads++; return reads%nth == 0 }
	}
	if rapid.Bool().Draw(t, "has") {
		n := rapid.Int64Range(-2, 40).Draw(t, "blocks")
		s.has = func(int64) int64 { return n }
	}
	if rapid.Bool().Draw(t, "claims") {
		index := share.StorageIndex{byte(rapid.IntRange(0, 1).Draw(t, "index"))}
		s.renews = rapid.Bool().Draw(t, "renews")
		s.claims = func([]share.Progress) []share.Progress {
			return []share.Progress{{Number: 0, Blocks: 9, Index: index}, {Number: 1, Blocks: 1000, Index: index}, {Number: 99}}
		}
	}
	if rapid.Bool().Draw(t, "boasts") {
		s.held = func(h share.Held) share.Held {
			h.Numbers = []share.Number{0, 1, 1, 2, 200}
			return h
		}
	}
}

// inBubble runs a property in virtual time, with a limit to it.
func inBubble(t *testing.T, property func(*rapid.T)) {
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(*testing.T) {
			defer func() { failure = recover() }() // rapid's own way to end a run must not cross the bubble
			property(rt)
		})
		if failure != nil {
			panic(failure)
		}
	})
}

// TestUploadNeverLies: whatever the servers do, an upload ends in bounded time; when it succeeds, what honest servers are
// said to hold is there, and any k of these shares give the file back.
func TestUploadNeverLies(t *testing.T) {
	inBubble(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		k := rapid.IntRange(1, n).Draw(t, "k")
		happy := rapid.IntRange(k, n).Draw(t, "happy")
		size := rapid.SampledFrom([]int{0, 1, 100, 5000, 40000, 100000}).Draw(t, "size")
		g := newGrid(rapid.IntRange(happy, 8).Draw(t, "servers"))
		state := map[share.ServerID]mood{}
		for i, s := range g.stores {
			m := mood(rapid.IntRange(0, int(moods)-1).Draw(t, "mood"))
			if rapid.Bool().Draw(t, "well") {
				m = honest
			}
			state[g.servers[i].ID] = m
			s.behave(t, m)
		}
		key, data := keys.NewReadKey(), pattern(size)
		announced := rapid.SampledFrom([]int{size, -1}).Draw(t, "announced")
		o := options(k, happy, n, key, announced)
		o.Resume = rapid.Bool().Draw(t, "resume")
		var left background
		if rapid.Bool().Draw(t, "background") {
			left.in(context.Background(), &o)
		}
		for range rapid.IntRange(1, 2).Draw(t, "attempts") {
			start := time.Now()
			result, err := file.Upload(context.Background(), g.servers, bytes.NewReader(data), o)
			left.group.Wait()
			if took := time.Since(start); took > 30*time.Minute {
				t.Fatalf("it took %v", took)
			}
			g.checkResult(t, result, err, o, state)
			if err == nil {
				g.checkReadable(t, result, data, o, state)
			}
		}
	})
}

// checkResult checks that the result agrees with itself and with what honest servers hold.
func (g *testGrid) checkResult(t T, r file.Result, err error, o file.UploadOptions, state map[share.ServerID]mood) {
	t.Helper()
	if unhappy, ok := errors.AsType[*share.UnhappyError](err); err != nil && (!ok || unhappy.Happiness >= o.Params.Happy) {
		t.Fatalf("unexpected error: %v", err)
	}
	if err == nil && (r.Happiness < o.Params.Happy || len(r.Placed)+len(r.Missing) != o.Params.Total) {
		t.Fatalf("no error, and %+v", r)
	}
	if r.Root.Needed == 0 {
		return
	}
	holding := g.holding(t, r.Root)
	for number, s := range r.Placed {
		if m := state[s.ID]; m != lies && m != forgets && !slices.Contains(holding[s.ID], number) {
			t.Fatalf("share %d is said to be on %s, which holds %v", number, s.ID, holding[s.ID])
		}
	}
	for _, failure := range r.Failures {
		if e, ok := errors.AsType[*file.ServerError](failure); !ok || state[e.Server] == honest {
			t.Fatalf("an honest server is said to have failed: %v", failure)
		}
	}
}

// checkReadable reads the file from k of the shares that are there.
func (g *testGrid) checkReadable(t *rapid.T, r file.Result, data []byte, o file.UploadOptions, state map[share.ServerID]mood) {
	there := &testGrid{}
	holding := g.holding(t, r.Root)
	numbers := rapid.Permutation(slices.Sorted(maps.Keys(r.Placed))).Draw(t, "numbers")
	for _, number := range numbers {
		id := r.Placed[number].ID
		if len(there.servers) == o.Params.Needed || !slices.Contains(holding[id], number) || state[id] == forgets {
			continue
		}
		i := slices.IndexFunc(g.servers, func(s share.Server) bool { return s.ID == id })
		only := &testServer{Store: g.stores[i].Store, counts: map[string]int{}}
		only.held = func(h share.Held) share.Held {
			h.Numbers = []share.Number{number}
			return h
		}
		there.servers = append(there.servers, share.Server{ID: id + share.ServerID(number.String()), Store: only})
	}
	if len(there.servers) < o.Params.Needed {
		return // liars and forgetters had a hand in it
	}
	there.mustRead(t, r.Root, o.Key, data)
}

func (g *testGrid) mustRead(t T, root encoding.Root, key keys.ReadKey, data []byte) {
	t.Helper()
	reader, err := file.Open(context.Background(), g.servers, root.StorageIndex(), key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var got bytes.Buffer
	if _, err := reader.WriteTo(context.Background(), &got, 0, reader.Size()); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Fatalf("read %d bytes of %d: %v", got.Len(), len(data), err)
	}
}

// TestReadsNeverLie: whatever the servers do, a read ends in bounded time with the right bytes or an error, with the right
// bytes if enough servers are honest, and blames liars only.
func TestReadsNeverLie(t *testing.T) {
	inBubble(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		k := rapid.IntRange(1, n).Draw(t, "k")
		size := rapid.SampledFrom([]int{0, 1, 5000, 40000, 200000}).Draw(t, "size")
		g := newGrid(n)
		key, data := keys.NewReadKey(), pattern(size)
		result, err := file.Upload(context.Background(), g.servers, bytes.NewReader(data), options(k, k, n, key, size))
		if err != nil {
			t.Fatal(err)
		}
		state := map[share.ServerID]mood{}
		good := 0
		for i, s := range g.stores {
			m := rapid.SampledFrom([]mood{honest, honest, hangs, fails, slow, lies}).Draw(t, "mood")
			state[g.servers[i].ID] = m
			g.servers[i].Down = rapid.IntRange(0, 4).Draw(t, "down") == 0
			if s.behave(t, m); m == honest || m == slow {
				good++
			}
		}
		start := time.Now()
		err = g.readOnce(t, result.Root, key, data, state)
		if took := time.Since(start); took > time.Hour {
			t.Fatalf("it took %v", took)
		}
		if err != nil && good >= k {
			t.Fatalf("%d of %d servers are good, %d suffice: %v", good, n, k, err)
		}
	})
}

// readOnce opens the file and reads some of it.
func (g *testGrid) readOnce(t *rapid.T, root encoding.Root, key keys.ReadKey, data []byte, state map[share.ServerID]mood) error {
	ctx := context.Background()
	r, err := file.Open(ctx, g.servers, root.StorageIndex(), key, quiet)
	if err != nil {
		return err
	}
	defer r.Close()
	for range rapid.IntRange(1, 4).Draw(t, "reads") {
		off := rapid.IntRange(0, len(data)).Draw(t, "offset")
		p := make([]byte, rapid.IntRange(0, len(data)+10).Draw(t, "length"))
		n, err := r.ReadAt(ctx, p, int64(off))
		if !bytes.Equal(p[:n], data[off:off+n]) {
			t.Fatalf("wrong bytes at %d", off)
		}
		if err == io.EOF && off+n == len(data) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	for _, c := range r.Source().Corrupt() {
		if state[c.Server] != lies {
			t.Fatalf("blamed %v", c)
		}
	}
	return nil
}
