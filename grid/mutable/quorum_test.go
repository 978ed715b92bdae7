package mutable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// TestHungServersDelayLittle writes and reads while as many servers hang as may.
func TestHungServersDelayLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(10)
		key := keys.NewWriteKey()
		m := newFiles(t, g)
		v := write(t, m, key, nil, "one")
		for _, s := range g.stores[:3] {
			s.on(hang)
		}
		for _, size := range []int{10, 1 << 20} {
			text := strings.Repeat("x", size)
			start := time.Now()
			v = write(t, m, key, v, text)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("writing %d bytes took %s", size, took)
			}
			start = time.Now()
			if _, got := read(t, newFiles(t, g), capability.Mutable(key)); got != text {
				t.Errorf("read %d bytes", len(got))
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("reading took %s", took)
			}
		}
	})
}

// TestHungServersAreCovered has the shares of silent servers go to others where the version would not be happy otherwise, and only
// there. Which servers are to get shares follows from the key: a grid where all is well tells.
func TestHungServersAreCovered(t *testing.T) {
	for name, c := range map[string]struct{ with, without, want int }{ // how many hang that are to get a share and that are not
		"too few are left": {with: 6, without: 0, want: 10},
		"one is missing":   {with: 4, without: 2, want: 10},
		"just happy":       {with: 3, without: 3, want: 7},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { someHang(t, c.with, c.without, c.want) })
		})
	}
}

func someHang(t *testing.T, with, without, want int) {
	well, g := newGrid(14), newGrid(14)
	key := keys.NewWriteKey()
	v := write(t, newFiles(t, well), key, nil, "one")
	up := &grid{down: map[int]bool{}}
	for i, s := range g.stores {
		hangs := &without
		if len(well.stores[i].numbers(t, v.Head.Root)) > 0 {
			hangs = &with
		}
		if *hangs--; *hangs >= 0 {
			s.on(hang)
		} else {
			up.stores = append(up.stores, s)
		}
	}
	start := time.Now()
	v = write(t, newFiles(t, g), key, nil, "one")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	numbers := map[share.Number]bool{}
	for _, s := range up.stores {
		held := s.numbers(t, v.Head.Root)
		if len(held) == 0 && want == 10 {
			t.Errorf("%s has no share", s.name)
		}
		for _, number := range held {
			numbers[number] = true
		}
	}
	if len(numbers) != want {
		t.Errorf("%d shares, want %d", len(numbers), want)
	}
	if _, got := read(t, newFiles(t, up), capability.Mutable(key)); got != "one" {
		t.Errorf("read %q", got)
	}
}

// TestBehind brings servers up to date that missed versions, that are new, and that have lost all.
func TestBehind(t *testing.T) { synctest.Test(t, testBehind) }

func testBehind(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	v := write(t, m, key, nil, "one")
	g.setDown(0, 1)
	for _, text := range []string{"two", "three"} {
		v = write(t, m, key, v, text)
	}
	g.setDown()
	g.stores[2].Store = newStore("").Store
	write(t, m, key, v, "four")
	for i, s := range g.stores {
		held, err := s.Store.Heads(t.Context(), []share.Name{capability.NameOf(key)}, true)
		if err != nil {
			t.Fatal(err)
		}
		h, err := head.Parse(capability.NameOf(key), held[0].Record)
		if err != nil || h.Sequence != 4 || len(held[0].Shares) != 1 {
			t.Errorf("server %d: version %d with %d shares, %v", i, h.Sequence, len(held[0].Shares), err)
		}
	}
}

// dieAfter has a grid's servers fail from the n-th SetHead on.
func (g *grid) dieAfter(n int) {
	var mu sync.Mutex
	for _, s := range g.stores {
		s.on(func(ctx context.Context, op string) error {
			mu.Lock()
			defer mu.Unlock()
			if op == "sethead" {
				if n--; n < 0 {
					return share.ErrUnavailable
				}
			}
			return ctx.Err()
		})
	}
}

func (g *grid) heal() {
	for _, s := range g.stores {
		s.on(nil)
	}
}

// TestWriterDies leaves a version on a few servers only: where it cannot be read the one before is, and the next writer
// supersedes it.
func TestWriterDies(t *testing.T) { synctest.Test(t, testWriterDies) }

func testWriterDies(t *testing.T) {
	for _, holders := range []int{1, 2, 3, 6} {
		g := newGrid(10)
		key := keys.NewWriteKey()
		m := newFiles(t, g)
		v := write(t, m, key, nil, "one")
		g.dieAfter(holders)
		_, err := m.Write(t.Context(), key, v, strings.NewReader("two"), mutable.WriteOptions{})
		var unhappy *share.UnhappyError
		if !errors.As(err, &unhappy) || unhappy.Happiness != holders {
			t.Fatalf("%d servers: %v", holders, err)
		}
		g.heal()
		want := "one"
		if holders >= 3 {
			want = "two"
		}
		other := newFiles(t, g)
		v, got := read(t, other, capability.Mutable(key))
		if got != want {
			t.Errorf("%d servers: read %q", holders, got)
		}
		after := write(t, other, key, v, "three")
		if after.Head.Sequence != 3 {
			t.Errorf("%d servers: version %d", holders, after.Head.Sequence)
		}
		for i, s := range g.stores {
			held, err := s.Store.Heads(t.Context(), []share.Name{after.Head.Name}, false)
			if err != nil || len(held) != 1 {
				t.Fatal(err)
			}
			if h, err := head.Parse(after.Head.Name, held[0].Record); err != nil || h.Digest != after.Head.Digest {
				t.Errorf("%d servers: server %d holds version %d, %v", holders, i, h.Sequence, err)
			}
		}
		v, got = read(t, m, capability.Mutable(key))
		if got != "three" || len(v.Forks) != 0 {
			t.Errorf("%d servers: read %q, forks %v", holders, got, v.Forks)
		}
	}
}

// TestSplitVote has two writers reach different servers first. One goes on, the other is told, and what neither was
// acknowledged for is in the history.
func TestSplitVote(t *testing.T) { synctest.Test(t, testSplitVote) }

func testSplitVote(t *testing.T) {
	for _, first := range []int{1, 3, 4, 5, 6, 8} {
		g := newGrid(10)
		key := keys.NewWriteKey()
		c := capability.Mutable(key)
		alice, bob := newFiles(t, g), newFiles(t, g)
		base := write(t, alice, key, nil, "base")
		gates := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		var mu sync.Mutex
		arrived := map[string]int{}
		for i, s := range g.stores {
			s.on(func(ctx context.Context, op string) error {
				writer, _ := ctx.Value(writerKey{}).(int)
				if op != "sethead" || writer == 0 {
					return ctx.Err()
				}
				mu.Lock()
				arrived[s.name]++
				n := arrived[s.name]
				mu.Unlock()
				if (i < first) != (writer == 1) && n <= 2 { // the other one comes first here
					select {
					case <-gates[2-writer]:
					case <-ctx.Done():
					}
				}
				return ctx.Err()
			})
		}
		// Each writer's requests to the servers it is to win have returned before the other's arrive.
		errs := race(t, g, first, gates, func(ctx context.Context, writer int) error {
			m, text := alice, "alice"
			if writer == 2 {
				m, text = bob, "bob"
			}
			_, err := m.Write(ctx, key, base, strings.NewReader(text), mutable.WriteOptions{})
			return err
		})
		won := 0
		for _, err := range errs {
			var collision *mutable.CollisionError
			if err == nil {
				won++
			} else if !errors.As(err, &collision) {
				t.Errorf("%d first: %v", first, err)
			}
		}
		if won != 1 {
			t.Fatalf("%d first: %d writers won: %v", first, won, errs)
		}
		want := "alice"
		if errs[0] != nil {
			want = "bob"
		}
		g.heal()
		v, got := read(t, newFiles(t, g), c)
		if got != want || len(v.Forks) != 0 {
			t.Errorf("%d first: read %q, forks %v, errors %v", first, got, v.Forks, errs)
		}
		if first == 5 || first == 4 || first == 6 {
			texts := history(t, alice, c)
			if !slices.Contains(texts, "alice") || !slices.Contains(texts, "bob") {
				t.Errorf("%d first: the history is %q", first, texts)
			}
		}
	}
}

type writerKey struct{}

// race runs two writers and opens the gate of each once it has been everywhere that it is to win.
func race(t *testing.T, g *grid, first int, gates [2]chan struct{}, run func(context.Context, int) error) [2]error {
	t.Helper()
	var won [2]sync.WaitGroup
	won[0].Add(first)
	won[1].Add(len(g.stores) - first)
	for i, s := range g.stores {
		winner := 0
		if i >= first {
			winner = 1
		}
		s.after = func(op string, _ []share.HeldHead, err error) error {
			if op == "sethead" {
				s.mu.Lock()
				n := len(s.updates)
				s.mu.Unlock()
				if n == 2 { // the base, and this one
					won[winner].Done()
				}
			}
			return err
		}
	}
	for i := range gates {
		go func() {
			won[i].Wait()
			close(gates[i])
		}()
	}
	var errs [2]error
	var writers sync.WaitGroup
	for i := range errs {
		writers.Go(func() { errs[i] = run(context.WithValue(t.Context(), writerKey{}, i+1), i+1) })
	}
	writers.Wait()
	return errs
}

// history returns the contents of all versions that can be read, newest first.
func history(t *testing.T, m *mutable.Files, c capability.Capability) []string {
	t.Helper()
	versions, err := m.History(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, v := range versions {
		old, err := m.ReadHead(t.Context(), c, v.Head)
		if err != nil {
			texts = append(texts, "")
			continue
		}
		data, err := old.Bytes(t.Context(), 1<<20)
		if err != nil || int64(len(data)) != v.Size {
			t.Fatalf("version %d: %d bytes of %d, %v", v.Head.Sequence, len(data), v.Size, err)
		}
		texts = append(texts, string(data))
	}
	return texts
}

// TestFork cuts a grid in two: both sides are acknowledged. Afterwards the fork is reported, both versions are in the history,
// and the next version follows both.
func TestFork(t *testing.T) { synctest.Test(t, testFork) }

func testFork(t *testing.T) {
	g := newGrid(20)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	base := write(t, newFiles(t, g), key, nil, "base")
	left, right := newFiles(t, g.part(0, 10)), newFiles(t, g.part(10, 20))
	ours := write(t, left, key, base, "left")
	theirs := write(t, right, key, base, "right")
	theirs = write(t, right, key, theirs, "right again")

	m := newFiles(t, g)
	v, got := read(t, m, c)
	if got != "right again" || len(v.Forks) != 1 || v.Forks[0].Digest != ours.Head.Digest {
		t.Fatalf("read %q, forks %v", got, v.Forks)
	}
	if texts := history(t, m, c); !slices.Equal(texts, []string{"right again", texts[1], texts[2], "base"}) ||
		!slices.Contains(texts, "left") || !slices.Contains(texts, "right") {
		t.Errorf("history: %q", texts)
	}
	_, err := left.Write(t.Context(), key, ours, strings.NewReader("left again"), mutable.WriteOptions{})
	if err != nil {
		t.Fatal(err) // the left side still sees nothing of the other
	}
	v, _ = read(t, m, c)
	after := write(t, m, key, v, "both")
	if !slices.Contains(after.Head.Parents, theirs.Head.Digest) || len(after.Head.Parents) != 2 {
		t.Errorf("parents %v", after.Head.Parents)
	}
	v, got = read(t, m, c)
	if got != "both" || len(v.Forks) != 0 {
		t.Errorf("read %q, forks %v", got, v.Forks)
	}
	for i, s := range g.stores {
		held, err := s.Store.Heads(t.Context(), []share.Name{v.Head.Name}, false)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := head.Parse(v.Head.Name, held[0].Record); err != nil || h.Digest != v.Head.Digest {
			t.Errorf("server %d holds version %d, %v", i, h.Sequence, err)
		}
	}
}

// asked returns what servers were asked of histories since it was called last: from which sequences on, each once.
func (g *grid) asked() []uint64 {
	var all []uint64
	for _, s := range g.stores {
		s.mu.Lock()
		all, s.since = append(all, s.since...), nil
		s.mu.Unlock()
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestForkOfManyVersions: who looks how forks stand to each other asks for the versions around them.
func TestForkOfManyVersions(t *testing.T) { synctest.Test(t, testForkOfManyVersions) }

func testForkOfManyVersions(t *testing.T) {
	for apart, want := range map[int][]uint64{1: {53}, 2: {54}, 20: {72}} {
		g := newGrid(20)
		key := keys.NewWriteKey()
		m := newFiles(t, g)
		v := write(t, m, key, nil, "1")
		for i := range 59 {
			v = write(t, m, key, v, strconv.Itoa(i+2))
		}
		ours, theirs := v, v
		left, right := newFiles(t, g.part(0, 10)), newFiles(t, g.part(10, 20))
		for range apart {
			ours, theirs = write(t, left, key, ours, "left"), write(t, right, key, theirs, "right")
		}
		theirs = write(t, right, key, theirs, "right again")
		g.asked()
		v, got := read(t, newFiles(t, g), capability.Mutable(key))
		if got != "right again" || len(v.Forks) != 1 || v.Forks[0].Digest != ours.Head.Digest {
			t.Errorf("%d versions apart: read %q, forks %v", apart, got, v.Forks)
		}
		if asked := g.asked(); !slices.Equal(asked, want) {
			t.Errorf("%d versions apart: asked for the versions since %v, want %v", apart, asked, want)
		}
		after := write(t, m, key, v, "both")
		if v, got = read(t, m, capability.Mutable(key)); got != "both" || len(v.Forks) != 0 || !slices.Contains(after.Head.Parents, theirs.Head.Digest) {
			t.Errorf("%d versions apart, brought together: read %q, forks %v", apart, got, v.Forks)
		}
	}
}

// TestForkBelow: what was acknowledged on one side of a fork is found below many versions that were not.
func TestForkBelow(t *testing.T) { synctest.Test(t, testForkBelow) }

func testForkBelow(t *testing.T) {
	g := newGrid(20)
	key := keys.NewWriteKey()
	v := write(t, newFiles(t, g), key, nil, "base")
	theirs := write(t, newFiles(t, g.part(10, 20)), key, v, "right").Head
	left := newFiles(t, g.part(0, 10))
	for range 30 {
		v = write(t, left, key, v, "left")
	}
	lonely := theirs
	for range 15 {
		record, err := head.Sign(key.Signer(), head.Head{
			Name: v.Head.Name, Sequence: lonely.Sequence + 1, Root: share.StorageIndex{1}, Parents: []share.Digest{lonely.Digest},
			Written: time.Now(), Keep: theirs.Keep,
		})
		if err != nil {
			t.Fatal(err)
		}
		u := share.HeadUpdate{
			Name: v.Head.Name, Record: record, Replaces: lonely.Digest, Retention: share.Retention{Versions: 50},
			Lease: share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)},
		}
		if err := g.stores[10].Store.SetHead(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if lonely, err = head.Parse(v.Head.Name, record); err != nil {
			t.Fatal(err)
		}
	}
	g.asked()
	v, got := read(t, newFiles(t, g), capability.Mutable(key))
	if got != "left" || !slices.ContainsFunc(v.Forks, func(h head.Head) bool { return h.Digest == theirs.Digest }) {
		t.Errorf("read %q, forks %v", got, v.Forks)
	}
	if asked := g.asked(); !slices.Equal(asked, []uint64{0, lonely.Sequence - 8}) {
		t.Errorf("asked for the versions since %v", asked)
	}
}

// TestFarBehind: servers that missed many versions are no fork, however little is asked of histories at first.
func TestFarBehind(t *testing.T) { synctest.Test(t, testFarBehind) }

func testFarBehind(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	v := write(t, m, key, nil, "1")
	for i := range 40 {
		if i == 10 {
			g.setDown(0, 1, 2)
		}
		v = write(t, m, key, v, strconv.Itoa(i+2))
	}
	g.setDown()
	fresh := newFiles(t, g)
	v, got := read(t, fresh, capability.Mutable(key))
	if got != "41" || len(v.Forks) != 0 {
		t.Errorf("read %q, forks %v", got, v.Forks)
	}
	if v = write(t, fresh, key, v, "42"); v.Head.Sequence != 42 {
		t.Errorf("version %d", v.Head.Sequence)
	}
	for i, s := range g.stores {
		if held, err := s.Store.Heads(t.Context(), []share.Name{v.Head.Name}, false); err != nil || !bytes.Equal(held[0].Record, headOf(t, g, v.Head.Name)) {
			t.Errorf("server %d was left behind: %v", i, err)
		}
	}
}

// headOf returns the record that the last server holds of a name.
func headOf(t *testing.T, g *grid, name share.Name) []byte {
	t.Helper()
	held, err := g.stores[len(g.stores)-1].Store.Heads(t.Context(), []share.Name{name}, false)
	if err != nil {
		t.Fatal(err)
	}
	return held[0].Record
}

// TestForkIsNotOverwritten writes without knowing of a fork: what was acknowledged on the other side stays the newest there,
// and the next reader is told.
func TestForkIsNotOverwritten(t *testing.T) { synctest.Test(t, testForkIsNotOverwritten) }

func testForkIsNotOverwritten(t *testing.T) {
	g := newGrid(20)
	key := keys.NewWriteKey()
	base := write(t, newFiles(t, g), key, nil, "base")
	ours := write(t, newFiles(t, g.part(0, 10)), key, base, "left")
	ours = write(t, newFiles(t, g.part(0, 10)), key, ours, "left again")
	theirs := write(t, newFiles(t, g.part(10, 20)), key, base, "right")
	m := newFiles(t, g)
	_, err := m.Write(t.Context(), key, ours, strings.NewReader("on"), mutable.WriteOptions{})
	if err == nil {
		t.Error("half of the servers hold something else, and the write counted")
	}
	v, _ := read(t, m, capability.Mutable(key))
	if len(v.Forks) != 1 || v.Forks[0].Digest != theirs.Head.Digest {
		t.Errorf("forks %v", v.Forks)
	}
}

// TestRollback has the servers that hold the newest version vanish: what is left is never served as the newest.
func TestRollback(t *testing.T) { synctest.Test(t, testRollback) }

func testRollback(t *testing.T) {
	g := newGrid(20)
	m := newFiles(t, g)
	key, v := writeApart(t, g, m, 10, share.DefaultParams(20).Needed)
	c := capability.Mutable(key)
	v = write(t, newFiles(t, g.part(0, 10)), key, v, "two")
	if _, got := read(t, m, c); got != "two" {
		t.Fatalf("read %q", got)
	}
	for _, s := range g.stores[:10] {
		s.Store = newStore("").Store
	}
	old, err := m.Read(t.Context(), c)
	var rollback *share.RollbackError
	if !errors.As(err, &rollback) || rollback.Found != 1 || rollback.Seen != 2 {
		t.Fatalf("read: %v", err)
	}
	if old == nil || old.Head.Sequence != 1 {
		t.Fatal("the older version does not come with the error")
	}
	after := write(t, m, key, old, "three")
	if after.Head.Sequence != 3 {
		t.Errorf("version %d follows, %d was seen", after.Head.Sequence, v.Head.Sequence)
	}
	for _, s := range g.stores {
		s.Store = newStore("").Store
	}
	if _, err := m.Read(t.Context(), c); !errors.As(err, &rollback) || rollback.Found != 0 || rollback.Seen != 3 {
		t.Errorf("all lost: %v", err)
	}
}

func TestUnhappy(t *testing.T) { synctest.Test(t, testUnhappy) }

func testUnhappy(t *testing.T) {
	g := newGrid(10)
	for _, s := range g.stores[:4] {
		s.on(dead)
	}
	key := keys.NewWriteKey()
	_, err := newFiles(t, g).Write(t.Context(), key, nil, bytes.NewReader(nil), mutable.WriteOptions{})
	var unhappy *share.UnhappyError
	if !errors.As(err, &unhappy) || unhappy.Happiness != 6 || unhappy.Happy != 7 || len(unhappy.Causes) != 4 {
		t.Errorf("%v", err)
	}
	g.setDown(0, 1, 2, 3)
	if _, err = newFiles(t, g).Write(t.Context(), key, nil, bytes.NewReader(nil), mutable.WriteOptions{}); !errors.As(err, &unhappy) {
		t.Errorf("%v", err)
	}
}

// TestReadOvertaken has every server answer a reader before a write, and the answers arrive after it: the reader was not lied to.
func TestReadOvertaken(t *testing.T) { synctest.Test(t, testReadOvertaken) }

func testReadOvertaken(t *testing.T) {
	g := newGrid(10)
	key := keys.NewWriteKey()
	m := newFiles(t, g)
	v := write(t, m, key, nil, "one")
	var answered sync.WaitGroup
	release := make(chan struct{})
	for _, s := range g.stores {
		answered.Add(1)
		once := sync.OnceFunc(answered.Done)
		s.mu.Lock()
		s.after = func(string, []share.HeldHead, error) error {
			once()
			<-release
			return nil
		}
		s.mu.Unlock()
	}
	done := make(chan error)
	go func() {
		v, err := m.Read(t.Context(), capability.Mutable(key))
		if err == nil && v.Head.Sequence != 1 {
			err = fmt.Errorf("version %d", v.Head.Sequence)
		}
		done <- err
	}()
	answered.Wait()
	for _, s := range g.stores {
		s.mu.Lock()
		s.after = nil
		s.mu.Unlock()
	}
	write(t, m, key, v, "two")
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the reader that began before the write: %v", err)
	}
	if _, got := read(t, m, capability.Mutable(key)); got != "two" {
		t.Errorf("a reader that began after it has %q", got)
	}
}
