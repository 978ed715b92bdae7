package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cairn/share"
)

// The journal is the truth about what the store holds: one record for each share stored or removed, and the bytes
// of the smallest shares. It is only ever appended to, one segment file after the other; a segment that may have
// been torn is never written again. docs/storage.md has the bytes.
const (
	journalMagic  = "cairnjr1"
	segmentSuffix = ".log"
	segmentBytes  = 64 << 20 // a segment that is longer gets a successor
	frameMagic    = 0x9ec41a5d
	frameHeader   = 4 + 4 + 1 + 4 // magic, CRC-32C of the rest, kind, length of the payload
	maxPayload    = 16 << 10
)

type kind byte

const (
	kindSmall   kind = 1 // a share with its bytes
	kindFile    kind = 2 // a share that has its own file
	kindRemoved kind = 3 // a share that is no longer held
)

type journal struct {
	files   files
	dir     string
	handles *handles
	last    uint32 // number of the newest segment
	current file   // the segment that is appended to, nil before the first batch and after a failure
	end     int64  // its length
}

func openJournal(f files, dir string, h *handles) (*journal, error) {
	j := &journal{files: f, dir: dir, handles: h}
	segments, err := j.segments()
	if err != nil {
		return nil, err
	}
	if len(segments) > 0 {
		j.last = segments[len(segments)-1]
	}
	return j, nil
}

// segments lists the numbers of all segments, ascending.
func (j *journal) segments() ([]uint32, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var numbers []uint32
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		n, err := strconv.ParseUint(digits, 10, 32)
		if ok && err == nil && e.Name() == filepath.Base(j.name(uint32(n))) {
			numbers = append(numbers, uint32(n))
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (j *journal) name(segment uint32) string {
	return filepath.Join(j.dir, fmt.Sprintf("%08d%s", segment, segmentSuffix))
}

// begin makes sure that there is a segment to append to and returns where the next record goes.
func (j *journal) begin() (position, error) {
	if j.current != nil && j.end < segmentBytes {
		return position{Segment: j.last, Offset: j.end}, nil
	}
	j.abandon()
	// The number is used up even when this fails: a segment that may be torn is never written again.
	j.last++
	f, err := j.files.Open(j.name(j.last), openNew)
	if err != nil {
		return position{}, fmt.Errorf("journal: %w", fail(err))
	}
	_, err = f.WriteAt([]byte(journalMagic), 0)
	if err == nil {
		err = j.files.SyncDir(j.dir)
	}
	if err != nil {
		f.Close()
		return position{}, fmt.Errorf("journal: %w", fail(err))
	}
	j.current, j.end = f, int64(len(journalMagic))
	return position{Segment: j.last, Offset: j.end}, nil
}

// write appends a batch of frames and returns once it is on stable storage. After an error the batch is on stable
// storage or not, and the journal goes on in a new segment.
func (j *journal) write(batch []byte) error {
	_, err := j.current.WriteAt(batch, j.end)
	if err == nil {
		err = j.current.Sync()
	}
	if err != nil {
		j.abandon()
		return fmt.Errorf("journal: %w", fail(err))
	}
	j.end += int64(len(batch))
	return nil
}

func (j *journal) abandon() {
	if j.current != nil {
		j.current.Close()
		j.current = nil
	}
}

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

// parseFrame reads the frame at the start of p and returns its length. io.ErrShortBuffer means that p ends before
// the frame does.
func parseFrame(p []byte) (kind, journalRecord, int, error) {
	var r journalRecord
	if len(p) < frameHeader {
		return 0, r, 0, io.ErrShortBuffer
	}
	if binary.BigEndian.Uint32(p) != frameMagic {
		return 0, r, 0, errFrame
	}
	length := int(binary.BigEndian.Uint32(p[9:]))
	if length > maxPayload {
		return 0, r, 0, errFrame
	}
	size := frameHeader + length
	if len(p) < size {
		return 0, r, size, io.ErrShortBuffer
	}
	if crc32.Checksum(p[8:size], castagnoli) != binary.BigEndian.Uint32(p[4:]) {
		return 0, r, 0, errFrame
	}
	if err := recordDecoder.Unmarshal(p[frameHeader:size], &r); err != nil {
		return 0, r, 0, fmt.Errorf("%w: %v", errFrame, err)
	}
	return kind(p[8]), r, size, nil
}

// read returns the record at a position. It is safe for concurrent use.
func (j *journal) read(at position) (journalRecord, error) {
	h, err := j.handles.open(j.name(at.Segment))
	if err != nil {
		return journalRecord{}, fmt.Errorf("journal: %w", err)
	}
	defer h.release()
	// Most records fit; a larger one is read again.
	p := make([]byte, InlineMax+1024)
	for {
		n, err := h.file.ReadAt(p, at.Offset)
		if err != nil && err != io.EOF {
			return journalRecord{}, fmt.Errorf("journal: %w", err)
		}
		_, record, size, err := parseFrame(p[:n])
		if errors.Is(err, io.ErrShortBuffer) {
			if n == len(p) && size > len(p) {
				p = make([]byte, size)
				continue
			}
			err = errFrame
		}
		return record, err
	}
}

// A visit is one record seen by scan.
type visit struct {
	kind   kind
	at     position // where the record is
	next   position // where the next one starts
	record journalRecord
}

// scan calls fn for every good record from a position on, in order, and returns how many bytes it had to skip:
// the torn end of a segment, or damage.
func (j *journal) scan(from position, fn func(visit) error) (skipped int64, err error) {
	segments, err := j.segments()
	if err != nil {
		return 0, err
	}
	for _, segment := range segments {
		if segment < from.Segment {
			continue
		}
		off := int64(len(journalMagic))
		if segment == from.Segment {
			off = max(off, from.Offset)
		}
		n, err := j.scanSegment(segment, off, fn)
		skipped += n
		if err != nil {
			return skipped, fmt.Errorf("journal segment %d: %w", segment, err)
		}
	}
	return skipped, nil
}

func (j *journal) scanSegment(segment uint32, off int64, fn func(visit) error) (skipped int64, err error) {
	f, err := j.files.Open(j.name(segment), openRead)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(io.NewSectionReader(f, off, 1<<62-off), 4*(frameHeader+maxPayload))
	for {
		p, err := in.Peek(frameHeader + maxPayload)
		if err != nil && err != io.EOF {
			return skipped, err
		}
		if len(p) == 0 {
			return skipped, nil
		}
		k, record, size, err := parseFrame(p)
		if err != nil {
			// Damage, or the torn end: look for the next record byte by byte.
			in.Discard(1)
			off++
			skipped++
			continue
		}
		in.Discard(size)
		at := position{Segment: segment, Offset: off}
		off += int64(size)
		if err := fn(visit{k, at, position{Segment: segment, Offset: off}, record}); err != nil {
			return skipped, err
		}
	}
}
