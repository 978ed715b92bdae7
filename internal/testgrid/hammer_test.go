package testgrid_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/internal/hostile"
	"cairn/internal/testgrid"
	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/share"
	"cairn/share/capability"
)

// hammerFor is how long writers hammer a directory. HAMMER in the environment says otherwise.
const hammerFor = 3 * time.Second

// counter is an entry that all writers change.
const counter = "counter"

const (
	// turns is how many changes every writer gets to make beside the others, however slow the machine is.
	turns = 3
	// patience bounds the wait for that: a writer that starves waits for ever.
	patience = waittest.Patience
)

// A writer changes a directory through its own node, and notes what it was told.
type writer struct {
	id    int
	t     *testing.T
	node  *testgrid.Node
	root  capability.Capability
	rng   *rand.Rand
	next  int
	names map[string]bool // its names: true for those that are there, false for those that are not
	// unsure are names of changes that failed: they may be there or not.
	unsure  map[string]bool
	done    int
	served  bool // had its turns
	counted int  // of the shared counter: acknowledged
	maybe   int  // and failed
	slowest time.Duration
}

func newWriter(t *testing.T, id int, node *testgrid.Node, root capability.Capability) *writer {
	return &writer{
		id: id, t: t, node: node, root: root, rng: rand.New(rand.NewPCG(uint64(id), 7)), names: map[string]bool{}, unsure: map[string]bool{},
	}
}

// run makes changes until the context ends and every writer has had its turns.
func (w *writer) run(ctx, patient context.Context, waiting *atomic.Int32) {
	for ctx.Err() == nil || waiting.Load() > 0 && patient.Err() == nil {
		begun := time.Now()
		w.step(w.t.Context())
		w.slowest = max(w.slowest, time.Since(begun))
		if w.done >= turns && !w.served {
			w.served = true
			waiting.Add(-1)
		}
	}
}

func (w *writer) fresh() string {
	w.next++
	return fmt.Sprintf("writer %d name %05d", w.id, w.next)
}

// some returns one of the names that are there.
func (w *writer) some() string {
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

// step makes one change.
func (w *writer) step(ctx context.Context) {
	n, old := w.node.Grid.Tree(), w.some()
	switch pick := w.rng.IntN(6); {
	case pick == 0:
		name := w.fresh()
		_, err := n.Mkdir(ctx, w.root, name)
		w.note(err, name, true)
	case pick == 1:
		w.note(w.count(ctx), "", true)
	case pick == 2 && old != "":
		name := w.fresh()
		_, err := n.Move(ctx, tree.Place{Root: w.root, Path: old}, tree.Place{Root: w.root, Path: name}, tree.MoveOptions{})
		w.note(err, old, false)
		w.note(err, name, true)
	case pick == 3 && old != "":
		_, err := n.Unlink(ctx, w.root, old, tree.UnlinkOptions{Directories: true})
		w.note(err, old, false)
	default:
		name := w.fresh()
		_, err := n.Link(ctx, w.root, name, dir.Entry{Capability: literal(w.t, name)}, tree.LinkOptions{})
		w.note(err, name, true)
	}
}

func (w *writer) count(ctx context.Context) error {
	_, err := w.node.Grid.Dirs().Update(ctx, w.root, func(e *dir.Editor) error {
		entry, err := e.Get(counter)
		entry.Size++
		return errors.Join(err, e.Set(entry))
	})
	if err == nil {
		w.counted++
	} else {
		w.maybe++
	}
	return err
}

func (w *writer) note(err error, name string, there bool) {
	switch {
	case err != nil:
		w.t.Logf("writer %d, %q: %v", w.id, name, err)
		delete(w.names, name)
		w.unsure[name] = true
	case name != "":
		w.names[name] = there
	}
	if err == nil {
		w.done++
	}
}

func literal(t *testing.T, text string) capability.Capability {
	c, err := capability.Literal([]byte(text))
	must(t, err)
	return c
}

// A hammering is a grid in which some hammer a directory.
type hammering struct {
	*testgrid.Grid
	t       *testing.T
	hostile *hostile.Peer // the last node
	root    capability.Capability
	writers []*writer
}

func newHammering(t *testing.T, writers int) *hammering {
	t.Helper()
	const nodes = 8
	h := &hammering{t: t}
	h.Grid = testgrid.New(t, testgrid.Config{
		Nodes: nodes, Params: share.Params{Needed: 3, Happy: 5, Total: nodes},
		Serve: func(i int, host *p2p.Host, store share.Store) io.Closer {
			if i < nodes-1 {
				return nil
			}
			h.hostile = hostile.Handle(host, hostile.Honest, store)
			return h.hostile
		},
	})
	var err error
	h.root, err = h.Nodes[0].Grid.Dirs().Create(t.Context(), dir.Entries(dir.Entry{Name: counter, Capability: literal(t, counter)}))
	must(t, err)
	for i := range writers {
		h.writers = append(h.writers, newWriter(t, i, h.Nodes[i], h.root))
	}
	return h
}

// run has the writers write for a time, during which trouble happens.
func (h *hammering) run(trouble func(context.Context, time.Duration)) {
	h.t.Helper()
	limit := hammerFor
	if d, err := time.ParseDuration(os.Getenv("HAMMER")); err == nil {
		limit = d
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	patient, giveUp := context.WithTimeout(h.t.Context(), max(limit, patience))
	defer giveUp()
	var waiting atomic.Int32
	waiting.Store(int32(len(h.writers)))
	var all sync.WaitGroup
	for _, w := range h.writers {
		all.Go(func() { w.run(ctx, patient, &waiting) })
	}
	all.Go(func() { trouble(ctx, limit) })
	all.Wait()
}

// verify compares the directory, as one sees it who has had no part in it, with what the writers were told.
func (h *hammering) verify(reader *testgrid.Node) {
	h.t.Helper()
	x, err := reader.Grid.Dirs().Open(h.t.Context(), h.root)
	must(h.t, err)
	there := map[string]dir.Entry{}
	for e, err := range x.All(h.t.Context()) {
		must(h.t, err)
		there[e.Name] = e
	}
	done, counted, maybe := 0, 0, 0
	var slowest time.Duration
	for _, w := range h.writers {
		done, counted, maybe = done+w.done, counted+w.counted, maybe+w.maybe
		slowest = max(slowest, w.slowest)
		for name, want := range w.names {
			if _, is := there[name]; is != want {
				h.t.Errorf("%q is there: %v, acknowledged: %v", name, is, want)
			}
			delete(there, name)
		}
		for name := range w.unsure {
			delete(there, name)
		}
		h.t.Logf("writer %d: %d changes acknowledged, %d failed, the slowest took %v", w.id, w.done, len(w.unsure)+w.maybe, w.slowest.Round(time.Millisecond))
		if w.done < turns {
			h.t.Errorf("writer %d had no turn beside the others", w.id)
		}
	}
	if n := int(there[counter].Size); n < counted || n > counted+maybe {
		h.t.Errorf("the counter is %d, acknowledged were %d, failed %d", n, counted, maybe)
	}
	delete(there, counter)
	for name := range there {
		h.t.Errorf("nobody has made %q, or it was removed", name)
	}
	h.t.Logf("%d changes acknowledged, version %d, %d entries, the slowest took %v", done, x.Version().Sequence, x.Len(), slowest.Round(time.Millisecond))
}

// TestWritersHammer: two and five gateways change one directory without a pause. Every change that was acknowledged is there.
func TestWritersHammer(t *testing.T) {
	for _, writers := range []int{2, 5} {
		t.Run(fmt.Sprint(writers), func(t *testing.T) {
			h := newHammering(t, writers)
			h.run(func(context.Context, time.Duration) {})
			h.verify(h.Nodes[6])
		})
	}
}

// TestWritersHammerInTrouble: the same while one server dies and another lies about heads, in each way in turn.
func TestWritersHammerInTrouble(t *testing.T) {
	h := newHammering(t, 5)
	lies := []hostile.Behaviour{hostile.Repeats, hostile.Forgets, hostile.ForgesHeads, hostile.Conflicts, hostile.Lies, hostile.Refuses}
	h.run(func(ctx context.Context, limit time.Duration) {
		tick := time.NewTicker(limit / time.Duration(len(lies)+1))
		defer tick.Stop()
		for i, lie := range lies {
			h.hostile.Become(lie)
			if i == len(lies)/2 {
				h.Nodes[5].Leave()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	h.verify(h.Nodes[6])
}
