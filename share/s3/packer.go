package s3

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cairn/share"
)

const (
	packers     = 2           // packs that are put at the same time
	packersMost = 16          // with those that take long, and do not hold up the others
	packSlow    = time.Second // what is long
	waiting     = 256
)

// A job is shares to be packed, and who waits for them.
type job struct {
	items []item
	bytes int64
	// settle is called in the moment in which the index has the shares, with the lock of the totals held.
	settle func()
	done   chan error

	mu      sync.Mutex // held while the shares are copied, and while they are settled
	left    bool       // nobody waits any more: the shares are not the job's to read, and settle is not to be called
	settled bool
}

// leave ends the wait for a job, unless it has just succeeded.
func (j *job) leave() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left = !j.settled
	return j.left
}

func (j *job) finish() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.settled = !j.left; j.settled && j.settle != nil {
		j.settle()
	}
}

// A packer gathers shares while earlier ones are on their way to the bucket, so that one request carries what many callers bring.
type packer struct {
	store  *Store
	jobs   chan *job
	life   context.Context //nolint:containedctx // ends what is on its way when the store does not wait for it any longer
	cancel context.CancelFunc

	mu    sync.RWMutex // held for reading while a job is handed over
	ended bool
}

func newPacker(s *Store) *packer {
	p := &packer{store: s, jobs: make(chan *job, waiting)}
	p.life, p.cancel = context.WithCancel(context.WithoutCancel(s.life))
	return p
}

// do stores shares. When it returns nil, they are in the bucket and in the index. When the context ends first, they may come to be there,
// and settle is not called.
func (p *packer) do(ctx context.Context, items []item, settle func()) error {
	j := &job{items: items, settle: settle, done: make(chan error, 1)}
	for _, it := range items {
		j.bytes += int64(len(it.data))
	}
	if err := p.hand(ctx, j); err != nil {
		return err
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if j.leave() {
			return ctx.Err()
		}
		return <-j.done
	}
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
	var flights sync.WaitGroup
	defer flights.Wait()
	all, quick := make(chan struct{}, packersMost), make(chan struct{}, packers)
	for {
		all <- struct{}{}
		quick <- struct{}{}
		first, ok := <-p.jobs
		if !ok {
			return
		}
		jobs := p.gather(first)
		flights.Go(func() {
			defer func() { <-all }()
			makeWay := sync.OnceFunc(func() { <-quick })
			defer makeWay()
			defer time.AfterFunc(packSlow, makeWay).Stop()
			err := p.put(jobs)
			for _, j := range jobs {
				j.done <- err
			}
		})
	}
}

// gather returns a job and others that wait, as many as fit a pack.
func (p *packer) gather(first *job) []*job {
	jobs, bytes, count := []*job{first}, first.bytes, len(first.items)
	for bytes < packBytes && count < packShares {
		select {
		case next, ok := <-p.jobs:
			if !ok {
				return jobs
			}
			jobs, bytes, count = append(jobs, next), bytes+next.bytes, count+len(next.items)
		default:
			return jobs
		}
	}
	return jobs
}

// put stores the shares of several jobs as one object.
func (p *packer) put(jobs []*job) error {
	var b packBuilder
	for _, j := range jobs {
		j.mu.Lock()
		if !j.left {
			for _, it := range j.items {
				b.add(it)
			}
		}
		j.mu.Unlock()
	}
	if len(b.members) == 0 {
		return nil // nobody waits
	}
	data := b.finish()
	s := p.store
	key := s.keys.next(packPrefix)
	if _, err := s.bucket.put(p.life, key, data, condition{}); err != nil {
		return err
	}
	return s.index.update(func(c *change) error {
		return c.holdAll(key, int64(len(data)), b.members, func(i int) []byte { return b.members[i].rootIn(data) })
	}, func() {
		for _, j := range jobs {
			j.finish()
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
