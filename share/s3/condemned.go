package s3

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
)

const (
	// condemnedFor is how long a share that was found bad stays in the bucket, before it is looked at once more and deleted.
	condemnedFor = 24 * time.Hour
	// condemnedMost bounds what such shares have together, in bytes. What does not fit is deleted at once.
	condemnedMost = 1 << 30
)

// A condemnedRecord is a share that is not held any more because it was found bad, and may turn out to be good: what was read may have been
// changed on its way.
type condemnedRecord struct {
	_      struct{} `cbor:",toarray"`
	Index  share.StorageIndex
	Held   shareRecord
	Root   []byte
	Leases []leaseRecord
	Unheld int64
	At     int64 // when it was found bad, in Unix seconds
}

// condemnedKey begins with the key of the object, so that an object shows whether something of it is condemned.
func condemnedKey(r condemnedRecord) []byte {
	return fmt.Appendf([]byte(r.Held.Key+"\x00"), "%s%d", r.Index[:], r.Held.Number)
}

// condemn takes a share out of what is held. Its bytes stay where they are for a while, unless all that do so would have more than the most.
func (c *change) condemn(f *fileRecord, h holding, most int64) error {
	r := condemnedRecord{Index: h.index, Held: h.held, Root: h.root, Leases: slices.Clone(f.Leases), Unheld: f.Unheld, At: c.now.Unix()}
	if err := c.drop(f, h.held); err != nil {
		return err
	}
	kept, err := c.condemnedBytes()
	if err != nil || kept+h.held.Size > most {
		return err
	}
	if err := c.tx.Bucket(condemnedBucket).Put(condemnedKey(r), seal(r)); err != nil {
		return err
	}
	return c.setCondemnedBytes(kept + h.held.Size)
}

func (c *change) condemnedBytes() (n int64, err error) {
	_, err = get(c.tx, metaBucket, condemnedBytesKey, &n)
	return n, err
}

func (c *change) setCondemnedBytes(n int64) error {
	return c.tx.Bucket(metaBucket).Put(condemnedBytesKey, seal(n))
}

// condemnedIn reports whether something of an object is condemned, so that the object stays.
func (c *change) condemnedIn(object string) bool {
	prefix := []byte(object + "\x00")
	k, _ := c.tx.Bucket(condemnedBucket).Cursor().Seek(prefix)
	return bytes.HasPrefix(k, prefix)
}

// forget ends that a share is condemned. Its object is to be deleted when nothing else is in it.
func (c *change) forget(r condemnedRecord) error {
	if err := c.tx.Bucket(condemnedBucket).Delete(condemnedKey(r)); err != nil {
		return err
	}
	kept, err := c.condemnedBytes()
	if err != nil {
		return err
	}
	if _, err := c.object(r.Held.Key); err != nil {
		return err
	}
	return c.setCondemnedBytes(max(0, kept-r.Held.Size))
}

// takeBack holds a condemned share again, with its leases, unless it was stored again meanwhile. It reports whether it did.
func (c *change) takeBack(r condemnedRecord) (taken bool, err error) {
	if err := c.forget(r); err != nil {
		return false, err
	}
	f, err := c.file(r.Index)
	if err != nil {
		return false, err
	}
	if _, held := f.share(r.Held.Number); held {
		return false, nil
	}
	o, err := c.object(r.Held.Key)
	if err != nil {
		return false, err
	}
	if len(f.Shares) == 0 {
		f.Leases, f.Unheld = r.Leases, r.Unheld // otherwise those that others of its shares have hold
	}
	o.Live, o.Shares, f.Root = o.Live+r.Held.Size, o.Shares+1, r.Root
	f.put(r.Held)
	return true, nil
}

// settle looks once more at what has been condemned for long enough: it is held again, or deleted.
func (p *scrub) settle(ctx context.Context) error {
	var after []byte
	for {
		keys, last, err := p.index.keysAfter(condemnedBucket, after, collectFiles, func(_ *bolt.Tx, _, data []byte) (bool, error) {
			var r condemnedRecord
			err := unseal(data, &r)
			return err == nil && p.now.Sub(time.Unix(r.At, 0)) >= condemnedFor, err
		})
		if err != nil || last == nil {
			return err
		}
		after = last
		for _, k := range keys {
			if err := p.settleOr(ctx, k); err != nil {
				return err
			}
		}
	}
}

// settleOr settles a condemned share. One that cannot be read while others can stays for another day.
func (p *scrub) settleOr(ctx context.Context, key []byte) error {
	var r condemnedRecord
	err := p.index.file.View(func(tx *bolt.Tx) error {
		_, err := get(tx, condemnedBucket, key, &r)
		return err
	})
	if err != nil {
		return err
	}
	if err = p.settleOne(ctx, key, r); err == nil {
		return nil
	}
	if err := p.passOver(ctx, r.Held.Key, err); err != nil {
		return err
	}
	return p.keepCondemned(key, r)
}

// keepCondemned leaves a condemned share where it is for another day.
func (p *scrub) keepCondemned(key []byte, r condemnedRecord) error {
	r.At = p.now.Unix()
	return p.index.update(func(c *change) error { return c.tx.Bucket(condemnedBucket).Put(key, seal(r)) }, nil)
}

func (p *scrub) settleOne(ctx context.Context, key []byte, r condemnedRecord) error {
	files, err := p.index.files(r.Index)
	if err != nil {
		return err
	}
	if _, again := files[0].share(r.Held.Number); again {
		return p.index.update(func(c *change) error { return c.forget(r) }, nil)
	}
	h := holding{r.Index, r.Held, r.Root}
	var bad error
	for range 2 {
		if bad = p.verify(ctx, p.chunks(r.Held.Key, r.Held.Offset+r.Held.Size), h); !isBad(bad) {
			break
		}
	}
	switch {
	case bad == nil:
		return p.acquit(r)
	case !isBad(bad):
		return bad
	}
	if err := p.believable(ctx, bad, r.Held.Size); err != nil {
		p.log.Warn("a share in the bucket that was found bad stays there for another day", "index", r.Index, "number", r.Held.Number, "reason", err)
		return p.keepCondemned(key, r)
	}
	return p.index.update(func(c *change) error { return c.forget(r) }, nil)
}

// acquit holds a share again that turned out to be good.
func (p *scrub) acquit(r condemnedRecord) error {
	var taken bool
	err := p.index.update(func(c *change) (err error) {
		taken, err = c.takeBack(r)
		return err
	}, nil)
	if err == nil && taken {
		p.report.Back++
		p.log.Warn("a share in the bucket that was found bad a day ago is good and is held again: what was read of it was changed on its way",
			"index", r.Index, "number", r.Held.Number, "key", r.Held.Key)
	}
	return err
}

// believable returns an error when what was read of a share says nothing of what is in the bucket: that is not the one it was, or what it
// sends is changed on its way.
func (s *Store) believable(ctx context.Context, bad error, size int64) error {
	if err := s.Same(ctx); err != nil {
		return err
	}
	return s.unchanged(ctx, bad, size)
}
