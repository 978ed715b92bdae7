package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
)

// compare finds what is gone, shorter or unknown by a listing of the bucket.
func (p *scrub) compare(ctx context.Context) error {
	if err := p.spend(ctx, 0); err != nil {
		return err
	}
	if err := p.Same(ctx); err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, prefix := range []string{packPrefix, largePrefix} {
		if err := p.compareObjects(ctx, prefix, gone); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		lost, err := p.holdings(gone)
		if err != nil {
			return err
		}
		for _, h := range lost {
			if err := p.condemned(ctx, h, fmt.Errorf("%w: its object is gone from the bucket", share.ErrNotFound)); err != nil {
				return err
			}
		}
	}
	return p.compareNames(ctx)
}

func (p *scrub) condemned(ctx context.Context, h holding, why error) error {
	if errors.Is(why, share.ErrCorrupt) {
		if err := p.unchanged(ctx, why, h.held.Size); err != nil {
			return err
		}
	}
	removed, err := p.condemn(h, why)
	if removed {
		p.report.Bad++
	}
	return err
}

// An emptiedError says which marker a prefix has lost.
type emptiedError string

func (e emptiedError) Error() string {
	return fmt.Sprintf("the bucket has lost the object %s, which says whose it is: nothing in it is believed", string(e))
}

// Same returns an error when the prefix is not the one of the index: then nothing can be said of what is missing in it. It asks the bucket.
func (s *Store) Same(ctx context.Context) error {
	data, _, err := s.bucket.getAll(ctx, markerName, markerLimit)
	if errors.Is(err, errNoKey) {
		return fmt.Errorf("%w: %w", share.ErrUnavailable, emptiedError(s.bucket.prefix+markerName))
	}
	if err != nil {
		return err
	}
	id, err := s.readMarker(data)
	if err != nil {
		return err
	}
	return s.index.file.View(func(tx *bolt.Tx) error {
		if string(tx.Bucket(metaBucket).Get(prefixKey)) != id {
			return fmt.Errorf("%w: the prefix belongs to another index", share.ErrUnavailable)
		}
		return nil
	})
}

// compareObjects compares a listing of objects of one kind with the index, page by page, and adds those that are gone.
func (p *scrub) compareObjects(ctx context.Context, prefix string, gone map[string]bool) error {
	after := ""
	for {
		if err := p.spend(ctx, 0); err != nil {
			return err
		}
		var page []object
		err := p.bucket.do(ctx, "list "+prefix, 0, func(ctx context.Context) (err error) {
			page, err = p.bucket.page(ctx, prefix, after, pageKeys)
			return err
		})
		if err != nil {
			return err
		}
		end := prefix[:len(prefix)-1] + string('/'+1)
		if len(page) == pageKeys {
			end = page[len(page)-1].key + "\x00"
		}
		known, err := p.known(max(after, prefix), end)
		if err != nil {
			return err
		}
		for _, o := range page {
			size, ok := known[o.key]
			delete(known, o.key)
			if err := p.passOver(ctx, o.key, p.listed(ctx, o, size, ok)); err != nil {
				return err
			}
		}
		for key := range known {
			if err := p.passOver(ctx, key, p.missing(ctx, key, gone)); err != nil {
				return err
			}
		}
		if len(page) < pageKeys {
			return nil
		}
		after = page[len(page)-1].key
	}
}

// known returns the sizes of the objects of the index from one key up to another, but not the first one itself.
func (p *scrub) known(after, end string) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := p.index.file.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(objectsBucket).Cursor()
		for k, data := c.Seek([]byte(after)); k != nil && string(k) < end; k, data = c.Next() {
			var o objectRecord
			if err := unseal(data, &o); err != nil {
				return err
			}
			if string(k) != after {
				sizes[string(k)] = o.Size
			}
		}
		return nil
	})
	return sizes, err
}

// listed looks at an object that is in the bucket.
func (p *scrub) listed(ctx context.Context, o object, size int64, known bool) error {
	switch {
	case known && size == o.size:
		return nil
	case known:
		return p.object(ctx, o.key, size) // its end is cut off, or it is another one
	case timeOf(o.key) > p.now.Add(-lookBack).UnixMilli():
		return nil // on its way into the index
	}
	if there, err := p.knows(o.key); err != nil || there {
		return err // to be deleted
	}
	if err := p.spend(ctx, min(o.size, directoryRead)); err != nil {
		return err
	}
	taken, err := p.adopt(ctx, o, true)
	if taken {
		p.report.Adopted++
	}
	return err
}

// missing looks once more for an object that is not in a listing, which may be older than the object.
func (p *scrub) missing(ctx context.Context, key string, gone map[string]bool) error {
	if err := p.spend(ctx, 0); err != nil {
		return err
	}
	_, err := p.bucket.size(ctx, key)
	if errors.Is(err, errNoKey) {
		gone[key] = true
		return nil
	}
	return err
}

// compareNames puts heads right that are gone from the bucket or were changed there. Keys have the order of their names.
func (p *scrub) compareNames(ctx context.Context) error {
	key, last := "", share.Name{}
	for {
		if err := p.spend(ctx, 0); err != nil {
			return err
		}
		var page []object
		err := p.bucket.do(ctx, "list "+headPrefix, 0, func(ctx context.Context) (err error) {
			page, err = p.bucket.page(ctx, headPrefix, key, pageKeys)
			return err
		})
		if err != nil {
			return err
		}
		listed, end := map[share.Name]string{}, last
		for _, o := range page {
			if name, err := share.ParseName(strings.TrimPrefix(o.key, headPrefix)); err == nil {
				listed[name], end = o.tag, name
			}
			key = o.key
		}
		complete := len(page) < pageKeys
		differ, err := p.differ(listed, last, end, complete)
		if err != nil {
			return err
		}
		for _, name := range differ {
			if err := p.passOver(ctx, headKey(name), p.name(ctx, name)); err != nil {
				return err
			}
		}
		if complete {
			return nil
		}
		last = end
	}
}

// differ returns the names after one and up to another, or all, that have another tag in the index than listed, or are in only one of the two.
func (p *scrub) differ(listed map[share.Name]string, after, end share.Name, all bool) (names []share.Name, err error) {
	err = p.index.file.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(namesBucket).Cursor()
		for k, data := c.Seek(after[:]); k != nil && (all || bytes.Compare(k, end[:]) <= 0); k, data = c.Next() {
			var n nameRecord
			if err := unseal(data, &n); err != nil {
				return err
			}
			tag, ok := listed[n.Name]
			delete(listed, n.Name)
			if n.Name != after && len(n.Versions) > 0 && (!ok || tag != n.Tag) {
				names = append(names, n.Name)
			}
		}
		return nil
	})
	return slices.AppendSeq(names, maps.Keys(listed)), err
}

// name makes the bucket and the index agree on a head.
func (p *scrub) name(ctx context.Context, of share.Name) error {
	unlock, err := p.naming.lock(ctx, of)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.spend(ctx, 0); err != nil {
		return err
	}
	_, mended, err := p.reconcile(ctx, of)
	if mended {
		p.report.Heads++
	}
	return err
}
