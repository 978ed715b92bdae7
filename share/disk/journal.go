package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The journal is the truth about what the store holds: one record for each share stored or removed and for each version
// of a name, and the bytes of the smaller shares. It is only ever appended to, one segment file after the other; a segment
// that may have been torn is never written again. Segments of which little is still needed are written anew at the
// journal's end and removed (rewrite.go). docs/storage.md has the bytes.
const (
	journalMagic  = "cairnjr1"
	segmentSuffix = ".log"
	segmentBytes  = 64 << 20 // a segment that is longer gets a successor
)

type journal struct {
	files   files
	dir     string
	handles *handles
	segment int64  // bytes after which a segment gets a successor
	last    uint32 // number of the newest segment
	current file   // the segment that is appended to, nil before the first batch and after a failure
	end     int64  // its length
}

func openJournal(f files, dir string, segment int64, h *handles) (*journal, error) {
	j := &journal{files: f, dir: dir, handles: h, segment: segment}
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
	if j.current != nil && j.end < j.segment {
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

// frame returns the kind and the payload of the frame at a position, which has about so many bytes; a longer one is read
// again. It is safe for concurrent use. The error wraps fs.ErrNotExist when the segment is gone.
func (j *journal) frame(at position, about int64) (kind, []byte, error) {
	h, err := j.handles.open(j.name(at.Segment))
	if err != nil {
		return 0, nil, fmt.Errorf("journal: %w", err)
	}
	defer h.release()
	p := make([]byte, min(about, frameHeader+maxPayload))
	for {
		n, err := h.file.ReadAt(p, at.Offset)
		if err != nil && err != io.EOF {
			return 0, nil, fmt.Errorf("journal: %w", err)
		}
		k, payload, size, err := parseFrame(p[:n])
		if errors.Is(err, io.ErrShortBuffer) {
			if n == len(p) && size > len(p) {
				p = make([]byte, size)
				continue
			}
			err = errFrame
		}
		return k, payload, err
	}
}

// read returns the record of a share at a position.
func (j *journal) read(at position, size int64) (journalRecord, error) {
	var r journalRecord
	_, payload, err := j.frame(at, size+frameCost)
	if err == nil {
		err = decodeFrame(payload, &r)
	}
	return r, err
}

// readHead returns the record of a version at a position.
func (j *journal) readHead(v versionRecord) (headRecord, error) {
	var r headRecord
	k, payload, err := j.frame(v.At, v.Size)
	if err == nil && k != kindHead {
		err = errFrame
	}
	if err == nil {
		err = decodeFrame(payload, &r)
	}
	return r, err
}

// remove removes a segment of which nothing is needed. Who reads from it goes on.
func (j *journal) remove(segment uint32) error {
	j.handles.evict(j.name(segment))
	err := removeAll(j.files, j.name(segment))
	if err == nil {
		err = j.files.SyncDir(j.dir)
	}
	return fail(err)
}

// A visit is one record seen by scan.
type visit struct {
	kind    kind
	at      position // where the record is
	next    position // where the next one starts
	clean   int64    // the offset from which on the segment holds nothing but good records up to here
	payload []byte   // valid until the visit ends
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

// scanSegment is scan for one segment, from an offset on.
func (j *journal) scanSegment(segment uint32, off int64, fn func(visit) error) (skipped int64, err error) {
	f, err := j.files.Open(j.name(segment), openRead)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(io.NewSectionReader(f, off, 1<<62-off), 2*(frameHeader+maxPayload))
	clean := off
	for {
		k, payload, size, err := peekFrame(in)
		switch {
		case err == io.EOF:
			return skipped, nil
		case errors.Is(err, errFrame):
			// Damage, or the torn end: look for the next record byte by byte.
			in.Discard(1)
			off++
			skipped++
			clean = off
			continue
		case err != nil:
			return skipped, err
		}
		at := position{Segment: segment, Offset: off}
		off += int64(size)
		if err := fn(visit{k, at, position{Segment: segment, Offset: off}, clean, payload}); err != nil {
			return skipped, err
		}
		in.Discard(size)
	}
}

// peekFrame returns the next frame without taking it: io.EOF at the end, errFrame where no frame begins.
func peekFrame(in *bufio.Reader) (kind, []byte, int, error) {
	p, err := in.Peek(frameHeader)
	if err == io.EOF && len(p) > 0 {
		err = errFrame
	}
	if err != nil {
		return 0, nil, 0, err
	}
	k, payload, size, err := parseFrame(p)
	if !errors.Is(err, io.ErrShortBuffer) {
		return k, payload, size, err
	}
	p, err = in.Peek(size)
	if err == io.EOF {
		err = errFrame
	}
	if err != nil {
		return 0, nil, 0, err
	}
	return parseFrame(p)
}
