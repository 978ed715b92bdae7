package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// rechecks is how often a share is read that others replace meanwhile.
const rechecks = 5

// Recheck implements share.Rechecker. A share that is fetched in one piece is verified whole.
func (s *Store) Recheck(ctx context.Context, index share.StorageIndex, n share.Number, segment int64) (held bool, err error) {
	err = s.writable(ctx)
	if err == nil {
		var read atomic.Int64
		held, err = s.recheck(ctx, index, n, segment, &read)
	}
	if err != nil {
		return false, fmt.Errorf("share %d of %s: %w", n, index, err)
	}
	return held, nil
}

// Examine implements share.Examiner.
func (s *Store) Examine(ctx context.Context, index share.StorageIndex, n share.Number, segment int64) (held bool, read int64, err error) {
	err = s.writable(ctx)
	if err == nil {
		held, read, err = s.examineOnce(ctx, index, n, segment)
	}
	if err != nil {
		return false, read, fmt.Errorf("share %d of %s: %w", n, index, err)
	}
	return held, read, nil
}

func (s *Store) examineOnce(ctx context.Context, index share.StorageIndex, n share.Number, segment int64) (held bool, read int64, err error) {
	files, err := s.index.files(index)
	if err != nil {
		return false, 0, err
	}
	now, ok := files[0].share(n)
	if !ok {
		return false, 0, nil
	}
	root, err := encoding.CheckRoot(index, files[0].Root)
	if err != nil {
		return false, 0, err
	}
	switch {
	case now.Size <= wholeMax:
		segment = 0 // whichever is meant, all is verified
	case segment < 0 || segment >= root.Layout().Segments():
		segment = share.NoSegment
	}
	v, leave, err := s.verdicts.take(ctx, verdictKey{index, now, segment})
	if err != nil {
		return false, 0, err
	}
	defer leave()
	if v.holds(time.Now()) {
		return true, 0, nil
	}
	var bytes atomic.Int64
	held, err = s.recheck(ctx, index, n, segment, &bytes)
	if held && err == nil {
		v.good = time.Now()
	}
	return held, bytes.Load(), err
}

// recheck verifies a share, twice before it is condemned. It adds what it reads.
func (s *Store) recheck(ctx context.Context, index share.StorageIndex, n share.Number, segment int64, read *atomic.Int64) (held bool, err error) {
	var before shareRecord
	for try := range rechecks {
		files, err := s.index.files(index)
		if err != nil {
			return false, err
		}
		now, ok := files[0].share(n)
		if !ok {
			return false, nil
		}
		bad := s.examine(ctx, holding{index, now, files[0].Root}, segment, read)
		switch {
		case bad == nil:
			return true, nil
		case !isBad(bad):
			return false, bad
		case try > 0 && now == before:
			// What is not the bucket that it was says nothing of what is in it.
			if err := s.believable(ctx, bad, now.Size); err != nil {
				return false, err
			}
			removed, err := s.condemn(holding{index, now, files[0].Root}, bad)
			if err != nil || removed {
				return false, err
			}
		}
		before = now
	}
	return false, fmt.Errorf("%w: it is being moved again and again", share.ErrBusy)
}

// sampleMax is the largest sample in bytes that tells whether what is read from a bucket is what is in it.
const sampleMax = 256 << 10

// unchanged returns an error when something between this node and the bucket changes what is read, by reading a sample that was just written:
// then a share that does not verify may be good.
func (s *Store) unchanged(ctx context.Context, bad error, size int64) (err error) {
	if errors.Is(bad, errNoKey) {
		return nil
	}
	p := &probe{bucket: s.bucket, key: probePrefix + randomText(8)}
	sample := make([]byte, min(size, sampleMax))
	rand.Read(sample)
	if _, err := p.bucket.put(ctx, p.key, sample, condition{}); err != nil {
		return fmt.Errorf("write a sample: %w", err)
	}
	defer func() { err = errors.Join(err, p.bucket.remove(ctx, p.key)) }()
	if err := p.read(ctx, sample); isBad(err) {
		return fmt.Errorf("%w: a sample that was just written is read as something else: what the bucket sends is changed on its way, so that nothing is said of what is in it", share.ErrUnavailable)
	} else if err != nil {
		return err
	}
	return nil
}

// examine reads from the bucket what verifies one segment of a share, and adds how much that is.
func (s *Store) examine(ctx context.Context, h holding, segment int64, read *atomic.Int64) error {
	if h.held.Size > wholeMax {
		return encoding.VerifySegment(ctx, directReader{s, h.held, read}, h.index, h.held.Number, h.root, segment)
	}
	data := make([]byte, h.held.Size)
	read.Add(h.held.Size)
	if err := s.bucket.get(ctx, h.held.Key, data, h.held.Offset); err != nil {
		return err
	}
	if checksum(data) != h.held.Sum {
		return fmt.Errorf("%w: the bucket gives other bytes than were stored", share.ErrCorrupt)
	}
	return encoding.Verify(ctx, wholeReader{bytes.NewReader(data)}, h.index, h.held.Number, h.root)
}

// doubt is called when a share could not be read: one that is damaged or gone is not held any longer, so that it can be stored again.
func (s *Store) doubt(ctx context.Context, index share.StorageIndex, n share.Number, segment int64, why error) {
	if !isBad(why) || s.writable(ctx) != nil {
		return
	}
	if _, err := s.Recheck(ctx, index, n, segment); err != nil && s.ready(ctx) == nil {
		s.log.Warn("a share in the bucket that cannot be read cannot be examined either", "index", index, "number", n, "reason", why, "error", err)
	}
}

// A directReader reads a share from where it is, each piece with one request.
type directReader struct {
	store *Store
	held  shareRecord
	read  *atomic.Int64 // grows by what is read
}

func (r directReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > r.held.Size {
		return 0, io.ErrUnexpectedEOF
	}
	r.read.Add(int64(len(p)))
	if err := r.store.bucket.get(ctx, r.held.Key, p, r.held.Offset+off); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (r directReader) Size() int64  { return r.held.Size }
func (r directReader) Close() error { return nil }

// A wholeReader reads a share in memory.
type wholeReader struct{ data *bytes.Reader }

func (r wholeReader) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n, err := r.data.ReadAt(p, off)
	if errors.Is(err, io.EOF) && n < len(p) {
		err = io.ErrUnexpectedEOF
	} else if n == len(p) {
		err = nil
	}
	return n, err
}

func (r wholeReader) Size() int64  { return r.data.Size() }
func (r wholeReader) Close() error { return nil }
