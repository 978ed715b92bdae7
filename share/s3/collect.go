package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
)

// A CollectReport says what a collection did.
type CollectReport struct {
	Files   int64 // storage indexes of which nothing is held any more
	Names   int64 // names of which nothing is held any more
	Objects int64 // objects that were deleted
	Freed   int64 // bytes that the bucket has back, less what was written anew
}

const (
	releasedGrace = 24 * time.Hour // how long a share stays that a version released
	collectFiles  = 256            // files of one transaction
)

// Collect removes the shares on which no lease is left, and objects of which less than half is needed, after it has written anew what is.
// now is believed; CollectDue believes the server's clock.
func (s *Store) Collect(ctx context.Context, now time.Time) (CollectReport, error) {
	if err := s.writable(ctx); err != nil {
		return CollectReport{}, err
	}
	if err := s.collecting.lock(ctx); err != nil {
		return CollectReport{}, err
	}
	defer s.collecting.unlock()
	var report CollectReport
	for _, step := range []func(context.Context, time.Time, *CollectReport) error{s.collectNames, s.collectFiles, s.collectPacks, s.collectObjects} {
		if err := step(ctx, now, &report); err != nil {
			return report, fmt.Errorf("collect: %w", err)
		}
	}
	return report, s.sessions.dropStale(ctx, now)
}

// CollectDue is Collect at the time of the server's last answer, or of this machine's clock where that is earlier. A server refuses requests
// when the two differ by more than 15 minutes, so that a clock that jumps ends no lease.
func (s *Store) CollectDue(ctx context.Context) (CollectReport, error) {
	if err := s.writable(ctx); err != nil {
		return CollectReport{}, err
	}
	if err := s.refresh(ctx); err != nil {
		return CollectReport{}, fmt.Errorf("collect: %w", err)
	}
	now := time.Now()
	if told := time.Unix(s.bucket.meter.clock.Load(), 0); told.Before(now) {
		now = told
	}
	return s.Collect(ctx, now)
}

// keysAfter returns some keys of a bucket of the index that come after one, for which a function is true.
func (x *index) keysAfter(bucket, after []byte, limit int, want func(tx *bolt.Tx, key, data []byte) (bool, error)) (keys [][]byte, last []byte, err error) {
	err = x.file.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		k, v := c.Seek(after)
		if bytes.Equal(k, after) && after != nil {
			k, v = c.Next()
		}
		for ; k != nil && len(keys) < limit; k, v = c.Next() {
			ok, err := want(tx, k, v)
			if err != nil {
				return err
			}
			if ok {
				keys = append(keys, bytes.Clone(k))
			}
			last = bytes.Clone(k)
		}
		return nil
	})
	return keys, last, err
}

// collectNames lets versions and names go.
func (s *Store) collectNames(ctx context.Context, now time.Time, report *CollectReport) error {
	var after []byte
	for {
		keys, last, err := s.index.keysAfter(namesBucket, after, collectFiles, func(*bolt.Tx, []byte, []byte) (bool, error) { return true, nil })
		if err != nil || last == nil {
			return err
		}
		after = last
		for _, k := range keys {
			if err := s.collectName(ctx, share.Name(k), now, report); err != nil {
				return err
			}
		}
	}
}

func (s *Store) collectName(ctx context.Context, of share.Name, now time.Time, report *CollectReport) error {
	unlock, err := s.naming.lock(ctx, of)
	if err != nil {
		return err
	}
	defer unlock()
	n, err := s.index.name(of)
	if err != nil || len(n.Versions) == 0 {
		return err
	}
	files, err := s.index.files(n.Versions[0].Root)
	if err != nil {
		return err
	}
	if len(files[0].Shares) == 0 && n.Lease.Expires < now.Add(-s.config.Grace).Unix() {
		if err := s.bucket.remove(ctx, headKey(of)); err != nil {
			return err
		}
		report.Names++
		return s.index.update(func(c *change) error {
			gone, err := c.name(of)
			if err == nil {
				*gone = nameRecord{Name: of}
			}
			return err
		}, nil)
	}
	before := len(n.Versions)
	released := n.retain(now)
	if len(n.Versions) == before {
		return nil
	}
	if err := s.putName(ctx, &n); err != nil {
		if errors.Is(err, errTaken) || errors.Is(err, errNoKey) {
			_, _, err = s.reconcile(ctx, of) // and another time
		}
		return err
	}
	return s.index.update(func(c *change) error { return c.setName(n, released) }, nil)
}

// over reports whether a file may go.
func (s *Store) over(f *fileRecord, now time.Time) bool {
	grace := s.config.Grace
	if len(f.Leases) == 0 {
		grace = min(grace, releasedGrace)
	}
	return now.Sub(time.Unix(f.since(), 0)) > grace
}

// collectFiles takes files without leases out of the index.
func (s *Store) collectFiles(ctx context.Context, now time.Time, report *CollectReport) error {
	var after []byte
	for {
		keys, last, err := s.index.keysAfter(filesBucket, after, collectFiles, func(_ *bolt.Tx, _, data []byte) (bool, error) {
			var f fileRecord
			err := unseal(data, &f)
			return err == nil && s.over(&f, now), err
		})
		if err != nil || last == nil {
			return err
		}
		after = last
		if err := ctx.Err(); err != nil {
			return err
		}
		err = s.index.update(func(c *change) error {
			for _, k := range keys {
				f, err := c.file(share.StorageIndex(k))
				if err != nil {
					return err
				}
				if !s.over(f, now) {
					continue // leased since
				}
				report.Files++
				for len(f.Shares) > 0 {
					if err := c.drop(f, f.Shares[0]); err != nil {
						return err
					}
				}
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
}

// collectPacks writes anew what is needed of objects of which more than half is not.
func (s *Store) collectPacks(ctx context.Context, _ time.Time, report *CollectReport) error {
	var after []byte
	for {
		keys, last, err := s.index.keysAfter(objectsBucket, after, collectFiles, func(_ *bolt.Tx, _, data []byte) (bool, error) {
			var o objectRecord
			err := unseal(data, &o)
			return err == nil && o.Shares > 0 && o.Live < o.Size/2 && o.Size > packMax, err
		})
		if err != nil || last == nil {
			return err
		}
		after = last
		for _, k := range keys {
			err := s.rewrite(ctx, string(k), report)
			if errors.Is(err, errNoKey) || errors.Is(err, share.ErrCorrupt) {
				s.log.Warn("an object in the bucket cannot be written anew: a scrub will tell", "key", string(k), "reason", err)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
}

// rewrite moves what is held of an object to a new one.
func (s *Store) rewrite(ctx context.Context, key string, report *CollectReport) error {
	size, err := s.bucket.size(ctx, key)
	if err != nil {
		return err
	}
	members, _, err := s.directory(ctx, object{key: key, size: size})
	if err != nil {
		return err
	}
	items, err := s.needed(ctx, key, members)
	if err != nil {
		return err
	}
	var b packBuilder
	for _, it := range items {
		b.add(it)
	}
	if len(items) == 0 {
		return nil
	}
	data := b.finish()
	to := s.keys.next(packPrefix)
	if _, err := s.bucket.put(ctx, to, data, condition{}); err != nil {
		return err
	}
	report.Freed -= int64(len(data))
	return s.index.update(func(c *change) error { return c.move(key, to, int64(len(data)), b.members) }, nil)
}

// needed returns the shares of an object that are held, with the longest leases on them.
func (s *Store) needed(ctx context.Context, key string, members []member) ([]item, error) {
	var items []item
	for _, m := range members {
		files, err := s.index.files(m.Index)
		if err != nil {
			return nil, err
		}
		held, ok := files[0].share(m.Number)
		if !ok || held.Key != key {
			continue
		}
		data, err := s.readWhole(ctx, m.Index, held)
		if errors.Is(err, share.ErrCorrupt) || errors.Is(err, share.ErrNotFound) {
			continue // it stays where it is, for a scrub to tell
		}
		if err != nil {
			return nil, err
		}
		lease := m.Lease
		for _, l := range files[0].Leases {
			if l.Expires > lease.Expires {
				lease = l
			}
		}
		items = append(items, item{m.Index, m.Number, data, m.Root, m.Upload, lease})
	}
	return items, nil
}

// move changes the places of shares from one object to another.
func (c *change) move(from, to string, size int64, members []member) error {
	o, err := c.object(to)
	if err != nil {
		return err
	}
	o.Size = size
	for _, m := range members {
		f, err := c.file(m.Index)
		if err != nil {
			return err
		}
		held, ok := f.share(m.Number)
		if !ok || held.Key != from {
			continue
		}
		if err := c.drop(f, held); err != nil {
			return err
		}
		o.Live, o.Shares = o.Live+m.Size, o.Shares+1
		f.put(m.record(to))
	}
	return nil
}

// collectObjects deletes the objects in which nothing is held.
func (s *Store) collectObjects(ctx context.Context, _ time.Time, report *CollectReport) error {
	for {
		keys, last, err := s.index.keysAfter(goneBucket, nil, collectFiles, func(*bolt.Tx, []byte, []byte) (bool, error) { return true, nil })
		if err != nil || last == nil {
			return err
		}
		for _, k := range keys {
			if err := s.bucket.remove(ctx, string(k)); err != nil {
				return err
			}
			report.Objects++
		}
		err = s.index.update(func(c *change) error {
			for _, k := range keys {
				if err := c.tx.Bucket(goneBucket).Delete(k); err != nil {
					return err
				}
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
}
