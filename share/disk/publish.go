package disk

import (
	"bytes"
	"context"
	"fmt"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// InlineMax is the size of the largest share in bytes that an upload puts into the journal; larger ones are files. What
// comes whole is in the journal whatever its size.
const InlineMax = 64 << 10

// publish checks the share against its root and makes it stable: the share file first (or nothing, where the share
// goes into the journal), then the journal, then the index. Only then the share is visible and acknowledged.
func (s *session) publish(ctx context.Context, rootBlock []byte) error {
	root, err := s.column.CheckRoot(rootBlock)
	if err != nil {
		return err
	}
	l := root.Layout()
	r := journalRecord{
		Index: share.IndexOf(rootBlock), Number: s.upload.Number, Root: bytes.Clone(rootBlock),
		Size: l.RootOffset() + int64(len(rootBlock)), Upload: uploadName(s.upload.Lease.Owner, s.upload.ID), Lease: recordLease(s.upload.Lease),
	}
	rows, inMemory := s.rowsInMemory()
	var tail []byte
	if inMemory {
		if tail, err = column.Tail(rows, root, rootBlock); err != nil {
			return err
		}
	}
	if inMemory && s.blocks.file == nil && r.Size <= s.store.inline {
		r.Data = append(s.blocks.buf, tail[:len(tail)-len(rootBlock)]...)
		return s.store.committer.finish(ctx, &s.claim, func(b *batch) error { return b.store(kindSmall, r) })
	}
	f := footer{Lease: r.Lease, Upload: r.Upload, RootLen: len(rootBlock), Number: r.Number}
	if err := s.claim.grow(max(s.blocks.flat+s.rows.flat, r.Size+int64(f.size()))); err != nil {
		return err
	}
	if inMemory {
		err = s.finish(tail, f)
	} else {
		err = s.build(root, rootBlock, f)
	}
	if err != nil {
		return err
	}
	return s.move(ctx, r, f)
}

// finish writes the last blocks and what stands behind them in one go.
func (s *session) finish(tail []byte, f footer) error {
	if err := s.blocks.open(); err != nil {
		return err
	}
	end := f.appendTo(append(s.blocks.buf, tail...))
	_, err := s.blocks.file.WriteAt(end, s.blocks.flat)
	return fail(err)
}

// build puts the rows behind the blocks and computes the index from them.
func (s *session) build(root encoding.Root, rootBlock []byte, f footer) error {
	if err := s.blocks.flush(); err != nil {
		return err
	}
	l := root.Layout()
	if err := s.moveRows(l); err != nil {
		return err
	}
	top, err := encoding.BuildIndex(s.blocks.file, l)
	if err != nil {
		return fail(err)
	}
	if top != root.Index {
		return column.ErrRoot
	}
	_, err = s.blocks.file.WriteAt(f.appendTo(bytes.Clone(rootBlock)), l.RootOffset())
	return fail(err)
}

// move makes the finished file stable, gives it its name, and tells the journal and the index.
func (s *session) move(ctx context.Context, r journalRecord, f footer) error {
	store := s.store
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.blocks.file.Truncate(r.Size + int64(f.size())); err != nil {
		return fail(err)
	}
	// After a failed sync nobody knows what is on the disk, and a second sync would not tell: the upload is lost.
	if err := s.blocks.file.Sync(); err != nil {
		return &lostError{fmt.Errorf("sync: %w", fail(err))}
	}
	dir, name, err := store.place(r.Index, r.Number)
	if err != nil {
		return err
	}
	if err := s.blocks.close(); err != nil {
		return &lostError{fail(err)}
	}
	defer store.lockPlace(r.Index)()
	store.handles.evict(name) // some systems replace no open file
	if err := store.files.Rename(s.blocks.name, name); err != nil {
		return &lostError{fail(err)}
	}
	s.blocks.flat = 0
	store.handles.evict(name)
	if err := store.files.SyncDir(dir); err != nil {
		return &lostError{fmt.Errorf("sync: %w", fail(err))}
	}
	if err := store.committer.finish(context.WithoutCancel(ctx), &s.claim, func(b *batch) error { return b.store(kindFile, r) }); err != nil {
		return &lostError{err}
	}
	return nil
}
