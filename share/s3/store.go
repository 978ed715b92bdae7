package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// A Store keeps shares in a bucket. It implements share.Store and every optional interface of package share, and is safe for
// concurrent use. One Store at a time can have a prefix open.
type Store struct {
	config Config
	bucket *bucket
	index  *index
	space  *space
	log    *slog.Logger
	lock   *lock
	keys   keyMaker

	packer   *packer
	sessions *sessions

	ended   atomic.Bool
	silent  atomic.Pointer[error] // why the server did not answer when it was asked last; nil otherwise
	refuse  atomic.Pointer[error] // why nothing can be written; nil otherwise
	emptied atomic.Pointer[error] // why nothing is there that the index tells of; nil otherwise
	stop    context.CancelFunc
	life    context.Context //nolint:containedctx // ends when the store is closed, which ends the requests of its own goroutines
	running sync.WaitGroup

	naming     nameGates // held while a head changes
	verdicts   verdicts  // of what others doubt
	collecting gate
	scrubbing  gate
	asking     asking
	ahead      atomic.Int64 // bytes that are read ahead
	counting   sync.Mutex   // held while what was asked is written down
}

var (
	_ share.Store     = (*Store)(nil)
	_ share.Resumer   = (*Store)(nil)
	_ share.Spacer    = (*Store)(nil)
	_ share.Accounter = (*Store)(nil)
	_ share.Batcher   = (*Store)(nil)
	_ share.HeadStore = (*Store)(nil)
	_ share.Rechecker = (*Store)(nil)
	_ share.Examiner  = (*Store)(nil)
	_ share.Staler    = (*reader)(nil)
)

// Open opens the store below a prefix, or makes it where the prefix is empty. It returns a *LockedError, which wraps share.ErrBusy, when
// another node has the prefix, share.ErrVersion for one that a later version of this program wrote, and an error that Explain explains for
// what is wrong with the bucket. A bucket that may only be read gives a store that refuses the rest with ErrReadOnly.
//
// Where the index folder has no index of the bucket, it is computed from the bucket. Where it has that of another one, in which shares are held,
// Open returns an *OtherError and changes nothing.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := unopened(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		s.stop()
		s.running.Wait()
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// unopened returns a store that has asked the server for nothing yet.
func unopened(ctx context.Context, c Config) (*Store, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("bucket %s: %w", c.URL(), err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.pack, c.part, c.Grace = cmp.Or(c.pack, packMax), cmp.Or(c.part, partMin), cmp.Or(c.Grace, DefaultGrace)
	c.condemned = cmp.Or(c.condemned, condemnedMost)
	c.closeWithin = cmp.Or(c.closeWithin, closeWithin)
	b, err := newBucket(c)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", c.URL(), err)
	}
	s := &Store{config: c, bucket: b, log: c.Logger, collecting: newGate(), scrubbing: newGate(), asking: asking{gate: newGate()}}
	s.life, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	id, err := s.checkMarker(ctx)
	if err != nil {
		return err
	}
	complete, err := s.take(ctx, id)
	if err != nil {
		return err
	}
	x := s.index
	s.space = &space{mu: &x.mu, held: &x.totals, offer: cmp.Or(s.config.Offer, defaultOffer), owners: map[string]int64{}}
	if err := s.learn(ctx, complete); err != nil {
		return fmt.Errorf("compute the index from the bucket: %w", err)
	}
	s.running.Go(s.keepCounting)
	s.packer = newPacker(s)
	s.sessions = &sessions{store: s, all: map[sessionKey]*session{}, folder: filepath.Join(s.config.Index, "uploads")}
	if s.refused() != nil {
		s.log.Warn("the bucket serves what it has and takes nothing", "bucket", s.config.URL(), "reason", s.refused())
		return nil
	}
	if err := s.sessions.load(ctx); err != nil {
		return fmt.Errorf("unfinished uploads: %w", err)
	}
	s.running.Go(s.packer.run)
	s.running.Go(s.refreshLock)
	return nil
}

// take opens the index and takes the lock, and reports whether the index is one of all that the bucket holds.
func (s *Store) take(ctx context.Context, id string) (complete bool, err error) {
	s.index, complete, err = openIndex(s.config.Index, id)
	if err != nil {
		return false, err
	}
	process := randomText(8)
	err = s.acquire(ctx, process, func(last string) error {
		used, err := s.index.usedBy(last)
		if err == nil && complete && !used {
			complete, err = false, s.another(id)
		}
		if err != nil {
			return err
		}
		return s.index.note(last, process, s.config)
	})
	return complete, err
}

// another begins another index, where the process that had the lock last did not use this one: the prefix was taken over meanwhile, or the
// index comes from a backup. What it tells of may be gone from the bucket.
func (s *Store) another(id string) error {
	s.log.Warn("somebody else had the bucket since this index was used last; it is computed again", "bucket", s.config.URL())
	err := s.index.close()
	s.index = nil
	if err == nil {
		err = setAside(filepath.Join(s.config.Index, indexName))
	}
	if err != nil {
		return err
	}
	s.index, _, err = openIndex(s.config.Index, id)
	return err
}

func (s *Store) refused() error {
	if p := s.refuse.Load(); p != nil {
		return *p
	}
	return nil
}

// Problem returns why shares cannot be stored now, or cannot even be read, as far as is known: the server is asked once a minute. It is nil when
// all is well.
func (s *Store) Problem() error {
	if p := s.silent.Load(); p != nil {
		return *p
	}
	return s.refused()
}

func (s *Store) refuseWrites(why error) { s.refuse.CompareAndSwap(nil, &why) }

// ready says why nothing can be asked now, if so.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.ended.Load() {
		return fmt.Errorf("store: %w", share.ErrClosed)
	}
	if p := s.emptied.Load(); p != nil {
		return *p
	}
	return nil
}

// writable says why nothing can be written now, if so.
func (s *Store) writable(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.refused()
}

// closeWithin is how long Close waits for what is on its way to the bucket.
const closeWithin = 5 * time.Second

// Close keeps unfinished uploads for later, waits some seconds for what is being committed, and closes the store. The lock stays this
// node's: it can open the prefix again, and no other.
func (s *Store) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	var err error
	writable := s.refused() == nil
	if writable {
		err = s.restSessions()
	}
	s.packer.end()
	late := time.AfterFunc(s.config.closeWithin, s.packer.cancel)
	s.stop()
	if writable && errors.Is(err, context.DeadlineExceeded) {
		err = s.restSessions() // what held them up has ended
	}
	s.running.Wait()
	late.Stop()
	s.packer.cancel()
	_, failed := s.countMonths(time.Now())
	return errors.Join(err, failed, s.release())
}

func (s *Store) restSessions() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.closeWithin)
	defer cancel()
	return s.sessions.rest(ctx)
}

func (s *Store) release() error {
	var errs []error
	if s.index != nil {
		errs = append(errs, s.index.close())
	}
	return errors.Join(errs...)
}

// Stats returns what was asked of the server since the store was opened.
func (s *Store) Stats() Stats {
	stats := s.bucket.meter.stats()
	held := s.index.held()
	stats.Objects, stats.Stored = held.objects, held.stored
	return stats
}

// Numbers says which shares are held.
func (s *Store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	files, err := s.index.files(indexes...)
	if err != nil {
		return nil, fmt.Errorf("shares: %w", err)
	}
	held := make([]share.Held, len(indexes))
	for i := range files {
		held[i] = share.Held{Index: indexes[i], Numbers: files[i].numbers(), Root: files[i].Root}
	}
	return held, nil
}

// Renew extends the owner's lease on what is held under the indexes; it never shortens one. The bucket is not asked: a lease that was
// renewed is in the index alone.
func (s *Store) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	if err := column.CheckLease(lease, time.Now()); err != nil {
		return err
	}
	var missing error
	for few := range slices.Chunk(indexes, 256) {
		err := s.index.update(func(c *change) error {
			missed, err := c.renew(few, recordLease(lease))
			if missing == nil {
				missing = missed
			}
			return err
		}, nil)
		if err != nil {
			return fmt.Errorf("renew: %w", err)
		}
	}
	return missing
}

// renew returns the first index that is not held as missing.
func (c *change) renew(indexes []share.StorageIndex, lease leaseRecord) (missing, err error) {
	for _, index := range indexes {
		f, err := c.file(index)
		if err != nil {
			return nil, err
		}
		if len(f.Shares) == 0 {
			if missing == nil {
				missing = fmt.Errorf("renew %s: %w", index, share.ErrNotFound)
			}
			continue
		}
		if err := f.lease(lease); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// Leases returns the leases on a storage index. It returns ErrNotFound when no share of it is held.
func (s *Store) Leases(ctx context.Context, index share.StorageIndex) ([]share.Lease, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	files, err := s.index.files(index)
	if err != nil {
		return nil, fmt.Errorf("leases of %s: %w", index, err)
	}
	if len(files[0].Shares) == 0 {
		return nil, fmt.Errorf("leases of %s: %w", index, share.ErrNotFound)
	}
	var leases []share.Lease
	for _, l := range files[0].Leases {
		leases = append(leases, share.Lease{Owner: l.Owner, Expires: time.Unix(l.Expires, 0)})
	}
	return leases, nil
}

// Uploads returns the progress of each share of an upload, finished ones included.
func (s *Store) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	progress, err := s.committed(nameUpload(owner, id))
	if err != nil {
		return nil, fmt.Errorf("uploads: %w", err)
	}
	for _, open := range s.sessions.of(owner, id) {
		p, ok, err := open.progress(ctx)
		if err != nil {
			return nil, fmt.Errorf("uploads: %w", err)
		}
		if !ok {
			continue
		}
		progress = slices.DeleteFunc(progress, func(done share.Progress) bool { return done.Number == p.Number })
		progress = append(progress, p)
	}
	slices.SortFunc(progress, func(a, b share.Progress) int { return int(a.Number) - int(b.Number) })
	return progress, nil
}

// committed returns the shares of an upload that were committed and are still held.
func (s *Store) committed(upload uploadName) ([]share.Progress, error) {
	var progress []share.Progress
	err := s.index.file.View(func(tx *bolt.Tx) error {
		var d doneRecord
		if _, err := get(tx, uploadsBucket, upload[:], &d); err != nil {
			return err
		}
		for _, c := range d.Committed {
			var f fileRecord
			if _, err := get(tx, filesBucket, c.Index[:], &f); err != nil {
				return err
			}
			if _, held := f.share(c.Number); !held {
				continue
			}
			root, err := encoding.CheckRoot(c.Index, f.Root)
			if err != nil {
				return err
			}
			progress = append(progress, share.Progress{Number: c.Number, Blocks: root.Layout().Segments(), Index: c.Index})
		}
		return nil
	})
	return progress, err
}
