package mutable

import (
	"fmt"
	"time"

	"cairn/share"
	"cairn/share/head"
)

// errUnclear says that nobody within reach knows how versions follow each other.
var errUnclear = fmt.Errorf("%w: the servers that know which version follows which do not answer", share.ErrUnavailable)

// A CollisionError says that somebody else has written a version meanwhile. It wraps a *share.ConflictError. Theirs is what
// most servers hold; Ours is what this writer tried, which Holders servers took before.
type CollisionError struct {
	Theirs  head.Head
	Ours    head.Head
	Holders int
	// Left says that some server may have taken Ours, or may take it yet.
	Left bool
	// Kept, if set, says until when Ours is kept: History lists it to who wrote it, and RestoreHead makes it the newest.
	Kept   time.Time
	record []byte
}

func (e *CollisionError) Error() string {
	text := fmt.Sprintf("%v: version %d of %s was written on %s", share.ErrConflict, e.Theirs.Sequence, e.Theirs.Name,
		e.Theirs.Written.Format("2006-01-02 15:04:05"))
	if !e.Kept.IsZero() {
		text += fmt.Sprintf("; what was to be version %d is kept beside it", e.Ours.Sequence)
	}
	return text
}

// Unwrap returns a *share.ConflictError.
func (e *CollisionError) Unwrap() error {
	return &share.ConflictError{Name: e.Theirs.Name, Record: e.record}
}
