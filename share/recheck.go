package share

import "context"

// NoSegment stands for a share's index, with its root, where a segment can be named.
const NoSegment int64 = -1

// A Rechecker is a Store that looks for itself whether a share is damaged when somebody says so.
type Rechecker interface {
	// Recheck reads the block of one segment of a share with the digests that lead from it to the root, or all of the index
	// for NoSegment, and verifies them; of a share that travels whole it reads all. It believes in damage that it finds
	// twice, and nobody's word. A share that is damaged is not held any more when Recheck returns, so that it can be stored
	// again. Recheck reports whether the share is held; an error says that this could not be found out, and changes nothing.
	Recheck(ctx context.Context, index StorageIndex, number Number, segment int64) (held bool, err error)
}

// An Examiner is a Rechecker that is asked by others as often as they like, because looking costs money.
type Examiner interface {
	// Examine is Recheck, but what was found good within the last hour, and is still the same bytes at the same place, is not read
	// again; of several who ask for the same at a time one has it read. It also returns how many bytes were read for it.
	Examine(ctx context.Context, index StorageIndex, number Number, segment int64) (held bool, read int64, err error)
}

// A Staler is a Reader that knows whether another Reader of the same share, opened now, would read something else: the share
// was moved, or stored again after the bytes that this one reads had turned out to be damaged.
type Staler interface {
	Stale() bool
}
