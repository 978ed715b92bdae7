package file

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// A holder is one share on one server.
type holder struct {
	server share.Server
	number share.Number

	// bad counts the blocks of this share that did not verify or could not be read; late counts, for all shares of
	// the server, those that took so long that another server was asked as well. Both only order holders: a holder of
	// one bad block may be the only one of another.
	bad  atomic.Int32
	late *atomic.Int32

	open   sync.Mutex
	reader share.Reader
}

// read fills p from offset off of the share, opening it at first.
func (h *holder) read(ctx context.Context, index share.StorageIndex, p []byte, off int64) error {
	r, err := h.opened(ctx, index)
	if err != nil {
		return err
	}
	_, err = r.ReadAt(ctx, p, off)
	return err
}

func (h *holder) opened(ctx context.Context, index share.StorageIndex) (share.Reader, error) {
	h.open.Lock()
	defer h.open.Unlock()
	if h.reader != nil {
		return h.reader, nil
	}
	r, err := h.server.Store.Open(ctx, index, h.number)
	if err != nil {
		return nil, err
	}
	h.reader = r
	return r, nil
}

func (h *holder) close() {
	h.open.Lock()
	defer h.open.Unlock()
	if h.reader != nil {
		h.reader.Close()
		h.reader = nil
	}
}

// holders is the growing set of known holders of one file: answers to the question who has it come in while the first
// blocks are being read.
type holders struct {
	index share.StorageIndex

	mu       sync.Mutex
	all      []*holder
	numbers  map[share.Number]bool
	changed  chan struct{} // closed and replaced whenever a field below it or all changes
	finished bool          // every server has answered
	root     encoding.Root
	block    []byte // the root block
	known    bool   // root is known
	asked    int
	answered int
	causes   []error
}

func newHolders(index share.StorageIndex) *holders {
	return &holders{index: index, numbers: map[share.Number]bool{}, changed: make(chan struct{})}
}

// locate asks every server which shares it holds, those believed down last, and records the answers.
func (hs *holders) locate(ctx context.Context, servers []share.Server) {
	up, down := split(servers)
	hs.collect(ctx, up)
	if hs.missing() {
		hs.collect(ctx, down)
	} else {
		hs.update(func() { hs.asked += len(down) })
	}
	hs.update(func() { hs.finished = true })
}

func split(servers []share.Server) (up, down []share.Server) {
	for _, s := range servers {
		if s.Down {
			down = append(down, s)
		} else {
			up = append(up, s)
		}
	}
	return up, down
}

func (hs *holders) missing() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return !hs.known || len(hs.numbers) < hs.root.Total
}

func (hs *holders) collect(ctx context.Context, servers []share.Server) {
	hs.update(func() { hs.asked += len(servers) })
	answers := ask(ctx, servers, func(ctx context.Context, s share.Server) (share.Held, error) {
		held, err := s.Store.Numbers(ctx, []share.StorageIndex{hs.index})
		if err != nil {
			return share.Held{}, err
		}
		if len(held) != 1 || held[0].Index != hs.index {
			return share.Held{}, errors.New("answered another question than was asked")
		}
		return held[0], nil
	})
	for a := range answers {
		hs.update(func() { hs.add(a) })
	}
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
	hs.root, hs.block, hs.known = root, a.value.Root, true
	late := new(atomic.Int32)
	for _, number := range a.value.Numbers {
		if int(number) < root.Total {
			hs.all = append(hs.all, &holder{server: a.server, number: number, late: late})
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
	var grace <-chan time.Time
	for {
		hs.mu.Lock()
		enough := hs.known && len(hs.numbers) >= hs.root.Needed
		complete := hs.finished || enough && len(hs.numbers) == hs.root.Total
		changed := hs.changed
		hs.mu.Unlock()
		if complete {
			return hs.verdict()
		}
		if enough && grace == nil {
			grace = time.After(max(minGrace, time.Since(start)))
		}
		select {
		case <-changed:
		case <-grace:
			return hs.verdict()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// verdict says whether the file can be read with the holders known so far.
func (hs *holders) verdict() error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.known && len(hs.numbers) >= hs.root.Needed {
		return nil
	}
	if len(hs.numbers) == 0 && hs.answered == hs.asked && len(hs.causes) == 0 && hs.asked > 0 {
		return share.ErrNotFound
	}
	return hs.notEnough(len(hs.numbers), nil)
}

func (hs *holders) notEnough(found int, causes []error) error {
	return &share.NotEnoughSharesError{
		Index: hs.index, Found: found, Needed: hs.root.Needed, Answered: hs.answered, Asked: hs.asked,
		Causes: append(slices.Clone(hs.causes), causes...),
	}
}

// ranked returns the holders, best first: those without bad or late blocks before others, plain shares before parity,
// local before remote. It also returns the channel that is closed when more are known, nil when there will be no more.
func (hs *holders) ranked() ([]*holder, <-chan struct{}) {
	hs.mu.Lock()
	all, more, needed := slices.Clone(hs.all), hs.changed, hs.root.Needed
	if hs.finished {
		more = nil
	}
	hs.mu.Unlock()
	ranks := make(map[*holder]int, len(all))
	for _, h := range all {
		ranks[h] = 8 * int(h.bad.Load()+min(h.late.Load(), 100))
		if int(h.number) >= needed {
			ranks[h] += 4
		}
		if !h.server.Local {
			ranks[h]++
		}
	}
	slices.SortStableFunc(all, func(a, b *holder) int { return cmp.Compare(ranks[a], ranks[b]) })
	return all, more
}

func (hs *holders) close() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.all {
		h.close()
	}
}

func wrapServer(s share.Server, err error) error {
	return &ServerError{Server: s.ID, Nickname: s.Nickname, Err: err}
}

// A ServerError says which server an error came from.
type ServerError struct {
	Server   share.ServerID
	Nickname string
	Err      error
}

func (e *ServerError) Error() string {
	return "server " + share.Server{ID: e.Server, Nickname: e.Nickname}.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ServerError) Unwrap() error { return e.Err }
