package disk

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// checkpointBytes is how much of an upload a crash can cost at most.
const checkpointBytes = 32 << 20

// Suffixes of the files of an unfinished upload.
const (
	blocksSuffix = ".blocks"
	rowsSuffix   = ".rows"
	aboutSuffix  = ".about"
)

// An aboutRecord is what an unfinished upload is about. With it on the disk the upload can be resumed by a later
// process.
type aboutRecord struct {
	_         struct{} `cbor:",toarray"`
	ID        share.UploadID
	Number    share.Number
	Needed    int
	Total     int
	BlockSize int
	Size      int64
	Lease     leaseRecord
}

// A session is an unfinished upload of one share: its blocks, which become the share file, and the rows of
// digests, which move behind them. The writer that came last owns it.
type session struct {
	store *Store
	key   string // names its files
	owner string
	id    share.UploadID

	mu      sync.Mutex
	upload  share.Upload
	writer  *writer // nil while nobody writes
	gone    bool    // committed or forgotten: find another
	column  *column.Column
	blocks  spool
	rows    spool // each row is followed by its CRC-32C
	claim   claim
	dirty   bool // the files hold what nobody has checked since they were written by an earlier process, or badly
	known   bool // durable is right although the files are dirty
	about   bool // the about file is stable
	durable int64
	synced  int64     // bytes of blocks and rows that are stable
	touched time.Time // when it was last written
}

// sessionKey names the session of an upload; the name tells nothing.
func sessionKey(owner string, id share.UploadID, n share.Number) string {
	name := uploadName(owner, id)
	sum := sha256.Sum256(append(name[:], byte(n)))
	return hex.EncodeToString(sum[:16])
}

func newSession(s *Store, key string, upload share.Upload) *session {
	path := filepath.Join(s.uploads, key)
	return &session{
		store: s, key: key, owner: upload.Lease.Owner, id: upload.ID, upload: upload, column: column.New(upload), touched: time.Now(),
		blocks: spool{files: s.files, name: path + blocksSuffix, large: upload.Size >= 0 && column.ShareSize(upload) > cacheBytes},
		rows:   spool{files: s.files, name: path + rowsSuffix},
		claim:  claim{space: s.space, owner: upload.Lease.Owner},
	}
}

func (s *session) aboutName() string { return filepath.Join(s.store.uploads, s.key+aboutSuffix) }

// announced returns with how many bytes the owner is charged at least: the whole share, while somebody writes one whose
// size is known.
func (s *session) announced() int64 {
	if s.writer == nil || s.upload.Size < 0 {
		return 0
	}
	return column.ShareSize(s.upload)
}

func (s *session) rowSize() int64 {
	return int64(s.upload.Total*encoding.DigestSize + checksumSize)
}

// append adds segments that the column accepted. After an error the session holds what resume finds.
func (s *session) append(digests []share.Digest, blocks []byte) error {
	if err := s.keep(digests, blocks); err != nil {
		return fmt.Errorf("segment %d: %w", s.column.Blocks(), err)
	}
	return nil
}

func (s *session) keep(digests []share.Digest, blocks []byte) error {
	count := int64(len(digests) / s.upload.Total)
	size := s.blocks.size() + s.rows.size() + int64(len(blocks)) + count*s.rowSize()
	if err := s.claim.grow(s.foresee(size)); err != nil {
		if err = s.claim.grow(size + encoding.MaxRootSize); err != nil {
			return err
		}
	}
	rows := make([]byte, 0, count*s.rowSize())
	for row := range slices.Chunk(digests, s.upload.Total) {
		begin := len(rows)
		rows = encoding.AppendDigests(rows, row)
		rows = binary.BigEndian.AppendUint32(rows, crc32.Checksum(rows[begin:], castagnoli))
	}
	err := s.rows.add(rows)
	if err == nil {
		err = s.blocks.add(blocks)
	}
	if err != nil {
		s.dirty = true
		return err
	}
	for range count {
		n := min(len(blocks), s.upload.BlockSize)
		s.column.Add(blocks[:n])
		blocks = blocks[n:]
	}
	s.claim.wrote(s.blocks.flat + s.rows.flat)
	s.claim.charge(max(s.announced(), size))
	if size-s.synced >= checkpointBytes {
		return s.checkpoint()
	}
	return nil
}

// foresee rounds up what a stream of unknown length claims, so that it does not claim for every segment anew.
func (s *session) foresee(size int64) int64 {
	const step = 4 << 20
	return (size + step - 1) / step * step
}

// checkpoint makes what was appended stable, so that a later process can go on from here.
func (s *session) checkpoint() error {
	err := s.sync()
	if err != nil {
		s.dirty = true
		return fmt.Errorf("checkpoint: %w", err)
	}
	s.durable, s.synced = s.column.Blocks(), s.blocks.size()+s.rows.size()
	s.claim.wrote(s.synced)
	return nil
}

func (s *session) sync() error {
	if err := s.rows.sync(); err != nil {
		return err
	}
	if err := s.blocks.sync(); err != nil {
		return err
	}
	if s.about {
		return nil
	}
	u := s.upload
	record := aboutRecord{
		ID: u.ID, Number: u.Number, Needed: u.Needed, Total: u.Total, BlockSize: u.BlockSize, Size: u.Size, Lease: recordLease(u.Lease),
	}
	if err := writeFile(s.store.files, s.aboutName(), seal(record)); err != nil {
		return err
	}
	if err := s.store.files.SyncDir(s.store.uploads); err != nil {
		return fail(err)
	}
	s.about = true
	return nil
}

// writeFile writes and syncs a small file.
func writeFile(f files, name string, data []byte) error {
	out, err := f.Open(name, openNew)
	if err != nil {
		return fail(err)
	}
	defer out.Close()
	if _, err := out.WriteAt(data, 0); err != nil {
		return fail(err)
	}
	return fail(out.Sync())
}

// resume makes sure that what the session holds is good: where an earlier process or a failed write left the files,
// it hashes them and cuts them behind the last good segment.
func (s *session) resume(ctx context.Context) error {
	if !s.dirty {
		return nil
	}
	if err := s.blocks.load(); err != nil {
		return err
	}
	if err := s.rows.load(); err != nil {
		return err
	}
	segments, bytes, err := s.verify(ctx)
	if err != nil {
		return err
	}
	if err := s.blocks.truncate(bytes); err != nil {
		return err
	}
	if err := s.rows.truncate(segments * s.rowSize()); err != nil {
		return err
	}
	s.column = column.Resume(s.upload, bytes)
	s.durable, s.synced = segments, bytes+segments*s.rowSize()
	s.claim.wrote(s.synced)
	s.claim.charge(max(s.announced(), s.synced))
	s.dirty, s.known = false, true
	return nil
}

// verify returns how many segments in the files are good, and how many bytes their blocks have.
func (s *session) verify(ctx context.Context) (segments, bytes int64, err error) {
	row, block := make([]byte, s.rowSize()), make([]byte, s.upload.BlockSize)
	for bytes < s.blocks.flat && (segments+1)*s.rowSize() <= s.rows.flat && bytes == segments*int64(len(block)) {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		if _, err := s.rows.file.ReadAt(row, segments*s.rowSize()); err != nil {
			return 0, 0, fmt.Errorf("read an unfinished upload: %w", err)
		}
		block := block[:min(int64(len(block)), s.blocks.flat-bytes)]
		if _, err := s.blocks.file.ReadAt(block, bytes); err != nil && err != io.EOF {
			return 0, 0, fmt.Errorf("read an unfinished upload: %w", err)
		}
		digests, ok := openRow(row)
		if !ok || sha256.Sum256(block) != digests[s.upload.Number] {
			break
		}
		segments, bytes = segments+1, bytes+int64(len(block))
	}
	return segments, bytes, nil
}

// openRow returns the digests of a row unless its checksum is wrong.
func openRow(row []byte) ([]share.Digest, bool) {
	body := row[:len(row)-checksumSize]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(row[len(body):]) {
		return nil, false
	}
	return encoding.Digests(body), true
}

// reset empties the session.
func (s *session) reset() error {
	s.column, s.durable, s.synced = column.New(s.upload), 0, 0
	if s.dirty {
		if err := s.blocks.load(); err != nil {
			return err
		}
		if err := s.rows.load(); err != nil {
			return err
		}
	}
	if err := s.blocks.truncate(0); err != nil {
		return err
	}
	if err := s.rows.truncate(0); err != nil {
		return err
	}
	s.dirty = false
	s.claim.wrote(0)
	s.claim.charge(s.announced())
	return nil
}

// rest is called when nobody writes any more: it keeps what there is for a later resumption and closes the files.
func (s *session) rest() error {
	s.writer = nil
	s.touched = time.Now()
	var err error
	switch {
	case s.dirty:
		// The buffers may not fit the files; what is in the files is found by resume.
	case s.column.Blocks() == 0:
		return s.forget()
	case s.blocks.size()+s.rows.size() > s.synced || !s.about:
		err = s.checkpoint()
	}
	s.known = !s.dirty
	s.dirty = true // for the next writer, which checks what it goes on with
	s.blocks.close()
	s.rows.close()
	s.claim.shrink()
	return err
}

// forget removes all that the session has.
func (s *session) forget() error {
	s.gone = true
	s.claim.release()
	err := s.blocks.remove()
	if e := s.rows.remove(); err == nil {
		err = e
	}
	if e := removeAll(s.store.files, s.aboutName()); err == nil {
		err = e
	}
	s.store.sessions.remove(s)
	return err
}
