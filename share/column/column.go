// Package column checks a share while it arrives: what every Store demands of an upload, in one place.
package column

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/sums"
)

// Bounds of what a Store takes from outside, beside those of the encoded file.
const (
	// MaxOwner bounds the name of a lease's owner in bytes.
	MaxOwner = 256
	// ClockSlack is how much longer than share.MaxLease a lease may seem to run, because clocks differ.
	ClockSlack = time.Hour
)

// CheckLease returns ErrDenied for a lease without an owner, one that has ended at the given time, and one
// that runs longer than share.MaxLease.
func CheckLease(lease share.Lease, now time.Time) error {
	switch {
	case lease.Owner == "" || len(lease.Owner) > MaxOwner:
		return fmt.Errorf("lease: %w: the owner's name has %d bytes, want 1 to %d", share.ErrDenied, len(lease.Owner), MaxOwner)
	case !lease.Expires.After(now):
		return fmt.Errorf("lease: %w: it ended at %s", share.ErrDenied, lease.Expires.UTC().Format(time.RFC3339))
	case lease.Expires.After(now.Add(share.MaxLease + ClockSlack)):
		return fmt.Errorf("lease: %w: it runs until %s, longer than %d days", share.ErrDenied,
			lease.Expires.UTC().Format(time.RFC3339), int(share.MaxLease/(24*time.Hour)))
	}
	return nil
}

// CheckUpload returns ErrTooLarge for an upload beyond the bounds of the encoded file, and ErrDenied for one
// that no encoded file can have or whose lease CheckLease refuses.
func CheckUpload(u share.Upload, now time.Time) error {
	switch {
	case u.Total > share.MaxTotal:
		return fmt.Errorf("%w: %d shares in total, at most %d", share.ErrTooLarge, u.Total, share.MaxTotal)
	case int(u.Number) >= u.Total:
		return fmt.Errorf("%w: share number %d of a file with %d shares", share.ErrTooLarge, u.Number, u.Total)
	case u.BlockSize > encoding.MaxBlockSize:
		return fmt.Errorf("%w: blocks of %d bytes, at most %d", share.ErrTooLarge, u.BlockSize, encoding.MaxBlockSize)
	case u.Size > encoding.MaxSize:
		return fmt.Errorf("%w: a file of %d bytes, at most %d", share.ErrTooLarge, u.Size, int64(encoding.MaxSize))
	case u.Size < -1:
		return fmt.Errorf("%w: a file of %d bytes", share.ErrDenied, u.Size)
	}
	if err := layout(u, max(u.Size, 0)).Validate(); err != nil {
		return fmt.Errorf("%w: %v", share.ErrDenied, err)
	}
	return CheckLease(u.Lease, now)
}

// ShareSize returns how many bytes the share of an upload of known size takes at most.
func ShareSize(u share.Upload) int64 {
	return layout(u, u.Size).RootOffset() + encoding.MaxRootSize
}

// SameShape reports whether what was kept of one upload can go on as the other.
func SameShape(a, b share.Upload) bool {
	return a.Needed == b.Needed && a.Total == b.Total && a.BlockSize == b.BlockSize
}

func layout(u share.Upload, size int64) encoding.Layout {
	return encoding.Layout{Needed: u.Needed, Total: u.Total, BlockSize: u.BlockSize, Size: size}
}

// A Column follows one share of an upload from its first block to its root. It keeps no data, only the shape.
// It is used from one goroutine. New and Resume make one.
type Column struct {
	upload  share.Upload
	blocks  int64
	lastLen int // bytes of the last block
}

// New returns the empty column of an upload that CheckUpload accepted.
func New(u share.Upload) *Column { return Resume(u, 0) }

// Resume returns the column of an upload that has so many bytes of blocks behind it.
func Resume(u share.Upload, bytes int64) *Column {
	c := &Column{upload: u, lastLen: u.BlockSize}
	if bytes > 0 {
		size := int64(u.BlockSize)
		c.blocks = (bytes + size - 1) / size
		c.lastLen = int(bytes - (c.blocks-1)*size)
	}
	return c
}

// Blocks returns how many blocks were added.
func (c *Column) Blocks() int64 { return c.blocks }

// Check reports whether the next segment may be added: the digests are one row, the block is the one that the
// row lists for this share, and no block but the last is short. It hashes the block; it changes nothing.
func (c *Column) Check(digests []share.Digest, block []byte) error {
	if err := c.fits(digests, block); err != nil {
		return err
	}
	if sha256.Sum256(block) != digests[c.upload.Number] {
		return c.wrong()
	}
	return nil
}

// CheckAll is Check for several segments, as share.BulkWriter gets them. It returns how many may be added, and why the one behind
// them may not, if there is one.
func (c *Column) CheckAll(rows []share.Digest, blocks []byte) (int, error) {
	size, total := c.upload.BlockSize, c.upload.Total
	if want := (len(blocks) + size - 1) / size; len(rows) != want*total {
		return 0, c.refuse(share.ErrCorrupt, "%d digests, want %d for each of %d blocks", len(rows), total, want)
	}
	next := *c
	list := slices.Collect(slices.Chunk(blocks, size))
	for i, block := range list {
		if err := next.fits(rows[i*total:][:total], block); err != nil {
			n, earlier := c.compare(rows, list[:i])
			return n, cmp.Or(earlier, err)
		}
		next.Add(block)
	}
	return c.compare(rows, list)
}

// compare hashes blocks and returns how many of them are what their rows say.
func (c *Column) compare(rows []share.Digest, blocks [][]byte) (int, error) {
	digests := make([]share.Digest, len(blocks))
	sums.Sum(digests, blocks)
	next := *c
	for i, block := range blocks {
		if digests[i] != rows[i*c.upload.Total+int(c.upload.Number)] {
			return i, next.wrong()
		}
		next.Add(block)
	}
	return len(blocks), nil
}

// fits reports whether a segment has the shape of the next one.
func (c *Column) fits(digests []share.Digest, block []byte) error {
	switch {
	case len(block) > c.upload.BlockSize:
		return c.refuse(share.ErrTooLarge, "a block of %d bytes, at most %d", len(block), c.upload.BlockSize)
	case len(digests) != c.upload.Total:
		return c.refuse(share.ErrCorrupt, "%d digests, want %d", len(digests), c.upload.Total)
	case c.lastLen != c.upload.BlockSize:
		return c.refuse(share.ErrCorrupt, "it follows a short block, which must be the last")
	case c.upload.Size >= 0 && c.blocks >= layout(c.upload, c.upload.Size).Segments():
		return c.refuse(share.ErrTooLarge, "the upload announced a file of %d bytes", c.upload.Size)
	case c.blocks*layout(c.upload, 0).SegmentSize() >= encoding.MaxSize:
		return c.refuse(share.ErrTooLarge, "the file passes %d bytes", int64(encoding.MaxSize))
	}
	return nil
}

func (c *Column) wrong() error {
	return c.refuse(share.ErrCorrupt, "the block does not match its digest")
}

func (c *Column) refuse(kind error, format string, args ...any) error {
	return fmt.Errorf("segment %d: %w: %s", c.blocks, kind, fmt.Sprintf(format, args...))
}

// Add counts a segment that Check accepted and that was kept.
func (c *Column) Add(block []byte) {
	c.blocks++
	c.lastLen = len(block)
}

// Tail returns what stands behind the blocks of a share: the given rows, the levels of the index and the root block,
// of which root is the parsed form. It returns ErrCorrupt when the root does not commit to the rows.
func Tail(rows []byte, root encoding.Root, block []byte) ([]byte, error) {
	l := root.Layout()
	if want := l.Segments() * int64(l.RowLen()); int64(len(rows)) != want {
		return nil, fmt.Errorf("root: %w: %d bytes of digests, want %d", share.ErrCorrupt, len(rows), want)
	}
	t := &tail{base: l.RowOffset(0), data: make([]byte, len(rows), l.RootOffset()-l.RowOffset(0)+int64(len(block)))}
	copy(t.data, rows)
	top := share.Digest(sha256.Sum256(encoding.SegmentNode(encoding.Digests(rows[:l.RowLen()]))))
	if l.Segments() > 1 {
		var err error
		if top, err = encoding.BuildIndex(t, l); err != nil {
			return nil, err
		}
	}
	if top != root.Index {
		return nil, ErrRoot
	}
	return append(t.data, block...), nil
}

// ErrRoot says that a root does not commit to the digests that were appended. It wraps share.ErrCorrupt.
var ErrRoot = fmt.Errorf("root: %w: it does not commit to the digests that were appended", share.ErrCorrupt)

// tail is the end of a share under construction, from the rows on, in the shape that encoding.BuildIndex wants.
type tail struct {
	base int64
	data []byte
}

func (t *tail) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, t.data[min(off-t.base, int64(len(t.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (t *tail) WriteAt(p []byte, off int64) (int, error) {
	end := int(off-t.base) + len(p)
	t.data = slices.Grow(t.data, max(0, end-len(t.data)))[:max(len(t.data), end)]
	return copy(t.data[off-t.base:], p), nil
}

// CheckRoot parses the root and reports whether the column can be one of its file: same code, same number of
// segments, last block of the right length. What it cannot know is whether the rows hash to the root's index.
func (c *Column) CheckRoot(block []byte) (encoding.Root, error) {
	root, err := encoding.ParseRoot(block)
	if err != nil {
		return encoding.Root{}, err
	}
	l := root.Layout()
	switch {
	case l.Needed != c.upload.Needed || l.Total != c.upload.Total || l.BlockSize != c.upload.BlockSize:
		return encoding.Root{}, fmt.Errorf("root: %w: %d-of-%d in blocks of %d, the upload was %d-of-%d in blocks of %d", share.ErrCorrupt,
			l.Needed, l.Total, l.BlockSize, c.upload.Needed, c.upload.Total, c.upload.BlockSize)
	case l.Segments() != c.blocks:
		return encoding.Root{}, fmt.Errorf("root: %w: %d segments, %d were appended", share.ErrCorrupt, l.Segments(), c.blocks)
	case l.BlockLen(c.blocks-1) != c.lastLen:
		return encoding.Root{}, fmt.Errorf("root: %w: last block of %d bytes, %d were appended", share.ErrCorrupt, l.BlockLen(c.blocks-1), c.lastLen)
	}
	return root, nil
}
