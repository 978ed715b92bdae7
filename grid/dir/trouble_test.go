package dir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/memory"
)

// A lie is what a server in trouble does.
type lie int

const (
	honest lie = iota
	repeats
	forgets
	forges
	conflicts
	spoils
	refuses
	lies
)

// A troubled server is slow, fails before or after it has done what was asked, may lie, and may leave. What its caller has given up
// on may happen all the same.
type troubled struct {
	inner *memory.Store
	id    share.ServerID
	group *sync.WaitGroup

	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	calm   bool
	usual  time.Duration
	left   bool
	lie    lie
	firsts map[share.Name][]byte
}

type mood struct {
	wait          time.Duration
	before, after bool
	left          bool
	lie           lie
}

func (s *troubled) mood() mood {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mood{left: s.left, lie: s.lie}
	if s.calm {
		return m
	}
	m.wait = time.Duration(s.rng.ExpFloat64() * float64(s.usual))
	if s.rng.IntN(40) == 0 {
		m.wait = time.Duration(s.rng.Int64N(int64(20 * time.Second)))
	}
	m.before, m.after = s.rng.IntN(50) == 0, s.rng.IntN(50) == 0
	return m
}

func (s *troubled) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *troubled) first(name share.Name, record []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firsts[name] == nil && record != nil {
		s.firsts[name] = bytes.Clone(record)
	}
	return s.firsts[name]
}

// ask has a server do something. It goes on when the caller gives up.
func ask[T any](ctx context.Context, s *troubled, do func(context.Context, lie) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	answers := make(chan answer, 1)
	s.group.Go(func() {
		m := s.mood()
		time.Sleep(m.wait)
		m.left = m.left || s.mood().left
		if m.before || m.left {
			answers <- answer{err: fmt.Errorf("before: %w", share.ErrUnavailable)}
			return
		}
		value, err := do(context.WithoutCancel(ctx), m.lie)
		if m.after || s.mood().left {
			err = fmt.Errorf("after: %w", share.ErrUnavailable)
		}
		answers <- answer{value, err}
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func forge(record []byte) []byte {
	record = bytes.Clone(record)
	if len(record) > 20 {
		record[20] ^= 1
	}
	return record
}

func (s *troubled) Heads(ctx context.Context, of []share.Name, shares bool) ([]share.HeldHead, error) {
	return ask(ctx, s, func(ctx context.Context, l lie) ([]share.HeldHead, error) {
		held, err := s.inner.Heads(ctx, of, shares)
		for i := range held {
			switch l {
			case repeats:
				held[i] = share.HeldHead{Record: s.first(of[i], held[i].Record)}
			case forges:
				held[i].Record = forge(held[i].Record)
			case spoils:
				for _, w := range held[i].Shares {
					w.Data[0] ^= 1
				}
			}
		}
		return held, err
	})
}

func (s *troubled) SetHead(ctx context.Context, u share.HeadUpdate) error {
	_, err := ask(ctx, s, func(ctx context.Context, l lie) (struct{}, error) {
		switch l {
		case forgets:
			return struct{}{}, nil
		case refuses:
			return struct{}{}, fmt.Errorf("set head: %w", share.ErrNoSpace)
		case conflicts:
			held, err := s.inner.Heads(ctx, []share.Name{u.Name}, false)
			return struct{}{}, errors.Join(err, &share.ConflictError{Name: u.Name, Record: forge(held[0].Record)})
		}
		err := s.inner.SetHead(ctx, u)
		if err == nil {
			s.first(u.Name, u.Record)
		}
		return struct{}{}, err
	})
	return err
}

func (s *troubled) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	return ask(ctx, s, func(ctx context.Context, l lie) ([][]byte, error) {
		records, err := s.inner.History(ctx, name, since)
		switch {
		case l == repeats && len(records) > 0:
			return [][]byte{s.first(name, records[0])}, err
		case l == forges:
			for i := range records {
				records[i] = forge(records[i])
			}
		}
		return records, err
	})
}

func (s *troubled) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	return ask(ctx, s, func(ctx context.Context, l lie) ([]error, error) {
		if l == forgets {
			return make([]error, len(shares)), nil
		}
		return s.inner.Put(ctx, shares, lease)
	})
}

func (s *troubled) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	return ask(ctx, s, func(ctx context.Context, l lie) ([][]share.WholeShare, error) {
		found, err := s.inner.Fetch(ctx, indexes)
		if l == spoils {
			for _, shares := range found {
				for _, w := range shares {
					w.Data[0] ^= 1
				}
			}
		}
		return found, err
	})
}

func (s *troubled) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	return ask(ctx, s, func(ctx context.Context, _ lie) ([]share.Held, error) { return s.inner.Numbers(ctx, indexes) })
}

func (s *troubled) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	return ask(ctx, s, func(ctx context.Context, _ lie) (share.Reader, error) { return s.inner.Open(ctx, index, number) })
}

func (s *troubled) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	return ask(ctx, s, func(ctx context.Context, _ lie) (share.Writer, error) { return s.inner.Create(ctx, u) })
}

func (s *troubled) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	_, err := ask(ctx, s, func(ctx context.Context, _ lie) (struct{}, error) {
		return struct{}{}, s.inner.Renew(ctx, indexes, lease)
	})
	return err
}

// A gateway sees the servers its own way.
type gateway struct {
	servers []*troubled

	mu   sync.Mutex // guards what follows
	gone map[int]bool
	down map[int]bool
}

func (g *gateway) all(context.Context) []share.Server {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []share.Server
	for i, s := range g.servers {
		if !g.gone[i] {
			out = append(out, share.Server{ID: s.id, Nickname: string(s.id), Store: s, Free: 1 << 40, Down: g.down[i]})
		}
	}
	return out
}

func (g *gateway) see(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// A scene is what happens in one run.
type scene struct {
	t       *testing.T
	seed    uint64
	params  func(context.Context) share.Params
	rng     *rand.Rand
	servers []*troubled
	group   sync.WaitGroup
	ctx     context.Context
}

func (s *scene) gateway() *gateway {
	return &gateway{servers: s.servers, gone: map[int]bool{}, down: map[int]bool{}}
}

func (s *scene) dirs(g *gateway) *dir.Dirs {
	env := mutable.Env{
		Servers: g.all, Owner: "alice", Params: s.params,
		Background: func(f func(context.Context)) { s.group.Go(func() { f(s.ctx) }) },
	}
	store := dir.NewStore(env, mutable.New(env))
	return dir.New(dir.Config{Files: store, Pages: store}).WithPages(700)
}

const commonNames = 8

// An editor is one writer and what it was told.
type editor struct {
	scene   *scene
	id      int
	dirs    *dir.Dirs
	c       capability.Capability
	rng     *rand.Rand
	next    int
	names   map[string]bool
	unsure  map[string]bool
	counted int
	maybe   int
	done    int
	failed  int
	took    map[string]bool // common names: those that it got
	refused map[string]bool // that it was told somebody else has
}

func (w *editor) fresh() string {
	w.next++
	return fmt.Sprintf("writer %d name %03d", w.id, w.next)
}

func (w *editor) some() string {
	var there []string
	for _, name := range slices.Sorted(maps.Keys(w.names)) {
		if w.names[name] {
			there = append(there, name)
		}
	}
	if len(there) == 0 {
		return ""
	}
	return there[w.rng.IntN(len(there))]
}

func (w *editor) step(ctx context.Context) {
	old := w.some()
	pick := w.rng.IntN(7)
	switch {
	case pick == 0:
		if w.update(ctx, "", func(e *dir.Editor) error {
			c, err := e.Get("counter")
			c.Size++
			return firstOf(err, e.Set(c))
		}) {
			w.counted++
		} else {
			w.maybe++
		}
	case pick == 1 && old != "":
		name := w.fresh()
		ok := w.update(ctx, name, func(e *dir.Editor) error { return e.Rename(old, name, false) })
		w.note(ok, old, false)
		w.note(ok, name, true)
	case pick == 2 && old != "":
		w.note(w.update(ctx, old, remove(old)), old, false)
	case pick == 3:
		w.common(ctx, fmt.Sprintf("common %d", w.rng.IntN(commonNames)))
	default:
		name := w.fresh()
		w.note(w.update(ctx, name, set(name, w.id)), name, true)
	}
}

// common takes a name that others want too.
func (w *editor) common(ctx context.Context, name string) {
	if w.took[name] || w.unsure[name] {
		return
	}
	_, err := w.dirs.Update(ctx, w.c, func(e *dir.Editor) error {
		if _, err := e.Get(name); err == nil {
			return share.ErrExists
		} else if !errors.Is(err, share.ErrNotFound) {
			return err
		}
		return e.Set(entry(name, w.id))
	})
	switch {
	case err == nil:
		w.took[name] = true
		w.done++
	case errors.Is(err, share.ErrExists):
		w.refused[name] = true
	default:
		w.scene.t.Logf("writer %d, %q: %v", w.id, name, err)
		w.unsure[name] = true
	}
}

func (w *editor) update(ctx context.Context, what string, edit func(*dir.Editor) error) bool {
	_, err := w.dirs.Update(ctx, w.c, edit)
	if err != nil {
		w.failed++
		w.scene.t.Logf("writer %d, %q: %v", w.id, what, err)
		return false
	}
	w.done++
	return true
}

func (w *editor) note(ok bool, name string, there bool) {
	if ok {
		w.names[name] = there
		return
	}
	delete(w.names, name)
	w.unsure[name] = true
}

// happen has servers lie, leave and come back, and gateways notice at different times.
func (s *scene) happen(ctx context.Context, gateways []*gateway) {
	liar, leaver := len(s.servers)-1, len(s.servers)-3
	leaves := time.Duration(s.rng.Int64N(int64(20 * time.Second)))
	begun := time.Now()
	var noticing sync.WaitGroup
	defer noticing.Wait()
	gone := false
	for ctx.Err() == nil {
		l := lie(s.rng.IntN(int(lies)))
		s.servers[liar].set(func() { s.servers[liar].lie = l })
		if !gone && time.Since(begun) > leaves {
			gone = true
			s.servers[leaver].set(func() { s.servers[leaver].left = true })
			for _, g := range gateways {
				after, vanish := time.Duration(s.rng.Int64N(int64(4*time.Second))), s.rng.IntN(2) == 0
				noticing.Go(func() {
					pass(ctx, after)
					g.see(func() { g.gone[leaver], g.down[leaver] = vanish, true })
				})
			}
		}
		g, i := gateways[s.rng.IntN(len(gateways))], s.rng.IntN(len(s.servers))
		if i != leaver { // somebody thinks for a moment that a server is down
			g.see(func() { g.down[i] = true })
			noticing.Go(func() {
				pass(ctx, time.Second)
				g.see(func() { delete(g.down, i) })
			})
		}
		pass(ctx, time.Duration(s.rng.Int64N(int64(2*time.Second))))
	}
}

func pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// TestTrouble: writers with gateways that see different servers change one directory, while servers are slow, fail, lie and
// leave. Everything acknowledged is there in the end, nothing that was refused is, and nothing else.
func TestTrouble(t *testing.T) {
	first, n := uint64(0), uint64(4)
	if s := os.Getenv("TROUBLE"); s != "" {
		a, b, _ := strings.Cut(s, "+")
		first, _ = strconv.ParseUint(a, 10, 64)
		n, _ = strconv.ParseUint(b, 10, 64)
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { trouble(t, seed, 5, 8) })
		})
	}
}

func trouble(t *testing.T, seed uint64, writers, changes int) {
	const servers = 8
	s := &scene{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
	s.params = func(context.Context) share.Params { return share.Params{Needed: 3, Happy: 5, Total: servers} }
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx = ctx
	s.group.Add(1) // what a server still does for a caller who has gone never is the first of the group
	for i := range servers {
		s.servers = append(s.servers, &troubled{
			inner: memory.New(memory.Options{}), id: share.ServerID(fmt.Sprintf("server%02d", i)), group: &s.group,
			usual: []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, time.Second, 2 * time.Second}[seed%4],
			rng:   rand.New(rand.NewPCG(seed, uint64(i)+2)), calm: true, firsts: map[share.Name][]byte{},
		})
	}
	c := create(t, s.dirs(s.gateway()), entry("counter", 0))
	for _, server := range s.servers {
		server.set(func() { server.calm = false })
	}
	var all []*editor
	var gateways []*gateway
	var running, events sync.WaitGroup
	for w := range writers {
		g := s.gateway()
		gateways = append(gateways, g)
		all = append(all, &editor{
			scene: s, id: w, dirs: s.dirs(g), c: c, rng: rand.New(rand.NewPCG(seed, uint64(w)+100)), names: map[string]bool{}, unsure: map[string]bool{},
			took: map[string]bool{}, refused: map[string]bool{},
		})
	}
	for _, w := range all {
		running.Go(func() {
			for range changes {
				w.step(t.Context())
			}
		})
	}
	begun := time.Now()
	trouble, over := context.WithCancel(t.Context())
	events.Go(func() { s.happen(trouble, gateways) })
	running.Wait()
	took := time.Since(begun)
	over()
	events.Wait()
	cancel()
	s.group.Done()
	s.group.Wait()
	s.group.Add(1)
	s.ctx = t.Context()
	for _, server := range s.servers {
		server.set(func() { server.calm, server.lie = true, honest })
	}
	s.verify(open(t, s.dirs(s.gateway()), c), all, took)
	s.group.Done()
	s.group.Wait()
}

func (s *scene) verify(x *dir.Directory, all []*editor, took time.Duration) {
	there := map[string]dir.Entry{}
	for e, err := range x.All(s.t.Context()) {
		check(s.t, err)
		there[e.Name] = e
	}
	done, failed, counted, maybe := 0, 0, 0, 0
	for _, w := range all {
		done, failed, counted, maybe = done+w.done, failed+w.failed, counted+w.counted, maybe+w.maybe
		for name, want := range w.names {
			if _, is := there[name]; is != want {
				s.t.Errorf("seed %d: %q is there: %v, acknowledged: %v", s.seed, name, is, want)
			}
			delete(there, name)
		}
		for name := range w.unsure {
			if !strings.HasPrefix(name, "common") {
				delete(there, name)
			}
		}
	}
	if n := int(there["counter"].Size); n < counted || n > counted+maybe {
		s.t.Errorf("seed %d: the counter is %d, acknowledged were %d, failed %d", s.seed, n, counted, maybe)
	}
	delete(there, "counter")
	s.verifyCommon(there, all)
	for name := range there {
		s.t.Errorf("seed %d: nobody has made %q, or it was removed", s.seed, name)
	}
	s.t.Logf("seed %d: %d acknowledged, %d failed in %v, version %d", s.seed, done, failed, took, x.Version().Sequence)
}

// verifyCommon: who got a common name has it, or its entry is beside that of somebody else who got it too; who was told that
// somebody has it, has not.
func (s *scene) verifyCommon(there map[string]dir.Entry, all []*editor) {
	owners := map[string][]int64{}
	for name, e := range there {
		if strings.HasPrefix(name, "common") {
			plain, _, _ := strings.Cut(name, " (conflict")
			owners[plain] = append(owners[plain], e.Size)
			delete(there, name)
		}
	}
	for i := range commonNames {
		name := fmt.Sprintf("common %d", i)
		for _, w := range all {
			has := slices.Contains(owners[name], int64(w.id))
			if w.took[name] && !has {
				s.t.Errorf("seed %d: writer %d got %q and has it no longer: %v", s.seed, w.id, name, owners[name])
			}
			if w.refused[name] && has && !w.took[name] {
				s.t.Errorf("seed %d: writer %d was told that somebody else has %q, and has it: %v", s.seed, w.id, name, owners[name])
			}
		}
	}
}
