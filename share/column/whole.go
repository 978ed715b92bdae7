package column

import (
	"bytes"
	"fmt"

	"cairn/share"
	"cairn/share/encoding"
)

// CheckWhole checks every byte of a complete share against its storage index and returns its root block, which is the end of
// its data. It returns ErrTooLarge for a share that may not travel whole and ErrCorrupt for one that does not verify.
func CheckWhole(s share.WholeShare) (root []byte, err error) {
	if len(s.Data) > share.MaxWholeShare {
		return nil, fmt.Errorf("share: %w: %d bytes, at most %d", share.ErrTooLarge, len(s.Data), share.MaxWholeShare)
	}
	block := WholeRoot(s.Index, s.Data)
	if block == nil {
		return nil, fmt.Errorf("share: %w: it does not end in the root of its file", share.ErrCorrupt)
	}
	parsed, err := encoding.ParseRoot(block)
	if err != nil {
		return nil, err
	}
	l := parsed.Layout()
	if want := l.RootOffset() + int64(len(block)); int64(len(s.Data)) != want {
		return nil, fmt.Errorf("share: %w: %d bytes, want %d", share.ErrCorrupt, len(s.Data), want)
	}
	rows := s.Data[l.RowOffset(0):][:l.Segments()*int64(l.RowLen())]
	for i := range l.Segments() {
		row := encoding.Digests(rows[i*int64(l.RowLen()):][:l.RowLen()])
		if err := l.CheckBlock(i, s.Number, row, s.Data[l.BlockOffset(i):][:l.BlockLen(i)]); err != nil {
			return nil, fmt.Errorf("share: segment %d: %w", i, err)
		}
	}
	tail, err := Tail(rows, parsed, block)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(tail, s.Data[l.RowOffset(0):]) {
		return nil, fmt.Errorf("share: %w: a level of its index does not match the one below", share.ErrCorrupt)
	}
	return block, nil
}

// rootStarts are the first bytes of a root without and with a salt: a map of so many entries, and its first key, "k".
var rootStarts = [2][]byte{{0xa7, 0x61, 'k'}, {0xa8, 0x61, 'k'}}

// WholeRoot returns the root block at the end of the data of a share of the file, nil when there is none.
func WholeRoot(index share.StorageIndex, data []byte) []byte {
	end := data[max(0, len(data)-encoding.MaxRootSize):]
	for at := len(end) - len(rootStarts[0]); at >= 0; at-- {
		if !bytes.HasPrefix(end[at:], rootStarts[0]) && !bytes.HasPrefix(end[at:], rootStarts[1]) {
			continue
		}
		if share.IndexOf(end[at:]) == index {
			return end[at:]
		}
	}
	return nil
}

// CheckBatch returns ErrTooLarge for more shares than may be sent at once. It does not look into them.
func CheckBatch(shares []share.WholeShare) error {
	total := 0
	for _, s := range shares {
		total += len(s.Data)
	}
	if len(shares) > share.MaxBatchShares || total > share.MaxBatchBytes {
		return fmt.Errorf("batch: %w: %d shares of %d bytes, at most %d of %d", share.ErrTooLarge,
			len(shares), total, share.MaxBatchShares, share.MaxBatchBytes)
	}
	return nil
}
