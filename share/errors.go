package share

import (
	"errors"
	"fmt"
	"strings"
)

// The errors that Stores and what is built on them return, wrapped with what was being done.
var (
	ErrNotFound = errors.New("not found")
	ErrCorrupt  = errors.New("corrupt")
	ErrNoSpace  = errors.New("no space left")
	ErrReadOnly = errors.New("read-only")
	ErrDenied   = errors.New("refused")
	// ErrQuota says that an account uses as much as it may. Every error that wraps it wraps ErrDenied too.
	ErrQuota    = errors.New("quota reached")
	ErrBusy     = errors.New("busy")
	ErrTooLarge = errors.New("too large")
	ErrClosed   = errors.New("closed")
	// ErrUnavailable says that a server could not be reached or did not answer in time.
	ErrUnavailable = errors.New("unavailable")
	// ErrVersion says that a peer speaks another version of the protocol, or that data was written by a later
	// version of this program.
	ErrVersion = errors.New("unsupported version")
)

// An UnhappyError says that an upload could not be spread over enough servers.
type UnhappyError struct {
	Happiness int // distinct servers on which shares were or could be placed
	Happy     int // how many were wanted
	Needed    int // k: with fewer the file could not be read; Happy is never less
	Servers   int // how many servers were asked
	// Causes are the refusals, one per server that failed.
	Causes []error
}

func (e *UnhappyError) Error() string {
	text := fmt.Sprintf("shares could be placed on %d servers, %d are needed (%d servers known)", e.Happiness, e.Happy, e.Servers)
	if quotas := e.Quotas(); len(quotas) > 0 {
		text += fmt.Sprintf("; %d servers take no more because of a quota", len(quotas))
	}
	return text + told(e.Causes)
}

// Quotas returns the refusals because of a quota, one for each server.
func (e *UnhappyError) Quotas() []*QuotaError {
	var quotas []*QuotaError
	seen := map[ServerID]bool{}
	for _, cause := range e.Causes {
		var quota *QuotaError
		if !errors.As(cause, &quota) {
			continue
		}
		var of interface{ ServerID() ServerID }
		if errors.As(cause, &of) {
			if seen[of.ServerID()] {
				continue
			}
			seen[of.ServerID()] = true
		}
		quotas = append(quotas, quota)
	}
	return quotas
}

// OverQuota reports whether the upload could have been happy but for quotas.
func (e *UnhappyError) OverQuota() bool {
	quotas := len(e.Quotas())
	return quotas > 0 && e.Happiness+quotas >= e.Happy
}

// Unwrap gives access to the refusals.
func (e *UnhappyError) Unwrap() []error { return e.Causes }

// A NotEnoughSharesError says that a file exists but too few of its shares can be reached.
type NotEnoughSharesError struct {
	Index    StorageIndex
	Found    int // distinct good shares found
	Needed   int // k, 0 where it is unknown because no share was found
	Answered int // servers that answered
	Asked    int // servers that were asked
	Causes   []error
}

func (e *NotEnoughSharesError) Error() string {
	found := fmt.Sprintf("%d of the %d shares needed were found", e.Found, e.Needed)
	if e.Needed == 0 { // nobody has told
		found = "no share was found"
	}
	return fmt.Sprintf("%s (%d of %d servers answered)", found, e.Answered, e.Asked) + told(e.Causes)
}

// Unwrap gives access to what went wrong with single shares.
func (e *NotEnoughSharesError) Unwrap() []error { return e.Causes }

// A CorruptShareError blames one server for one share that does not verify. It wraps ErrCorrupt.
type CorruptShareError struct {
	Server  ServerID // empty where it is known which store is meant
	Index   StorageIndex
	Number  Number
	Segment int64 // the first segment affected, -1 when it is the index or the root
	Reason  string
}

func (e *CorruptShareError) Error() string {
	where := "index"
	if e.Segment >= 0 {
		where = fmt.Sprintf("segment %d", e.Segment)
	}
	if e.Server == "" {
		return fmt.Sprintf("share %d: %s: %s", e.Number, where, e.Reason)
	}
	return fmt.Sprintf("share %d on server %s: %s: %s", e.Number, e.Server.Short(), where, e.Reason)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptShareError) Unwrap() error { return ErrCorrupt }

// told returns the first causes as the rest of a sentence.
func told(causes []error) string {
	var texts []string
	for _, cause := range causes[:min(len(causes), 3)] {
		texts = append(texts, cause.Error())
	}
	if len(texts) == 0 {
		return ""
	}
	return ": " + strings.Join(texts, "; ")
}
