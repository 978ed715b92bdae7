// Package hostile serves shares the way a peer does that means harm: it speaks the storage protocol, and misbehaves.
//
// Tests of everything that reads from peers or stores on them put such a peer into a grid and say what must happen.
package hostile

import (
	"context"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/p2p/storage"
	"cairn/share"
)

// A Behaviour is one way of misbehaving.
type Behaviour int

// The behaviours. Where nothing else is said a peer is honest in everything else.
const (
	// Honest serves the store as it is.
	Honest Behaviour = iota
	// Lies flips a bit in all the bytes of every answer to a read.
	Lies
	// WrongRoot names another file's root, and says that it holds every share of every file.
	WrongRoot
	// Truncates says that a share ends in the middle of what is read.
	Truncates
	// Breaks ends the stream in the middle of every answer.
	Breaks
	// Stalls takes streams and does nothing with them, for ever.
	Stalls
	// Mute takes everything it is sent and never answers.
	Mute
	// Drips answers with one byte a second.
	Drips
	// Forgets acknowledges uploads, and has nothing afterwards.
	Forgets
	// Claims says that it holds every share of the files it is asked for, and has none.
	Claims
	// Refuses takes all blocks of an upload and refuses to commit it.
	Refuses
	// Garbage answers with bytes that make no sense.
	Garbage
	// Floods sends data that nobody asked for, without end.
	Floods
	// Repeats answers with the first head of a name that it was given, for ever.
	Repeats
	// ForgesHeads answers with heads whose signatures do not match.
	ForgesHeads
	// Conflicts says that every new head collides with one that it makes up.
	Conflicts

	behaviours // how many there are
)

var names = [behaviours]string{
	"honest", "lies", "wrong root", "truncates", "breaks", "stalls", "mute", "drips", "forgets", "claims", "refuses",
	"garbage", "floods", "repeats", "forges heads", "conflicts",
}

// String returns the name of the behaviour.
func (b Behaviour) String() string {
	if b < 0 || b >= behaviours {
		return fmt.Sprintf("behaviour %d", int(b))
	}
	return names[b]
}

// All returns every behaviour but Honest.
func All() []Behaviour {
	out := make([]Behaviour, 0, behaviours-1)
	for b := Honest + 1; b < behaviours; b++ {
		out = append(out, b)
	}
	return out
}

// A Peer is one misbehaving server.
type Peer struct {
	inner  share.Store
	firsts firsts
	ctx    context.Context
	stop   context.CancelFunc

	mu      sync.Mutex // guards what follows
	current *stage
	streams map[network.Stream]struct{}
	group   sync.WaitGroup
}

// A stage is the time during which a peer keeps to one behaviour.
type stage struct {
	behaviour Behaviour
	server    *storage.Server
	handlers  map[string]func(network.Stream)
}

// Handle implements storage.Registrar: the stage keeps the handlers of its server.
func (s *stage) Handle(name string, handler func(network.Stream)) { s.handlers[name] = handler }

// Handle makes the host serve the store with the given behaviour. The peer must be closed before the host.
func Handle(h storage.Registrar, behaviour Behaviour, inner share.Store) *Peer {
	p := &Peer{inner: inner, firsts: firsts{records: make(map[share.Name][]byte)}, streams: make(map[network.Stream]struct{})}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.current = p.newStage(behaviour)
	for _, name := range []string{storage.Ask, storage.Read, storage.Write, storage.Head, storage.Batch} {
		h.Handle(name, func(s network.Stream) { p.serve(name, s) })
	}
	return p
}

func (p *Peer) newStage(behaviour Behaviour) *stage {
	s := &stage{behaviour: behaviour, handlers: make(map[string]func(network.Stream))}
	s.server = storage.NewServer(&store{Store: p.inner, behaviour: behaviour, firsts: &p.firsts}, storage.ServerOptions{})
	s.server.Register(s)
	return s
}

// Become changes the behaviour. Every stream that is open is reset.
func (p *Peer) Become(behaviour Behaviour) {
	next := p.newStage(behaviour)
	p.mu.Lock()
	last := p.current
	p.current = next
	p.resetAll()
	p.mu.Unlock()
	_ = last.server.Close()
}

// Close resets every stream and returns when nothing runs any more.
func (p *Peer) Close() error {
	p.stop()
	p.mu.Lock()
	p.resetAll()
	last := p.current
	p.mu.Unlock()
	err := last.server.Close()
	p.group.Wait()
	return err
}

func (p *Peer) resetAll() {
	for s := range p.streams {
		_ = s.Reset()
	}
}

func (p *Peer) serve(name string, s network.Stream) {
	p.mu.Lock()
	if p.ctx.Err() != nil {
		p.mu.Unlock()
		_ = s.Reset()
		return
	}
	at := p.current
	p.streams[s] = struct{}{}
	p.group.Add(1)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.streams, s)
		p.mu.Unlock()
		p.group.Done()
	}()
	p.misbehave(at, name, s)
}
