package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"cairn/share"
)

// releasedGrace is how long a share stays at most after its last lease was ended by a version that fell out of its retention.
const releasedGrace = 24 * time.Hour

// collectPage is how many records the collection takes up at a time.
const collectPage = 256

// A CollectReport says what one call of Collect did.
type CollectReport struct {
	Shares   int64 // shares that went
	Bytes    int64 // of these shares
	Versions int64 // versions of names that fell out of their retention
	Names    int64 // names of which nothing is held any more
	Segments int64 // segments of the journal that were removed
	Freed    int64 // bytes that the file system has back: files of shares, and the journal's less what was written anew
}

// Collect removes the shares on which no lease is left and gives their space back to the file system: their files, and
// the segments of the journal of which more than half is not needed any more. now is believed; CollectDue believes the
// store's own clock.
//
// A share goes when its last lease ended longer than Options.Grace ago, or was ended longer than a day ago, or than Grace where that is less,
// because a version fell out of its retention. A name goes when its lease ended longer than Grace ago and no share of
// its file is held.
func (s *Store) Collect(ctx context.Context, now time.Time) (CollectReport, error) {
	return s.collect(ctx, now, 0)
}

// CollectDue is Collect at the time that the store's own clock shows, which is never ahead of the machine's and runs at most seven
// times as fast as the store is open. It reads and writes at most so many bytes a second; 0 sets no bound.
func (s *Store) CollectDue(ctx context.Context, bytesPerSecond int64) (CollectReport, error) {
	if err := s.writable(ctx); err != nil {
		return CollectReport{}, err
	}
	now, err := s.tick(ctx)
	if err != nil {
		return CollectReport{}, fmt.Errorf("collect: %w", err)
	}
	return s.collect(ctx, now, bytesPerSecond)
}

func (s *Store) collect(ctx context.Context, now time.Time, bytesPerSecond int64) (CollectReport, error) {
	if err := s.writable(ctx); err != nil {
		return CollectReport{}, err
	}
	s.collecting.Lock()
	defer s.collecting.Unlock()
	c := &collection{Store: s, now: now, limiter: unlimited()}
	if bytesPerSecond > 0 {
		c.limiter.SetLimit(rate.Limit(bytesPerSecond))
	}
	for _, step := range []func(context.Context) error{c.names, c.files, c.segments} {
		if err := step(ctx); err != nil {
			return c.report, fmt.Errorf("collect: %w", err)
		}
	}
	return c.report, nil
}

type collection struct {
	*Store
	now     time.Time
	limiter *rate.Limiter
	report  CollectReport
}

// pages calls fn with pages of records, and waits in between as the rate demands.
func (c *collection) pages(ctx context.Context, prefix byte, fn func([]change) error) error {
	var after []byte
	for {
		if err := c.writable(ctx); err != nil {
			return err
		}
		page, err := c.index.page(prefix, after, collectPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		after = page[len(page)-1].key[1:]
		size := 0
		for _, r := range page {
			size += len(r.key) + len(r.data)
		}
		if err := c.wait(ctx, size); err != nil {
			return err
		}
		if err := fn(page); err != nil {
			return err
		}
	}
}

func (c *collection) wait(ctx context.Context, bytes int) error {
	for ; bytes > 0; bytes -= scrubBurst {
		if err := c.limiter.WaitN(ctx, min(bytes, scrubBurst)); err != nil {
			return err
		}
	}
	return nil
}

// ended reports whether a lease that ended at a time in Unix seconds did so longer than the grace ago.
func (c *collection) ended(expires int64, grace time.Duration) bool {
	return time.Unix(expires, 0).Add(grace).Before(c.now)
}

// dead reports whether no lease is left on a file.
func (c *collection) dead(f *fileRecord) bool {
	for _, l := range f.Leases {
		grace := c.grace
		if l.Owner == "" {
			grace = min(grace, releasedGrace)
		}
		if !c.ended(l.Expires, grace) {
			return false
		}
	}
	return len(f.Leases) > 0 // a record without any is not understood
}

// files removes the shares on which no lease is left.
func (c *collection) files(ctx context.Context) error {
	return c.pages(ctx, filePrefix, func(page []change) error {
		var dead []share.StorageIndex
		for _, r := range page {
			index, ok := indexOfKey(r.key)
			var f fileRecord
			if !ok || unseal(r.data, &f) != nil {
				continue // damage is found by those who read it
			}
			if c.dead(&f) {
				dead = append(dead, index)
			}
		}
		// Those with one first byte share a lock.
		for len(dead) > 0 {
			n := slices.IndexFunc(dead, func(index share.StorageIndex) bool { return index[0] != dead[0][0] })
			if n < 0 {
				n = len(dead)
			}
			if err := c.remove(ctx, dead[:n]); err != nil {
				return err
			}
			dead = dead[n:]
		}
		return nil
	})
}

// A goner is a share that goes.
type goner struct {
	index  share.StorageIndex
	share  shareRecord
	upload [32]byte
}

// remove removes the shares of some files unless somebody has got a lease on them meanwhile: from the index and by a record
// in the journal first, then their files.
func (c *collection) remove(ctx context.Context, indexes []share.StorageIndex) error {
	defer c.lockPlace(indexes[0])()
	var gone []goner
	err := c.committer.do(ctx, func(b *batch) error {
		for _, index := range indexes {
			f, err := b.file(index)
			if err != nil {
				return err
			}
			if !c.dead(f) {
				continue
			}
			for _, held := range slices.Clone(f.Shares) {
				g := goner{index: index, share: held, upload: c.uploadOf(index, held)}
				if err := b.lose(g); err != nil {
					return err
				}
				gone = append(gone, g)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range gone {
		c.report.Shares++
		c.report.Bytes += g.share.Size
	}
	freed, err := c.removeFiles(gone)
	c.report.Freed += freed
	return err
}

// removeFiles removes the files of shares that the index has no more, and returns how many bytes they had. A file that stays
// is found by the scrub, and goes later.
func (s *Store) removeFiles(gone []goner) (freed int64, err error) {
	var errs []error
	for _, g := range gone {
		if g.share.At != (position{}) {
			continue
		}
		_, name := s.names(g.index, g.share.Number)
		s.handles.evict(name)
		if err := removeAll(s.files, name); err != nil {
			errs = append(errs, err)
			continue
		}
		freed += g.share.Size
	}
	return freed, fail(errors.Join(errs...))
}

// uploadOf returns the name of the upload that brought a share, zero where that cannot be told.
func (s *Store) uploadOf(index share.StorageIndex, held shareRecord) [32]byte {
	var r journalRecord
	var err error
	if held.At != (position{}) {
		r, err = s.journal.read(held.At, held.Size)
	} else {
		_, name := s.names(index, held.Number)
		r, err = readShareFile(s.files, index, held.Number, name)
	}
	if err != nil {
		return [32]byte{}
	}
	return r.Upload
}

// lose records that a share goes.
func (b *batch) lose(g goner) error {
	if err := b.forgetUpload(g); err != nil {
		return err
	}
	_, err := b.discard(g.index, g.share)
	return err
}

// forgetUpload forgets that a share was committed.
func (b *batch) forgetUpload(g goner) error {
	if g.upload == ([32]byte{}) {
		return nil
	}
	u, err := b.upload(g.upload)
	if err != nil {
		return err
	}
	u.Committed = slices.DeleteFunc(u.Committed, func(c committedRecord) bool { return c.Index == g.index && c.Number == g.share.Number })
	return nil
}

// names forgets versions that are out of their retention, and names that nobody wants any more.
func (c *collection) names(ctx context.Context) error {
	clock := func(time.Duration) time.Time { return c.now }
	return c.pages(ctx, namePrefix, func(page []change) error {
		var due []share.Name
		for _, r := range page {
			var n nameRecord
			if len(r.key) != 1+len(share.Name{}) || unseal(r.data, &n) != nil {
				continue
			}
			retired, release := n.due(clock)
			if retired > 0 || release || c.ended(n.Lease.Expires, c.grace) {
				due = append(due, share.Name(r.key[1:]))
			}
		}
		if len(due) == 0 {
			return nil
		}
		var report CollectReport
		err := c.committer.do(ctx, func(b *batch) error {
			report = CollectReport{}
			for _, name := range due {
				if err := c.name(b, name, clock, &report); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			c.report.Versions += report.Versions
			c.report.Names += report.Names
		}
		return err
	})
}

func (c *collection) name(b *batch, name share.Name, clock func(time.Duration) time.Time, report *CollectReport) error {
	n, err := b.name(name)
	if err != nil || len(n.Versions) == 0 {
		return err
	}
	retired, err := b.retire(name, n, clock)
	report.Versions += int64(retired)
	if err != nil || !c.ended(n.Lease.Expires, c.grace) {
		return err
	}
	f, err := b.file(n.Root)
	if err != nil || len(f.Shares) > 0 || c.heldElsewhere(n.Root) {
		return err
	}
	report.Versions += int64(len(n.Versions))
	report.Names++
	return b.forget(name, n)
}
