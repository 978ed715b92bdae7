package share

import (
	"context"
	"fmt"
)

// NoLimit is the Limit of a Standing where none is set.
const NoLimit = -1

// An Accounter is a Store that keeps account of what its owners of leases use.
//
// An owner uses the bytes of every share of each file on which it holds a lease, whoever stored the share and whoever
// else holds a lease: each owner counts it whole, and once. A lease that has ended counts as long as the share is held,
// because the space is taken until then. The unfinished uploads of an owner count too: with what they hold, and with
// the whole share from Create until the Writer is closed where the size was announced.
//
// Who set the newest head of a name uses the bytes of all records that are held of the name.
type Accounter interface {
	// Usage returns the bytes used by each owner that uses any.
	Usage(ctx context.Context) (map[string]int64, error)
	// UsageOf returns the bytes used by one owner. It is cheap.
	UsageOf(ctx context.Context, owner string) (int64, error)
	// LeaseCost returns by how many bytes the owner would use more with a lease on each of the indexes. Those on which it
	// holds one, and those of which nothing is held, cost nothing.
	LeaseCost(ctx context.Context, owner string, indexes []StorageIndex) (int64, error)
}

// A Standing is what an account uses at a server and how much it may use there, in bytes of shares.
type Standing struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"` // NoLimit where there is none
}

// Check returns a *QuotaError when the account may not have so many bytes more. What it has may stay: nothing more is
// always allowed, unless it is beyond the limit already.
func (s Standing) Check(asked int64) error {
	if s.Limit == NoLimit || s.Used <= s.Limit && asked <= s.Limit-s.Used {
		return nil
	}
	return &QuotaError{Used: s.Used, Limit: s.Limit, Asked: asked}
}

// A QuotaError says that a server stores no more for an account because of a quota. It wraps ErrQuota and ErrDenied.
type QuotaError struct {
	Used  int64 // bytes that the account uses at the server, unfinished uploads included
	Limit int64 // bytes that it may use there
	Asked int64 // bytes that it wanted beside Used; 0 when they are part of it
}

func (e *QuotaError) Error() string {
	if e.Asked == 0 {
		return fmt.Sprintf("%v: %d of %d bytes used", ErrQuota, e.Used, e.Limit)
	}
	return fmt.Sprintf("%v: %d of %d bytes used, %d more wanted", ErrQuota, e.Used, e.Limit, e.Asked)
}

// Unwrap returns ErrQuota and ErrDenied.
func (e *QuotaError) Unwrap() []error { return []error{ErrQuota, ErrDenied} }
