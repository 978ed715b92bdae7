package wire

import (
	"encoding/binary"
	"fmt"

	"cairn/share"
)

// A Kind says what the payload of a frame is.
type Kind byte

// The kinds of frames. Control frames carry the message of the same name, KindData and KindRow raw bytes.
const (
	KindError Kind = 0x01 // answer to any request that failed
	KindDone  Kind = 0x02 // answer to a request that has nothing more to say
	KindData  Kind = 0x03 // bytes of a block or of a share

	KindNumbers  Kind = 0x10
	KindHeld     Kind = 0x11
	KindUploads  Kind = 0x12
	KindProgress Kind = 0x13
	KindRenew    Kind = 0x14
	KindSpace    Kind = 0x15
	KindOffer    Kind = 0x16
	KindUsage    Kind = 0x17
	KindStanding Kind = 0x18

	KindRecheck   Kind = 0x19
	KindRechecked Kind = 0x1a
	KindForgo     Kind = 0x1b

	KindOpen   Kind = 0x20
	KindOpened Kind = 0x21
	KindRead   Kind = 0x22

	KindCreate   Kind = 0x30
	KindHave     Kind = 0x31
	KindBlocks   Kind = 0x32
	KindRow      Kind = 0x33
	KindAppended Kind = 0x34
	KindCommit   Kind = 0x35
	KindRelease  Kind = 0x36

	KindHeads     Kind = 0x40
	KindHeldHeads Kind = 0x41
	KindSetHead   Kind = 0x42
	KindConflict  Kind = 0x43
	KindHistory   Kind = 0x44
	KindRecords   Kind = 0x45
	KindSince     Kind = 0x46

	KindPut      Kind = 0x50
	KindStored   Kind = 0x51
	KindFailures Kind = 0x52
	KindFetch    Kind = 0x53
	KindFetched  Kind = 0x54
)

// rowPrefix is the length of the block length in front of the digests of a row.
const rowPrefix = 4

// maxRow bounds the payload of a KindRow frame.
const maxRow = rowPrefix + share.MaxTotal*len(share.Digest{})

// limit returns the largest payload of a kind, or -1 for a kind that this version does not know.
func (k Kind) limit() int {
	switch k {
	case KindData:
		return MaxData
	case KindRow:
		return maxRow
	case KindError, KindDone, KindNumbers, KindHeld, KindUploads, KindProgress, KindRenew, KindSpace, KindOffer, KindUsage, KindStanding, KindRecheck, KindRechecked, KindForgo,
		KindOpen, KindOpened, KindRead, KindCreate, KindHave, KindBlocks, KindAppended, KindCommit, KindRelease,
		KindHeads, KindHeldHeads, KindSetHead, KindConflict, KindHistory, KindRecords, KindSince,
		KindPut, KindStored, KindFailures, KindFetch, KindFetched:
		return MaxControl
	}
	return -1
}

// PutHeader writes the header of a frame into the first HeaderSize bytes of p.
func PutHeader(p []byte, kind Kind, payload int) {
	p[0] = byte(kind)
	binary.BigEndian.PutUint32(p[1:HeaderSize], uint32(payload))
}

// AppendHeader appends the header of a frame.
func AppendHeader(dst []byte, kind Kind, payload int) []byte {
	dst = append(dst, byte(kind))
	return binary.BigEndian.AppendUint32(dst, uint32(payload))
}

// ParseHeader reads the header of a frame and checks the length against the limit of its kind.
func ParseHeader(p []byte) (kind Kind, payload int, err error) {
	if len(p) < HeaderSize {
		return 0, 0, fmt.Errorf("frame header of %d bytes: %w", len(p), share.ErrCorrupt)
	}
	kind = Kind(p[0])
	limit, n := kind.limit(), binary.BigEndian.Uint32(p[1:HeaderSize])
	switch {
	case limit < 0:
		return 0, 0, fmt.Errorf("frame of kind %#02x: %w", p[0], share.ErrVersion)
	case int64(n) > int64(limit):
		return 0, 0, fmt.Errorf("frame of kind %#02x with %d bytes: %w: at most %d", p[0], n, share.ErrTooLarge, limit)
	}
	return kind, int(n), nil
}

// AppendRow appends a KindRow frame: the length of the block that follows in data frames, and the digests of the N
// blocks of its segment.
func AppendRow(dst []byte, block int, digests []share.Digest) ([]byte, error) {
	if len(digests) > share.MaxTotal || block > MaxBlock {
		return dst, fmt.Errorf("block of %d bytes with %d digests: %w: at most %d and %d",
			block, len(digests), share.ErrTooLarge, MaxBlock, share.MaxTotal)
	}
	dst = AppendHeader(dst, KindRow, rowPrefix+len(digests)*len(share.Digest{}))
	dst = binary.BigEndian.AppendUint32(dst, uint32(block))
	for i := range digests {
		dst = append(dst, digests[i][:]...)
	}
	return dst, nil
}

// ParseRow reads the payload of a KindRow frame. The digests are stored in the space of reuse.
func ParseRow(payload []byte, reuse []share.Digest) (block int, digests []share.Digest, err error) {
	const size = len(share.Digest{})
	if len(payload) < rowPrefix || (len(payload)-rowPrefix)%size != 0 || len(payload) > maxRow {
		return 0, nil, fmt.Errorf("row of %d bytes: %w", len(payload), share.ErrCorrupt)
	}
	n := binary.BigEndian.Uint32(payload)
	if n > MaxBlock {
		return 0, nil, fmt.Errorf("block of %d bytes: %w: at most %d", n, share.ErrTooLarge, MaxBlock)
	}
	digests = reuse[:0]
	for p := payload[rowPrefix:]; len(p) > 0; p = p[size:] {
		digests = append(digests, share.Digest(p))
	}
	return int(n), digests, nil
}

// AppendBlock appends a block as data frames, each full but the last; an empty block has none.
func AppendBlock(dst, block []byte) []byte {
	for len(block) > 0 {
		n := min(len(block), MaxData)
		dst = append(AppendHeader(dst, KindData, n), block[:n]...)
		block = block[n:]
	}
	return dst
}
