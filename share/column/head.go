package column

import (
	"fmt"
	"time"

	"cairn/share"
)

// CheckUpdate returns ErrTooLarge for an update beyond the bounds of heads and batches, ErrDenied for one whose lease
// CheckLease refuses, and the error of CheckWhole for its first share that does not verify. It does not look into the record.
func CheckUpdate(u share.HeadUpdate, now time.Time) error {
	switch {
	case len(u.Record) > share.MaxHeadRecord:
		return fmt.Errorf("head: %w: a record of %d bytes, at most %d", share.ErrTooLarge, len(u.Record), share.MaxHeadRecord)
	case len(u.Adds) > share.MaxHeadIndexes || len(u.Drops) > share.MaxHeadIndexes:
		return fmt.Errorf("head: %w: %d files added and %d dropped, at most %d each", share.ErrTooLarge,
			len(u.Adds), len(u.Drops), share.MaxHeadIndexes)
	}
	if err := CheckBatch(u.Shares); err != nil {
		return err
	}
	if err := CheckLease(u.Lease, now); err != nil {
		return err
	}
	for i, s := range u.Shares {
		if _, err := CheckWhole(s); err != nil {
			return fmt.Errorf("share %d of %d: %w", i+1, len(u.Shares), err)
		}
	}
	return nil
}

// Kept returns how many past versions of a name stay, given when each of them was replaced, the newest first.
func Kept(r share.Retention, replaced []time.Time, now time.Time) int {
	kept := 0
	for kept < len(replaced) && kept+1 < share.MaxHistory && (kept+1 < r.Versions || now.Sub(replaced[kept]) < r.Age) {
		kept++
	}
	return kept
}
