package main

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync"

	"cairn/node/control"
	"cairn/node/localtree"
	"cairn/share"
	"cairn/share/capability"
)

// places are the directories that a copy goes to, by the paths of what is copied (as in localtree.Entry). Each is looked for once, from
// the directory above it. It is safe for concurrent use.
type places struct {
	client *control.Client
	shut   []string   // names at the top that are not copied to
	mu     sync.Mutex // guards what follows
	known  map[string]destination
}

// A destination is where a directory is, or is to be.
type destination struct {
	target string // empty for one that is not there yet, and gets its name later
	there  bool
}

// newPlaces returns the places of a copy whose top is a target.
func newPlaces(client *control.Client, target string) *places {
	return &places{client: client, known: map[string]destination{".": {target: target, there: true}}}
}

func (p *places) set(at string, d destination) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[at] = d
}

func (p *places) get(at string) (destination, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.known[at]
	return d, ok
}

var errFileThere = errors.New("there is a file of that name, which a directory does not replace")

// find returns where the directory at a path is. Where there can be none the error is a localtree.Problem.
func (p *places) find(ctx context.Context, at string) (destination, error) {
	var names []string // below the one that is known
	from := at
	d, ok := p.get(from)
	for ; !ok; d, ok = p.get(from) {
		names = append(names, path.Base(from))
		from = path.Dir(from)
	}
	for i := len(names) - 1; i >= 0; i-- {
		if from == "." && slices.Contains(p.shut, names[i]) {
			return d, localtree.Problem{Path: names[i], Err: control.ErrInternals}
		}
		from = path.Join(from, names[i])
		if d.there {
			var err error
			if d, err = p.look(ctx, below(d.target, names[i])); errors.Is(err, errFileThere) || errors.Is(err, share.ErrReadOnly) || errors.Is(err, capability.ErrAuthority) {
				err = localtree.Problem{Path: from, Err: err}
			}
			if err != nil {
				return d, err
			}
		}
		p.set(from, d)
	}
	return d, nil
}

// look looks for a directory that can be changed.
func (p *places) look(ctx context.Context, target string) (destination, error) {
	e, err := lookup(ctx, p.client, target)
	switch {
	case errors.Is(err, share.ErrNotFound):
		return destination{}, nil
	case err != nil:
		return destination{}, err
	case !e.Directory():
		return destination{}, errFileThere
	}
	return destination{target: e.Capability, there: true}, mayChange(e)
}
