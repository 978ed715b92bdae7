package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/grid/placement"
	"cairn/share"
	"cairn/share/keys"
)

const (
	// roundFiles and roundBytes bound one round of a batch: how many files, and the bytes of one share of each. The N
	// shares of all of them are in memory, for roundsAhead rounds at a time.
	roundFiles  = 512
	roundBytes  = 1 << 20
	roundsAhead = 3
	// replaceRounds is how often the shares that servers did not take are offered to others.
	replaceRounds = 3
)

// A SmallFile is one file of a batch.
type SmallFile struct {
	Key  keys.ReadKey
	Salt []byte // of a version of a mutable file
	Data []byte
	// Encoded, if set, is the file as EncodeSmall made it; then nothing else is read, and Params are those it was made with.
	Encoded *Small
}

// BatchOptions say how a batch of files is stored.
type BatchOptions struct {
	Params share.Params
	// BlockSize is that of UploadOptions, 0 for the default.
	BlockSize int
	Owner     string
	Lease     time.Duration
	// Resume asks the servers what they have of the files already, and only renews the leases there. It makes sense for keys
	// that an earlier batch had as well.
	Resume bool
	// Copy, if it has a Store, is a server that gets the first k shares of every file as well. A file of which it does not take them fails with
	// a *CopyError, although it is stored.
	Copy share.Server
	// Alone, if set, is asked about the key of each file that could not be stored, when nothing of it is under way here any more. Where it
	// reports that no other upload of the file was under way meanwhile, and will be before UploadBatch returns, the leases end which the
	// batch gave the file in stores of this process, unless the owner had one there before. Whoever goes on within a day finds the shares.
	Alone func(keys.ReadKey) bool
	// Progress, if set, is called from one goroutine at a time with the number of files that are done with.
	Progress func(files int)
	Log      *slog.Logger
}

// A BatchError says that some files of a batch could not be stored. It wraps the first error.
type BatchError struct {
	Failed map[int]error // by the file's position
}

func (e *BatchError) Error() string {
	first := slices.Min(slices.Collect(maps.Keys(e.Failed)))
	return fmt.Sprintf("%d files of the batch were not stored: file %d: %v", len(e.Failed), first, e.Failed[first])
}

// Unwrap returns the errors in the order of the files.
func (e *BatchError) Unwrap() []error {
	var all []error
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		all = append(all, e.Failed[i])
	}
	return all
}

// A batch is one run of UploadBatch.
type batch struct {
	o       BatchOptions
	servers map[share.ServerID]share.Server
	order   []share.Server
	codes   codes

	mu       sync.Mutex               // guards what follows
	sick     map[share.ServerID]error // servers that failed: they are given nothing more
	used     map[share.ServerID]int64 // bytes that were given to each
	failures []error
	done     int
}

// UploadBatch stores many small files on the servers that are up. They are encoded in memory, and every server gets its
// shares of a round of files in one exchange. Each file is placed for itself and succeeds when enough distinct servers
// have acknowledged a share of it (Params.Happy). Servers that fail or take much longer than the others are replaced, and get
// nothing more. A server that is no share.Batcher is sent one share after the other.
//
// There is a Result for each file, in the same order. The error is a *BatchError, with a *share.UnhappyError for each
// file that could not be spread far enough, or that of ctx.
func UploadBatch(ctx context.Context, servers []share.Server, files []SmallFile, o BatchOptions) ([]Result, error) {
	if err := o.Params.Validate(); err != nil {
		return nil, fmt.Errorf("upload a batch: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &batch{o: o, servers: map[share.ServerID]share.Server{}, sick: map[share.ServerID]error{}, used: map[share.ServerID]int64{}}
	b.order, _ = split(servers)
	for _, s := range b.order {
		b.servers[s.ID] = s
	}
	results := make([]Result, len(files))
	errs := make([]error, len(files))
	var running errgroup.Group
	running.SetLimit(roundsAhead)
	for first, end := range rounds(files, o.Params) {
		if ctx.Err() != nil {
			break
		}
		running.Go(func() error {
			return b.round(ctx, files[first:end], results[first:end], errs[first:end])
		})
	}
	err := errors.Join(running.Wait(), ctx.Err())
	if err != nil {
		return results, fmt.Errorf("upload a batch: %w", err)
	}
	failed := map[int]error{}
	for i, err := range errs {
		if err != nil {
			failed[i] = err
		}
	}
	if len(failed) > 0 {
		return results, &BatchError{Failed: failed}
	}
	return results, nil
}

// rounds cuts the files into rounds.
func rounds(files []SmallFile, params share.Params) func(func(first, end int) bool) {
	return func(yield func(first, end int) bool) {
		first, bytes := 0, 0
		for i, f := range files {
			size := wholeSize(len(f.Data), params)
			if f.Encoded != nil {
				size = len(f.Encoded.Shares[0])
			}
			if i > first && (bytes+size > roundBytes || i-first == roundFiles) {
				if !yield(first, i) {
					return
				}
				first, bytes = i, 0
			}
			bytes += size
		}
		if first < len(files) {
			yield(first, len(files))
		}
	}
}

// wholeSize is about the length of a share of a small file.
func wholeSize(size int, params share.Params) int {
	const root = 200
	return size/params.Needed + params.Total*len(share.Digest{}) + root
}

// An item is one file during a round.
type item struct {
	Small
	placed []share.ServerID // by number; "" while nobody has acknowledged the share
	assign map[share.Number]share.ServerID
	held   map[share.ServerID][]share.Number // what servers had already
	fresh  []share.ServerID                  // stores of this process in which the file had no lease before
	had    int64
	err    error
	// copyErr says why there is no copy of it where one is to be.
	copyErr error
}

// round stores some files.
func (b *batch) round(ctx context.Context, files []SmallFile, results []Result, errs []error) error {
	items, err := b.encode(files)
	if err != nil {
		return err
	}
	if b.o.Resume {
		b.askHeld(ctx, items)
	}
	for _, it := range items {
		b.plan(it)
	}
	b.noteFresh(ctx, items)
	defer b.release(ctx, files, items)
	for range 1 + replaceRounds {
		gives := b.gives(items)
		if len(gives) == 0 {
			break
		}
		b.exchange(ctx, gives)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, it := range items {
			b.replan(it)
		}
	}
	b.keepCopies(ctx, items)
	for i, it := range items {
		results[i], errs[i] = b.result(it)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += len(items)
	if b.o.Progress != nil {
		b.o.Progress(b.done)
	}
	return nil
}

// encode encodes the files on all processors.
func (b *batch) encode(files []SmallFile) ([]*item, error) {
	items := make([]*item, len(files))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	code, err := b.codes.get(b.o.Params.Needed, b.o.Params.Total)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(slices.Collect(indexesOf(files)), 32) {
		work.Go(func() error {
			for _, i := range chunk {
				f := files[i]
				it := &item{placed: make([]share.ServerID, b.o.Params.Total), held: map[share.ServerID][]share.Number{}}
				items[i] = it
				if f.Encoded != nil {
					it.Small = *f.Encoded
					continue
				}
				var err error
				if it.Small, err = encodeSmall(code, b.o.BlockSize, f.Key, f.Salt, f.Data); err != nil {
					return fmt.Errorf("file %d of a round: %w", i, err)
				}
			}
			return nil
		})
	}
	return items, work.Wait()
}

func indexesOf[T any](all []T) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range all {
			if !yield(i) {
				return
			}
		}
	}
}

// places returns the servers as placement wants them for one file.
func (b *batch) places(it *item) []placement.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	places := make([]placement.Server, 0, len(b.order))
	for _, s := range b.order {
		free := s.Free - b.used[s.ID]
		places = append(places, placement.Server{ID: s.ID, Free: free, Full: free <= 0 || b.sick[s.ID] != nil, Holds: it.held[s.ID], Refused: s.Refused, Last: s.Last})
	}
	return places
}

// plan assigns every share of a file to a server.
func (b *batch) plan(it *item) {
	size, places := int64(len(it.Shares[0])), b.places(it)
	plan, err := placement.New(it.Index[:], b.o.Params, size, places)
	if err != nil {
		unhappy, ok := errors.AsType[*share.UnhappyError](err)
		if ok {
			b.mu.Lock()
			unhappy.Causes = slices.Clone(b.failures)
			for _, p := range places {
				if b.sick[p.ID] == nil && p.Free < size {
					unhappy.Causes = append(unhappy.Causes, withoutRoom(b.servers[p.ID], p.Free, size))
				}
			}
			b.mu.Unlock()
		}
		it.err = err
		return
	}
	it.assign = plan.Assign
	b.charge(it, it.assign)
}

// charge counts the bytes of shares against the servers they go to.
func (b *batch) charge(it *item, assign map[share.Number]share.ServerID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for number, id := range assign {
		b.used[id] += int64(len(it.Shares[number]))
	}
}

// replan finds other servers for the shares that were not taken.
func (b *batch) replan(it *item) {
	if it.err != nil {
		return
	}
	it.assign = map[share.Number]share.ServerID{}
	var places []placement.Server
	for number, id := range it.placed {
		if id != "" {
			continue
		}
		if places == nil {
			places = b.places(it)
			for i := range places {
				for n, id := range it.placed {
					if id == places[i].ID {
						places[i].Holds = append(places[i].Holds, share.Number(n))
					}
				}
			}
		}
		id, ok := placement.Replace(it.Index[:], int64(len(it.Shares[0])), places, share.Number(number))
		if ok {
			i := slices.IndexFunc(places, func(p placement.Server) bool { return p.ID == id })
			if b.happy(it) && len(places[i].Holds) > 0 && !places[i].Last {
				continue // it would count for nothing
			}
			places[i].Holds = append(places[i].Holds, share.Number(number))
			it.assign[share.Number(number)] = id
		}
	}
	b.charge(it, it.assign)
}

func (b *batch) lease() share.Lease {
	return share.Lease{Owner: b.o.Owner, Expires: time.Now().Add(b.o.Lease)}
}

func (b *batch) happy(it *item) bool { return it.happiness() >= b.o.Params.Happy }

// happiness is that of the acknowledged shares.
func (it *item) happiness() int {
	holders := map[share.ServerID][]share.Number{}
	count := 0
	for number, id := range it.placed {
		if id != "" {
			holders[id] = append(holders[id], share.Number(number))
			count++
		}
	}
	if len(holders) == count {
		return count
	}
	return placement.Happiness(holders)
}

// result says what became of a file.
func (b *batch) result(it *item) (Result, error) {
	r := Result{Root: it.Root, Placed: map[share.Number]share.Server{}, Happiness: it.happiness(), Asked: len(b.order), Skipped: it.had}
	for number, id := range it.placed {
		if id == "" {
			r.Missing = append(r.Missing, share.Number(number))
		} else {
			r.Placed[share.Number(number)] = b.servers[id]
		}
	}
	if it.err == nil && it.copyErr != nil {
		r.CopyErr = &CopyError{Server: b.o.Copy, Err: it.copyErr}
		return r, r.CopyErr
	}
	if it.err != nil || r.Happiness >= b.o.Params.Happy {
		return r, it.err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Failures = slices.Clone(b.failures)
	return r, &share.UnhappyError{
		Happiness: r.Happiness, Happy: b.o.Params.Happy, Needed: b.o.Params.Needed, Servers: len(b.order), Causes: r.Failures,
	}
}
