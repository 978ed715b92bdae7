package testgrid

import (
	"context"
	"fmt"

	"cairn/share"
)

// Heads implements share.HeadStore.
func (p *pausable) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	inner, err := p.headStore(ctx)
	if err != nil {
		return nil, err
	}
	return inner.Heads(ctx, names, shares)
}

// SetHead implements share.HeadStore.
func (p *pausable) SetHead(ctx context.Context, u share.HeadUpdate) error {
	inner, err := p.headStore(ctx)
	if err != nil {
		return err
	}
	return inner.SetHead(ctx, u)
}

// History implements share.HeadStore.
func (p *pausable) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	inner, err := p.headStore(ctx)
	if err != nil {
		return nil, err
	}
	return inner.History(ctx, name, since)
}

// Put implements share.Batcher.
func (p *pausable) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	inner, err := p.batcher(ctx)
	if err != nil {
		return nil, err
	}
	return inner.Put(ctx, shares, lease)
}

// Fetch implements share.Batcher.
func (p *pausable) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	inner, err := p.batcher(ctx)
	if err != nil {
		return nil, err
	}
	return inner.Fetch(ctx, indexes)
}

func (p *pausable) headStore(ctx context.Context) (share.HeadStore, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	if h, ok := p.Store.(share.HeadStore); ok {
		return h, nil
	}
	return nil, fmt.Errorf("heads: %w", share.ErrVersion)
}

func (p *pausable) batcher(ctx context.Context) (share.Batcher, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	if b, ok := p.Store.(share.Batcher); ok {
		return b, nil
	}
	return nil, fmt.Errorf("batch: %w", share.ErrVersion)
}
