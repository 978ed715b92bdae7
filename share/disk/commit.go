package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync/atomic"

	"cairn/share"
)

// Limits of a batch: how many requests one sync of the journal and one of the index serve.
const (
	maxBatch      = 512
	maxBatchBytes = 1 << 20
)

// A request is a change of the index, applied by the committer in order with all others. apply runs on the
// committer's goroutine.
type request struct {
	apply func(*batch) error
	claim *claim // of the upload that the change ends; nil for none
	done  chan error
}

// A committer applies requests, many at a time: while one batch is being synced the next one gathers. One
// goroutine, run, owns the journal's end and writes the index.
type committer struct {
	journal  *journal
	index    *index
	space    *space
	requests chan *request
	stop     chan struct{} // closed to end run
	stopped  chan struct{} // closed when it has ended

	state stateRecord // as the index has it; owned by run once it has started
	heads headsRecord // likewise

	// released is told of leases that were ended by a version, once that is stable.
	released atomic.Pointer[func(owner string, index share.StorageIndex)]
}

func newCommitter(j *journal, x *index, s *space, state stateRecord) *committer {
	return &committer{
		journal: j, index: x, space: s, state: state,
		requests: make(chan *request), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// do applies one request and waits until it is on stable storage. A request that was handed over is not given up
// when ctx ends: its fate is known within a moment.
func (c *committer) do(ctx context.Context, apply func(*batch) error) error {
	return c.finish(ctx, nil, apply)
}

// finish is do for a change that ends an upload.
func (c *committer) finish(ctx context.Context, claim *claim, apply func(*batch) error) error {
	r := &request{apply: apply, claim: claim, done: make(chan error, 1)}
	select {
	case c.requests <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	case <-c.stopped:
		return fmt.Errorf("store: %w", share.ErrClosed)
	}
}

// run applies requests until stop is closed.
func (c *committer) run() {
	defer close(c.stopped)
	for {
		select {
		case r := <-c.requests:
			c.apply(r)
		case <-c.stop:
			return
		}
	}
}

// apply gathers a batch that starts with the first request, makes it stable and answers.
func (c *committer) apply(first *request) {
	b := c.newBatch()
	var waiting []*request
	var finished []*claim
	for r := first; r != nil; r = c.next(b, len(waiting)) {
		if err := r.apply(b); err != nil {
			r.done <- err
			continue
		}
		waiting = append(waiting, r)
		if r.claim != nil {
			finished = append(finished, r.claim)
		}
	}
	err := b.write()
	if err == nil {
		c.state, c.heads = b.state, b.heads
		c.space.settle(c.used(), b.more, finished)
		c.tell(b.ended)
	}
	for _, r := range waiting {
		r.done <- err
	}
}

// A released lease is one that a version ended.
type released struct {
	owner string
	index share.StorageIndex
}

func (c *committer) tell(ended []released) {
	tell := c.released.Load()
	if tell == nil {
		return
	}
	for _, r := range ended {
		(*tell)(r.owner, r.index)
	}
}

// used returns the bytes of what is held.
func (c *committer) used() int64 { return c.state.Bytes + c.heads.Bytes }

func (c *committer) next(b *batch, n int) *request {
	if n >= maxBatch || len(b.frames) >= maxBatchBytes {
		return nil
	}
	select {
	case r := <-c.requests:
		return r
	default:
		return nil
	}
}

// A batch is a set of changes that become stable together.
type batch struct {
	*committer
	state   stateRecord
	heads   headsRecord
	frames  []byte // for the journal
	files   map[share.StorageIndex]*fileRecord
	charges map[share.StorageIndex]charge // of the files, as the index has them
	more    map[string]int64              // by how many bytes each owner has more, once changes was called
	uploads map[[32]byte]*uploadRecord
	other   []change
	wasted  map[uint32]int64 // bytes of the journal's segments that are not needed any more

	names       map[share.Name]*nameRecord
	nameCharges map[share.Name]charge // as the index has them
	nameSizes   map[share.Name]int64
	wanted      map[share.StorageIndex]*wantRecord
	taken       map[position]headRecord // versions that are in frames
	ended       []released              // leases that versions ended
}

func (c *committer) newBatch() *batch {
	return &batch{
		committer: c, state: c.state, heads: c.heads, files: map[share.StorageIndex]*fileRecord{}, charges: map[share.StorageIndex]charge{},
		uploads: map[[32]byte]*uploadRecord{}, wasted: map[uint32]int64{},
		names: map[share.Name]*nameRecord{}, nameCharges: map[share.Name]charge{}, nameSizes: map[share.Name]int64{},
		wanted: map[share.StorageIndex]*wantRecord{}, taken: map[position]headRecord{},
	}
}

// file returns the record of an encoded file, to be changed in place.
func (b *batch) file(index share.StorageIndex) (*fileRecord, error) {
	if r := b.files[index]; r != nil {
		return r, nil
	}
	r, err := b.index.file(index)
	if err != nil {
		return nil, err
	}
	b.files[index], b.charges[index] = &r, r.charge()
	return &r, nil
}

func (b *batch) upload(upload [32]byte) (*uploadRecord, error) {
	if r := b.uploads[upload]; r != nil {
		return r, nil
	}
	r := &uploadRecord{}
	if _, err := b.index.get(uploadKey(upload), r); err != nil {
		return nil, err
	}
	b.uploads[upload] = r
	return r, nil
}

// begin makes sure that the journal can be appended to.
func (b *batch) begin() error {
	if len(b.frames) > 0 {
		return nil
	}
	at, err := b.journal.begin()
	if err == nil {
		b.state.At = at
	}
	return err
}

// log appends a record to the journal and returns where it will be.
func (b *batch) log(k kind, record any) (position, error) {
	return b.logFrame(k, must(recordEncoder.Marshal(record)))
}

func (b *batch) logFrame(k kind, payload []byte) (position, error) {
	if err := b.begin(); err != nil {
		return position{}, err
	}
	at := b.state.At
	before := len(b.frames)
	b.frames = appendFrame(b.frames, k, payload)
	b.state.At.Offset += int64(len(b.frames) - before)
	return at, nil
}

// waste notes that bytes of the journal are not needed any more.
func (b *batch) waste(at position, bytes int64) { b.wasted[at.Segment] += bytes }

// store logs and records a share that is held from now on. A small share that the store has already, with the same
// bytes behind the same root, stays where it is.
func (b *batch) store(k kind, r journalRecord) error {
	f, err := b.file(r.Index)
	if err != nil {
		return err
	}
	if err := f.lease(r.Lease); err != nil {
		return err
	}
	old, held := f.share(r.Number)
	s := shareRecord{Number: r.Number, Size: r.Size}
	if k == kindSmall && held && b.same(old, r) {
		s = old
	} else {
		at, err := b.log(k, r)
		if err != nil {
			return err
		}
		if k == kindSmall {
			s.At = at
		}
	}
	return b.put(f, r, s)
}

// same reports whether a share that is held in the journal has the bytes of a new one.
func (b *batch) same(old shareRecord, r journalRecord) bool {
	if old.At == (position{}) {
		return false
	}
	held, err := b.journal.read(old.At, old.Size)
	return err == nil && bytes.Equal(held.Data, r.Data)
}

// put records where a share is.
func (b *batch) put(f *fileRecord, r journalRecord, s shareRecord) error {
	if r.Upload != ([32]byte{}) {
		u, err := b.upload(r.Upload)
		if err != nil {
			return err
		}
		u.put(committedRecord{Number: r.Number, Index: r.Index})
	}
	if len(f.Shares) == 0 {
		b.state.Files++
	}
	if old, held := f.share(r.Number); held && old.At != s.At {
		b.wasteShare(old)
	}
	f.Root = r.Root
	shares, bytes := f.put(s)
	b.state.Shares += shares
	b.state.Bytes += bytes
	return nil
}

func (b *batch) wasteShare(s shareRecord) {
	if s.At != (position{}) {
		b.waste(s.At, s.Size+frameCost)
	}
}

// discard logs and records that a share is no longer held, and reports whether it was.
func (b *batch) discard(index share.StorageIndex, s shareRecord) (bool, error) {
	was := int64(fileTombstone)
	if s.At != (position{}) {
		was = int64(s.At.Segment)
	}
	if _, err := b.log(kindRemoved, journalRecord{Index: index, Number: s.Number, Size: was}); err != nil {
		return false, err
	}
	return b.remove(index, s.Number)
}

// remove records that a share is no longer held, and reports whether it was.
func (b *batch) remove(index share.StorageIndex, n share.Number) (bool, error) {
	f, err := b.file(index)
	if err != nil {
		return false, err
	}
	i, found := f.find(n)
	if !found {
		return false, nil
	}
	b.state.Shares--
	b.state.Bytes -= f.Shares[i].Size
	b.wasteShare(f.Shares[i])
	f.Shares = append(f.Shares[:i:i], f.Shares[i+1:]...)
	if len(f.Shares) == 0 {
		b.state.Files--
		f.Leases = nil
	}
	return true, nil
}

// write makes the batch stable: the journal first, which is the truth, then the index.
func (b *batch) write() error {
	changes := b.changes()
	if len(changes) == 0 {
		return nil
	}
	size := int64(len(b.frames))
	for _, c := range changes {
		size += int64(len(c.key) + len(c.data))
	}
	if err := b.space.index(size); err != nil {
		return err
	}
	if len(b.frames) > 0 {
		if err := b.journal.write(b.frames); err != nil {
			return err
		}
	}
	return b.index.write(changes)
}

// changes returns what the index has to write; the state is the last of it.
func (b *batch) changes() []change {
	var changes []change
	for index, r := range b.files {
		c := change{key: fileKey(index)}
		if len(r.Shares) > 0 {
			c.data = seal(r)
		} else if b.charges[index].bytes == 0 {
			continue // it was looked for and is not held
		}
		changes = append(changes, c)
	}
	for upload, r := range b.uploads {
		c := change{key: uploadKey(upload)}
		if len(r.Committed) > 0 {
			c.data = seal(r)
		}
		changes = append(changes, c)
	}
	changes = append(changes, b.other...)
	changes = append(changes, b.nameChanges()...)
	changes = append(changes, b.wasteChanges()...)
	if len(changes) == 0 {
		return nil
	}
	changes = append(changes, b.owners()...)
	return append(changes, change{stateKey, seal(b.state)})
}

// uploadName is the name under which the index knows an upload: it tells neither owner nor id.
func uploadName(owner string, id share.UploadID) [32]byte {
	return sha256.Sum256(append([]byte(owner), id[:]...))
}
