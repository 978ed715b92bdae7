package health

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cairn/grid/file"
	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// Options say how to repair.
type Options struct {
	// Happy is on how many servers the file shall count at once. When several shares sit on one server, copies of
	// them go to others until it does. 0 asks for no more than that every share exists.
	Happy int
	// Verify downloads and checks every share first. Without it the servers' word is taken for shares that the repair
	// does not have to read.
	Verify bool
	// Lease is put on new shares and renews the one on those that are there. Without Expires it runs for
	// share.DefaultLease.
	Lease share.Lease
	// Progress may be nil. It is called often and from one goroutine at a time.
	Progress func(Progress)
	// Logger may be nil.
	Logger *slog.Logger
}

// A Result says what a repair found, did and left.
type Result struct {
	Before Report `json:"before"`
	// After is Before with what was made, and without the shares that turned out to be bad on the way. A bad share that was made
	// anew on its server is no fault any more.
	After Report `json:"after"`
	// Made are the shares that were stored, in the order in which they were.
	Made []Made `json:"made"`
	// Renewed are the servers that renewed their leases.
	Renewed []share.ServerID `json:"renewed"`
}

// Made is one share that a repair stored.
type Made struct {
	Number share.Number   `json:"number"`
	Peer   share.ServerID `json:"peer"`
}

// A NoPlaceError says that shares of a file are left for which no server has room. The file can be read.
type NoPlaceError struct {
	Missing, Total int     // shares
	Causes         []error // why servers took none, at least one
}

func (e *NoPlaceError) Error() string {
	return fmt.Sprintf("%d of %d shares have no place: %v", e.Missing, e.Total, errors.Join(e.Causes...))
}

// Unwrap returns the causes.
func (e *NoPlaceError) Unwrap() []error { return e.Causes }

// Repair makes the missing shares of a file anew from any k good ones, stores them on servers that placement
// chooses, and renews the leases on the others. It checks every byte it reads and every block it makes against the
// storage index, goes on with other holders and other targets when some fail, and holds a bounded number of segments in
// memory. Cancelled or interrupted, it continues where it stopped when it is called again. Repairing a healthy
// file changes nothing.
//
// The error is Report.Err of a file that cannot be recovered; ErrCorrupt when its uploader committed to shares that are
// not those of one file; a *NoPlaceError with ErrNoSpace or the reasons of the servers when shares are left without a place;
// *share.UnhappyError when only Options.Happy was not reached. The result tells in each case what was done.
func Repair(ctx context.Context, servers []share.Server, index share.StorageIndex, o Options) (Result, error) {
	s, err := takeSurvey(ctx, servers, index)
	if err != nil {
		return Result{}, err
	}
	r := newRepairer(s, o)
	if o.Verify {
		if err := s.verify(ctx, r.meter); err != nil {
			return Result{}, err
		}
	}
	r.result.Before = s.report()
	r.result.After = r.result.Before
	if err := r.result.Before.Err(); err != nil {
		return r.result, err
	}
	r.renew(ctx)
	err = r.run(ctx)
	r.result.After = s.report()
	if err != nil {
		return r.result, fmt.Errorf("repair %s: %w", index, err)
	}
	return r.result, r.verdict()
}

// UploadID names the uploads of a repair to the servers that take the new shares.
func UploadID(index share.StorageIndex) share.UploadID {
	hash := sha256.Sum256(append([]byte("cairn/v1/repair"), index[:]...))
	return share.UploadID(hash[:len(share.UploadID{})])
}

// A repairer repairs one file. Its fields are used from one goroutine.
type repairer struct {
	*survey
	Options
	layout encoding.Layout
	meter  *meter
	result Result

	// refused are the servers, by position, that take nothing more, with the reason.
	refused map[int]error
	// partial are the shares that an earlier repair left unfinished on each server.
	partial []Numbers
	open    map[job]*target
	// spoiled are the unfinished shares that turned out to be of no use and were begun anew.
	spoiled map[job]bool
	source  *file.Source
	blamed  int // how many of the source's corrupt shares are known
}

// A job is one share to be made for one server, given by its position.
type job struct {
	server int
	number share.Number
}

func newRepairer(s *survey, o Options) *repairer {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Lease.Expires.IsZero() {
		o.Lease.Expires = time.Now().Add(share.DefaultLease)
	}
	return &repairer{
		survey: s, Options: o, layout: s.root.Layout(), meter: newMeter(o.Progress),
		result:  Result{Made: []Made{}, Renewed: []share.ServerID{}},
		refused: map[int]error{}, partial: make([]Numbers, len(s.servers)), open: map[job]*target{}, spoiled: map[job]bool{},
	}
}

// run makes shares until none is to be made any more. Every round that does not end it makes a share, takes a server
// out, or finds a share bad, so the rounds are bounded.
func (r *repairer) run(ctx context.Context) error {
	defer r.close()
	if len(r.jobs()) == 0 {
		return nil
	}
	r.findPartial(ctx)
	for {
		jobs := r.jobs()
		if len(jobs) == 0 {
			return nil
		}
		if !r.openTargets(ctx, jobs) {
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		if err := r.openSource(ctx); err != nil {
			return err
		}
		err := r.stream(ctx, jobs)
		r.absorb(ctx)
		if err != nil {
			return err
		}
	}
}

func (r *repairer) close() {
	var closing sync.WaitGroup
	for _, t := range r.open {
		closing.Go(t.close) // a remote server may take its time
	}
	closing.Wait()
	if r.source != nil {
		r.source.Close()
	}
}

// openSource finds the good shares again, as the source of blocks.
func (r *repairer) openSource(ctx context.Context) error {
	if r.source != nil {
		return nil
	}
	var holders []share.Server
	for i, server := range r.servers {
		if len(r.claims[i]) > 0 {
			holders = append(holders, server)
		}
	}
	source, err := file.OpenSource(ctx, holders, r.index, r.Logger)
	if err != nil {
		return err
	}
	r.source = source
	return nil
}

// absorb takes shares that the source found bad out of what is there, so that they are made anew.
func (r *repairer) absorb(ctx context.Context) {
	if r.source == nil {
		return
	}
	corrupt := r.source.Corrupt()
	for _, c := range corrupt[r.blamed:] {
		known := func(f Fault) bool { return f.Number == c.Number && f.Peer == c.Server }
		if r.hasFault(known) {
			continue
		}
		fault := Fault{Number: c.Number, Peer: c.Server, Reason: faultReason(c)}
		if i := r.position(c.Server); i >= 0 {
			fault.Dropped = complain(ctx, r.servers[i], r.index, c.Number, c)
		}
		r.corrupt = append(r.corrupt, fault)
		r.dropFaults([]Fault{fault})
	}
	r.blamed = len(corrupt)
}

func (r *repairer) hasFault(known func(Fault) bool) bool {
	for _, f := range r.corrupt {
		if known(f) {
			return true
		}
	}
	return false
}

// renew extends the leases on the shares that are there.
func (r *repairer) renew(ctx context.Context) {
	renewed := make([]bool, len(r.servers))
	each(r.servers, askAtOnce, func(i int, server share.Server) {
		if len(r.claims[i]) == 0 {
			return
		}
		ctx, cancel := awake.WithTimeout(ctx, askTimeout)
		defer cancel()
		if err := server.Store.Renew(ctx, []share.StorageIndex{r.index}, r.Lease); err != nil {
			r.Logger.Warn("a lease could not be renewed", "server", server.String(), "file", r.index.String(), "error", err)
			return
		}
		renewed[i] = true
	})
	for i, server := range r.servers {
		if renewed[i] {
			r.result.Renewed = append(r.result.Renewed, server.ID)
		}
	}
}

// verdict says what is left to be wished for.
func (r *repairer) verdict() error {
	var causes []error
	for i, server := range r.servers {
		if err := r.refused[i]; err != nil {
			causes = append(causes, fmt.Errorf("server %s: %w", server, err))
		}
	}
	after := r.result.After
	if missing := len(after.Missing()); missing > 0 {
		if len(causes) == 0 {
			causes = append(causes, share.ErrNoSpace)
		}
		return fmt.Errorf("repair %s: %w", r.index, &NoPlaceError{Missing: missing, Total: after.SharesTotal, Causes: causes})
	}
	if happy := min(r.Happy, after.SharesTotal); after.Happiness < happy {
		return &share.UnhappyError{Happiness: after.Happiness, Happy: happy, Needed: after.SharesNeeded, Servers: len(r.servers), Causes: causes}
	}
	return nil
}
