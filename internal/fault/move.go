package fault

import (
	"context"

	"cairn/share"
)

// Operations of a share.Mover, as an Injector counts them.
const (
	OpList    = "list"
	OpLeases  = "leases"
	OpDrop    = "drop"
	OpRelease = "release"

	OpNames    = "names"
	OpUpdates  = "updates"
	OpDropName = "drop name"
)

// A moveStore is a headStore from which shares can be moved. Its account is not counted as operations.
type moveStore struct {
	*headStore
	share.Accounter
	mover share.Mover
}

// Recheck is not counted as an operation.
func (s *moveStore) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, err error) {
	rechecker, ok := s.mover.(share.Rechecker)
	if !ok {
		return false, share.ErrDenied
	}
	return rechecker.Recheck(ctx, index, number, segment)
}

func (s *moveStore) List(ctx context.Context, after share.StorageIndex, limit int) ([]share.StorageIndex, error) {
	if err := s.in.Step(ctx, OpList); err != nil {
		return nil, err
	}
	return s.mover.List(ctx, after, limit)
}

func (s *moveStore) Leases(ctx context.Context, index share.StorageIndex) ([]share.Lease, error) {
	if err := s.in.Step(ctx, OpLeases); err != nil {
		return nil, err
	}
	return s.mover.Leases(ctx, index)
}

func (s *moveStore) Drop(ctx context.Context, index share.StorageIndex, numbers []share.Number) error {
	if err := s.in.Step(ctx, OpDrop); err != nil {
		return err
	}
	return s.mover.Drop(ctx, index, numbers)
}

func (s *moveStore) Release(ctx context.Context, owner string, indexes []share.StorageIndex) error {
	if err := s.in.Step(ctx, OpRelease); err != nil {
		return err
	}
	return s.mover.Release(ctx, owner, indexes)
}

// A nameStore is a moveStore from which names can be moved.
type nameStore struct {
	*moveStore
	names share.NameMover
}

func (s *nameStore) Names(ctx context.Context, after share.Name, limit int) ([]share.Name, error) {
	if err := s.in.Step(ctx, OpNames); err != nil {
		return nil, err
	}
	return s.names.Names(ctx, after, limit)
}

func (s *nameStore) Updates(ctx context.Context, name share.Name) ([]share.HeadUpdate, error) {
	if err := s.in.Step(ctx, OpUpdates); err != nil {
		return nil, err
	}
	return s.names.Updates(ctx, name)
}

func (s *nameStore) DropName(ctx context.Context, name share.Name, newest share.Digest) error {
	if err := s.in.Step(ctx, OpDropName); err != nil {
		return err
	}
	return s.names.DropName(ctx, name, newest)
}
