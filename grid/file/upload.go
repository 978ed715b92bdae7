package file

import (
	"context"
	"errors"
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
	// patience is how long a server may hold up an upload while enough others wait for more.
	patience = 2 * time.Second
	// lateTime is how long servers that have everything but did not answer yet may take once the upload has succeeded.
	lateTime = 30 * time.Second
)

// UploadOptions say how a file is stored.
type UploadOptions struct {
	Params    share.Params
	BlockSize int
	Key       keys.ReadKey
	// Size is the length of the file in bytes, -1 where it is unknown.
	Size int64
	// Resume asks the servers what they have of this upload already. It makes sense for a key that an earlier
	// upload of the same bytes had as well.
	Resume bool
	// Owner is the identity that holds the leases, Lease how long they run.
	Owner string
	Lease time.Duration
	// Progress, if set, is called now and then from one goroutine at a time.
	Progress func(Progress)
	// Background, if set, runs a function that finishes an upload which has succeeded already, and outlives Upload;
	// without it Upload waits for every server.
	Background func(func())
	// Settled, if set, is called with the final result when the last server has answered or was given up.
	Settled func(Result)
	Log     *slog.Logger
}

// Progress says how far an upload is.
type Progress struct {
	Bytes  int64 // of plaintext handed to the servers' queues
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
	// Skipped is the number of bytes of shares that servers had already.
	Skipped int64
	// Failures are the refusals and faults of single servers, each a *ServerError.
	Failures []error
}

// An upload is one run of Upload.
type upload struct {
	o       UploadOptions
	id      share.UploadID
	layout  encoding.Layout
	servers map[share.ServerID]share.Server
	lanes   []*lane
	buffers int
	stored  map[place]share.StorageIndex // shares that an earlier upload has committed already
	encoded atomic.Int64                 // segments emitted
	skipped atomic.Int64
	root    []byte // set before the lanes' queues are closed
	ctx     context.Context
	cancel  context.CancelFunc

	mu       sync.Mutex
	places   []placement.Server // as Replace wants them: what each holds or is being sent
	placed   map[share.Number]share.Server
	failures []error
	bytes    int64
}

// A place is one share on one server.
type place struct {
	server share.ServerID
	number share.Number
}

// Upload stores what r yields on the servers. It succeeds as soon as enough distinct servers have acknowledged their
// shares (Params.Happy) and the others have had a fair time to do so. A server that fails before it was sent much is
// replaced; shares lost later are listed in Result.Missing for a repair to make.
//
// The error is a *share.UnhappyError when too few servers acknowledged, with the result so far; what is on the servers
// by then serves a later attempt with the same key. Errors of r, encoding.ErrLength among them, are returned wrapped.
func Upload(ctx context.Context, servers []share.Server, r io.Reader, o UploadOptions) (Result, error) {
	if err := o.Params.Validate(); err != nil {
		return Result{}, fmt.Errorf("upload: %w", err)
	}
	code, err := erasure.New(o.Params.Needed, o.Params.Total)
	if err != nil {
		return Result{}, fmt.Errorf("upload: %w", err)
	}
	u := newUpload(servers, o)
	if err := u.plan(ctx); err != nil {
		return u.result(encoding.Root{}), fmt.Errorf("upload: %w", err)
	}
	finished := u.start(ctx)
	root, err := encoding.Encode(ctx, r, o.Key.File(nil), encoding.Options{
		Code: code, BlockSize: o.BlockSize, Size: o.Size, Buffers: u.buffers,
	}, u.emit)
	if err != nil {
		u.abandon(finished)
		if ctx.Err() == nil { // otherwise nobody failed but the caller gave up
			err = u.explain(err)
		}
		return u.result(root), fmt.Errorf("upload: %w", err)
	}
	u.root = root.Marshal()
	for _, l := range u.lanes {
		close(l.queue)
	}
	return u.settle(ctx, root, finished)
}

func newUpload(servers []share.Server, o UploadOptions) *upload {
	u := &upload{
		o: o, id: o.Key.UploadID(), servers: map[share.ServerID]share.Server{}, placed: map[share.Number]share.Server{},
		stored: map[place]share.StorageIndex{},
		layout: encoding.Layout{Needed: o.Params.Needed, Total: o.Params.Total, BlockSize: o.BlockSize, Size: max(o.Size, 0)},
	}
	segmentBytes := u.layout.BlockSize * u.layout.Total
	u.buffers = max(4, uploadBytes/segmentBytes)
	if o.Size >= 0 {
		u.buffers = int(min(int64(u.buffers), max(2, u.layout.Segments())))
	}
	up, _ := split(servers)
	for _, s := range up {
		u.servers[s.ID] = s
		u.places = append(u.places, placement.Server{ID: s.ID, Free: s.Free, Full: s.Free <= 0})
	}
	return u
}

// small reports whether the file is known to be a single segment: then nothing is asked first, everything goes out in
// one round trip, and the segment is kept until the server has acknowledged it.
func (u *upload) small() bool { return u.o.Size >= 0 && u.layout.Segments() == 1 }

// plan asks the servers what they have of the upload, and decides which gets which share.
func (u *upload) plan(ctx context.Context) error {
	if u.o.Resume && !u.small() {
		u.askProgress(ctx)
	}
	plan, err := placement.New(u.id[:], u.o.Params, u.shareSize(), u.places)
	if err != nil {
		return err
	}
	for number := range u.o.Params.Total {
		u.addLane(share.Number(number), plan.Assign[share.Number(number)])
	}
	return nil
}

func (u *upload) shareSize() int64 {
	if u.o.Size < 0 {
		return 0
	}
	return u.layout.RootOffset() + encoding.MaxRootSize
}

func (u *upload) askProgress(ctx context.Context) {
	start := time.Now()
	var servers []share.Server
	for _, s := range u.servers {
		if _, ok := s.Store.(share.Resumer); ok {
			servers = append(servers, s)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := ask(ctx, servers, func(ctx context.Context, s share.Server) ([]share.Progress, error) {
		return s.Store.(share.Resumer).Uploads(ctx, u.o.Owner, u.id)
	})
	var grace <-chan time.Time
	for count := 1; ; count++ {
		select {
		case a, ok := <-answers:
			if !ok {
				return
			}
			u.noteProgress(a)
		case <-grace:
			return
		}
		if grace == nil && 4*count >= 3*len(servers) {
			grace = time.After(max(minGrace, time.Since(start)))
		}
	}
}

// noteProgress enters what a server has; one that did not answer gets nothing new.
func (u *upload) noteProgress(a answer[[]share.Progress]) {
	i := slices.IndexFunc(u.places, func(p placement.Server) bool { return p.ID == a.server.ID })
	if a.err != nil {
		u.failures = append(u.failures, wrapServer(a.server, a.err))
		u.places[i].Full = true
		return
	}
	for _, p := range a.value {
		if int(p.Number) < u.o.Params.Total {
			u.places[i].Holds = append(u.places[i].Holds, p.Number)
			if !p.Index.IsZero() {
				u.stored[place{a.server.ID, p.Number}] = p.Index
			}
		}
	}
}

func (u *upload) addLane(number share.Number, server share.ServerID) {
	l := &lane{u: u, number: number, queue: make(chan *encoding.Segment, u.buffers)}
	if server != "" {
		l.server = u.servers[server]
		u.hold(server, number)
	}
	u.lanes = append(u.lanes, l)
}

// hold notes that a share is on its way to a server.
func (u *upload) hold(server share.ServerID, number share.Number) {
	i := slices.IndexFunc(u.places, func(p placement.Server) bool { return p.ID == server })
	if !slices.Contains(u.places[i].Holds, number) {
		u.places[i].Holds = append(u.places[i].Holds, number)
		u.places[i].Free -= max(u.shareSize(), 0)
	}
}

// start runs the lanes and a watchdog over them. The channel yields each lane when it has ended.
func (u *upload) start(ctx context.Context) <-chan *lane {
	// Lanes outlive Upload when the upload succeeds without them; settle, finishLate and abandon end them.
	u.ctx, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	finished := make(chan *lane, len(u.lanes))
	var running, watching sync.WaitGroup
	watched, stop := context.WithCancel(u.ctx)
	watching.Go(func() { u.watch(watched) })
	for _, l := range u.lanes {
		l.ctx, l.cancel = context.WithCancel(u.ctx)
		running.Go(func() {
			defer l.cancel()
			l.run()
			finished <- l
		})
	}
	go func() {
		running.Wait()
		stop()
		watching.Wait()
		close(finished)
	}()
	return finished
}

// emit hands a segment to every lane. Queues have room for all segments that can exist.
func (u *upload) emit(s *encoding.Segment) error {
	s.Retain(len(u.lanes) - 1)
	u.encoded.Add(1)
	bytes := int64(s.Bytes) // the segment belongs to the lanes from here on
	for _, l := range u.lanes {
		l.queue <- s
	}
	u.mu.Lock()
	u.bytes += bytes
	u.mu.Unlock()
	u.progress()
	return u.hopeless()
}

// hopeless returns an error when so many servers have failed that the upload cannot succeed.
func (u *upload) hopeless() error {
	alive := 0
	for _, l := range u.lanes {
		if !l.lost.Load() {
			alive++
		}
	}
	if alive >= u.o.Params.Needed {
		return nil
	}
	return u.unhappy()
}

func (u *upload) unhappy() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return &share.UnhappyError{
		Happiness: u.happiness(), Happy: u.o.Params.Happy, Servers: len(u.servers), Causes: slices.Clone(u.failures),
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

func (u *upload) progress() {
	if u.o.Progress == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.o.Progress(Progress{Bytes: u.bytes, Placed: len(u.placed)})
}

// explain prefers the reason why servers failed over that of the stream they ended.
func (u *upload) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		if e := u.hopeless(); e != nil {
			return e
		}
	}
	return err
}

// settle waits until the upload has succeeded or failed.
func (u *upload) settle(ctx context.Context, root encoding.Root, finished <-chan *lane) (Result, error) {
	var grace <-chan time.Time
	start := time.Now()
	for {
		if grace == nil && u.o.Background != nil && u.happy() {
			grace = time.After(max(minGrace, time.Since(start)))
		}
		select {
		case _, open := <-finished:
			u.progress()
			if open {
				continue
			}
			result := u.result(root)
			u.cancel()
			if result.Happiness < u.o.Params.Happy {
				return result, fmt.Errorf("upload: %w", u.unhappy())
			}
			if u.o.Settled != nil {
				u.o.Settled(result)
			}
			return result, nil
		case <-grace:
			result := u.result(root)
			u.o.Background(func() { u.finishLate(root, finished) })
			return result, nil
		case <-ctx.Done():
			u.abandon(finished)
			return u.result(root), fmt.Errorf("upload: %w", ctx.Err())
		}
	}
}

func (u *upload) happy() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.happiness() >= u.o.Params.Happy
}

// finishLate gives the slow servers of a successful upload some more time.
func (u *upload) finishLate(root encoding.Root, finished <-chan *lane) {
	limit := time.AfterFunc(lateTime, u.cancel)
	defer limit.Stop()
	for range finished {
	}
	u.cancel()
	if u.o.Settled != nil {
		u.o.Settled(u.result(root))
	}
}

// abandon ends all lanes and waits for them. What is on the servers stays for a later attempt.
func (u *upload) abandon(finished <-chan *lane) {
	u.cancel()
	for range finished {
	}
}

func (u *upload) result(root encoding.Root) Result {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := Result{
		Root: root, Placed: map[share.Number]share.Server{}, Happiness: u.happiness(), Asked: len(u.servers),
		Skipped: u.skipped.Load(), Failures: slices.Clone(u.failures),
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
