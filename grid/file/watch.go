package file

import (
	"fmt"
	"slices"
	"time"

	"cairn/grid/placement"
	"cairn/internal/awake"
	"cairn/share"
)

const (
	// patience is how long a server may do nothing while the upload, or its success, waits for it alone and could do
	// without it.
	patience = 2 * time.Second
	// tolerance is how many times slower than without a server an upload may be with it before the server is given up.
	tolerance = 4
	// measured is how many segments the others would take in the time over which a server's speed is measured, which
	// is maxMeasure at most.
	measured   = 8
	maxMeasure = time.Minute
	// stallTime is how long a server may take nothing, and commitTime how long it may take to acknowledge what it has,
	// while nothing can replace it.
	stallTime  = time.Minute
	commitTime = 10 * time.Minute
	watchTick  = patience / 8
)

// Why a server was given up.
var (
	errLagging = fmt.Errorf("%w: too slow: gave it up for the others", share.ErrUnavailable)
	errStalled = fmt.Errorf("%w: it took nothing for %s", share.ErrUnavailable, stallTime)
	errStuck   = fmt.Errorf("%w: no acknowledgement for %s", share.ErrUnavailable, commitTime)
)

// watch gives up servers that hold up the upload, until the upload ends.
func (u *upload) watch() {
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	var h holdUp
	var still awake.Watch
	due := time.Now().Add(watchTick)
	for !u.over() {
		select {
		case <-u.ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			if still.Stood(due, now) {
				u.stoodStill(now)
				h = holdUp{free: h.free, ended: now, from: u.takenByEnough()}
			}
			due = now.Add(watchTick)
			u.endStalled(now)
			u.endUnneeded(now)
			u.endSlowest(now, &h)
		}
	}
}

// stoodStill begins anew to wait for all servers: in a time in which this process did not run nobody could get on.
func (u *upload) stoodStill(now time.Time) {
	for _, l := range u.lanes {
		l.moved.Store(now.UnixNano())
	}
}

// over reports whether every lane has ended.
func (u *upload) over() bool {
	return !slices.ContainsFunc(u.lanes, (*lane).alive)
}

// alive reports whether the lane may still bring its share to a server.
func (l *lane) alive() bool { return !l.lost.Load() && !l.done.Load() }

// endStalled gives up servers that have done nothing for so long that they are dead.
func (u *upload) endStalled(now time.Time) {
	for _, l := range u.lanes {
		idle := now.Sub(l.lastMove())
		switch phase := l.phase.Load(); {
		case !l.alive() || phase == waiting:
		case phase == committing && idle >= commitTime:
			u.end([]*lane{l}, errStuck)
		case phase == sending && idle >= stallTime:
			u.end([]*lane{l}, errStalled)
		}
	}
}

// endUnneeded gives up, once everything is encoded, the servers that keep the upload from being happy and do nothing,
// where others can take their shares.
func (u *upload) endUnneeded(now time.Time) {
	u.mu.Lock()
	whole, limit := u.whole, max(patience, u.took)
	happy := whole && u.happiness() >= u.o.Params.Happy
	u.mu.Unlock()
	if !whole || happy {
		return
	}
	var idle []*lane
	for _, l := range u.lanes {
		if l.alive() && now.Sub(l.lastMove()) >= limit {
			idle = append(idle, l)
		}
	}
	if len(idle) > 0 && u.suffices(idle) {
		u.end(idle, errLagging)
	}
}

// A holdUp is the time in which the same servers keep the encoder waiting.
type holdUp struct {
	since time.Time // zero while nobody does
	base  []int64   // what each lane had taken then
	free  float64   // segments a second that enough lanes took while nobody did, the highest ever
	ended time.Time // when the last one ended
	from  int64     // what enough lanes had taken then
}

// endSlowest gives up the servers for which the encoder waits, when they take nothing, or much less than enough others
// took before. Servers that are merely not the fastest stay: the links that they share with the others may be what is
// slow.
func (u *upload) endSlowest(now time.Time, h *holdUp) {
	holding := u.holding()
	if len(holding) == 0 {
		if !h.since.IsZero() {
			h.since, h.ended, h.from = time.Time{}, now, u.takenByEnough()
		}
		return
	}
	if h.since.IsZero() {
		u.beginHoldUp(now, h)
		return
	}
	window := patience
	if h.free > 0 {
		window = min(max(window, time.Duration(measured/h.free*float64(time.Second))), maxMeasure)
	}
	if now.Sub(h.since) < window {
		return
	}
	slowest := slices.DeleteFunc(holding, func(l *lane) bool {
		rate := float64(l.taken.Load()-h.base[l.number]) / now.Sub(h.since).Seconds()
		return rate > 0 && rate*tolerance >= h.free
	})
	if len(slowest) > 0 && u.suffices(slowest) {
		u.end(slowest, errLagging)
	}
	u.beginHoldUp(now, h)
}

func (u *upload) beginHoldUp(now time.Time, h *holdUp) {
	if h.since.IsZero() {
		began := h.ended
		if began.IsZero() {
			began = u.begun
		}
		if free := now.Sub(began).Seconds(); free > 0 {
			h.free = max(h.free, float64(u.takenByEnough()-h.from)/free)
		}
	}
	h.since = now
	h.base = h.base[:0]
	for _, l := range u.lanes {
		h.base = append(h.base, l.taken.Load())
	}
}

// takenByEnough returns how many segments each of the fastest lanes has taken that make the upload happy, or each of all
// that are left.
func (u *upload) takenByEnough() int64 {
	taken := make([]int64, 0, len(u.lanes))
	for _, l := range u.lanes {
		if !l.lost.Load() {
			taken = append(taken, l.taken.Load())
		}
	}
	if len(taken) == 0 {
		return u.encoded.Load()
	}
	slices.Sort(taken)
	return taken[max(0, len(taken)-u.o.Params.Happy)]
}

// holding returns the lanes that keep nearly all buffers busy, or for which the encoder waits, while there is more to
// encode.
func (u *upload) holding() []*lane {
	u.mu.Lock()
	whole := u.whole
	u.mu.Unlock()
	if whole {
		return nil
	}
	full := max(1, int64(u.buffers-1-u.buffers/8))
	if u.paced.Load() {
		full = min(full, u.pace)
	}
	encoded := u.encoded.Load()
	var holding []*lane
	for _, l := range u.lanes {
		if l.alive() && encoded-l.taken.Load() >= full {
			holding = append(holding, l)
		}
	}
	return holding
}

// suffices reports whether the upload can be happy without some lanes, on the servers of the others and those that have
// room and no share.
func (u *upload) suffices(without []*lane) bool {
	holders := map[share.ServerID][]share.Number{}
	used := map[share.ServerID]bool{}
	u.mu.Lock()
	defer u.mu.Unlock()
	var free []share.Number
	for _, l := range u.lanes {
		used[l.server.ID] = true
		if l.lost.Load() || slices.Contains(without, l) {
			free = append(free, l.number)
		} else {
			holders[l.server.ID] = append(holders[l.server.ID], l.number)
		}
	}
	for _, p := range u.places {
		if !used[p.ID] && !p.Full && !p.Refused && !p.Last && p.Free > 0 && p.Free >= u.shareSize() {
			holders[p.ID] = free
		}
	}
	return placement.Happiness(holders) >= u.o.Params.Happy
}

// end gives up the servers of lanes. Their shares go to other servers where they can. A server that a lane has only just
// turned to is not the one that is meant.
func (u *upload) end(lanes []*lane, reason error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range lanes {
		if time.Since(l.began) >= patience {
			l.giveUp(reason)
		}
	}
}
