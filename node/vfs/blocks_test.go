package vfs

import (
	"context"
	"testing"

	"cairn/share/encoding"
)

// A huge file has as many bytes as a file can have.
type huge struct{ Reader }

func (huge) Size() int64  { return encoding.MaxSize }
func (huge) Close() error { return nil }

// TestForgetHuge closes a file with billions of blocks at once, and forgets those of its blocks that were read.
func TestForgetHuge(t *testing.T) {
	b := newBlocks(1 << 20)
	c, other := newContent(context.Background(), huge{}), newContent(context.Background(), huge{})
	b.kept.Add(blockID{c, 1 << 31}, nil)
	b.kept.Add(blockID{other, 1}, nil)
	c.release(b)
	if b.kept.Len() != 1 || !b.kept.Contains(blockID{other, 1}) {
		t.Errorf("%v are left", b.kept.Keys())
	}
	other.release(b)
}
