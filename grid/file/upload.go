package file

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cairn/grid/placement"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

const (
	// uploadBytes bounds the encoded segments of one upload that are in memory, waiting for slow servers.
	uploadBytes = 64 << 20
	// paceBytes is how far the encoder runs ahead of the servers that make the upload happy: more would only fill memory.
	paceBytes = 12 << 20
	// maxSegmentBytes bounds the N blocks of a segment: fewer than two of them at a time make no stream.
	maxSegmentBytes = uploadBytes / 2
)

// UploadOptions say how a file is stored.
type UploadOptions struct {
	Params share.Params
	// BlockSize is the length of a block of a full segment in bytes; N blocks have at most 32 MiB.
	BlockSize int
	Key       keys.ReadKey
	// Salt gives a version of a mutable file keys of its own; nil for an immutable file.
	Salt []byte
	// Size is the length of the file in bytes, -1 where it is unknown.
	Size int64
	// Resume asks the servers what they have of this upload already. It makes sense for a key that an earlier
	// upload of the same bytes had as well.
	Resume bool
	// Owner is the identity that holds the leases, Lease how long they run.
	Owner string
	Lease time.Duration
	// Copy, if it has a Store, is a server that gets the first k shares as well, so that the file can be read from it alone. The upload does
	// not end before it has them; that it does not take them is Result.CopyErr.
	Copy share.Server
	// Progress, if set, is called now and then, from the goroutine that called Upload.
	Progress func(Progress)
	// Background, if set, runs a function that finishes an upload which has succeeded already, and outlives Upload. It
	// ends soon after its context. Without it Upload waits for every server.
	Background func(func(context.Context))
	// Settled, if set, is called with the final result of a successful upload when the last server has answered or was
	// given up.
	Settled func(Result)
	Log     *slog.Logger
}

// Progress says how far an upload is. It never goes back.
type Progress struct {
	Bytes  int64 // of plaintext of which as many shares as make the upload happy are on their way to the servers
	Placed int   // shares acknowledged
}

// A Result says what an upload has done.
type Result struct {
	Root encoding.Root
	// Placed are the servers that acknowledged a share: it is on their stable storage.
	Placed map[share.Number]share.Server
	// Missing are the shares that no server has acknowledged.
	Missing []share.Number
	// Happiness is that of the placed shares.
	Happiness int
	// Asked is the number of servers known to the upload.
	Asked int
	// Skipped is the number of bytes of placed shares that servers had already.
	Skipped int64
	// Failures are the refusals and faults of single servers, each a *ServerError.
	Failures []error
	// CopyErr says why the server of Copy does not have a complete copy: a *CopyError.
	CopyErr error

	letGo func(others []share.Server) // nil where no share can have been placed
}

// An upload is one run of Upload.
type upload struct {
	o        UploadOptions
	id       share.UploadID
	layout   encoding.Layout
	servers  map[share.ServerID]share.Server
	pasts    map[share.ServerID]*past // where the servers are asked what they have
	lanes    []*lane
	copies   []*lane // of Copy
	buffers  int
	pace     int64         // segments that paceBytes are
	paced    atomic.Bool   // the encoder waits for lanes
	caughtUp chan struct{} // tells it that one has got on
	begun    time.Time
	encoded  atomic.Int64 // segments emitted
	root     []byte       // set before the lanes' queues are closed

	// Lanes, questions and the watch may outlive Upload when it succeeds without them. They end with ctx, and running
	// waits for them.
	ctx          context.Context
	cancel       context.CancelFunc
	running      sync.WaitGroup
	copying      sync.WaitGroup     // the lanes of Copy, which are among those that run
	finished     chan *lane         // each lane when it has ended
	stopEncoding context.CancelFunc // when too many servers have failed

	mu       sync.Mutex // guards what follows, and each lane's server and attempt
	began    []beginning
	places   []placement.Server // as Replace wants them: what each holds or is being sent
	placed   map[share.Number]share.Server
	fresh    map[share.ServerID]bool // stores of this process in which the file had no lease before
	failures []error
	copyErr  error
	skipped  int64
	bytes    int64 // of plaintext emitted
	reported int64 // by the last Progress
	whole    bool  // all segments are emitted
	took     time.Duration
}

// Upload stores what r yields on the servers that are up. It succeeds as soon as enough distinct servers have
// acknowledged their shares (Params.Happy) and the others have had a fair time to do so. A server that fails before it
// was sent much is replaced; shares lost later are listed in Result.Missing for a repair to make. Servers that hold up
// the others, and for which there is a substitute, count as failed after a few seconds.
//
// The error is a *share.UnhappyError when too few servers acknowledged, with the result so far; what is on the servers
// by then serves a later attempt with the same key. Without Resume, which says that there will be none, the servers are asked to
// drop what was begun when the upload ends in the middle. What they have acknowledged stays until the caller makes use of it, or calls Result.LetGo. Quotas that leave too few servers end it as soon as they are known. Errors of r, encoding.ErrLength among them, are returned wrapped.
func Upload(ctx context.Context, servers []share.Server, r io.Reader, o UploadOptions) (Result, error) {
	u, err := newUpload(ctx, servers, o)
	if err != nil {
		return Result{}, fmt.Errorf("upload: %w", err)
	}
	result, err := u.run(ctx, r)
	if err != nil {
		return result, fmt.Errorf("upload: %w", err)
	}
	return result, nil
}

func newUpload(ctx context.Context, servers []share.Server, o UploadOptions) (*upload, error) {
	if err := o.Params.Validate(); err != nil {
		return nil, err
	}
	u := &upload{
		o: o, id: o.Key.VersionUploadID(o.Salt), begun: time.Now(), servers: map[share.ServerID]share.Server{},
		placed: map[share.Number]share.Server{}, fresh: map[share.ServerID]bool{}, pasts: map[share.ServerID]*past{},
		layout:   encoding.Layout{Needed: o.Params.Needed, Total: o.Params.Total, BlockSize: o.BlockSize, Size: max(o.Size, 0)},
		finished: make(chan *lane, o.Params.Total), caughtUp: make(chan struct{}, 1), stopEncoding: func() {},
	}
	if err := u.layout.Validate(); err != nil {
		return nil, err
	}
	segmentBytes := o.BlockSize * o.Params.Total
	if segmentBytes > maxSegmentBytes {
		return nil, fmt.Errorf("%w: %d blocks of %d bytes are encoded at a time; they may have %d bytes together",
			share.ErrTooLarge, o.Params.Total, o.BlockSize, maxSegmentBytes)
	}
	u.buffers = uploadBytes / segmentBytes
	u.pace = max(2, paceBytes/int64(segmentBytes))
	if o.Size >= 0 {
		u.buffers = int(min(int64(u.buffers), max(2, u.layout.Segments())))
	}
	up, _ := split(servers)
	for _, s := range up {
		u.servers[s.ID] = s
		u.places = append(u.places, placement.Server{ID: s.ID, Free: s.Free, Full: s.Free <= 0, Refused: s.Refused, Last: s.Last})
	}
	u.ctx, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return u, nil
}

// small reports whether the file is known to be a single segment: then nothing is asked first, everything goes out in
// one round trip, and the segment is kept until the server has acknowledged it.
func (u *upload) small() bool { return u.o.Size >= 0 && u.layout.Segments() == 1 }

func (u *upload) run(ctx context.Context, r io.Reader) (Result, error) {
	code, err := erasure.New(u.o.Params.Needed, u.o.Params.Total)
	if err == nil {
		err = u.plan(ctx)
	}
	if err != nil {
		return u.abandon(encoding.Root{}), err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	u.stopEncoding = stop
	u.start()
	root, err := encoding.Encode(reading, r, u.o.Key.File(u.o.Salt), encoding.Options{
		Code: code, Salt: u.o.Salt, BlockSize: u.o.BlockSize, Size: u.o.Size, Buffers: u.buffers,
	}, func(s *encoding.Segment) error { return u.emit(reading, s) })
	if err != nil {
		if ctx.Err() == nil && reading.Err() != nil {
			err = u.unhappy()
		}
		result := u.abandon(root)
		u.discard(ctx)
		return result, err
	}
	u.root = root.Marshal()
	u.mu.Lock()
	u.whole, u.took = true, time.Since(u.begun)
	u.mu.Unlock()
	for _, l := range slices.Concat(u.lanes, u.copies) {
		close(l.queue)
	}
	u.waitForCopies(ctx)
	result, err := u.settle(ctx, root)
	if err != nil {
		u.discard(ctx)
	}
	result.letGo = func(others []share.Server) { u.release(ctx, others) }
	return result, err
}

// start runs the lanes and a watch over them.
func (u *upload) start() {
	for _, l := range u.lanes {
		u.running.Go(func() {
			l.run()
			u.finished <- l
		})
	}
	for _, l := range u.copies {
		u.copying.Add(1)
		u.running.Go(func() {
			defer u.copying.Done()
			l.run()
		})
	}
	u.running.Go(u.watch)
}

// emit hands a segment to every lane. Queues have room for all segments that can exist.
func (u *upload) emit(ctx context.Context, s *encoding.Segment) error {
	u.keepPace(ctx)
	s.Retain(len(u.lanes) + len(u.copies) - 1)
	u.encoded.Add(1)
	u.mu.Lock()
	u.bytes += int64(s.Bytes)
	u.mu.Unlock()
	for _, lanes := range [][]*lane{u.lanes, u.copies} {
		for _, l := range lanes {
			l.queue <- s // and the segment belongs to the lanes
		}
	}
	u.progress()
	if u.hopeless() {
		return u.unhappy()
	}
	return nil
}

// keepPace waits until as many lanes as make the upload happy have almost caught up with the encoder. Slower ones may
// fall behind further, as far as there are buffers.
func (u *upload) keepPace(ctx context.Context) {
	defer u.paced.Store(false)
	for u.encoded.Load()-u.takenByEnough() >= u.pace {
		u.paced.Store(true)
		select {
		case <-u.caughtUp:
		case <-ctx.Done():
			return
		}
	}
}

// gotOn tells the encoder that a lane has got on, or out of the way.
func (u *upload) gotOn() {
	select {
	case u.caughtUp <- struct{}{}:
	default:
	}
}

// hopeless reports whether so many servers have failed that not even the file could be read from the others, or that quotas
// leave too few.
func (u *upload) hopeless() bool {
	alive := 0
	for _, l := range u.lanes {
		if !l.lost.Load() {
			alive++
		}
	}
	return alive < u.o.Params.Needed || u.overQuota()
}

func (u *upload) unhappy() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	happiness := u.happiness()
	if within := u.within(); !u.whole && u.refusedByQuota() && within < u.o.Params.Happy {
		happiness = max(happiness, within) // it was ended before the others were done
	}
	return &share.UnhappyError{
		Happiness: happiness, Happy: u.o.Params.Happy, Needed: u.o.Params.Needed, Servers: len(u.servers), Causes: slices.Clone(u.failures),
	}
}

// happiness is that of the acknowledged shares. u.mu is held.
func (u *upload) happiness() int {
	holders := map[share.ServerID][]share.Number{}
	for number, s := range u.placed {
		holders[s.ID] = append(holders[s.ID], number)
	}
	return placement.Happiness(holders)
}

// progress reports how far the upload is.
func (u *upload) progress() {
	if u.o.Progress == nil {
		return
	}
	taken := make([]int64, len(u.lanes))
	for i, l := range u.lanes {
		taken[i] = l.taken.Load()
	}
	slices.Sort(taken)
	u.mu.Lock()
	enough := taken[len(taken)-u.o.Params.Happy] * u.layout.SegmentSize()
	u.reported = max(u.reported, min(enough, u.bytes))
	p := Progress{Bytes: u.reported, Placed: len(u.placed)}
	u.mu.Unlock()
	u.o.Progress(p)
}

// abandon ends all that is under way and waits for it. What is on the servers stays for a later attempt.
func (u *upload) abandon(root encoding.Root) Result {
	u.cancel()
	u.running.Wait()
	return u.result(root)
}

func (u *upload) result(root encoding.Root) Result {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := Result{
		Root: root, Placed: map[share.Number]share.Server{}, Happiness: u.happiness(), Asked: len(u.servers),
		Skipped: u.skipped, Failures: slices.Clone(u.failures), CopyErr: u.copyErr,
	}
	for number := range u.o.Params.Total {
		if s, ok := u.placed[share.Number(number)]; ok {
			r.Placed[share.Number(number)] = s
		} else {
			r.Missing = append(r.Missing, share.Number(number))
		}
	}
	return r
}
