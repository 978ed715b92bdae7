package file

import (
	"context"

	"cairn/share"
)

// bulkBytes is how much of a share is gathered for a store that takes many blocks at a time.
const bulkBytes = 2 << 20

// A bulkWriter gathers blocks for a store of this process, which checks and writes many of them at less cost than one after the other. Like a
// remote store, it may report an error of one Append at a later call.
type bulkWriter struct {
	share.Writer
	bulk   share.BulkWriter
	rows   []share.Digest
	blocks []byte
	size   int // bytes of a block of a full segment
}

// inBulk returns a writer that gathers blocks where w takes many at a time and a few of them fit.
func inBulk(w share.Writer, blockSize int) share.Writer {
	bulk, ok := w.(share.BulkWriter)
	if !ok || 2*blockSize > bulkBytes {
		return w
	}
	return &bulkWriter{Writer: w, bulk: bulk, size: blockSize}
}

// Append implements share.Writer.
func (w *bulkWriter) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	if len(block) == 0 {
		if err := w.flush(ctx); err != nil {
			return err
		}
		return w.Writer.Append(ctx, digests, block)
	}
	if w.blocks == nil {
		w.blocks = make([]byte, 0, bulkBytes)
	}
	w.rows, w.blocks = append(w.rows, digests...), append(w.blocks, block...)
	if len(block) < w.size || cap(w.blocks)-len(w.blocks) < w.size {
		return w.flush(ctx)
	}
	return nil
}

// flush appends what was gathered.
func (w *bulkWriter) flush(ctx context.Context) error {
	if len(w.blocks) == 0 {
		return nil
	}
	err := w.bulk.AppendAll(ctx, w.rows, w.blocks)
	w.rows, w.blocks = w.rows[:0], w.blocks[:0]
	return err
}

// Commit implements share.Writer.
func (w *bulkWriter) Commit(ctx context.Context, root []byte) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	return w.Writer.Commit(ctx, root)
}

// Close implements share.Writer. Of an upload that ends in the middle what was gathered is kept.
func (w *bulkWriter) Close() error {
	_ = w.flush(context.Background())
	return w.Writer.Close()
}
