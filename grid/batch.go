package grid

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// MaxBatchFile is the largest file in bytes that every grid takes in a batch.
const MaxBatchFile = 64 << 10

// PutBatch stores many small files in few exchanges with each server and returns their read capabilities, in the same order.
// They are the ones that Put gives for the same bytes with a Digest: stored again, nothing is sent. A file that is longer than
// MaxBatchFile is ErrTooLarge. An error means that at least one was not stored; it is that of the first of them, and the others
// are stored. Of those that were not, nothing stays leased in the stores of this process that no other upload may count on.
func (g *Grid) PutBatch(ctx context.Context, files [][]byte) ([]capability.Capability, error) {
	servers := g.Servers(ctx)
	params := g.params(share.Params{}, servers)
	blockSize := encoding.BlockSizeFor(params.Total)
	caps := make([]capability.Capability, len(files))
	var small []file.SmallFile
	var at []int
	for i, data := range files {
		switch {
		case len(data) > MaxBatchFile:
			return nil, fmt.Errorf("file %d of the batch: %w: %d bytes, at most %d", i, share.ErrTooLarge, len(data), MaxBatchFile)
		case len(data) <= capability.MaxLiteral:
			literal, err := capability.Literal(data)
			if err != nil {
				return nil, err
			}
			caps[i] = literal
		default:
			key := g.Secret.Convergent(sha256.Sum256(data), params.Needed, params.Total, blockSize)
			small, at = append(small, file.SmallFile{Key: key, Data: data}), append(at, i)
		}
	}
	if len(small) == 0 {
		return caps, nil
	}
	keep, err := g.copies(ctx)
	if err != nil {
		return nil, fmt.Errorf("keep copies: %w", err)
	}
	for _, f := range small {
		if err := g.uses.begin(ctx, f.Key.UploadID()); err != nil {
			return nil, fmt.Errorf("wait for another upload of the same file: %w", err)
		}
		defer g.uses.end(f.Key.UploadID())
	}
	results, err := file.UploadBatch(ctx, servers, small, file.BatchOptions{
		Params: params, BlockSize: blockSize, Owner: g.Owner, Lease: g.leaseTime(), Resume: true, Log: g.Logger, Copy: keep,
		Alone: func(key keys.ReadKey) bool { return g.uses.alone(key.UploadID()) },
	})
	if err != nil {
		if failed, ok := errors.AsType[*file.BatchError](err); ok {
			err = failed.Unwrap()[0]
		}
		return nil, err
	}
	for i, result := range results {
		caps[at[i]] = capability.File(result.Root.StorageIndex(), small[i].Key)
	}
	return caps, nil
}

// GetBatch reads many small immutable files in few exchanges: for each its bytes, or why it cannot be read, in the same order.
// A file that is longer than MaxBatchFile is ErrTooLarge.
func (g *Grid) GetBatch(ctx context.Context, caps []capability.Capability) ([][]byte, []error, error) {
	data, errs := make([][]byte, len(caps)), make([]error, len(caps))
	var refs []file.Ref
	var at []int
	for i, c := range caps {
		if literal, ok := c.Data(); ok {
			data[i] = literal
			continue
		}
		if errs[i] = c.Want(capability.KindFile); errs[i] != nil {
			continue
		}
		index, _ := c.StorageIndex()
		key, _ := c.ReadKey()
		refs, at = append(refs, file.Ref{Index: index, Key: key}), append(at, i)
	}
	if len(refs) == 0 {
		return data, errs, nil
	}
	servers := g.Servers(ctx)
	fetched, err := file.FetchBatch(ctx, servers, refs, file.FetchOptions{
		Params: g.params(share.Params{}, servers), Limit: MaxBatchFile, Find: g.finders, Log: g.Logger,
	})
	for i, f := range fetched {
		data[at[i]], errs[at[i]] = f.Data, f.Err
	}
	return data, errs, err
}
