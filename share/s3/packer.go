package s3

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cairn/share"
)

const (
	packers = 2 // packs that are put at the same time
	waiting = 256
)

// A job is shares to be packed, and who waits for them.
type job struct {
	items []item
	bytes int64
	// settle is called in the moment in which the index has the shares, with the lock of the totals held.
	settle func()
	done   chan error
}

// A packer gathers shares while earlier ones are on their way to the bucket, so that one request carries what many callers bring.
type packer struct {
	store *Store
	jobs  chan *job

	mu    sync.RWMutex // held for reading while a job is handed over
	ended bool
}

func newPacker(s *Store) *packer { return &packer{store: s, jobs: make(chan *job, waiting)} }

// do stores shares. When it returns nil, they are in the bucket and in the index. A context that ends does not take them back.
func (p *packer) do(ctx context.Context, items []item, settle func()) error {
	j := &job{items: items, settle: settle, done: make(chan error, 1)}
	for _, it := range items {
		j.bytes += int64(len(it.data))
	}
	if err := p.hand(ctx, j); err != nil {
		return err
	}
	return <-j.done
}

func (p *packer) hand(ctx context.Context, j *job) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.ended {
		return fmt.Errorf("store: %w", share.ErrClosed)
	}
	select {
	case p.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end lets no more jobs in; those that are in are done.
func (p *packer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		close(p.jobs)
	}
}

// run packs until the packer is ended.
func (p *packer) run() {
	for first := range p.jobs {
		jobs, bytes, count := []*job{first}, first.bytes, len(first.items)
	gather:
		for bytes < packBytes && count < packShares {
			select {
			case next, ok := <-p.jobs:
				if !ok {
					break gather
				}
				jobs, bytes, count = append(jobs, next), bytes+next.bytes, count+len(next.items)
			default:
				break gather
			}
		}
		err := p.put(jobs)
		for _, j := range jobs {
			j.done <- err
		}
	}
}

// put stores the shares of several jobs as one object.
func (p *packer) put(jobs []*job) error {
	var items []item
	for _, j := range jobs {
		items = append(items, j.items...)
	}
	data, members := pack(items)
	s := p.store
	key := s.keys.next(packPrefix)
	// The store's own context ends only after the last job.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.life), s.bucket.timeout)
	defer cancel()
	if _, err := s.bucket.put(ctx, key, data, condition{}); err != nil {
		return err
	}
	return s.index.update(func(c *change) error {
		return c.holdAll(key, int64(len(data)), members, func(i int) []byte { return items[i].data[len(items[i].data)-items[i].root:] })
	}, func() {
		for _, j := range jobs {
			if j.settle != nil {
				j.settle()
			}
		}
	})
}

// holdAll puts an object and its members into the index.
func (c *change) holdAll(key string, size int64, members []member, root func(i int) []byte) error {
	o, err := c.object(key)
	if err != nil {
		return err
	}
	o.Size = size
	for i, m := range members {
		if err := c.hold(m, key, root(i)); err != nil {
			return err
		}
	}
	return nil
}

// A keyMaker makes keys that grow with time.
type keyMaker struct {
	mu   sync.Mutex
	last int64
}

const (
	packPrefix  = "p/"
	largePrefix = "s/"
	headPrefix  = "h/"
	lockName    = "lock"
	markerName  = "cairn"
)

// next returns a key that is later than all before.
func (k *keyMaker) next(prefix string) string {
	k.mu.Lock()
	k.last = max(k.last+1, time.Now().UnixMilli())
	at := k.last
	k.mu.Unlock()
	return fmt.Sprintf("%s%012x-%s", prefix, at, randomText(6))
}
