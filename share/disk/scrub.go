package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

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
		bad := p.verify(ctx, f, held, index)
		if errors.Is(bad, fs.ErrNotExist) {
			bad = p.missing(index, held)
		}
		if err := p.ready(ctx); err != nil {
			return err
		}
		p.report.Shares++
		if bad == nil {
			continue
		}
		if !isDamage(bad) {
			return fmt.Errorf("share %d of %s: %w", held.Number, index, bad)
		}
		if err := p.discard(ctx, index, held, bad); err != nil {
			return fmt.Errorf("move share %d of %s aside: %w", held.Number, index, err)
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
	r, err := p.reader(f, held, index)
	if err != nil {
		return err
	}
	defer r.Close()
	if held.At == (position{}) {
		_, name := p.names(index, held.Number)
		if _, err := readShareFile(p.files, index, held.Number, name); err != nil {
			return err
		}
	}
	return encoding.Verify(ctx, &limitedReader{r, p}, index, held.Number, f.Root)
}

// missing returns ErrCorrupt for a share whose data is not where it should be, unless it was removed meanwhile or
// written elsewhere, where the next pass finds it.
func (p *scrub) missing(index share.StorageIndex, held shareRecord) error {
	f, err := p.index.file(index)
	if err != nil {
		return err
	}
	if now, ok := f.share(held.Number); !ok || now != held {
		return nil
	}
	return fmt.Errorf("%w: its data is gone", share.ErrCorrupt)
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

// discard removes a bad share from the index, then moves what there is of it aside.
func (p *scrub) discard(ctx context.Context, index share.StorageIndex, held shareRecord, cause error) error {
	defer p.lockPlace(index)()
	q := Quarantined{Index: index, Number: held.Number, Err: cause}
	removed := false
	err := p.committer.do(ctx, func(b *batch) error {
		f, err := b.file(index)
		if err != nil {
			return err
		}
		if now, ok := f.share(held.Number); !ok || now != held {
			return nil // replaced or removed since
		}
		removed, err = b.discard(index, held)
		return err
	})
	if err != nil || !removed {
		return err
	}
	if q.Path, err = p.moveAside(index, held); err != nil {
		return err
	}
	p.tell(q)
	return nil
}

func (p *scrub) tell(q Quarantined) {
	p.report.Quarantined++
	p.log.Error("a share does not verify and was moved aside", "index", q.Index, "number", q.Number, "path", q.Path, "error", q.Err)
	p.Store.report(q)
}

// moveAside moves what there is of a share into the quarantine and returns where it is.
func (p *scrub) moveAside(index share.StorageIndex, held shareRecord) (string, error) {
	name := fmt.Sprintf("%s.%s.%s", index, held.Number, time.Now().UTC().Format("20060102T150405.000000"))
	aside := filepath.Join(p.quarantine, name)
	if held.At != (position{}) {
		r, err := p.journal.read(held.At, held.Size)
		if err != nil {
			return "", nil // nothing left to keep
		}
		return aside, writeFile(p.files, aside, append(r.Data, r.Root...))
	}
	dir, file := p.names(index, held.Number)
	p.handles.evict(file)
	err := p.files.Rename(file, aside)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = errors.Join(p.files.SyncDir(dir), p.files.SyncDir(p.quarantine))
	}
	return aside, fail(err)
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
		record, err := readShareFile(p.files, index, n, name)
		held := shareRecord{Number: n, Size: record.Size}
		if err == nil {
			err = p.verify(ctx, fileRecord{Root: record.Root}, held, index)
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
	p.tell(Quarantined{Index: index, Number: held.Number, Path: path, Err: cause})
	return nil
}
