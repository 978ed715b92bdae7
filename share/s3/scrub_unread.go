package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
)

const (
	// unreadFor is how long an object that could not be verified is left alone.
	unreadFor = 24 * time.Hour
	// unreadMost is how many objects one scrub passes over: each may keep it waiting as long as a request lasts at most.
	unreadMost = 16
	// unreadKept is how many objects the index remembers that are to be tried again before the next pass over everything.
	unreadKept = 256
)

var unreadKey = []byte("unread")

// An unreadRecord is an object that could not be verified while others could.
type unreadRecord struct {
	_   struct{} `cbor:",toarray"`
	Key string
	At  int64 // when it was tried last, in Unix seconds
}

// An UnreadError says that a scrub could not verify some objects while the bucket gave others. They are tried again a day later.
type UnreadError struct {
	Key   string // of the first one
	Count int
	Err   error // of the first one
}

func (e *UnreadError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.which(), e.Key, e.Err)
}

// Unwrap returns the first error.
func (e *UnreadError) Unwrap() error { return e.Err }

func (e *UnreadError) which() string {
	if e.Count == 1 {
		return "an object in the bucket could not be verified, and is tried again a day later:"
	}
	return fmt.Sprintf("%d objects in the bucket could not be verified, and are tried again a day later, among them", e.Count)
}

func (e *UnreadError) words() string {
	return fmt.Sprintf("%s %s: %s", e.which(), e.Key, Explain(e.Err))
}

// passOver returns nil where nothing went wrong, and where an object could not be verified but the scrub is to go on with others: its error is one of the server about it, and
// the server still gives the object by which the prefix is known. Otherwise it returns an error that ends the scrub.
func (p *scrub) passOver(ctx context.Context, key string, why error) error {
	if _, asked := errors.AsType[*Error](why); !asked || errors.Is(why, share.ErrBusy) || ctx.Err() != nil {
		return why
	}
	if p.passed.Count == unreadMost {
		return &p.passed // the next scrub goes on here
	}
	if err := p.spend(ctx, 0); err != nil {
		return err
	}
	if err := p.Same(ctx); err != nil {
		return why
	}
	p.log.Warn("an object in the bucket could not be verified; the others are, and it is tried again a day later", "key", key, "reason", why)
	p.passed.Count++
	if p.passed.Count == 1 {
		p.passed.Key, p.passed.Err = p.bucket.prefix+key, why
	}
	return nil
}

// result returns what a scrub ends with that nothing has ended.
func (p *scrub) result() error {
	if p.passed.Count > 0 {
		return &p.passed
	}
	return nil
}

// objectOr verifies an object. One that is passed over is remembered.
func (p *scrub) objectOr(ctx context.Context, key string, size int64) error {
	err := p.object(ctx, key, size)
	if err == nil {
		p.unread = slices.DeleteFunc(p.unread, func(r unreadRecord) bool { return r.Key == key })
		return nil
	}
	before := p.passed.Count
	err = p.passOver(ctx, key, err)
	if p.passed.Count == before {
		return err
	}
	i := slices.IndexFunc(p.unread, func(r unreadRecord) bool { return r.Key == key })
	if i < 0 && len(p.unread) < unreadKept {
		i, p.unread = len(p.unread), append(p.unread, unreadRecord{Key: key})
	}
	if i >= 0 {
		p.unread[i].At = p.now.Unix()
	}
	return err
}

// tryAgain verifies the objects that could not be verified a day ago, as far as the budget of the day goes.
func (p *scrub) tryAgain(ctx context.Context) error {
	for _, r := range slices.Clone(p.unread) {
		if p.now.Sub(time.Unix(r.At, 0)) < unreadFor {
			continue
		}
		if p.spent() {
			return nil
		}
		var o objectRecord
		err := p.index.file.View(func(tx *bolt.Tx) error {
			_, err := get(tx, objectsBucket, []byte(r.Key), &o)
			return err
		})
		if err != nil {
			return err
		}
		if o.Shares == 0 { // nobody needs it any more
			p.unread = slices.DeleteFunc(p.unread, func(x unreadRecord) bool { return x.Key == r.Key })
			continue
		}
		if err := p.objectOr(ctx, r.Key, o.Size); err != nil {
			return err
		}
		p.report.Objects++
	}
	return nil
}

// begin reads where the scrub is.
func (p *scrub) begin() error {
	return p.index.file.View(func(tx *bolt.Tx) error {
		_, err := get(tx, metaBucket, scrubKey, &p.at)
		if errors.Is(err, share.ErrCorrupt) {
			p.at, err = scrubRecord{}, nil
		}
		_, unread := get(tx, metaBucket, unreadKey, &p.unread)
		if errors.Is(unread, share.ErrCorrupt) {
			p.unread, unread = nil, nil
		}
		return cmp.Or(err, unread)
	})
}

// note writes down where the scrub is.
func (p *scrub) note() error {
	p.report.Unread = int64(len(p.unread))
	return p.index.update(func(c *change) error {
		meta := c.tx.Bucket(metaBucket)
		return cmp.Or(meta.Put(scrubKey, seal(p.at)), meta.Put(unreadKey, seal(p.unread)))
	}, nil)
}
