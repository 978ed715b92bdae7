package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

const (
	// unknownSize stands for the size of a file that nobody has told.
	unknownSize = 16 << 10
	// fetchBytes bounds what one server is expected to answer at once.
	fetchBytes = 2 << 20
	// fetchFiles bounds the files of one question.
	fetchFiles = 1024
	// Further servers are asked when those asked first take longer than fetchHedge and three times what is usual, or than
	// batchHedge while nothing is known of what is usual.
	fetchHedge = 300 * time.Millisecond
	batchHedge = time.Second
	// tellEach bounds how many bad shares of an answer its server is told of at a time.
	tellEach = 8
	// openEach bounds how many files are read one by one at a time.
	openEach = 8
)

// A Ref is what opens one small file.
type Ref struct {
	Index share.StorageIndex
	Key   keys.ReadKey
	// Size is the length of the file in bytes, if it is known, 0 otherwise. It is a hint.
	Size int64
}

// FetchOptions say how a batch of files is read.
type FetchOptions struct {
	// Params are those that most of the files have been stored with, if they are known. They are a hint for how many servers
	// to ask at first.
	Params share.Params
	// First, if not 0, is how many of the servers, from the first on, are likely to hold all there is of the files: the others
	// are asked after them.
	First int
	// Limit is the largest file in bytes that is read; 0 means SmallSize of the files' own parameters at most. Beyond it a file
	// is ErrTooLarge.
	Limit int64
	// Find looks for further servers that hold a file, as for Open.
	Find func(share.StorageIndex) []Finder
	Log  *slog.Logger
}

// A Fetched is one file of a batch: Data, or Err.
type Fetched struct {
	Data []byte
	Err  error
}

// FetchBatch reads many small files: each of as many servers as are likely to have enough shares gets one question for
// a round of files, and further ones are asked for what is still missing. Every byte is verified. Files that are not to be
// had that way, because they are large or their servers take no batches, are opened one by one.
//
// There is an answer for each reference, in the same order; the errors are those of Open. The error beside them is that
// of ctx.
func FetchBatch(ctx context.Context, servers []share.Server, refs []Ref, o FetchOptions) ([]Fetched, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &fetch{o: o, servers: servers, slow: map[share.ServerID]bool{}}
	f.up, _ = split(servers)
	f.up = slices.DeleteFunc(f.up, func(s share.Server) bool { _, ok := s.Store.(share.Batcher); return !ok })
	if o.Params.IsZero() {
		f.o.Params = share.DefaultParams(len(servers))
	}
	out := make([]Fetched, len(refs))
	var running errgroup.Group
	running.SetLimit(roundsAhead)
	round := 0
	for first, end := range f.rounds(refs) {
		if ctx.Err() != nil {
			break
		}
		turn := round
		round++
		running.Go(func() error { return f.round(ctx, turn, refs[first:end], out[first:end]) })
	}
	return out, errors.Join(running.Wait(), ctx.Err())
}

// A fetch is one run of FetchBatch.
type fetch struct {
	o       FetchOptions
	servers []share.Server
	up      []share.Server // that take batches
	codes   codes

	mu    sync.Mutex // guards what follows
	slow  map[share.ServerID]bool
	usual time.Duration // of an answer; 0 while unknown
}

// rounds cuts the references into rounds.
func (f *fetch) rounds(refs []Ref) func(func(first, end int) bool) {
	return func(yield func(first, end int) bool) {
		first, bytes := 0, 0
		for i, ref := range refs {
			size := ref.Size
			if size <= 0 {
				size = unknownSize
			}
			expected := wholeSize(int(min(size, int64(share.MaxWholeShare)*int64(f.o.Params.Needed))), f.o.Params)
			if i > first && (bytes+expected > fetchBytes || i-first == fetchFiles) {
				if !yield(first, i) {
					return
				}
				first, bytes = i, 0
			}
			bytes += expected
		}
		if first < len(refs) {
			yield(first, len(refs))
		}
	}
}

// A gathering is one file of a round while its shares come in. The mutex guards it: shares are checked where they arrive.
type gathering struct {
	ref Ref

	mu     sync.Mutex
	shares []*encoding.Whole // distinct and verified
	done   bool              // there are enough
}

// round reads some files.
func (f *fetch) round(ctx context.Context, turn int, refs []Ref, out []Fetched) error {
	gatherings := make([]*gathering, len(refs))
	for i, ref := range refs {
		gatherings[i] = &gathering{ref: ref}
	}
	f.gather(ctx, turn, gatherings)
	var opening errgroup.Group
	opening.SetLimit(openEach)
	for i, g := range gatherings {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if g.done {
			out[i].Data, out[i].Err = f.join(g)
			continue
		}
		opening.Go(func() error {
			out[i].Data, out[i].Err = f.open(ctx, g.ref)
			return nil
		})
	}
	return opening.Wait()
}

// gather asks servers for shares until every file has enough, or everybody was asked. It begins with other servers each
// turn, so that all of them have about the same to do.
func (f *fetch) gather(ctx context.Context, turn int, files []*gathering) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before the wait
	order := f.order(turn)
	answers := make(chan struct{}, len(order))
	pending := 0
	ask := func(n int) {
		left := wanting(files)
		for _, s := range order[:min(n, len(order))] {
			pending++
			asking.Go(func() {
				f.ask(ctx, s, left)
				answers <- struct{}{}
			})
		}
		order = order[min(n, len(order)):]
	}
	ask(f.first())
	hedge := time.NewTimer(f.hedge())
	defer hedge.Stop()
	for len(wanting(files)) > 0 {
		if pending == 0 {
			if len(order) == 0 {
				return
			}
			ask(f.o.Params.Needed)
			hedge.Reset(f.hedge())
		}
		select {
		case <-answers:
			pending--
		case <-hedge.C:
			ask(len(order))
		case <-ctx.Done():
			return
		}
	}
}

// hedge returns how long to wait for servers before others are asked.
func (f *fetch) hedge() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.usual == 0 {
		return batchHedge
	}
	return max(fetchHedge, 3*f.usual)
}

// answered notes how long a server took, and whether it gave anything.
func (f *fetch) answered(s share.Server, took time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow[s.ID] = err != nil
	if err == nil {
		if f.usual == 0 {
			f.usual = took
		}
		f.usual += (took - f.usual) / 4
	}
}

// order returns the servers as a round asks them: the own one first, which costs least, and those last that gave nothing.
func (f *fetch) order(turn int) []share.Server {
	if len(f.up) == 0 {
		return nil
	}
	likely := len(f.up)
	if f.o.First > 0 {
		likely = min(likely, f.o.First)
	}
	turn = turn * f.o.Params.Needed % likely
	order := slices.Concat(f.up[turn:likely], f.up[:turn], f.up[likely:])
	f.mu.Lock()
	defer f.mu.Unlock()
	cost := func(s share.Server) int {
		switch {
		case f.slow[s.ID]:
			return 2
		case s.Local:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(a, b share.Server) int { return cost(a) - cost(b) })
	return order
}

// first returns how many servers are likely to have k shares of a file.
func (f *fetch) first() int {
	likely := len(f.up)
	if f.o.First > 0 {
		likely = min(likely, f.o.First)
	}
	holders := min(f.o.Params.Total, likely)
	if holders == 0 {
		return 0
	}
	return (f.o.Params.Needed*likely + holders - 1) / holders
}

// wanting returns the files that lack shares.
func wanting(files []*gathering) []*gathering {
	var left []*gathering
	for _, g := range files {
		g.mu.Lock()
		if !g.done {
			left = append(left, g)
		}
		g.mu.Unlock()
	}
	return left
}

// ask puts one question to one server and takes what verifies.
func (f *fetch) ask(ctx context.Context, s share.Server, files []*gathering) {
	indexes := make([]share.StorageIndex, len(files))
	for i, g := range files {
		indexes[i] = g.ref.Index
	}
	ctx, cancel := awake.WithTimeout(ctx, fetchTime)
	defer cancel()
	start := time.Now()
	shares, err := s.Store.(share.Batcher).Fetch(ctx, indexes)
	f.answered(s, time.Since(start), err)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			f.o.Log.Debug("a server gave no shares of a batch", "server", s.String(), "error", inTime(ctx, err))
		}
		return
	}
	var telling errgroup.Group
	telling.SetLimit(tellEach)
	defer telling.Wait()
	for i := range min(len(shares), len(files)) {
		for _, w := range shares[i] {
			if err := files[i].add(w); err != nil {
				f.o.Log.Warn("a server sent a bad share", "server", s.String(), "file", files[i].ref.Index.String(),
					"share", w.Number, "error", err)
				telling.TryGo(func() error { // of the others it is told when they are read again
					complain(ctx, s, files[i].ref.Index, w.Number, share.NoSegment, f.o.Log)
					return nil
				})
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// fetchTime bounds one question for many shares.
const fetchTime = 30 * time.Second

// add takes a share if it verifies and is wanted.
func (g *gathering) add(w share.WholeShare) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done || slices.ContainsFunc(g.shares, func(have *encoding.Whole) bool { return have.Number == w.Number }) {
		return nil
	}
	whole, err := encoding.ParseWhole(g.ref.Index, w.Number, w.Data)
	if err != nil {
		return err
	}
	g.shares = append(g.shares, whole)
	g.done = len(g.shares) >= whole.Root.Needed
	return nil
}

// join decodes a file.
func (f *fetch) join(g *gathering) ([]byte, error) {
	root := g.shares[0].Root
	if f.o.Limit > 0 && root.Size > f.o.Limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", share.ErrTooLarge, root.Size, f.o.Limit)
	}
	code, err := f.codes.get(root.Needed, root.Total)
	if err != nil {
		return nil, err
	}
	data, err := openSmall(code, g.shares, g.ref.Key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", g.ref.Index, err)
	}
	return data, nil
}

// open reads one file by itself.
func (f *fetch) open(ctx context.Context, ref Ref) ([]byte, error) {
	var find []Finder
	if f.o.Find != nil {
		find = f.o.Find(ref.Index)
	}
	r, err := Open(ctx, f.servers, ref.Index, ref.Key, f.o.Log, find...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	limit := f.o.Limit
	if limit == 0 {
		limit = int64(share.MaxWholeShare) * int64(r.source.root.Needed)
	}
	if r.Size() > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", share.ErrTooLarge, r.Size(), limit)
	}
	data := make([]byte, r.Size())
	if _, err := r.ReadAt(ctx, data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}
