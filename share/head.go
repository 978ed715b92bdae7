package share

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of heads.
const (
	// MaxHeadRecord is the longest signed record of a head in bytes.
	MaxHeadRecord = 2 << 10
	// MaxHeadNames is how many names one question may have.
	MaxHeadNames = 256
	// MaxHeadIndexes is how many files one version may add, and how many it may drop.
	MaxHeadIndexes = 4096
	// MaxHistory is how many versions of a name a Store keeps, whatever the writer asks for.
	MaxHistory = 1000
)

// A Retention says which past versions of a name a writer wants kept: those that are among the newest Versions, and
// those that were replaced less than Age ago. The newest version is always kept.
type Retention struct {
	Versions int
	Age      time.Duration
}

// Bounds of an Age that a writer may ask for. What was replaced a moment ago tells readers which versions follow which.
const (
	MinRetentionAge = time.Hour
	MaxRetentionAge = 36500 * 24 * time.Hour
)

// Check returns an error that says what a writer may ask for instead, where that is not this.
func (r Retention) Check() error {
	switch {
	case r.Versions < 1 || r.Versions > MaxHistory:
		return fmt.Errorf("%d versions: want 1 to %d", r.Versions, MaxHistory)
	case r.Age < MinRetentionAge || r.Age > MaxRetentionAge:
		return errors.New("a version can be kept for 1h to 36500d")
	}
	return nil
}

// DefaultRetention is which past versions are kept where nobody asked for anything else.
var DefaultRetention = Retention{Versions: 10, Age: 7 * 24 * time.Hour}

// A HeadUpdate is the next version of a mutable name, as a writer gives it to one Store.
type HeadUpdate struct {
	Name Name
	// Record is the signed head (package share/head).
	Record []byte
	// Replaces is the SHA-256 digest of the record that the Store holds now, as far as the writer knows; zero when it
	// holds none.
	Replaces Digest
	// Shares are small shares that the version needs and that this Store is to keep.
	Shares []WholeShare
	// Adds are the files that belong to this version and not to the one before, those of Shares and those that were
	// stored by other means alike; Drops are those that belong to the version before and no longer to this one.
	Adds, Drops []StorageIndex
	// Retention holds where the record does not say itself what is to be kept.
	Retention Retention
	Lease     Lease
}

// A HeldHead is what a Store holds of a name.
type HeldHead struct {
	// Record is the newest head, nil when the Store holds none. It is a claim: the caller verifies the signature.
	Record []byte
	// Shares are the shares of the head's file that the Store holds, where they were asked for and are small.
	Shares []WholeShare
}

// A HeadStore is a Store that keeps signed heads of mutable names. It understands nothing of a version but its
// signature, its sequence and which files belong to it.
type HeadStore interface {
	// Heads returns what is held of each name, in the same order, with the small shares of the heads' files if shares is set.
	Heads(ctx context.Context, names []Name, shares bool) ([]HeldHead, error)
	// SetHead stores a version's shares and its head in one step: after a crash both are there or neither is the
	// newest. It returns a *ConflictError when the Store holds another record than Replaces or one whose sequence is not
	// lower, ErrCorrupt when the record's signature or a share does not verify, ErrTooLarge for what exceeds a bound, and
	// ErrNoSpace, ErrQuota, ErrReadOnly or ErrDenied. Giving a record that the Store holds already, as the newest or as a past
	// one, succeeds and changes nothing, except that the lease on the name may become longer; it is then that of who asked.
	//
	// The owner gets the lease on Shares, and on what of Adds is held already. What a version drops keeps its lease while
	// the version before it is within Retention, and loses the owner's lease afterwards, unless a later version has added it
	// again. The Retention of the newest version holds for all of them.
	SetHead(ctx context.Context, update HeadUpdate) error
	// History returns the records that are held of a name and whose sequence is since or higher, newest first. A Store behind an older
	// protocol may give those below as well.
	History(ctx context.Context, name Name, since uint64) ([][]byte, error)
}

// ErrConflict says that something was changed by somebody else meanwhile.
var ErrConflict = errors.New("changed meanwhile")

// ErrExists says that there is something under the name already.
var ErrExists = errors.New("exists already")

// A ConflictError says that a name has another head than the writer thought. It wraps ErrConflict.
type ConflictError struct {
	Name Name
	// Record is the head that is there; nil when there is none.
	Record []byte
}

func (e *ConflictError) Error() string {
	if e.Record == nil {
		return fmt.Sprintf("%v: %s has no head here", ErrConflict, e.Name)
	}
	return fmt.Sprintf("%v: %s has another head", ErrConflict, e.Name)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// ErrRollback says that only an older version of something can be found than one that was seen before.
var ErrRollback = errors.New("older than what was seen before")

// A RollbackError says that the newest head within reach is older than one that this node has seen. It wraps ErrRollback.
type RollbackError struct {
	Name  Name
	Found uint64 // the highest sequence within reach, 0 when there is none
	Seen  uint64 // the highest sequence ever seen
}

func (e *RollbackError) Error() string {
	if e.Found == 0 {
		return fmt.Sprintf("none of the servers that answer has it, although version %d of %s was seen before; the servers that have it may be off line", e.Seen, e.Name)
	}
	return fmt.Sprintf("version %d is %v: version %d of %s; the servers that have it may be off line", e.Found, ErrRollback, e.Seen, e.Name)
}

// Unwrap returns ErrRollback.
func (e *RollbackError) Unwrap() error { return ErrRollback }
