// Package predicate is the language of find(1): tests of what is found, joined by operators, and what is done to it.
package predicate

import (
	"errors"
	"time"
)

// A Type says what a thing is.
type Type byte

// The types, by the letters of -type.
const (
	File      Type = 'f'
	Directory Type = 'd'
	Link      Type = 'l'
	Other     Type = '?'
)

// A Thing is something that was found.
type Thing struct {
	Path, Name string
	Type       Type
	Size       int64     // negative where it is unknown
	Modified   time.Time // zero where it is unknown
	Executable bool
	Empty      bool // a file without contents, or a directory with nothing in it
}

// Actions are what can be done to a thing. Each returns whether it went well; an error ends everything.
type Actions interface {
	Print(t Thing, zero bool) error
	Delete(t Thing) (bool, error)
	// Execute runs a command, in which {} stands for the path.
	Execute(t Thing, command []string) (bool, error)
	// Gather notes a path for a command that is run on many at once. The command is the same slice each time.
	Gather(t Thing, command []string) error
}

// An Expression is what was asked for. It may be used again and again, from one goroutine at a time.
type Expression struct {
	// MinDepth and MaxDepth bound how many directories below where it begins a thing is; a negative MaxDepth is no bound.
	MinDepth, MaxDepth int
	// Inward says that what is in a directory comes before it.
	Inward bool
	// Changes says that something may be done to what is found other than printing it.
	Changes bool
	// Empties says that it is asked whether directories are empty.
	Empties bool

	root   term
	pruned bool // -prune stands somewhere
}

// An Outcome says how to go on behind a thing.
type Outcome struct {
	Matched bool
	Prune   bool // leave out what is in it
	Quit    bool // end here
}

// Apply tests a thing and does what is to be done to it.
func (x *Expression) Apply(t Thing, do Actions) (Outcome, error) {
	r := &run{thing: t, do: do}
	matched := x.root(r)
	return Outcome{Matched: matched, Prune: r.prune && !x.Inward, Quit: r.quit}, r.err
}

// A run is one application to a thing.
type run struct {
	thing       Thing
	do          Actions
	prune, quit bool
	err         error
}

// over reports whether nothing more is to be done.
func (r *run) over() bool { return r.quit || r.err != nil }

// A term is a part of an expression.
type term func(*run) bool

func and(terms []term) term {
	return func(r *run) bool {
		for _, t := range terms {
			if r.over() || !t(r) {
				return false
			}
		}
		return true
	}
}

func or(terms []term) term {
	return func(r *run) bool {
		for _, t := range terms {
			if !r.over() && t(r) {
				return true
			}
		}
		return false
	}
}

// list applies all, and is the last one.
func list(terms []term) term {
	return func(r *run) (last bool) {
		for _, t := range terms {
			if !r.over() {
				last = t(r)
			}
		}
		return last
	}
}

func not(t term) term { return func(r *run) bool { return !t(r) } }

// did keeps the error of something that was done.
func (r *run) did(ok bool, err error) bool {
	r.err = errors.Join(r.err, err)
	return ok && err == nil
}
