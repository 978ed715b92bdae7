package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// A File is a whole encoded file in memory: every block, row and root, ready to be stored.
type File struct {
	encoding.Layout
	Plain []byte
	Key   keys.ReadKey
	Root  []byte
	Index share.StorageIndex

	rows   [][]share.Digest
	blocks [][][]byte // by segment and number
}

// NewFile encodes a file of size pseudo-random bytes. The same arguments give the same file.
func NewFile(t testing.TB, seed uint64, needed, total, blockSize, size int) *File {
	t.Helper()
	f, err := MakeFile(seed, needed, total, blockSize, size)
	if err != nil {
		t.Fatalf("encode a file of %d bytes: %v", size, err)
	}
	return f
}

// MakeFile is NewFile where there is no test to fail.
func MakeFile(seed uint64, needed, total, blockSize, size int) (*File, error) {
	var chacha [32]byte
	binary.BigEndian.PutUint64(chacha[:], seed)
	random := rand.NewChaCha8(chacha)
	f := &File{Plain: make([]byte, size)}
	random.Read(f.Key[:])
	random.Read(f.Plain)
	code, err := erasure.New(needed, total)
	if err != nil {
		return nil, err
	}
	options := encoding.Options{Code: code, BlockSize: blockSize, Size: int64(size), Buffers: 2}
	root, err := encoding.Encode(context.Background(), bytes.NewReader(f.Plain), f.Key.File(nil), options, f.keep)
	if err != nil {
		return nil, err
	}
	f.Layout, f.Root, f.Index = root.Layout(), root.Marshal(), root.StorageIndex()
	return f, nil
}

func (f *File) keep(s *encoding.Segment) error {
	defer s.Release()
	blocks := make([][]byte, len(s.Digests))
	for n := range blocks {
		blocks[n] = bytes.Clone(s.Block(share.Number(n)))
	}
	f.blocks = append(f.blocks, blocks)
	f.rows = append(f.rows, append([]share.Digest(nil), s.Digests...))
	return nil
}

// Row returns the digests of the blocks of a segment.
func (f *File) Row(segment int64) []share.Digest { return f.rows[segment] }

// Block returns one block.
func (f *File) Block(segment int64, n share.Number) []byte { return f.blocks[segment][n] }

// Upload describes the upload of one share of the file, of known size and with the owner's lease for a day.
func (f *File) Upload(n share.Number, owner string) share.Upload {
	return share.Upload{
		ID: f.Key.UploadID(), Number: n, Needed: f.Needed, Total: f.Total, BlockSize: f.BlockSize, Size: f.Size,
		Lease: share.Lease{Owner: owner, Expires: time.Now().Add(24 * time.Hour)},
	}
}

// Append appends the segments from first to before end.
func (f *File) Append(ctx context.Context, w share.Writer, n share.Number, first, end int64) error {
	for i := first; i < end; i++ {
		if err := w.Append(ctx, f.rows[i], f.blocks[i][n]); err != nil {
			return fmt.Errorf("append segment %d: %w", i, err)
		}
	}
	return nil
}

// Renamed returns a file with the same blocks under another storage index, and an upload id for it: a quick way to
// many files. It cannot be decrypted.
func (f *File) Renamed(i uint64) (*File, share.UploadID) {
	root, err := encoding.ParseRoot(f.Root)
	if err != nil {
		panic("storetest: the root of a file that was encoded here: " + err.Error())
	}
	var id share.UploadID
	binary.BigEndian.PutUint64(id[:], i)
	root.Salt = id[:8]
	renamed := *f
	renamed.Root, renamed.Index = root.Marshal(), root.StorageIndex()
	return &renamed, id
}

// Put stores one share of the file.
func (f *File) Put(ctx context.Context, store share.Store, n share.Number, owner string) error {
	return f.PutAs(ctx, store, n, owner, f.Key.UploadID())
}

// PutAs stores one share of the file under another upload id.
func (f *File) PutAs(ctx context.Context, store share.Store, n share.Number, owner string, id share.UploadID) error {
	u := f.Upload(n, owner)
	u.ID = id
	w, err := store.Create(ctx, u)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	defer w.Close()
	if err := f.Append(ctx, w, n, 0, f.Segments()); err != nil {
		return err
	}
	if err := w.Commit(ctx, f.Root); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return w.Close()
}

// Share returns one share as the flat byte string that a Store must give back.
func (f *File) Share(n share.Number) []byte {
	data := make(flat, f.RootOffset())
	for i := range f.Segments() {
		copy(data[f.BlockOffset(i):], f.blocks[i][n])
		copy(data[f.RowOffset(i):], encoding.AppendDigests(nil, f.rows[i]))
	}
	if _, err := encoding.BuildIndex(data, f.Layout); err != nil {
		panic("storetest: building an index in memory: " + err.Error())
	}
	return append(data, f.Root...)
}

// flat is a byte slice in the shape that encoding.BuildIndex wants.
type flat []byte

func (f flat) ReadAt(p []byte, off int64) (int, error)  { return copy(p, f[off:]), nil }
func (f flat) WriteAt(p []byte, off int64) (int, error) { return copy(f[off:], p), nil }

// Check reads one share back and compares every byte.
func (f *File) Check(ctx context.Context, store share.Store, n share.Number) error {
	r, err := store.Open(ctx, f.Index, n)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer r.Close()
	want := f.Share(n)
	if r.Size() != int64(len(want)) {
		return fmt.Errorf("share %d has %d bytes, want %d", n, r.Size(), len(want))
	}
	got := make([]byte, len(want))
	if _, err := r.ReadAt(ctx, got, 0); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("share %d differs from what was stored", n)
	}
	return encoding.Verify(ctx, r, f.Index, n, f.Root)
}
