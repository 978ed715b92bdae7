package node

import (
	"context"

	"cairn/share"
	"cairn/share/spill"
)

// A store is where the shares are that a node holds: its disk, or its disk and the bucket behind it.
type store interface {
	spill.Part
	// Each calls fn with every storage index of which shares are held, in order, until fn returns an error.
	Each(ctx context.Context, fn func(share.StorageIndex) error) error
}

// localStore is the node's own disk as uploads of this node use it: like the server for peers, it tells of every share
// that is committed.
type localStore struct {
	store
	committed func(share.StorageIndex)
}

var (
	_ share.Store   = localStore{}
	_ share.Resumer = localStore{}
	_ share.Spacer  = localStore{}

	_ share.Batcher   = localStore{}
	_ share.HeadStore = localStore{}
)

// Create is that of the disk.
func (s localStore) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	w, err := s.store.Create(ctx, upload)
	if err != nil {
		return nil, err
	}
	local := localWriter{w, s.committed}
	if bulk, ok := w.(share.BulkWriter); ok {
		return localBulkWriter{local, bulk}, nil
	}
	return local, nil
}

// Put is that of the disk.
func (s localStore) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	verdicts, err := s.store.Put(ctx, shares, lease)
	for i, verdict := range verdicts {
		if err == nil && verdict == nil {
			s.committed(shares[i].Index)
		}
	}
	return verdicts, err
}

// SetHead is that of the disk.
func (s localStore) SetHead(ctx context.Context, update share.HeadUpdate) error {
	if err := s.store.SetHead(ctx, update); err != nil {
		return err
	}
	for _, whole := range update.Shares {
		s.committed(whole.Index)
	}
	return nil
}

type localWriter struct {
	share.Writer
	committed func(share.StorageIndex)
}

// Commit is that of the disk.
func (w localWriter) Commit(ctx context.Context, root []byte) error {
	if err := w.Writer.Commit(ctx, root); err != nil {
		return err
	}
	w.committed(share.IndexOf(root))
	return nil
}

// A localBulkWriter is the writer of a disk that takes many blocks at a time.
type localBulkWriter struct {
	localWriter
	share.BulkWriter
}
