package health_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/encoding"
)

// A forgery is a file whose uploader commits to blocks that are not those of one file: every block matches its digest
// and every digest the root, but the parity does not belong to the data.
type forgery struct {
	root   encoding.Root
	rows   [][]share.Digest
	blocks [][][]byte
}

func forge(t *testing.T, needed, total, segments int) *forgery {
	t.Helper()
	f := &forgery{root: encoding.Root{Needed: needed, Total: total, BlockSize: blockSize, Size: int64(needed * blockSize * segments)}}
	index := &flat{}
	l := f.root.Layout()
	for i := range segments {
		row, blocks := make([]share.Digest, total), make([][]byte, total)
		for j := range blocks {
			blocks[j] = slices.Repeat([]byte{byte(i), byte(j), 1, byte(j * j)}, blockSize/4)
			row[j] = sha256.Sum256(blocks[j])
		}
		f.rows, f.blocks = append(f.rows, row), append(f.blocks, blocks)
		index.WriteAt(encoding.AppendDigests(nil, row), l.RowOffset(int64(i)))
	}
	top, err := encoding.BuildIndex(index, l)
	if err != nil {
		t.Fatal(err)
	}
	f.root.Index = top
	return f
}

func (f *forgery) put(t *testing.T, store share.Store, number share.Number) {
	t.Helper()
	w, err := store.Create(t.Context(), share.Upload{
		Number: number, Needed: f.root.Needed, Total: f.root.Total, BlockSize: blockSize, Size: f.root.Size,
		Lease: share.Lease{Owner: "mallory", Expires: time.Now().Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range f.rows {
		if err := w.Append(t.Context(), f.rows[i], f.blocks[i][number]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(t.Context(), f.root.Marshal()); err != nil {
		t.Fatal(err)
	}
}

// Nobody can make the missing shares of a forgery: the repair says so, stores nothing and blames no server.
func TestRepairRefusesForgeries(t *testing.T) {
	f := forge(t, 2, 5, 3)
	for name, there := range map[string][]share.Number{
		"data lost": {0, 3}, "all data lost": {3, 4}, "parity lost": {0, 1, 2}, "all parity lost": {0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(8)
			for _, number := range there {
				f.put(t, g.peers[number].Store, number)
			}
			result, err := health.Repair(t.Context(), g.servers, f.root.StorageIndex(), health.Options{Happy: 3, Lease: owner()})
			if !errors.Is(err, share.ErrCorrupt) || !strings.Contains(err.Error(), "encoded inconsistently") {
				t.Errorf("got %v", err)
			}
			if len(result.Made) != 0 || len(result.After.Corrupt) != 0 {
				t.Errorf("got %+v", result)
			}
			if r := check(t, g, f.root.StorageIndex()); r.SharesGood != len(there) {
				t.Errorf("%d shares are there, want %d", r.SharesGood, len(there))
			}
		})
	}
}

// flat is a file in memory that is written anywhere.
type flat struct{ data []byte }

func (f *flat) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *flat) WriteAt(p []byte, off int64) (int, error) {
	if grow := int(off) + len(p) - len(f.data); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	return copy(f.data[off:], p), nil
}
