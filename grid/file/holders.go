package file

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// holders is the growing set of known holders of one file: answers to the question who has it come in while the first
// blocks are being read.
type holders struct {
	index   share.StorageIndex
	lacking chan struct{} // closed when the servers believed down are needed
	lack    func()        // closes it

	mu       sync.Mutex // guards what follows
	all      []*holder
	numbers  map[share.Number]bool
	changed  chan struct{} // closed and replaced whenever something else changes
	upDone   bool          // every server that is up has answered or failed
	finished bool          // and so has every other one
	root     encoding.Root
	known    bool // root is known
	asked    int
	answered int
	causes   []error
}

func newHolders(index share.StorageIndex) *holders {
	hs := &holders{
		index: index, numbers: map[share.Number]bool{},
		changed: make(chan struct{}), lacking: make(chan struct{}),
	}
	hs.lack = sync.OnceFunc(func() { close(hs.lacking) })
	return hs
}

// A Finder looks for servers that hold shares of a file, beside those that are known. It may take its time.
type Finder func(context.Context) []share.Server

// locate asks every server that is up which shares it holds, and those believed down when that is not enough to read
// with. Meanwhile it lets others be found, and asks these too. It records the answers and returns after the last one,
// or when ctx ends.
func (hs *holders) locate(ctx context.Context, servers []share.Server, find []Finder) {
	up, down := split(servers)
	var asking sync.WaitGroup
	asking.Go(func() {
		hs.collect(ctx, up)
		hs.update(func() { hs.upDone = true })
	})
	for _, f := range find {
		asking.Go(func() { hs.collect(ctx, without(f(ctx), servers)) })
	}
	if len(down) > 0 {
		select {
		case <-hs.lacking:
			hs.collect(ctx, down)
		case <-ctx.Done():
		}
	}
	asking.Wait()
	hs.update(func() { hs.finished = true })
}

// without returns the servers that are not among the known ones, each once.
func without(servers, known []share.Server) []share.Server {
	all := append(slices.Clone(known), servers...)
	up, down := split(all)
	return slices.DeleteFunc(append(up, down...), func(s share.Server) bool {
		return slices.ContainsFunc(known, func(k share.Server) bool { return k.ID == s.ID })
	})
}

func (hs *holders) collect(ctx context.Context, servers []share.Server) {
	hs.update(func() { hs.asked += len(servers) })
	question := func(ctx context.Context, s share.Server) (share.Held, error) {
		held, err := s.Store.Numbers(ctx, []share.StorageIndex{hs.index})
		if err != nil {
			return share.Held{}, err
		}
		if len(held) != 1 || held[0].Index != hs.index {
			return share.Held{}, errors.New("answered another question than was asked")
		}
		return held[0], nil
	}
	ask(ctx, servers, question, func(a answer[share.Held]) { hs.update(func() { hs.add(a) }) })
}

// add records one answer. A server that claims shares with a root that is not the file's is blamed and ignored.
func (hs *holders) add(a answer[share.Held]) {
	if a.err != nil {
		hs.causes = append(hs.causes, wrapServer(a.server, a.err))
		return
	}
	hs.answered++
	if len(a.value.Numbers) == 0 {
		return
	}
	root, err := encoding.CheckRoot(hs.index, a.value.Root)
	if err != nil {
		hs.causes = append(hs.causes, &share.CorruptShareError{
			Server: a.server.ID, Index: hs.index, Number: a.value.Numbers[0], Segment: -1, Reason: err.Error(),
		})
		return
	}
	hs.root, hs.known = root, true
	p := &peer{server: a.server}
	numbers := slices.Clone(a.value.Numbers)
	slices.Sort(numbers)
	for _, number := range slices.Compact(numbers) {
		if int(number) < root.Total {
			hs.all = append(hs.all, newHolder(p, number))
			hs.numbers[number] = true
		}
	}
}

func (hs *holders) update(change func()) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	change()
	close(hs.changed)
	hs.changed = make(chan struct{})
}

// waitRoot returns as soon as enough holders are known to read with, plus a grace in which the others may answer so
// that plain shares are preferred over parity, or when all servers have answered.
func (hs *holders) waitRoot(ctx context.Context) error {
	start := time.Now()
	lack := time.NewTimer(lackTime)
	defer lack.Stop()
	var grace <-chan time.Time
	for {
		hs.mu.Lock()
		enough := hs.enough()
		complete := hs.finished || enough && (hs.upDone || len(hs.numbers) == hs.root.Total)
		upDone, changed := hs.upDone, hs.changed
		hs.mu.Unlock()
		switch {
		case complete:
			return hs.verdict()
		case upDone:
			hs.lack()
		case enough && grace == nil:
			grace = time.After(max(minGrace, time.Since(start)))
		}
		select {
		case <-changed:
		case <-grace:
			return hs.verdict()
		case <-lack.C:
			if !enough {
				hs.lack()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enough reports whether shares are known to read the file with. hs.mu is held.
func (hs *holders) enough() bool { return hs.known && len(hs.numbers) >= hs.root.Needed }

// verdict says whether the file can be read with the holders known so far.
func (hs *holders) verdict() error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.enough() {
		return nil
	}
	if len(hs.numbers) == 0 && hs.answered == hs.asked && len(hs.causes) == 0 && hs.asked > 0 {
		return share.ErrNotFound
	}
	return hs.notEnough(len(hs.numbers), nil)
}

// notEnough returns the error that says so. hs.mu is held.
func (hs *holders) notEnough(found int, causes []error) error {
	return &share.NotEnoughSharesError{
		Index: hs.index, Found: found, Needed: hs.root.Needed, Answered: hs.answered, Asked: hs.asked,
		Causes: slices.Concat(causes, hs.causes),
	}
}

// ranked returns the holders, best first: those that nothing speaks against before others, plain shares before parity,
// local before remote, idle before busy. It also returns the channel that is closed when more are known, nil when there
// will be no more.
func (hs *holders) ranked() ([]*holder, <-chan struct{}) {
	hs.mu.Lock()
	all, more, needed := slices.Clone(hs.all), hs.changed, hs.root.Needed
	if hs.finished {
		more = nil
	}
	hs.mu.Unlock()
	now := time.Now()
	ranks := make([]ranked, len(all))
	for i, h := range all {
		ranks[i] = ranked{h, h.rank(now, needed)}
	}
	slices.SortStableFunc(ranks, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	for i := range ranks {
		all[i] = ranks[i].holder
	}
	return all, more
}

type ranked struct {
	holder *holder
	rank   int
}

// rank is lower for a better holder.
func (h *holder) rank(now time.Time, needed int) int {
	const waiting = 1 << 20 // more than can be waiting
	rank := 4 * h.demerit(now)
	if int(h.number) >= needed {
		rank += 2
	}
	if !h.server.Local {
		rank++
	}
	return rank*waiting + h.load()
}

func (hs *holders) close() {
	hs.mu.Lock()
	all := hs.all
	hs.mu.Unlock()
	for _, h := range all {
		h.close()
	}
}
