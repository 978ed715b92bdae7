package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/fb"

	"cairn/share"
)

// Badger ends the process when it opens a table that is damaged in the wrong places, and takes a damaged block for one
// without the key. So its tables are checked before it sees them, and all of their blocks from time to time.

// A depth says how much of a table is checked.
type depth int

const (
	shallow depth = iota // the table's index, its first and its last block: what Badger reads when it opens the table
	deep                 // all blocks
)

// maxTableIndex bounds the index of one table in bytes; those of this store have some hundred kilobytes.
const maxTableIndex = 64 << 20

// checkTables returns an error that wraps share.ErrCorrupt when a table in the directory does not fit its checksums.
func checkTables(dir string, d depth) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := checkTableFile(name, d); err != nil {
			return err
		}
	}
	return nil
}

// checkTableFile is checkTables for one table, which may be gone.
func checkTableFile(name string, d depth) error {
	err := guard(func() error { return checkTable(name, d) })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("index table %s: %w", filepath.Base(name), err)
	}
	return nil
}

// checkTable checks one table. Its end is: the index, 4 bytes length of the index, its checksum, 4 bytes length of
// the checksum.
func checkTable(name string, d depth) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end, sum, err := tableChecksum(f, info.Size())
	if err != nil {
		return err
	}
	length, err := readLength(f, end)
	if err != nil {
		return err
	}
	if length > maxTableIndex || length > end-4 {
		return fmt.Errorf("%w: its index has %d bytes", share.ErrCorrupt, length)
	}
	data := make([]byte, length)
	if _, err := f.ReadAt(data, end-4-length); err != nil {
		return cut(err)
	}
	if crc32.Checksum(data, castagnoli) != sum {
		return fmt.Errorf("%w: index: %w", share.ErrCorrupt, errChecksum)
	}
	index := fb.GetRootAsTableIndex(data, 0)
	last := index.OffsetsLength() - 1
	for i := 0; i <= last; i++ {
		if d == shallow && i != 0 && i != last {
			continue
		}
		var at fb.BlockOffset
		if !index.Offsets(&at, i) {
			return fmt.Errorf("%w: block %d has no place", share.ErrCorrupt, i)
		}
		if err := checkBlock(f, int64(at.Offset()), int64(at.Len())); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// checkBlock checks one block, which ends with its checksum and the length of that.
func checkBlock(f io.ReaderAt, off, length int64) error {
	block := io.NewSectionReader(f, off, length)
	end, sum, err := tableChecksum(block, length)
	if err != nil {
		return err
	}
	data := make([]byte, end)
	if _, err := block.ReadAt(data, 0); err != nil {
		return cut(err)
	}
	if crc32.Checksum(data, castagnoli) != sum {
		return fmt.Errorf("%w: %w", share.ErrCorrupt, errChecksum)
	}
	return nil
}

// tableChecksum reads the checksum at the end of the first size bytes of f and returns it, and where it starts.
func tableChecksum(f io.ReaderAt, size int64) (start int64, sum uint32, err error) {
	length, err := readLength(f, size)
	if err != nil {
		return 0, 0, err
	}
	const maxChecksum = 64
	if length > maxChecksum || length > size-4 {
		return 0, 0, fmt.Errorf("%w: a checksum of %d bytes", share.ErrCorrupt, length)
	}
	message := make([]byte, length)
	start = size - 4 - length
	if _, err := f.ReadAt(message, start); err != nil {
		return 0, 0, cut(err)
	}
	sum, err = parseChecksum(message)
	return start, sum, err
}

// parseChecksum reads Badger's protobuf message Checksum: field 1 is the algorithm, 0 (left out) for CRC-32C; field 2
// is the sum.
func parseChecksum(p []byte) (uint32, error) {
	var fields [3]uint64
	for len(p) > 0 {
		tag := p[0]
		v, n := binary.Uvarint(p[1:])
		if n <= 0 || tag != 1<<3 && tag != 2<<3 {
			return 0, fmt.Errorf("%w: not a checksum", share.ErrCorrupt)
		}
		fields[tag>>3] = v
		p = p[1+n:]
	}
	if fields[1] != 0 || fields[2]>>32 != 0 {
		return 0, fmt.Errorf("%w: not a CRC-32C", share.ErrCorrupt)
	}
	return uint32(fields[2]), nil
}

// readLength reads the 4 bytes before end.
func readLength(f io.ReaderAt, end int64) (int64, error) {
	var p [4]byte
	if end < int64(len(p)) {
		return 0, fmt.Errorf("%w: too short", share.ErrCorrupt)
	}
	if _, err := f.ReadAt(p[:], end-int64(len(p))); err != nil {
		return 0, cut(err)
	}
	return int64(binary.BigEndian.Uint32(p[:])), nil
}

// cut turns the end of a file into damage.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: cut short", share.ErrCorrupt)
	}
	return err
}
