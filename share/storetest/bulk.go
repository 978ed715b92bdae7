package storetest

import (
	"bytes"
	"slices"
	"testing"

	"cairn/share"
)

// bulk begins an upload with a writer that takes several segments at once.
func (s Suite) bulk(t *testing.T, store share.Store, upload share.Upload) (share.Writer, share.BulkWriter) {
	t.Helper()
	w := s.create(t, store, upload)
	b, ok := w.(share.BulkWriter)
	if !ok {
		t.Skip("the store takes one segment at a time")
	}
	return w, b
}

// segments are some segments of one share as AppendAll wants them.
func (f *File) segments(n share.Number, first, end int64) (rows []share.Digest, blocks []byte) {
	for i := first; i < end; i++ {
		rows, blocks = append(rows, f.rows[i]...), append(blocks, f.blocks[i][n]...)
	}
	return rows, blocks
}

// testAppendAll appends segments in pieces of every length, mixed with single ones.
func (s Suite) testAppendAll(t *testing.T) {
	store := s.Open(t)
	for step := int64(1); step <= 8; step++ {
		for _, size := range []int{1, blockSize, 40*blockSize - 7, 40 * blockSize} {
			f := NewFile(t, uint64(step)<<20+uint64(size), 1, 2, blockSize, size)
			w, b := s.bulk(t, store, f.Upload(1, s.owner()))
			for i := int64(0); i < f.Segments(); i += step {
				rows, blocks := f.segments(1, i, min(i+step, f.Segments()))
				if err := b.AppendAll(t.Context(), rows, blocks); err != nil {
					t.Fatalf("append all from segment %d: %v", i, err)
				}
				clear(rows) // neither is retained
				clear(blocks)
				if i++; i+step < f.Segments() {
					if err := f.Append(t.Context(), w, 1, i+step-1, i+step); err != nil {
						t.Fatal(err)
					}
				} else {
					i--
				}
			}
			if err := w.Commit(t.Context(), f.Root); err != nil {
				t.Fatalf("%d bytes by %d segments: commit: %v", size, step, err)
			}
			wantCheck(t, store, f, 1)
		}
	}
}

// testAppendAllRefused damages one of several segments in every way: those before it stay, and the writer goes on from there.
func (s Suite) testAppendAllRefused(t *testing.T) {
	const count, wrong = 20, 13
	for name, damage := range map[string]func(f *File, rows []share.Digest, blocks []byte) ([]share.Digest, []byte){
		"block": func(_ *File, rows []share.Digest, blocks []byte) ([]share.Digest, []byte) {
			blocks[wrong*blockSize+1]++
			return rows, blocks
		},
		"row": func(f *File, rows []share.Digest, blocks []byte) ([]share.Digest, []byte) {
			rows[wrong*f.Total+1][0]++
			return rows, blocks
		},
		"short": func(f *File, rows []share.Digest, blocks []byte) ([]share.Digest, []byte) {
			return rows[:(wrong+1)*f.Total], blocks[:wrong*blockSize+5]
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := s.Open(t)
			f := NewFile(t, 3, 1, 3, blockSize, count*blockSize+9)
			w, b := s.bulk(t, store, f.Upload(1, s.owner()))
			rows, blocks := f.segments(1, 0, count)
			rows, blocks = damage(f, slices.Clone(rows), bytes.Clone(blocks))
			wantError(t, "append all", b.AppendAll(t.Context(), rows, blocks), share.ErrCorrupt)
			if err := f.Append(t.Context(), w, 1, wrong, f.Segments()); err != nil {
				t.Fatalf("go on with segment %d: %v", wrong, err)
			}
			if err := w.Commit(t.Context(), f.Root); err != nil {
				t.Fatalf("commit: %v", err)
			}
			wantCheck(t, store, f, 1)
		})
	}
	store := s.Open(t)
	f := NewFile(t, 4, 1, 3, blockSize, 3*blockSize)
	_, b := s.bulk(t, store, f.Upload(1, s.owner()))
	rows, blocks := f.segments(1, 0, 3)
	wantError(t, "too few rows", b.AppendAll(t.Context(), rows[:7], blocks), share.ErrCorrupt)
	more := append(slices.Clone(rows), rows[:3]...)
	wantError(t, "more segments than were announced", b.AppendAll(t.Context(), more, append(bytes.Clone(blocks), blocks[:blockSize]...)), share.ErrTooLarge)
}
