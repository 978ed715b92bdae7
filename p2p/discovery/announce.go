package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/share"
)

const (
	// Replication is how many members keep the records of one file: the ones closest to it in the DHT.
	Replication = 8
	// recordAge is how long a record is believed after it came in.
	recordAge = 48 * time.Hour
	// sweepSteps is how many pieces a sweep of the whole key space is done in, evenly over AnnounceEvery.
	sweepSteps = 4096
	// freshPause is how long files are collected before they are announced for the first time.
	freshPause = 500 * time.Millisecond
	// freshRetry is the pause before files that could not be announced are tried again.
	freshRetry = 5 * time.Second
	// exploreWithin bounds looking for the members of one region, sendWithin giving one of them its records.
	exploreWithin = 20 * time.Second
	sendWithin    = 30 * time.Second
	// sendAtOnce is how many members are given their records at the same time.
	sendAtOnce = 8
)

// An announcer keeps what this node announces and sends it, one region of the key space after the other: one lookup finds
// the members that are close to all files of a region, and each of them gets all records that belong to it in one message.
type announcer struct {
	d    *Discovery
	kick chan struct{} // there are fresh places

	mu    sync.Mutex
	fresh []place // not announced yet, in any order
	held  places  // announced before, to be announced again
}

func newAnnouncer(d *Discovery) *announcer { return &announcer{d: d, kick: make(chan struct{}, 1)} }

// Announce tells the grid that this node holds shares of the files, now and again until Withdraw. It returns at once; the
// records are sent in the background, as soon as other members are connected. Without Providers it does nothing, since
// everybody is asked.
func (d *Discovery) Announce(ctx context.Context, indexes ...share.StorageIndex) error {
	if d.announcer == nil || len(indexes) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if d.ctx.Err() != nil {
		return fmt.Errorf("announce %d files: %w", len(indexes), share.ErrClosed)
	}
	d.announcer.add(placesOf(indexes))
	return nil
}

// Withdraw ends the announcements of files whose shares are gone. Records that others hold expire within two days.
func (d *Discovery) Withdraw(_ context.Context, indexes ...share.StorageIndex) error {
	if d.announcer != nil && len(indexes) > 0 {
		d.announcer.remove(placesOf(indexes))
	}
	return nil
}

func (a *announcer) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.held) + len(a.fresh)
}

func placesOf(indexes []share.StorageIndex) []place {
	list := make([]place, len(indexes))
	for i, index := range indexes {
		list[i] = keyOf(index).place()
	}
	return list
}

func (a *announcer) add(list []place) {
	a.mu.Lock()
	a.fresh = append(a.fresh, slices.DeleteFunc(list, a.held.has)...)
	a.mu.Unlock()
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

func (a *announcer) remove(list []place) {
	gone := sorted(list)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = slices.DeleteFunc(a.held, gone.has)
	a.fresh = slices.DeleteFunc(a.fresh, gone.has)
}

// take returns the fresh places in order, and notes them as held.
func (a *announcer) take() places {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := sorted(a.fresh)
	a.fresh = nil
	a.held = a.held.merge(fresh)
	return fresh
}

// next returns the first held place in a range of the key space.
func (a *announcer) next(in region) (place, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	part := a.held.in(in)
	if len(part) == 0 {
		return place{}, false
	}
	return part[0], true
}

// run announces fresh files soon and once more at the next walk, and everything once in AnnounceEvery, until the context ends.
func (a *announcer) run(ctx context.Context) {
	step := max(a.d.cfg.AnnounceEvery/sweepSteps, time.Millisecond)
	sweep := time.NewTicker(step)
	defer sweep.Stop()
	pass := sweeper{begin: time.Now(), every: a.d.cfg.AnnounceEvery}
	settle := time.NewTimer(freshPause)
	defer settle.Stop()
	// Members that were not found the first time, in a grid that is just coming up for instance, are found by then.
	second := time.NewTimer(a.d.cfg.WalkEvery)
	defer second.Stop()
	var again, recent places // could not be announced; were announced for the first time
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.kick:
			settle.Reset(freshPause)
		case <-settle.C:
			fresh := a.take()
			recent = recent.merge(fresh)
			if again = a.announce(ctx, fresh.merge(again)); len(again) > 0 {
				settle.Reset(freshRetry)
			}
		case <-second.C:
			a.announce(ctx, recent)
			recent = nil
			second.Reset(a.d.cfg.WalkEvery)
		case now := <-sweep.C:
			a.sweep(ctx, &pass, now)
		}
	}
}

// announce sends the records of all places and returns those for which nobody could be found.
func (a *announcer) announce(ctx context.Context, todo places) (failed places) {
	for len(todo) > 0 && ctx.Err() == nil {
		if a.d.Known() == 0 {
			return append(failed, todo...)
		}
		where, err := a.tell(ctx, todo[0], func(in region) places { return todo.in(in) })
		if err != nil {
			a.d.log.Debug("files could not be announced", "error", err)
			failed, todo = append(failed, todo[0]), todo[1:]
			continue
		}
		todo = todo.after(where.last)
	}
	return failed
}

// sweep announces again what is due by now.
func (a *announcer) sweep(ctx context.Context, pass *sweeper, now time.Time) {
	for due, ok := pass.due(now); ok && ctx.Err() == nil && a.d.Known() > 0; due, ok = pass.due(now) {
		first, any := a.next(due)
		if !any {
			pass.done(due.last)
			continue
		}
		where, err := a.tell(ctx, first, func(in region) places {
			a.mu.Lock()
			defer a.mu.Unlock()
			return slices.Clone(a.held.in(region{max(in.first, due.first), in.last}))
		})
		if err != nil {
			a.d.log.Debug("files could not be announced again", "error", err)
			pass.done(first.at) // in vain; the others of the region are tried
			continue
		}
		pass.done(where.last)
	}
}

// tell finds the region around a place and the members close to it, and gives these the records of all files in the region.
func (a *announcer) tell(ctx context.Context, around place, held func(region) places) (region, error) {
	contacts, where, err := a.d.explore(ctx, around)
	if err != nil {
		return region{}, err
	}
	addresses := encodeAddresses(a.d.usable(a.d.dht.Host().Addrs()))
	var (
		tasks  sync.WaitGroup
		mu     sync.Mutex
		errs   []error
		slots  = make(chan struct{}, sendAtOnce)
		shares = assign(held(where), contacts)
	)
	for id, keys := range shares {
		slots <- struct{}{}
		tasks.Go(func() {
			defer func() { <-slots }()
			if err := a.d.giveRecords(ctx, id, addresses, keys); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	tasks.Wait()
	if len(errs) > 0 && len(errs) == len(shares) {
		return region{}, errors.Join(errs...)
	}
	return where, nil
}

// assign returns which records each of the members close to a region is to keep.
func assign(list places, contacts []contact) map[peer.ID][]fileKey {
	shares := make(map[peer.ID][]fileKey, len(contacts))
	for _, p := range list {
		for _, c := range closest(contacts, p.at, Replication) {
			shares[c.id] = append(shares[c.id], p.key)
		}
	}
	return shares
}

// A sweeper says which part of the key space is due: all of it once in a period, evenly.
type sweeper struct {
	begin time.Time
	every time.Duration
	next  uint64 // what lies before was done in this pass
	over  bool   // everything was
}

// due returns what should have been announced by now and was not.
func (s *sweeper) due(now time.Time) (region, bool) {
	elapsed := now.Sub(s.begin)
	if elapsed >= s.every {
		if !s.over {
			return region{s.next, lastPosition}, true
		}
		// What was missed for longer than a whole pass, by a machine that slept for instance, is not made up for.
		s.begin, s.next, s.over = s.begin.Add(elapsed.Truncate(s.every)), 0, false
		elapsed = now.Sub(s.begin)
	}
	until := uint64(float64(elapsed) / float64(s.every) * (1 << 63) * 2)
	if s.over || until <= s.next {
		return region{}, false
	}
	return region{s.next, until - 1}, true
}

// done notes that everything up to a position was announced.
func (s *sweeper) done(last uint64) { s.next, s.over = last+1, last == lastPosition }
