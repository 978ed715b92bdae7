package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"cairn/share/capability"
)

// reviewBatch is how many capabilities are asked about at a time.
const reviewBatch = 1000

// A reviewed record is one that was remembered when less was wanted.
type reviewed struct {
	bucket, key, value []byte // as in pending
	record             record
}

// Review forgets what was stored in a smaller grid and is no good in the one of now, so that it is stored anew. What is stored now counts on so many servers as
// wanted says, and so will what is remembered from now on. Only what was remembered when less was wanted is asked about, and once: outgrown returns
// the positions of those capabilities of whose files too little is there.
func (f *Files) Review(ctx context.Context, wanted int, outgrown func(context.Context, []capability.Capability) ([]int, error)) error {
	f.wanted = wanted
	if err := f.m.Flush(); err != nil {
		return err
	}
	old, err := f.older(wanted)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(old, reviewBatch) {
		caps := make([]capability.Capability, len(part))
		for i, r := range part {
			caps[i] = r.record.capability
		}
		which, err := outgrown(ctx, caps)
		if err != nil {
			return err
		}
		forget := make(map[int]bool, len(which))
		for _, i := range which {
			forget[i] = true
		}
		if err := f.settle(part, forget, wanted); err != nil {
			return err
		}
	}
	return nil
}

// older returns the records of the folder, and of folders in the grid, that were remembered when less was wanted.
func (f *Files) older(wanted int) (old []reviewed, _ error) {
	now := f.m.clock()
	err := f.m.db.View(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{f.bucket, nil} {
			b := tx.Bucket(foldersBucket)
			if name != nil {
				b = tx.Bucket(filesBucket).Bucket(name)
			}
			if b == nil {
				continue
			}
			err := b.ForEach(func(k, v []byte) error {
				if enough(v, wanted) {
					return nil
				}
				if r, ok := parse(v, now); ok {
					old = append(old, reviewed{name, bytes.Clone(k), bytes.Clone(v), r})
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("memory of backups: %w", err)
	}
	return old, nil
}

// enough reports whether a record was remembered when so much was wanted. It does not verify it, which takes longer than all else of a backup in
// which nothing has changed.
func enough(raw []byte, wanted int) bool {
	return wanted == 0 || len(raw) >= recordHead+2 && raw[0] > 1 && int(binary.BigEndian.Uint16(raw[recordHead:])) >= wanted
}

// settle forgets some of the records and marks the others.
func (f *Files) settle(part []reviewed, forget map[int]bool, wanted int) error {
	err := f.m.db.Update(func(tx *bolt.Tx) error {
		for i, r := range part {
			b := tx.Bucket(foldersBucket)
			if r.bucket != nil {
				b = tx.Bucket(filesBucket).Bucket(r.bucket)
			}
			var err error
			switch {
			case b == nil || !bytes.Equal(b.Get(r.key), r.value): // it is not what was asked about
			case forget[i]:
				err = b.Delete(r.key)
			default:
				r.record.wanted = wanted
				err = b.Put(r.key, r.record.encode())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("memory of backups: %w", err)
	}
	return nil
}
