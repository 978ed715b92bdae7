package s3

import (
	"context"
	"fmt"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/time/rate"

	"cairn/share"
)

// A Bad is something that is wrong in the bucket: a share that is not held any more because of it, or a head that was put right.
type Bad struct {
	Key    string             // of the object
	Index  share.StorageIndex // of the file of a share
	Number share.Number
	Name   share.Name // of a head; zero for a share
	// Err says what was found. It wraps share.ErrCorrupt, share.ErrNotFound for what is gone, or share.ErrRollback for an older head.
	Err error
}

// What holds where ScrubOptions say nothing.
const (
	DefaultCompareEvery = 24 * time.Hour
	DefaultReadEvery    = 30 * 24 * time.Hour
)

// ScrubOptions say how much a scrub may cost.
type ScrubOptions struct {
	// Rate is how many bytes are read each second at most; 0 for no bound.
	Rate int64
	// DayBytes and DayRequests are how much is read in a day; 0 for no bound, and below it for no reading at all. What an object has
	// beyond a day's budget is saved on the days that follow.
	DayBytes    int64
	DayRequests int64
	// CompareEvery is how old the last comparison of the index with a listing of the bucket may become; 0 means DefaultCompareEvery.
	CompareEvery time.Duration
	// ReadEvery is the shortest time from the end of one pass over everything to the next one; 0 means DefaultReadEvery.
	ReadEvery time.Duration
}

// A ScrubReport says what one call of Scrub did.
type ScrubReport struct {
	Compared bool  // the index was compared with a listing
	Objects  int64 // objects that were read
	Shares   int64 // shares verified, bad ones included
	Bytes    int64 // bytes read
	Requests int64
	Bad      int64 // shares that did not verify or are gone, and are not held any more
	Back     int64 // shares that did not verify a day ago, turned out to be good, and are held again
	Heads    int64 // heads that were put right
	Adopted  int64 // objects that the index did not know
	Unread   int64 // objects that could not be verified when they were last tried, and are tried again a day later
	Done     bool  // a pass over everything ended
	Spent    bool  // the budget of the day is used up
}

// A scrubRecord is where the scrub goes on.
type scrubRecord struct {
	_        struct{} `cbor:",toarray"`
	Compared int64    // when the index was last compared, in Unix seconds
	Ended    int64    // when the last pass ended
	After    string   // the last key of the pass that goes on; empty for none
	Day      int64    // of what follows, in days since 1970
	Requests int64    // spent on the day, with what is left of days before
	Bytes    int64
}

var scrubKey = []byte("scrub")

type scrub struct {
	*Store
	options ScrubOptions
	limiter *rate.Limiter
	now     time.Time
	at      scrubRecord
	unread  []unreadRecord
	passed  UnreadError // by this scrub
	report  ScrubReport
}

// scrubBurst is how many bytes the scrub reads at full speed before the rate holds it back.
const scrubBurst = 2 * scrubChunk

// Scrub compares the index with a listing of the bucket, which costs a request for a thousand objects, and reads and verifies as much
// as the options allow, where that is due. Shares that are gone or do not verify when they are read twice are not held any more, so
// that whoever looks after their files makes them anew. They stay in the bucket for a day, are read once more then, and are held again where they
// turn out to be good; otherwise they are deleted. Heads that somebody has changed are put right. Each is told to Config.OnBad.
//
// An object that the server does not give while it gives others is passed over and tried again a day later; the rest is done, and the error is
// an *UnreadError then.
//
// It is meant to be called often: what is not due costs nothing. When ctx ends first, the next call goes on about where this one stopped.
func (s *Store) Scrub(ctx context.Context, o ScrubOptions) (ScrubReport, error) {
	return s.scrub(ctx, o, time.Now())
}

func (s *Store) scrub(ctx context.Context, o ScrubOptions, now time.Time) (ScrubReport, error) {
	if err := s.writable(ctx); err != nil {
		return ScrubReport{}, err
	}
	if err := s.scrubbing.lock(ctx); err != nil {
		return ScrubReport{}, err
	}
	defer s.scrubbing.unlock()
	if o.CompareEvery == 0 {
		o.CompareEvery = DefaultCompareEvery
	}
	if o.ReadEvery == 0 {
		o.ReadEvery = DefaultReadEvery
	}
	p := &scrub{Store: s, options: o, now: now, limiter: rate.NewLimiter(rate.Inf, scrubBurst)}
	if o.Rate > 0 {
		p.limiter.SetLimit(rate.Limit(o.Rate))
	}
	if err := p.begin(); err != nil {
		return ScrubReport{}, fmt.Errorf("scrub: %w", err)
	}
	err := p.run(ctx)
	if err == nil {
		err = p.result()
	}
	if noted := p.note(); err == nil {
		err = noted
	}
	if err != nil {
		return p.report, fmt.Errorf("scrub: %w", err)
	}
	return p.report, nil
}

func (p *scrub) run(ctx context.Context) error {
	p.beginDay()
	if err := p.settle(ctx); err != nil {
		return err
	}
	if p.now.Unix()-p.at.Compared >= int64(p.options.CompareEvery/time.Second) {
		if err := p.compare(ctx); err != nil {
			return err
		}
		p.at.Compared, p.report.Compared = p.now.Unix(), true
	}
	if err := p.tryAgain(ctx); err != nil {
		return err
	}
	if p.at.After == "" && p.now.Unix()-p.at.Ended < int64(p.options.ReadEvery/time.Second) {
		return nil
	}
	return p.read(ctx)
}

// beginDay gives back the budget of the days that have passed.
func (p *scrub) beginDay() {
	today := p.now.Unix() / (24 * 60 * 60)
	days := today - p.at.Day
	if days <= 0 {
		return
	}
	repay := func(spent, budget int64) int64 {
		if budget <= 0 || days > spent/budget {
			return 0
		}
		return spent - days*budget
	}
	p.at.Day, p.at.Bytes, p.at.Requests = today, repay(p.at.Bytes, p.options.DayBytes), repay(p.at.Requests, p.options.DayRequests)
}

// spent reports whether the budget of the day is used up.
func (p *scrub) spent() bool {
	over := func(spent, budget int64) bool { return budget < 0 || budget > 0 && spent >= budget }
	return over(p.at.Bytes, p.options.DayBytes) || over(p.at.Requests, p.options.DayRequests)
}

// spend counts a request, and waits as long as the rate wants it.
func (p *scrub) spend(ctx context.Context, bytes int64) error {
	p.at.Requests, p.at.Bytes = p.at.Requests+1, p.at.Bytes+bytes
	p.report.Requests, p.report.Bytes = p.report.Requests+1, p.report.Bytes+bytes
	for left := bytes; left > 0; left -= scrubBurst {
		if err := p.limiter.WaitN(ctx, int(min(left, scrubBurst, math.MaxInt32))); err != nil {
			return err
		}
	}
	return nil
}

// A holding is a share as the index has it.
type holding struct {
	index share.StorageIndex
	held  shareRecord
	root  []byte
}

// condemn takes a share out of what is held, unless it was removed or moved meanwhile.
func (s *Store) condemn(h holding, why error) (removed bool, err error) {
	err = s.index.update(func(c *change) error {
		f, err := c.file(h.index)
		if err != nil {
			return err
		}
		if now, ok := f.share(h.held.Number); !ok || now != h.held {
			return nil
		}
		removed = true
		return c.condemn(f, h, s.config.condemned)
	}, nil)
	if err != nil || !removed {
		return false, err
	}
	s.log.Error("a share in the bucket is not good and is not held any more", "index", h.index, "number", h.held.Number, "key", h.held.Key, "reason", why)
	s.tell(Bad{Key: h.held.Key, Index: h.index, Number: h.held.Number, Err: why})
	return true, nil
}

func (s *Store) tell(b Bad) {
	if s.config.OnBad != nil {
		s.config.OnBad(b)
	}
}

// holdings returns the shares that objects of these keys have, as far as they are held. It looks at the whole index.
func (s *Store) holdings(keys map[string]bool) (found []holding, err error) {
	err = s.index.file.View(func(tx *bolt.Tx) error {
		return tx.Bucket(filesBucket).ForEach(func(k, data []byte) error {
			var f fileRecord
			if err := unseal(data, &f); err != nil {
				return err
			}
			for _, held := range f.Shares {
				if keys[held.Key] {
					found = append(found, holding{share.StorageIndex(k), held, f.Root})
				}
			}
			return nil
		})
	})
	return found, err
}
