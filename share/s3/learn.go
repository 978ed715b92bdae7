package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"cairn/share"
)

const (
	// keptAfterLoss is how long every lease runs at least when the index was lost, because renewals were in it alone.
	keptAfterLoss = 90 * 24 * time.Hour
	// lookBack is how far before the newest known object the bucket is searched for others when the store is opened.
	lookBack = time.Hour
	learners = 8
)

// learn puts into the index what the bucket has and the index does not know: everything when the index is not complete, and otherwise what an
// earlier process put into the bucket just before it ended.
func (s *Store) learn(ctx context.Context, complete bool) error {
	for _, prefix := range []string{packPrefix, largePrefix} {
		after := ""
		last, err := s.lastKey(prefix)
		if err != nil {
			return err
		}
		s.keys.see(last)
		if complete && last != "" {
			after = keyBefore(prefix, last)
		}
		if err := s.learnObjects(ctx, prefix, after, complete); err != nil {
			return err
		}
	}
	if complete {
		return nil
	}
	if err := s.learnNames(ctx); err != nil {
		return err
	}
	if held := s.index.held(); held.objects > 0 {
		s.log.Info("computed the index from the bucket", "bucket", s.config.URL(), "objects", held.objects, "bytes", held.stored)
	}
	return s.index.update(func(c *change) error { return c.tx.Bucket(metaBucket).Put(completeKey, []byte{1}) }, nil)
}

// lastKey returns the newest key of a kind that the index knows.
func (s *Store) lastKey(prefix string) (last string, err error) {
	err = s.index.file.View(func(tx *bolt.Tx) error {
		for _, bucket := range [][]byte{objectsBucket, goneBucket} {
			c := tx.Bucket(bucket).Cursor()
			// The key behind all of this kind, or none.
			k, _ := c.Seek([]byte{prefix[0], '/' + 1})
			if k == nil {
				k, _ = c.Last()
			} else {
				k, _ = c.Prev()
			}
			if bytes.HasPrefix(k, []byte(prefix)) {
				last = max(last, string(k))
			}
		}
		return nil
	})
	return last, err
}

// timeOf returns the time in a key in Unix milliseconds, 0 for a key that is none of ours.
func timeOf(key string) int64 {
	var at int64
	if _, err := fmt.Sscanf(key[min(2, len(key)):], "%012x-", &at); err != nil {
		return 0
	}
	return at
}

func keyBefore(prefix, last string) string {
	return fmt.Sprintf("%s%012x", prefix, max(0, timeOf(last)-lookBack.Milliseconds()))
}

// see makes later keys later than one that was found.
func (k *keyMaker) see(key string) {
	k.mu.Lock()
	// A key of a clock that was far ahead is no reason to go there.
	if at := timeOf(key); at < time.Now().Add(24*time.Hour).UnixMilli() {
		k.last = max(k.last, at)
	}
	k.mu.Unlock()
}

// learnObjects looks at all objects of a kind that come after a key.
func (s *Store) learnObjects(ctx context.Context, prefix, after string, complete bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(learners)
	err := s.bucket.list(ctx, prefix, after, func(o object) error {
		s.keys.see(o.key)
		known, err := s.knows(o.key)
		if err == nil && !known {
			group.Go(func() error {
				_, err := s.adopt(ctx, o, complete)
				return err
			})
		}
		return err
	})
	return errors.Join(group.Wait(), err)
}

func (s *Store) knows(key string) (known bool, err error) {
	err = s.index.file.View(func(tx *bolt.Tx) error {
		known = tx.Bucket(objectsBucket).Get([]byte(key)) != nil || tx.Bucket(goneBucket).Get([]byte(key)) != nil
		return nil
	})
	return known, err
}

// adopt puts into the index what an object has, and reports whether it did. One that is damaged is left as it is.
func (s *Store) adopt(ctx context.Context, o object, complete bool) (taken bool, err error) {
	members, roots, err := s.inspect(ctx, o)
	if errors.Is(err, share.ErrCorrupt) || errors.Is(err, errNoKey) {
		s.log.Warn("an object in the bucket is not used", "key", o.key, "reason", err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.index.update(func(c *change) error {
		for i := range members {
			if !complete {
				members[i].Lease.Expires = max(members[i].Lease.Expires, c.now.Add(keptAfterLoss).Unix())
			}
		}
		return c.holdAll(o.key, o.size, members, func(i int) []byte { return roots[i] })
	}, nil)
}

// inspect reads the directory of an object, and the roots of its shares.
func (s *Store) inspect(ctx context.Context, o object) ([]member, [][]byte, error) {
	members, end, err := s.directory(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	roots := make([][]byte, len(members))
	from := o.size - int64(len(end))
	for i, m := range members {
		at := m.Offset + m.Size - int64(m.Root)
		if at < from { // many shares: their roots are all over the object
			if i+1 < len(members) {
				at = 0
			}
			if o.size-at > maxPack {
				return nil, nil, fmt.Errorf("%w: its root is far from its end", share.ErrCorrupt)
			}
			end, from = make([]byte, o.size-at), at
			if err := s.bucket.get(ctx, o.key, end, from); err != nil {
				return nil, nil, err
			}
		}
		at = m.Offset + m.Size - int64(m.Root)
		roots[i] = bytes.Clone(end[at-from:][:m.Root])
		if share.IndexOf(roots[i]) != m.Index {
			return nil, nil, fmt.Errorf("share %d of %s: %w: its root is another one", m.Number, m.Index, share.ErrCorrupt)
		}
	}
	return members, roots, nil
}

// directory reads the directory of an object, and returns the end of the object that it read for that.
func (s *Store) directory(ctx context.Context, o object) ([]member, []byte, error) {
	end := make([]byte, min(o.size, directoryRead))
	if err := s.bucket.get(ctx, o.key, end, o.size-int64(len(end))); err != nil {
		return nil, nil, err
	}
	length, err := readTrailer(end)
	if err != nil {
		return nil, nil, err
	}
	if want := int64(length + trailer); want > int64(len(end)) && want <= o.size {
		end = make([]byte, want)
		if err := s.bucket.get(ctx, o.key, end, o.size-want); err != nil {
			return nil, nil, err
		}
	}
	members, err := parseDirectory(end, o.size)
	return members, end, err
}

// learnNames puts all names of the bucket into the index.
func (s *Store) learnNames(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(learners)
	var mu sync.Mutex
	damaged := 0
	err := s.bucket.list(ctx, headPrefix, "", func(o object) error {
		group.Go(func() error {
			of, err := share.ParseName(o.key[len(headPrefix):])
			if err == nil {
				_, err = s.adoptName(ctx, of)
			}
			if err == nil || ctx.Err() != nil {
				return ctx.Err()
			}
			if _, ok := errors.AsType[*Error](err); ok {
				return err
			}
			mu.Lock()
			damaged++
			mu.Unlock()
			return nil
		})
		return nil
	})
	if damaged > 0 {
		s.log.Warn("heads in the bucket are not used because they are damaged", "bucket", s.config.URL(), "heads", damaged)
	}
	return errors.Join(group.Wait(), err)
}
