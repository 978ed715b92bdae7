package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/share"
)

const (
	// openTimeout bounds how long a server may take to begin with a share.
	openTimeout = 10 * time.Second
	// appendTimeout bounds how long a server may take for one block.
	appendTimeout = 15 * time.Second
	// commitTimeout bounds how long a server may take to check the index of a share and to bring it to stable storage.
	commitTimeout = 2 * time.Minute
	// A server that takes its time for a commit is asked every aliveEvery what it holds; when it leaves that many
	// questions in a row without an answer it is silent, not slow.
	aliveEvery  = 5 * time.Second
	aliveMisses = 2
)

// errLate ends a target whose server does not answer.
var errLate = fmt.Errorf("%w: no answer in time", share.ErrUnavailable)

// A target is one share on its way to one server. The writer of a remote store lives no longer than the contexts it is
// given, so all its calls get the one of the target, which a call that takes too long cancels.
type target struct {
	job
	ctx    context.Context
	cancel context.CancelCauseFunc
	writer share.Writer
	have   int64 // blocks that are on stable storage already

	pieces chan *piece
	left   int64 // bytes to be sent
	done   bool  // it is committed
	err    error // why it failed; valid, as done is, when the stream has ended
}

// openTargets opens a writer for each job that has none. It reports false when a server refused, so that the plan
// has to be made again.
func (r *repairer) openTargets(ctx context.Context, jobs []job) bool {
	targets, errs := make([]*target, len(jobs)), make([]error, len(jobs))
	each(jobs, askAtOnce, func(i int, j job) {
		if t := r.open[j]; t == nil {
			targets[i], errs[i] = r.openTarget(ctx, j)
		}
	})
	ok := true
	for i, j := range jobs {
		switch {
		case errs[i] != nil:
			ok = false
			r.refuse(j, errs[i])
		case targets[i] != nil:
			r.open[j] = targets[i]
			r.partial[j.server] = append(r.partial[j.server], j.number) // the next plan leaves it where it is
		}
	}
	return ok
}

func (r *repairer) openTarget(ctx context.Context, j job) (*target, error) {
	t := &target{job: j}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	err := t.within(openTimeout, func(ctx context.Context) (err error) {
		t.writer, err = r.servers[j.server].Store.Create(ctx, share.Upload{
			ID: UploadID(r.index), Number: j.number,
			Needed: r.root.Needed, Total: r.root.Total, BlockSize: r.root.BlockSize, Size: r.root.Size, Lease: r.Lease,
		})
		if err == nil {
			t.have, err = t.writer.Have(ctx)
		}
		return err
	})
	if err == nil && (t.have < 0 || t.have > r.layout.Segments()) {
		err = fmt.Errorf("%w: it has %d of %d blocks", share.ErrCorrupt, t.have, r.layout.Segments())
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// within makes one call, which ends the target when it takes longer than d.
func (t *target) within(d time.Duration, call func(ctx context.Context) error) error {
	timer := awake.AfterFunc(d, func() { t.cancel(errLate) })
	defer timer.Stop()
	err := call(t.ctx)
	if err != nil && context.Cause(t.ctx) == errLate {
		return errLate
	}
	return err
}

// close releases the writer. What was appended stays with the server unless it was committed.
func (t *target) close() {
	if t.writer != nil {
		t.writer.Close()
	}
	t.cancel(nil)
}

// refuse takes a server out of the repair.
func (r *repairer) refuse(j job, err error) {
	r.Logger.Warn("a server does not take a share", "server", r.servers[j.server].String(), "file", r.index.String(),
		"share", j.number, "error", err)
	r.refused[j.server] = err
	for other, t := range r.open {
		if other.server == j.server {
			t.close()
			delete(r.open, other)
		}
	}
}

// settle records how a target ended.
func (r *repairer) settle(t *target) {
	t.close()
	delete(r.open, t.job)
	switch {
	case t.err == nil:
		r.claims[t.server] = append(r.claims[t.server], t.number)
		r.corrupt = slices.DeleteFunc(r.corrupt, func(f Fault) bool { return f.Number == t.number && f.Peer == r.servers[t.server].ID })
		r.result.Made = append(r.result.Made, Made{t.number, r.servers[t.server].ID})
	case t.have > 0 && errors.Is(t.err, share.ErrCorrupt) && !r.spoiled[t.job]:
		// What was left of an earlier repair is no good, and the server has forgotten it: begin anew.
		r.spoiled[t.job] = true
	default:
		r.refuse(t.job, t.err)
	}
}

// run appends the pieces that come, and commits after the last one of the file. It releases every piece, whatever happens.
func (t *target) run(s *streamer) {
	for p := range t.pieces {
		if t.err == nil && p.segment >= t.have {
			t.append(p, s)
		}
		s.release(p)
	}
	if t.err == nil && !s.cut.Load() { // what is unfinished stays for the next repair
		t.commit(s)
	}
}

func (t *target) append(p *piece, s *streamer) {
	block := p.blocks[t.number]
	err := t.within(appendTimeout, func(ctx context.Context) error { return t.writer.Append(ctx, p.row, block) })
	if err != nil {
		t.fail(fmt.Errorf("segment %d of share %d: %w", p.segment, t.number, err), s)
		return
	}
	t.left -= int64(len(block))
	s.meter.add(Progress{Bytes: int64(len(block))})
}

func (t *target) commit(s *streamer) {
	committing, stop := context.WithCancel(t.ctx)
	var asking sync.WaitGroup
	asking.Go(func() { t.endWhenSilent(committing, s.servers[t.server].Store, s.index) })
	err := t.within(commitTimeout, func(ctx context.Context) error { return t.writer.Commit(ctx, s.rootBlock) })
	stop()
	asking.Wait()
	if err != nil {
		t.fail(fmt.Errorf("commit share %d: %w", t.number, err), s)
		return
	}
	t.done = true
	s.meter.add(Progress{Shares: 1})
}

// endWhenSilent ends the target when its server answers no questions either. It returns when ctx ends.
func (t *target) endWhenSilent(ctx context.Context, store share.Store, index share.StorageIndex) {
	ticker := time.NewTicker(aliveEvery)
	defer ticker.Stop()
	for misses := 0; misses < aliveMisses; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		question, cancel := awake.WithTimeout(ctx, askTimeout)
		_, err := store.Numbers(question, []share.StorageIndex{index})
		if err != nil && (question.Err() != nil || errors.Is(err, share.ErrUnavailable)) {
			misses++
		} else {
			misses = 0
		}
		cancel()
	}
	if ctx.Err() == nil {
		t.cancel(errLate)
	}
}

// fail records why the target ended. When it was the last one, there is nobody to read for.
func (t *target) fail(err error, s *streamer) {
	t.err = err
	s.meter.add(Progress{TotalShares: -1, TotalBytes: -t.left})
	if s.alive.Add(-1) == 0 {
		s.stopReading()
	}
}
