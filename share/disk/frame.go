package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"cairn/share"
)

// A frame is one record of the journal: magic, CRC-32C of the rest, kind, length of the payload, payload.
const (
	frameMagic  = 0x9ec41a5d
	frameHeader = 4 + 4 + 1 + 4
	// maxPayload is more than the largest record takes: a version that adds and drops as many files as it may.
	maxPayload = 288 << 10
	// frameCost is about what a frame takes besides the share that is in it.
	frameCost = 160
)

type kind byte

const (
	kindSmall     kind = 1 // a share with its bytes
	kindFile      kind = 2 // a share that has its own file
	kindRemoved   kind = 3 // a share that is no longer held
	kindHead      kind = 4 // a version of a name
	kindForgotten kind = 5 // a name of which no version is held any more
)

// fileTombstone stands in the size of the record of a removed share that had its own file. For a share that was in the
// journal it is the number of the segment.
const fileTombstone = -1

// appendFrame appends one record to a batch.
func appendFrame(batch []byte, k kind, payload []byte) []byte {
	start := len(batch)
	batch = binary.BigEndian.AppendUint32(batch, frameMagic)
	batch = append(batch, 0, 0, 0, 0, byte(k))
	batch = binary.BigEndian.AppendUint32(batch, uint32(len(payload)))
	batch = append(batch, payload...)
	binary.BigEndian.PutUint32(batch[start+4:], crc32.Checksum(batch[start+8:], castagnoli))
	return batch
}

var errFrame = fmt.Errorf("journal record: %w", share.ErrCorrupt)

// parseFrame reads the frame at the start of p and returns its payload and its length. io.ErrShortBuffer means that p ends
// before the frame does.
func parseFrame(p []byte) (kind, []byte, int, error) {
	if len(p) < frameHeader {
		return 0, nil, 0, io.ErrShortBuffer
	}
	if binary.BigEndian.Uint32(p) != frameMagic {
		return 0, nil, 0, errFrame
	}
	length := int(binary.BigEndian.Uint32(p[9:]))
	if length > maxPayload {
		return 0, nil, 0, errFrame
	}
	size := frameHeader + length
	if len(p) < size {
		return 0, nil, size, io.ErrShortBuffer
	}
	if crc32.Checksum(p[8:size], castagnoli) != binary.BigEndian.Uint32(p[4:]) {
		return 0, nil, 0, errFrame
	}
	return kind(p[8]), p[frameHeader:size], size, nil
}

// decodeFrame decodes the payload of a frame.
func decodeFrame(payload []byte, record any) error {
	if err := recordDecoder.Unmarshal(payload, record); err != nil {
		return fmt.Errorf("%w: %v", errFrame, err)
	}
	return nil
}
