package spill

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"cairn/share"
)

// A Late store is one that may not be there yet, such as a bucket that cannot be reached when a node starts. Until Set is called it
// answers share.ErrUnavailable, and offers and counts nothing.
type Late struct {
	// OnWrite, if set before the first use, is told how each attempt to store something in the store ended: with an error, or nil.
	OnWrite func(error)

	inner atomic.Pointer[Part]

	storing sync.RWMutex // read-locked while something is stored for good
	shut    bool         // guarded by storing
}

var _ Part = (*Late)(nil)

// Set says what the store is from now on. It is called once.
func (l *Late) Set(p Part) { l.inner.Store(&p) }

// Shut has the store take nothing new from now on, and with false has it take again. It waits for what is being stored, so that a
// list made afterwards misses nothing.
func (l *Late) Shut(shut bool) {
	l.storing.Lock()
	defer l.storing.Unlock()
	l.shut = shut
}

// store does what makes something stay in the store, unless it is shut.
func (l *Late) store(do func() error) error {
	l.storing.RLock()
	defer l.storing.RUnlock()
	if l.shut {
		return fmt.Errorf("%w: the store was switched off, and is left out from the next start on", share.ErrNoSpace)
	}
	return do()
}

// An asker can tell quickly whether it is there. A Part may be one.
type asker interface {
	// Ask returns an error when what is given to the store now would wait long, and for nothing.
	Ask(ctx context.Context) error
}

// ask returns why nothing can be given to the store now, as far as it can tell.
func (l *Late) ask(ctx context.Context) error {
	p, err := l.part()
	if a, ok := p.(asker); ok && err == nil {
		err = a.Ask(ctx)
	}
	return err
}

func (l *Late) part() (Part, error) {
	if p := l.inner.Load(); p != nil {
		return *p, nil
	}
	return nil, fmt.Errorf("%w: the store has not been opened yet", share.ErrUnavailable)
}

// with does something with the store if it is there.
func with[T any](l *Late, do func(Part) (T, error)) (T, error) {
	p, err := l.part()
	if err != nil {
		var none T
		return none, err
	}
	return do(p)
}

// counted is with for what counts as nothing until the store is there.
func counted[T any](l *Late, do func(Part) (T, error)) (T, error) {
	if p, err := l.part(); err == nil {
		return do(p)
	}
	var none T
	return none, nil
}

// Numbers implements share.Store.
func (l *Late) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	return with(l, func(p Part) ([]share.Held, error) { return p.Numbers(ctx, indexes) })
}

// Open implements share.Store.
func (l *Late) Open(ctx context.Context, index share.StorageIndex, n share.Number) (share.Reader, error) {
	return with(l, func(p Part) (share.Reader, error) { return p.Open(ctx, index, n) })
}

// Create implements share.Store.
func (l *Late) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	var w share.Writer
	err := l.ask(ctx)
	if err == nil {
		err = l.store(func() (err error) {
			w, err = with(l, func(p Part) (share.Writer, error) { return p.Create(ctx, u) })
			return err
		})
	}
	if err != nil {
		return nil, l.told(ctx, err)
	}
	return watchedWriter{w, l}, nil
}

// Renew implements share.Store.
func (l *Late) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	p, err := l.part()
	if err != nil {
		return err
	}
	return p.Renew(ctx, indexes, lease)
}

// Put implements share.Batcher.
func (l *Late) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	var verdicts []error
	err := l.ask(ctx)
	if err == nil {
		err = l.store(func() (err error) {
			verdicts, err = with(l, func(p Part) ([]error, error) { return p.Put(ctx, shares, lease) })
			return err
		})
	}
	_ = l.told(ctx, cmp.Or(err, cmp.Or(verdicts...)))
	return verdicts, err
}

// Fetch implements share.Batcher.
func (l *Late) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	return with(l, func(p Part) ([][]share.WholeShare, error) { return p.Fetch(ctx, indexes) })
}

// Heads implements share.HeadStore.
func (l *Late) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	return with(l, func(p Part) ([]share.HeldHead, error) { return p.Heads(ctx, names, shares) })
}

// SetHead implements share.HeadStore.
func (l *Late) SetHead(ctx context.Context, u share.HeadUpdate) error {
	p, err := l.part()
	if err != nil {
		return err
	}
	if err = l.ask(ctx); err == nil {
		err = l.store(func() error { return p.SetHead(ctx, u) })
	}
	return l.told(ctx, err)
}

// History implements share.HeadStore.
func (l *Late) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	return with(l, func(p Part) ([][]byte, error) { return p.History(ctx, name, since) })
}

// Uploads implements share.Resumer.
func (l *Late) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	return with(l, func(p Part) ([]share.Progress, error) { return p.Uploads(ctx, owner, id) })
}

// Space implements share.Spacer.
func (l *Late) Space(ctx context.Context) (share.Space, error) {
	return counted(l, func(p Part) (share.Space, error) { return p.Space(ctx) })
}

// Usage implements share.Accounter.
func (l *Late) Usage(ctx context.Context) (map[string]int64, error) {
	return counted(l, func(p Part) (map[string]int64, error) { return p.Usage(ctx) })
}

// UsageOf implements share.Accounter.
func (l *Late) UsageOf(ctx context.Context, owner string) (int64, error) {
	return counted(l, func(p Part) (int64, error) { return p.UsageOf(ctx, owner) })
}

// LeaseCost implements share.Accounter.
func (l *Late) LeaseCost(ctx context.Context, owner string, indexes []share.StorageIndex) (int64, error) {
	return counted(l, func(p Part) (int64, error) { return p.LeaseCost(ctx, owner, indexes) })
}

// List implements share.Mover.
func (l *Late) List(ctx context.Context, after share.StorageIndex, limit int) ([]share.StorageIndex, error) {
	return with(l, func(p Part) ([]share.StorageIndex, error) { return p.List(ctx, after, limit) })
}

// Each calls fn with every storage index of which shares are held, in order, until fn returns an error.
func (l *Late) Each(ctx context.Context, fn func(share.StorageIndex) error) error {
	return each(ctx, l, fn)
}

// Leases implements share.Mover.
func (l *Late) Leases(ctx context.Context, index share.StorageIndex) ([]share.Lease, error) {
	return with(l, func(p Part) ([]share.Lease, error) { return p.Leases(ctx, index) })
}

// Drop implements share.Mover.
func (l *Late) Drop(ctx context.Context, index share.StorageIndex, numbers []share.Number) error {
	p, err := l.part()
	if err != nil {
		return err
	}
	return p.Drop(ctx, index, numbers)
}

// Recheck implements share.Rechecker.
func (l *Late) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (bool, error) {
	return with(l, func(p Part) (bool, error) { return p.Recheck(ctx, index, number, segment) })
}

// Examine implements share.Examiner.
func (l *Late) Examine(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, read int64, err error) {
	p, err := l.part()
	if err != nil {
		return false, 0, err
	}
	return examine(ctx, p, index, number, segment)
}

// Release implements share.Mover.
func (l *Late) Release(ctx context.Context, owner string, indexes []share.StorageIndex) error {
	p, err := l.part()
	if err != nil {
		return err
	}
	return p.Release(ctx, owner, indexes)
}

// mover returns the store as one from which names can be moved, and false when it is none.
func (l *Late) mover() (share.NameMover, bool, error) {
	p, err := l.part()
	if err != nil {
		return nil, false, err
	}
	m, ok := p.(share.NameMover)
	return m, ok, nil
}

// Names implements share.NameMover. A store that is none shows none.
func (l *Late) Names(ctx context.Context, after share.Name, limit int) ([]share.Name, error) {
	m, ok, err := l.mover()
	if !ok {
		return nil, err
	}
	return m.Names(ctx, after, limit)
}

// Updates implements share.NameMover.
func (l *Late) Updates(ctx context.Context, name share.Name) ([]share.HeadUpdate, error) {
	m, ok, err := l.mover()
	if !ok {
		return nil, cmp.Or(err, share.ErrNotFound)
	}
	return m.Updates(ctx, name)
}

// DropName implements share.NameMover.
func (l *Late) DropName(ctx context.Context, name share.Name, newest share.Digest) error {
	m, ok, err := l.mover()
	if !ok {
		return err
	}
	return m.DropName(ctx, name, newest)
}
