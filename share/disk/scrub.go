package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"

	"golang.org/x/time/rate"

	"cairn/share"
	"cairn/share/encoding"
)

// A Quarantined share did not verify. It is not held any more; what was there of it lies at Path.
type Quarantined struct {
	Index  share.StorageIndex
	Number share.Number
	Path   string // empty when nothing was there
	Err    error  // what was wrong; wraps share.ErrCorrupt unless the disk could not be read
}

// A ScrubReport says what one call of Scrub did.
type ScrubReport struct {
	Shares      int64 // shares verified, bad ones included
	Bytes       int64 // bytes read
	Quarantined int64 // shares that did not verify
	Adopted     int64 // whole share files that the index did not know
	Versions    int64 // versions of names that could not be read and are not held any more
}

// scrubPage is how many files the scrub takes up between two notes of where it is.
const scrubPage = 64

// scrubBurst is how many bytes the scrub reads at full speed before the rate holds it back.
const scrubBurst = 2 << 20

// A scrubRecord is where the scrub goes on.
type scrubRecord struct {
	_     struct{} `cbor:",toarray"`
	After share.StorageIndex
}

// Scrub verifies every share that is held, at a rate of so many bytes a second, and moves aside what does not verify;
// a rate of 0 sets no bound. It ends after one pass. When ctx ends first, the next call goes on about
// where this one stopped.
func (s *Store) Scrub(ctx context.Context, bytesPerSecond int64) (ScrubReport, error) {
	if err := s.writable(ctx); err != nil {
		return ScrubReport{}, err
	}
	p := &scrub{Store: s, limiter: unlimited()}
	if bytesPerSecond > 0 {
		p.limiter.SetLimit(rate.Limit(bytesPerSecond))
	}
	err := p.run(ctx)
	p.report.Bytes = p.read.Load()
	if err != nil {
		return p.report, fmt.Errorf("scrub: %w", err)
	}
	return p.report, nil
}

type scrub struct {
	*Store
	limiter *rate.Limiter
	read    atomic.Int64 // bytes; encoding.Verify reads from several goroutines
	report  ScrubReport
}

func unlimited() *rate.Limiter { return rate.NewLimiter(rate.Inf, scrubBurst) }

func (p *scrub) run(ctx context.Context) error {
	if err := p.index.check(); err != nil {
		return err
	}
	var at scrubRecord
	if _, err := p.index.get(scrubKey, &at); err != nil {
		return err
	}
	for {
		page, err := p.index.after(at.After, scrubPage)
		if err != nil {
			return err
		}
		for _, index := range page {
			if err := p.file(ctx, index); err != nil {
				return err
			}
			at.After = index
		}
		if len(page) < scrubPage {
			break
		}
		if err := p.note(ctx, change{scrubKey, seal(at)}); err != nil {
			return err
		}
	}
	if err := p.adopt(ctx); err != nil {
		return err
	}
	if err := p.readVersions(ctx); err != nil {
		return err
	}
	return p.note(ctx, change{key: scrubKey})
}

// note writes down where the scrub is.
func (p *scrub) note(ctx context.Context, c change) error {
	return p.committer.do(ctx, func(b *batch) error {
		b.other = append(b.other, c)
		return nil
	})
}

// file verifies all shares of one file.
func (p *scrub) file(ctx context.Context, index share.StorageIndex) error {
	f, err := p.index.file(index)
	if err != nil {
		return err
	}
	for _, held := range f.Shares {
		found, err := p.recheck(ctx, index, held.Number, func(r share.Reader, root []byte) error {
			return encoding.Verify(ctx, &limitedReader{r, p}, index, held.Number, root)
		})
		if err == nil {
			p.report.Shares++
		}
		if err == nil && found == condemned {
			p.report.Quarantined++
		}
		if err := p.ready(ctx); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("share %d of %s: %w", held.Number, index, err)
		}
	}
	return nil
}

// isDamage reports whether an error says that the share is bad, and not that the machine is short of something.
func isDamage(err error) bool {
	return errors.Is(err, share.ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EIO)
}

// verify reads all of a share, and the footer of a share file, and checks every byte.
func (p *scrub) verify(ctx context.Context, f fileRecord, held shareRecord, index share.StorageIndex) error {
	_, bad := p.examine(f, held, index, func(r share.Reader, root []byte) error {
		return encoding.Verify(ctx, &limitedReader{r, p}, index, held.Number, root)
	})
	return bad
}

// A limitedReader reads as fast as the scrub may.
type limitedReader struct {
	share.Reader
	scrub *scrub
}

func (r *limitedReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	for left := len(p); left > 0; left -= scrubBurst {
		if err := r.scrub.limiter.WaitN(ctx, min(left, scrubBurst)); err != nil {
			return 0, err
		}
	}
	n, err := r.Reader.ReadAt(ctx, p, off)
	r.scrub.read.Add(int64(n))
	return n, err
}

// adopt looks for share files that the index does not know: an upload that was interrupted between its last two
// steps left one. Whole ones are taken in, others moved aside.
func (p *scrub) adopt(ctx context.Context) error {
	return p.eachFile(func(index share.StorageIndex, n share.Number, name string) error {
		f, err := p.index.file(index)
		if err != nil {
			return err
		}
		if held, ok := f.share(n); ok && held.At == (position{}) {
			return nil
		}
		record, held, err := p.readFile(ctx, index, n, name)
		if isDamage(err) {
			record, held, err = p.readFile(ctx, index, n, name)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil && !isDamage(err) {
			return err
		}
		if err != nil {
			return p.discardFile(ctx, index, held, err)
		}
		p.report.Adopted++
		return p.committer.do(ctx, func(b *batch) error { return b.store(kindFile, record) })
	})
}

// readFile verifies a share file that the index does not know.
func (p *scrub) readFile(ctx context.Context, index share.StorageIndex, n share.Number, name string) (journalRecord, shareRecord, error) {
	record, err := readShareFile(p.files, index, n, name)
	held := shareRecord{Number: n, Size: record.Size}
	if err == nil {
		err = p.verify(ctx, fileRecord{Root: record.Root}, held, index)
	}
	return record, held, err
}

// discardFile moves a bad share file aside unless the index has come to know it.
func (p *scrub) discardFile(ctx context.Context, index share.StorageIndex, held shareRecord, cause error) error {
	defer p.lockPlace(index)()
	known := false
	err := p.committer.do(ctx, func(b *batch) error {
		f, err := b.file(index)
		if err == nil {
			now, ok := f.share(held.Number)
			known = ok && now.At == (position{})
		}
		return err
	})
	if err != nil || known {
		return err
	}
	path, err := p.moveAside(index, held)
	if err != nil {
		return err
	}
	p.report.Quarantined++
	p.tell(Quarantined{Index: index, Number: held.Number, Path: path, Err: cause})
	return nil
}
