package spill

import (
	"context"
	"slices"
	"strings"
	"time"

	"cairn/share"
)

// keeperSuffix makes another owner of an owner, in whose name copies are leased that are to stay in the far store. It is written in the far
// store, so that the copies stay also when nothing is left but that.
const keeperSuffix = "+copy"

func keeperOf(owner string) string { return owner + keeperSuffix }

// isKeeper reports whether an owner is one in whose name copies are kept.
func isKeeper(owner string) bool { return strings.HasSuffix(owner, keeperSuffix) }

// IsCopy reports whether what the far store has, leased by these owners, is a copy that stays there.
func IsCopy(owners []string) bool { return slices.ContainsFunc(owners, isKeeper) }

// kept reports whether leases say that what the far store has of a file is to stay there.
func kept(leases []share.Lease, now time.Time) bool {
	return slices.ContainsFunc(leases, func(l share.Lease) bool { return isKeeper(l.Owner) && l.Expires.After(now) })
}

// Kept reports whether what the far store has of a file is a copy that stays there.
func (s *Store) Kept(ctx context.Context, index share.StorageIndex) (bool, error) {
	leases, err := s.far.Leases(ctx, index)
	return kept(leases, time.Now()), notMissing(err)
}

// renewKept extends what keeps the owner's copies.
func (s *Store) renewKept(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	lease.Owner = keeperOf(lease.Owner)
	var copies []share.StorageIndex
	for _, index := range indexes {
		leases, err := s.far.Leases(ctx, index)
		if err != nil {
			if err = notMissing(err); err != nil {
				return err
			}
			continue
		}
		if slices.ContainsFunc(leases, func(l share.Lease) bool { return l.Owner == lease.Owner }) {
			copies = append(copies, index)
		}
	}
	if len(copies) == 0 {
		return nil
	}
	return notMissing(s.far.Renew(ctx, copies, lease))
}

// withoutKeepers takes the leases that only keep copies out of a list.
func withoutKeepers(leases []share.Lease) []share.Lease {
	return slices.DeleteFunc(leases, func(l share.Lease) bool { return isKeeper(l.Owner) })
}
