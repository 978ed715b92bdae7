package share

import "context"

// A Mover is a Store from which shares can be moved to another one: it tells what it holds and for whom, and lets go of a
// single share once another Store has it.
type Mover interface {
	// List returns the storage indexes of which shares are held, ascending, those after the given one and at most limit of
	// them. Shares that come or go meanwhile may be missed or told.
	List(ctx context.Context, after StorageIndex, limit int) ([]StorageIndex, error)
	// Leases returns the leases on a storage index. It returns ErrNotFound when no share of it is held.
	Leases(ctx context.Context, index StorageIndex) ([]Lease, error)
	// Drop removes shares of one file at once, whatever leases are on it; those go with the last share. Numbers that are not
	// held are passed over. Nil means that the shares are gone also after a crash.
	Drop(ctx context.Context, index StorageIndex, numbers []Number) error
	Releaser
}

// A Releaser is a Store in which an owner can end leases before their time.
type Releaser interface {
	// Release ends the owner's lease on each of the indexes, as a version does that falls out of its retention: a share on which no
	// lease is left is deleted a day later, and a lease that comes before that keeps it. Where the owner has none it does nothing.
	Release(ctx context.Context, owner string, indexes []StorageIndex) error
}

// A NameMover is a HeadStore from which names can be moved to another one.
type NameMover interface {
	// Names returns the names of which a head is held, ascending, those after the given one and at most limit of them. Names
	// that come or go meanwhile may be missed or told.
	Names(ctx context.Context, after Name, limit int) ([]Name, error)
	// Updates returns what made what is held of a name, the oldest version first and without shares: given to another HeadStore that holds
	// nothing of the name, one after the other, they make it hold the same. It returns ErrNotFound when nothing is held.
	Updates(ctx context.Context, name Name) ([]HeadUpdate, error)
	// DropName removes a name with all its versions, if its newest record has the digest; otherwise it returns a *ConflictError.
	// Leases on files stay. A name that is not held is gone already. Nil means that the name is gone also after a crash.
	DropName(ctx context.Context, name Name, newest Digest) error
}

// A ReleaseTeller is a HeadStore that tells which leases end because a version fell out of its retention, those on files that
// it does not hold included: another Store may hold them for the same owner.
type ReleaseTeller interface {
	// OnRelease sets who is told; nil for nobody. The function returns at once and does not call the Store.
	OnRelease(tell func(owner string, index StorageIndex))
}

// A NameKeeper is a HeadStore that forgets a name on which no lease is left once no share of its file is held.
type NameKeeper interface {
	// HeldElsewhere sets who is asked whether another Store holds shares of a file, so that a name stays as long as its file; nil
	// for nobody. The function does not call the Store.
	HeldElsewhere(ask func(StorageIndex) bool)
}
