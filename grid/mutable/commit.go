package mutable

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cairn/grid/placement"
	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/head"
)

// maxRounds bounds how often a write goes around its servers.
const maxRounds = 6

// A target is one head server during a write.
type target struct {
	server   headServer
	numbers  []share.Number // of the shares it is to get
	replaces share.Digest   // what it holds
	record   []byte         // of a conflict; nil where it holds none
	theirs   head.Head      // parsed
	// showed are the heads that it was seen to hold, and held is the highest sequence that it may have held before it took this one.
	showed   map[share.Digest]bool
	held     uint64
	drops    []share.StorageIndex
	diverged bool // it held something that the version does not follow
	state    state
	late     bool
	again    bool // it was asked once more after its connection broke
	err      error
}

// A state is how far a target is.
type state int

const (
	idle state = iota
	sent
	acknowledged
	conflicting
	failed
)

// A reply is a server's answer to one head.
type reply struct {
	t      *target
	digest share.Digest
	err    error
}

// A commit sets the head of a new version on its head servers. It is used from one goroutine.
type commit struct {
	*write
	head    head.Head
	record  []byte
	mine    map[share.Digest]bool // heads that this commit has signed
	known   *lineage              // nil until somebody has to be asked
	needed  []share.StorageIndex  // all that the version needs; nil until somebody has to be told
	targets []*target
	places  []placement.Server
	placed  map[share.ServerID][]share.Number // acknowledged

	ctx     context.Context // of what is under way, which may outlive Write
	cancel  context.CancelFunc
	sending sync.WaitGroup
	replies chan reply
	pending int
}

// commit sets the head and returns the version.
func (w *write) commit(ctx context.Context) (*Version, error) {
	c := &commit{
		write: w, mine: map[share.Digest]bool{}, placed: map[share.ServerID][]share.Number{},
		replies: make(chan reply, len(w.servers)*(maxRounds+1)), // each is asked once more
	}
	if err := c.plan(); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	parents, ties := w.parents()
	if err := c.sign(w.sequence(), parents, ties); err != nil {
		c.end()
		return nil, err
	}
	if err := c.run(ctx); err != nil {
		c.end()
		if !w.keep(ctx, err) {
			c.m.leave(c.name, w.root)
		}
		return nil, err
	}
	v := c.version()
	c.finish()
	return v, nil
}

// run goes around the servers until the version is acknowledged by enough of them.
func (c *commit) run(ctx context.Context) error {
	for range maxRounds {
		for _, t := range c.targets {
			if t.state == idle {
				c.send(t)
			}
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
		if !c.enough() {
			c.cover(ctx)
		}
		again, err := c.resolve(ctx)
		if err != nil || !again {
			return err
		}
	}
	if c.enough() {
		return nil
	}
	return c.unhappy()
}

// plan decides which server gets which share.
func (c *commit) plan() error {
	var size int64
	for _, p := range c.parcels {
		size += int64(len(p.Shares[0]))
	}
	for _, s := range c.servers {
		t := &target{server: s, replaces: c.base.Head.Digest, held: c.base.Head.Sequence, showed: map[share.Digest]bool{}}
		if held, known := c.base.held[s.ID]; known {
			t.replaces, t.held, t.showed[held.Digest] = held.Digest, max(t.held, held.Sequence), true
		}
		if s.Down {
			t.state, t.err = failed, errNoAnswer
		} else {
			c.places = append(c.places, placement.Server{ID: s.ID, Free: s.Free, Refused: s.Refused, Last: s.Last})
		}
		c.targets = append(c.targets, t)
	}
	plan, err := placement.New(c.name[:], c.params, size, c.places)
	if err != nil && c.base.Head.Sequence > 0 {
		// Servers without room may still take what replaces as much. They are asked: it may be that somebody removes things.
		for i := range c.places {
			c.places[i].Free = max(c.places[i].Free, size)
		}
		plan, err = placement.New(c.name[:], c.params, size, c.places)
	}
	if err != nil {
		return err
	}
	for number := range c.params.Total {
		if id, ok := plan.Assign[share.Number(number)]; ok {
			t := c.target(id)
			t.numbers = append(t.numbers, share.Number(number))
		}
	}
	return nil
}

func (c *commit) target(id share.ServerID) *target {
	return c.targets[slices.IndexFunc(c.targets, func(t *target) bool { return t.server.ID == id })]
}

func (c *commit) sign(sequence uint64, parents []share.Digest, ties []head.Tie) error {
	h := head.Head{Sequence: sequence, Root: c.root, Parents: parents, Ties: ties, Written: time.Now(), Keep: c.o.Retention, Ended: c.o.Ended}
	h.Keep.Age = h.Keep.Age.Truncate(time.Millisecond)
	if h.Keep == share.DefaultRetention {
		h.Keep = share.Retention{} // earlier programs read such a record
	}
	if sequence == 1 {
		h.Parents, h.Ties = nil, nil
	}
	record, err := head.Sign(c.key.Signer(), h)
	if err != nil {
		return err
	}
	c.record = record
	c.head, err = head.Parse(c.name, record)
	c.mine[c.head.Digest] = true
	return err
}

// send gives the head and its shares to one server.
func (c *commit) send(t *target) {
	update := share.HeadUpdate{
		Name: c.name, Record: c.record, Replaces: t.replaces, Shares: c.sharesOf(t.numbers), Adds: c.adds,
		Drops: slices.Concat(c.drops, t.drops, c.m.left(c.name)), Retention: c.o.Retention, Lease: c.m.lease(),
	}
	if t.diverged && c.needed != nil {
		update.Adds = c.needed
	}
	update.Adds = distinct(update.Adds, nil)
	update.Drops = distinct(update.Drops, update.Adds)
	digest := c.head.Digest
	t.state, t.late = sent, false
	c.pending++
	c.sending.Go(func() {
		ctx, cancel := awake.WithTimeout(c.ctx, writeTimeout)
		defer cancel()
		c.replies <- reply{t, digest, inTime(ctx, t.server.heads.SetHead(ctx, update))}
	})
}

// distinct returns each index once, without those that are excepted and within the bound of a HeadUpdate.
func distinct(indexes, except []share.StorageIndex) []share.StorageIndex {
	seen := make(map[share.StorageIndex]bool, len(indexes)+len(except))
	for _, index := range except {
		seen[index] = true
	}
	var out []share.StorageIndex
	for _, index := range indexes {
		if !seen[index] && len(out) < share.MaxHeadIndexes {
			seen[index] = true
			out = append(out, index)
		}
	}
	return out
}

func (c *commit) sharesOf(numbers []share.Number) []share.WholeShare {
	var shares []share.WholeShare
	for _, p := range c.parcels {
		for _, number := range numbers {
			shares = append(shares, share.WholeShare{Index: p.Index, Number: number, Data: p.Shares[number]})
		}
	}
	return shares
}

// take records a reply.
func (c *commit) take(r reply) {
	t := r.t
	c.pending--
	conflict, conflicts := errors.AsType[*share.ConflictError](r.err)
	switch {
	case r.err == nil:
		t.replaces, t.state = r.digest, acknowledged
		c.placed[t.server.ID] = t.numbers
		if r.digest != c.head.Digest {
			t.state = idle // what it took is not the newest any more
		}
	case conflicts:
		t.state, t.err, t.record, t.theirs = conflicting, r.err, conflict.Record, head.Head{}
		if conflict.Record != nil {
			var err error
			if t.theirs, err = head.Parse(c.name, conflict.Record); err != nil {
				t.state, t.err = failed, err
			}
		}
		t.showed[t.theirs.Digest] = true
		if t.state == conflicting && c.mine[t.theirs.Digest] {
			t.replaces, t.state = t.theirs.Digest, idle
			if t.theirs.Digest == c.head.Digest {
				t.state = acknowledged
				c.placed[t.server.ID] = t.numbers
			}
		}
	case errors.Is(r.err, share.ErrUnavailable) && !errors.Is(r.err, errNoAnswer) && !t.again && c.ctx.Err() == nil:
		t.again = true
		c.send(t) // a connection that broke says nothing of the server
		return
	default:
		t.state, t.err = failed, r.err
	}
	if t.state == failed && c.ctx.Err() == nil {
		c.m.env.Logger.Warn("a server did not take a version", "server", t.server.String(), "name", c.name.String(),
			"version", c.head.Sequence, "error", t.err)
	}
}

// wait takes replies until all are there, or enough and the others had a fair time.
func (c *commit) wait(ctx context.Context) error {
	begun := time.Now()
	patient := awake.NewTimer(patience)
	defer patient.Stop()
	var grace <-chan time.Time
	for c.pending > 0 {
		if grace == nil && c.enough() {
			wait := max(minGrace, time.Since(begun))
			if c.m.env.Background == nil {
				wait = patience
			}
			timer := time.NewTimer(wait)
			defer timer.Stop()
			grace = timer.C
		}
		select {
		case r := <-c.replies:
			c.take(r)
		case <-grace:
			return nil
		case <-patient.C:
			if c.beLate(ctx) {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// beLate goes on without the servers that have not answered for long, and reports whether that leads on.
func (c *commit) beLate(ctx context.Context) bool {
	for _, t := range c.targets {
		t.late = t.late || t.state == sent
	}
	if !c.enough() {
		c.cover(ctx)
	}
	return c.enough() || slices.ContainsFunc(c.targets, func(t *target) bool { return t.state == conflicting || t.state == idle })
}

// count returns how many targets are in a state.
func (c *commit) count(s state) int {
	n := 0
	for _, t := range c.targets {
		if t.state == s {
			n++
		}
	}
	return n
}

// answering returns how many servers have answered or may be about to.
func (c *commit) answering() int {
	n := 0
	for _, t := range c.targets {
		if t.state == failed && errors.Is(t.err, share.ErrUnavailable) || t.late && t.state == sent {
			continue
		}
		n++
	}
	return n
}

// enough reports whether the version counts as written.
func (c *commit) enough() bool {
	acks := c.count(acknowledged)
	return acks >= c.params.Happy && 2*acks > c.answering() && c.happiness() >= c.params.Happy
}

// happiness is that of the shares which travel with the head; those of a large version were placed before.
func (c *commit) happiness() int {
	if len(c.parcels) == 0 {
		return c.params.Happy
	}
	return placement.Happiness(c.placed)
}

// version returns what was written.
func (c *commit) version() *Version {
	v := &Version{
		Head: c.head, Size: c.size, m: c.m, key: c.read, data: c.data, top: c.head.Sequence, Confirmed: true,
		follows: map[share.Digest]bool{c.base.Head.Digest: true},
	}
	for digest := range c.mine {
		v.follows[digest] = true
	}
	c.m.remember(c.head)
	c.m.swept(c.name)
	return v
}

// end stops what is under way and waits for it.
func (c *commit) end() {
	c.cancel()
	c.sending.Wait()
}

// closingTime is how long servers that have not answered may take when the background ends.
const closingTime = time.Second

// finish lets the servers that have not answered go on where that is possible without the caller.
func (c *commit) finish() {
	if c.pending == 0 || c.m.env.Background == nil {
		c.end()
		return
	}
	c.m.env.Background(func(ctx context.Context) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.sending.Wait()
		}()
		select {
		case <-done:
		case <-ctx.Done():
			timer := time.AfterFunc(closingTime, c.cancel)
			<-done
			timer.Stop()
		}
		c.cancel()
	})
}

// unhappy returns the error for too few acknowledgements.
func (c *commit) unhappy() error {
	e := &share.UnhappyError{
		Happiness: min(c.count(acknowledged), c.happiness()), Happy: c.params.Happy, Needed: c.params.Needed, Servers: len(c.targets),
	}
	for _, t := range c.targets {
		switch t.state {
		case failed, conflicting:
			e.Causes = append(e.Causes, &ServerError{t.server.Server, t.err})
		case sent:
			e.Causes = append(e.Causes, &ServerError{t.server.Server, errNoAnswer})
		}
	}
	return e
}

// leave notes that a version was refused, left returns what is to be dropped because of that, and swept that it was.
func (m *Files) leave(name share.Name, root share.StorageIndex) {
	const keep = 64
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.litter[name]) < keep {
		m.litter[name] = append(m.litter[name], root)
	}
}

func (m *Files) left(name share.Name) []share.StorageIndex {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.litter[name])
}

func (m *Files) swept(name share.Name) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.litter, name)
	delete(m.suspects, name)
}

// suspect has the next reads take a head for one that may have been acknowledged, isSuspect says whether it is one.
func (m *Files) suspect(h head.Head) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.suspects[h.Name] == nil {
		m.suspects[h.Name] = map[share.Digest]bool{}
	}
	m.suspects[h.Name][h.Digest] = true
}

func (m *Files) isSuspect(h head.Head) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.suspects[h.Name][h.Digest]
}
