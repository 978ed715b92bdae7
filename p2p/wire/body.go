package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"cairn/share"
)

const (
	// shareHeader is what stands before the bytes of a whole share: storage index, number, length.
	shareHeader = len(share.StorageIndex{}) + 1 + 4
	// MaxBody bounds the body of a message in bytes.
	MaxBody = share.MaxBatchBytes + share.MaxBatchShares*shareHeader +
		2*share.MaxHeadIndexes*len(share.StorageIndex{}) + share.MaxHistory*(2+share.MaxHeadRecord)
)

// ReadBody reads the data frames of a body of n bytes, at most MaxBody. It calls moved after each frame, so that the deadline of a
// slow peer can be moved along, and takes no more memory than about twice what has come.
func (r *Reader) ReadBody(n int, moved func()) ([]byte, error) {
	body := make([]byte, 0, min(n, MaxData))
	for len(body) < n {
		part := min(n-len(body), MaxData)
		body = slices.Grow(body, part)[:len(body)+part]
		if err := r.FillBlock(body[len(body)-part:]); err != nil {
			return nil, err
		}
		moved()
	}
	return body, nil
}

// AppendBody appends a body as data frames: each full but the last, none for an empty one.
func AppendBody(dst, body []byte) []byte { return AppendBlock(dst, body) }

// AppendIndexes appends storage indexes to a body.
func AppendIndexes(body []byte, indexes []share.StorageIndex) []byte {
	for i := range indexes {
		body = append(body, indexes[i][:]...)
	}
	return body
}

// ParseIndexes reads n storage indexes from the begin of a body and returns what follows.
func ParseIndexes(body []byte, n int) (indexes []share.StorageIndex, rest []byte, err error) {
	const size = len(share.StorageIndex{})
	if len(body) < n*size {
		return nil, nil, short("indexes")
	}
	indexes = make([]share.StorageIndex, n)
	for i := range indexes {
		indexes[i] = share.StorageIndex(body[i*size:])
	}
	return indexes, body[n*size:], nil
}

// SharesSize returns how many bytes AppendShares adds.
func SharesSize(shares []share.WholeShare) int {
	size := len(shares) * shareHeader
	for _, s := range shares {
		size += len(s.Data)
	}
	return size
}

// AppendShares appends whole shares to a body.
func AppendShares(body []byte, shares []share.WholeShare) []byte {
	for _, s := range shares {
		body = append(append(body, s.Index[:]...), byte(s.Number))
		body = binary.BigEndian.AppendUint32(body, uint32(len(s.Data)))
		body = append(body, s.Data...)
	}
	return body
}

// ParseShares reads n whole shares from the begin of a body and returns what follows. The shares keep the body.
func ParseShares(body []byte, n int) (shares []share.WholeShare, rest []byte, err error) {
	if len(body) < n*shareHeader {
		return nil, nil, short("shares")
	}
	if n > 0 {
		shares = make([]share.WholeShare, n)
	}
	total := 0
	for i := range shares {
		if len(body) < shareHeader {
			return nil, nil, short("shares")
		}
		s := &shares[i]
		s.Index, s.Number = share.StorageIndex(body), share.Number(body[len(s.Index)])
		size := binary.BigEndian.Uint32(body[shareHeader-4:])
		if size > share.MaxWholeShare {
			return nil, nil, fmt.Errorf("share of %d bytes: %w: at most %d", size, share.ErrTooLarge, share.MaxWholeShare)
		}
		body = body[shareHeader:]
		if len(body) < int(size) {
			return nil, nil, short("shares")
		}
		s.Data, body = body[:size:size], body[size:]
		total += int(size)
	}
	if total > share.MaxBatchBytes {
		return nil, nil, fmt.Errorf("shares of %d bytes: %w: at most %d", total, share.ErrTooLarge, share.MaxBatchBytes)
	}
	return shares, body, nil
}

// AppendRecord appends a record of a head to a body; an empty one says that there is none.
func AppendRecord(body, record []byte) []byte {
	return append(binary.BigEndian.AppendUint16(body, uint16(len(record))), record...)
}

// ParseRecord reads one record from the begin of a body, nil where there is none, and returns what follows. It keeps the body.
func ParseRecord(body []byte) (record, rest []byte, err error) {
	if len(body) < 2 {
		return nil, nil, short("record")
	}
	n := int(binary.BigEndian.Uint16(body))
	if n > share.MaxHeadRecord {
		return nil, nil, fmt.Errorf("record of %d bytes: %w: at most %d", n, share.ErrTooLarge, share.MaxHeadRecord)
	}
	if body = body[2:]; len(body) < n {
		return nil, nil, short("record")
	}
	if n == 0 {
		return nil, body, nil
	}
	return body[:n:n], body[n:], nil
}

// AppendHeldHeads appends what is held of names: for each its record, how many shares follow (2 bytes), and these.
func AppendHeldHeads(body []byte, held []share.HeldHead) []byte {
	for _, h := range held {
		body = AppendRecord(body, h.Record)
		body = binary.BigEndian.AppendUint16(body, uint16(len(h.Shares)))
		body = AppendShares(body, h.Shares)
	}
	return body
}

// ParseHeldHeads reads what is held of n names, which must be all of the body. It keeps the body.
func ParseHeldHeads(body []byte, n int) ([]share.HeldHead, error) {
	held := make([]share.HeldHead, n)
	var err error
	for i := range held {
		if held[i].Record, body, err = ParseRecord(body); err != nil {
			return nil, err
		}
		if len(body) < 2 {
			return nil, short("heads")
		}
		count := int(binary.BigEndian.Uint16(body))
		if count > share.MaxTotal {
			return nil, fmt.Errorf("%d shares of one head: %w: at most %d", count, share.ErrTooLarge, share.MaxTotal)
		}
		if held[i].Shares, body, err = ParseShares(body[2:], count); err != nil {
			return nil, err
		}
	}
	return held, End(body)
}

// ParseRecords reads n records, none of them empty, which must be all of the body. It keeps the body.
func ParseRecords(body []byte, n int) ([][]byte, error) {
	var records [][]byte
	for range n {
		record, rest, err := ParseRecord(body)
		if err != nil {
			return nil, err
		}
		if record == nil {
			return nil, fmt.Errorf("%w: an empty record", share.ErrCorrupt)
		}
		records, body = append(records, record), rest
	}
	return records, End(body)
}

// End returns ErrCorrupt unless nothing is left of a body.
func End(rest []byte) error {
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes too many in a body", share.ErrCorrupt, len(rest))
	}
	return nil
}

func short(what string) error { return fmt.Errorf("%w: a body ends within %s", share.ErrCorrupt, what) }

// validateBody checks the announced length of a body.
func validateBody(n int) error {
	if n < 0 || n > MaxBody {
		return fmt.Errorf("%w: a body of %d bytes, at most %d", share.ErrTooLarge, n, MaxBody)
	}
	return nil
}

// validateCount checks an announced number of things.
func validateCount(what string, n, limit int) error {
	if n < 0 || n > limit {
		return fmt.Errorf("%w: %d %s, at most %d", share.ErrTooLarge, n, what, limit)
	}
	return nil
}
