package file

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"cairn/share"
)

// A bulkStore keeps what is appended, and how.
type bulkStore struct {
	share.Writer
	rows   []share.Digest
	blocks []byte
	single int
	calls  []int // blocks of each call
	err    error
	did    []string
}

func (b *bulkStore) Append(_ context.Context, digests []share.Digest, block []byte) error {
	b.rows, b.blocks = append(b.rows, digests...), append(b.blocks, block...)
	b.single++
	return b.err
}

func (b *bulkStore) AppendAll(_ context.Context, rows []share.Digest, blocks []byte) error {
	b.rows, b.blocks = append(b.rows, rows...), append(b.blocks, blocks...)
	b.calls = append(b.calls, len(blocks))
	return b.err
}

func (b *bulkStore) Commit(context.Context, []byte) error {
	b.did = append(b.did, "commit")
	return nil
}
func (b *bulkStore) Close() error { b.did = append(b.did, "close"); return nil }

// TestBulk appends a share in which the last block is short, or there is none, and ends it in both ways.
func TestBulk(t *testing.T) {
	const size, count = 128 << 10, 40
	for _, last := range []int{size, 1, 0} {
		for _, commit := range []bool{true, false} {
			b := &bulkStore{}
			w := inBulk(b, size)
			var rows []share.Digest
			var blocks []byte
			for i := range count {
				block := bytes.Repeat([]byte{byte(i + 1)}, size)
				if i == count-1 {
					block = block[:last]
				}
				row := []share.Digest{{byte(i), 1}, {byte(i), 2}}
				rows, blocks = append(rows, row...), append(blocks, block...)
				if err := w.Append(t.Context(), row, block); err != nil {
					t.Fatal(err)
				}
				clear(block)
				clear(row)
			}
			want := []string{"close"}
			if commit {
				want = []string{"commit", "close"}
				if err := w.Commit(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(b.rows, rows) || !bytes.Equal(b.blocks, blocks) || !slices.Equal(b.did, want) {
				t.Errorf("last block of %d bytes, commit %v: %d digests and %d bytes came, and %v", last, commit, len(b.rows), len(b.blocks), b.did)
			}
			if len(b.calls) != 3 || b.calls[0] != bulkBytes || b.calls[1] != bulkBytes || last > 0 && b.single != 0 {
				t.Errorf("pieces of %v, and %d alone", b.calls, b.single)
			}
		}
	}
}

// TestBulkRefused: what the store says of what was gathered is said at the latest by the commit.
func TestBulkRefused(t *testing.T) {
	b := &bulkStore{err: share.ErrNoSpace}
	w := inBulk(b, 64<<10)
	if err := w.Append(t.Context(), []share.Digest{{1}}, make([]byte, 64<<10)); err != nil {
		t.Errorf("before the store was asked: %v", err)
	}
	if err := w.Commit(t.Context(), nil); !errors.Is(err, share.ErrNoSpace) || len(b.did) != 0 {
		t.Errorf("commit: %v, %v", err, b.did)
	}
}

// TestNoBulk: a store that takes one block at a time gets one at a time, and one for which a few blocks are too many as well.
func TestNoBulk(t *testing.T) {
	if w := (struct{ share.Writer }{}); inBulk(w, 128<<10) != share.Writer(w) {
		t.Error("a plain writer was wrapped")
	}
	if b := (&bulkStore{}); inBulk(b, bulkBytes) != share.Writer(b) {
		t.Error("blocks that fill the memory are gathered")
	}
}
