package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"cairn/node/localtree"
	"cairn/share"
	"cairn/share/capability"
)

// A Store takes files into the grid.
type Store interface {
	// PutSmall stores many small files and returns the read capability of each, in the same order.
	PutSmall(ctx context.Context, files [][]byte) ([]capability.Capability, error)
	// Put stores one file of the given length. It may read it twice.
	Put(ctx context.Context, file io.ReadSeeker, size int64) (capability.Capability, error)
}

// Folders makes the folders of the grid.
type Folders interface {
	// Folder makes or changes the folder at a path (as in localtree.Entry) so that it has the items, which are in the order
	// of their names, and returns its capability. The folders inside have been made before. Where Every is set it is called
	// several times for a folder, each time with further items. Items that the folder cannot have are returned as Problems. An
	// error that is a localtree.Problem passes over the folder; any other ends all.
	Folder(ctx context.Context, folder localtree.Entry, items []Item) (capability.Capability, []localtree.Problem, error)
}

// A Memory knows what was stored before.
type Memory interface {
	// Stored returns the capability of a file that was stored earlier and has not changed, if it can be relied on.
	Stored(localtree.Entry) (capability.Capability, bool)
	// Remember keeps what a file was stored as.
	Remember(localtree.Entry, capability.Capability) error
}

// UpOptions say what goes up, and where.
type UpOptions struct {
	Tree    *localtree.Tree
	Store   Store
	Folders Folders
	Memory  Memory
	// Name returns the name under which a folder of the grid holds what has this name on disk, or why it cannot.
	Name func(string) (string, error)
	// Every, if set, is how often what is stored gets its place in the folders of the grid while the rest is being stored, and that
	// is done once more when storing ends with an error.
	Every time.Duration
	// Progress, if set, is called after each step, from one goroutine at a time.
	Progress func(Counts)
}

// A Result says what a transfer has done.
type Result struct {
	// Root is the capability of the folder at the top, where one was made.
	Root     capability.Capability
	Counts   Counts
	Problems []localtree.Problem
}

// Up stores a tree. Files that cannot be read, or that change while they are read, are Problems and left out; an error of the
// grid or of the memory ends it. A folder is made when all that it holds is stored, or earlier by Every. Running it again moves only
// what is missing.
func Up(outer context.Context, o UpOptions) (Result, error) {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	u := &up{
		UpOptions: o, ctx: ctx, cancel: cancel, tally: tally{tell: o.Progress}, making: semaphore.NewWeighted(folderWorkers),
		batches: make(chan []pending), large: make(chan pending), unfinished: unfinished{folders: map[*folder]bool{}},
	}
	stop := u.placeNowAndThen()
	for range smallWorkers {
		u.start(u.storeBatches)
	}
	for range largeWorkers {
		u.start(u.storeLarge)
	}
	u.start(func() error {
		defer close(u.large)
		defer close(u.batches)
		if err := o.Tree.Walk(ctx, u); err != nil {
			return err
		}
		return u.flush()
	})
	u.work.Wait()
	stop()
	if context.Cause(ctx) != nil && o.Every > 0 {
		_ = u.placeAll(outer) // why all has ended is told; that this fails as well adds nothing
	}
	return Result{Root: u.root, Counts: u.counts, Problems: u.sorted()}, context.Cause(ctx)
}

// start runs a part of the work, whose error ends all of it. A part that is running may start others.
func (u *up) start(part func() error) {
	u.work.Go(func() {
		if err := part(); err != nil {
			u.cancel(err)
		}
	})
}

// An up is one run of Up. It is the visitor of the tree: its methods run in the walk's goroutine.
type up struct {
	UpOptions
	tally
	ctx     context.Context
	cancel  context.CancelCauseFunc
	work    sync.WaitGroup
	stack   []*folder
	batch   []pending
	bytes   int64
	batches chan []pending
	large   chan pending
	making  *semaphore.Weighted
	root    capability.Capability
	unfinished
}

// A pending file waits for being stored.
type pending struct {
	entry  localtree.Entry
	folder *folder
	data   []byte // of a link: what is stored
}

// A folder collects what it holds until all of it is stored.
type folder struct {
	entry  localtree.Entry
	parent *folder
	depth  int
	names  map[string]bool // those taken; only the walk uses it

	mu    sync.Mutex // guards what follows
	open  int        // entries that are not stored yet, and one while the walk is inside
	items []Item     // that are stored, and not in the folder of the grid yet

	placing sync.Mutex // held while the folder of the grid is made or changed; guards what follows, and is taken before any mu
	made    capability.Capability
	passed  bool // there can be no such folder
	linked  bool // the folder above has it among its items
}

// admit makes room for an entry in its folder. It refuses names that a folder of the grid cannot have, and the second of
// two that are one there.
func (u *up) admit(f *folder, e localtree.Entry) bool {
	name, err := u.Name(path.Base(e.Path))
	if err == nil && f.names[name] {
		err = fmt.Errorf("%w: another name beside it differs only in how its letters are composed", share.ErrExists)
	}
	if err != nil {
		u.problem(localtree.Problem{Path: e.Path, Err: err})
		return false
	}
	f.names[name] = true
	f.mu.Lock()
	f.open++
	f.mu.Unlock()
	return true
}

// done counts one expected entry as dealt with, with its item if there is one, and reports whether it was the last.
func (f *folder) done(items ...Item) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = append(f.items, items...)
	f.open--
	return f.open == 0
}

func (u *up) top() *folder { return u.stack[len(u.stack)-1] }

// Enter begins a folder.
func (u *up) Enter(e localtree.Entry) error {
	f := &folder{entry: e, open: 1, names: map[string]bool{}, depth: len(u.stack)}
	if len(u.stack) > 0 {
		f.parent = u.top()
		if !u.admit(f.parent, e) {
			return localtree.ErrSkip
		}
	}
	u.stack = append(u.stack, f)
	u.began(f)
	return nil
}

// Leave ends a folder.
func (u *up) Leave(localtree.Entry) error {
	f := u.top()
	u.stack = u.stack[:len(u.stack)-1]
	u.settle(f)
	return nil
}

// Problem notes what the walk could not read.
func (u *up) Problem(p localtree.Problem) { u.problem(p) }

// Visit hands a file to those who store it, unless it was stored before.
func (u *up) Visit(e localtree.Entry) error {
	f := u.top()
	if !u.admit(f, e) {
		return nil
	}
	if c, ok := u.Memory.Stored(e); ok {
		u.file(e.Size, false)
		u.settle(f, u.item(e, c))
		return nil
	}
	p := pending{entry: e, folder: f}
	if e.Kind == localtree.Link {
		p.data = []byte(e.Target)
	} else if e.Size > SmallFile {
		return send(u.ctx, u.large, p)
	}
	u.batch = append(u.batch, p)
	u.bytes += e.Size
	if len(u.batch) >= batchFiles || u.bytes >= batchBytes {
		return u.flush()
	}
	return nil
}

func (u *up) flush() error {
	batch := u.batch
	u.batch, u.bytes = nil, 0
	if len(batch) == 0 {
		return nil
	}
	return send(u.ctx, u.batches, batch)
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// item returns an entry whose name was admitted as its folder holds it.
func (u *up) item(e localtree.Entry, c capability.Capability) Item {
	name, _ := u.Name(path.Base(e.Path))
	return Item{
		Name: name, Kind: e.Kind, Capability: c, Size: e.Size, Modified: e.Modified, Executable: e.Executable,
	}
}

// storeBatches stores batches of small files until there are no more.
func (u *up) storeBatches() error {
	for batch := range u.batches {
		if err := u.storeBatch(batch); err != nil {
			return err
		}
	}
	return nil
}

func (u *up) storeBatch(batch []pending) error {
	var read []pending
	var contents [][]byte
	for _, p := range batch {
		entry, data, err := u.read(p)
		if err != nil {
			u.problem(localtree.Problem{Path: p.entry.Path, Err: reason(err)})
			u.settle(p.folder)
			continue
		}
		p.entry = entry
		read, contents = append(read, p), append(contents, data)
	}
	if len(read) == 0 {
		return nil
	}
	stored, err := u.Store.PutSmall(u.ctx, contents)
	if err != nil {
		return fmt.Errorf("store %d small files, the first of them %s: %w", len(read), read[0].entry.Path, err)
	}
	for i, p := range read {
		if err := u.keep(p, stored[i]); err != nil {
			return err
		}
	}
	return nil
}

// read returns the contents of a small file. One that changes meanwhile is read once more.
func (u *up) read(p pending) (localtree.Entry, []byte, error) {
	if p.data != nil {
		return p.entry, p.data, nil
	}
	entry := p.entry
	data, err := u.readOnce(entry)
	if errors.Is(err, localtree.ErrChanged) {
		entry, err = u.Tree.Stat(entry.Path)
		if err == nil && entry.Size > SmallFile || errors.Is(err, localtree.ErrKind) {
			err = localtree.ErrChanged
		}
		if err == nil {
			data, err = u.readOnce(entry)
		}
	}
	return entry, data, err
}

func (u *up) readOnce(e localtree.Entry) ([]byte, error) {
	f, err := u.Tree.Open(e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, e.Size)
	if _, err := io.ReadFull(f, data); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, localtree.ErrChanged
		}
		return nil, err
	}
	return data, f.Check()
}

// reason takes the path off an error, which a Problem names anyway.
func reason(err error) error {
	var p localtree.Problem
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// storeLarge stores large files until there are no more.
func (u *up) storeLarge() error {
	for p := range u.large {
		if err := u.storeOne(p); err != nil {
			return fmt.Errorf("store %s: %w", p.entry.Path, err)
		}
	}
	return nil
}

// storeOne stores one large file. What goes wrong on this machine's disk is a Problem.
func (u *up) storeOne(p pending) error {
	f, err := u.Tree.Open(p.entry)
	if err != nil {
		u.problem(localtree.Problem{Path: p.entry.Path, Err: reason(err)})
		u.settle(p.folder)
		return nil
	}
	defer f.Close()
	watched := &watchedFile{Source: f}
	c, err := u.Store.Put(u.ctx, watched, p.entry.Size)
	if bad := cmp.Or(watched.failed, f.Check()); bad != nil {
		u.problem(localtree.Problem{Path: p.entry.Path, Err: reason(bad)})
		u.settle(p.folder)
		return nil
	}
	if err != nil {
		return err
	}
	return u.keep(p, c)
}

// A watchedFile remembers that reading has failed, so that it is told apart from a failure of the grid.
type watchedFile struct {
	*localtree.Source
	failed error
}

func (w *watchedFile) Read(p []byte) (int, error) {
	n, err := w.Source.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.failed = err
	}
	return n, err
}

// keep notes what a file was stored as.
func (u *up) keep(p pending, c capability.Capability) error {
	if err := u.Memory.Remember(p.entry, c); err != nil {
		return err
	}
	u.file(p.entry.Size, true)
	u.settle(p.folder, u.item(p.entry, c))
	return nil
}

// settle counts one entry of a folder as dealt with. The last one makes the folder, which may be the last entry of the one
// above.
func (u *up) settle(f *folder, items ...Item) {
	if !f.done(items...) {
		return
	}
	u.start(func() error { return u.makeFolders(f) })
}

// makeFolders makes a folder, and those above as far as they have become complete by it.
func (u *up) makeFolders(f *folder) error {
	if err := u.making.Acquire(u.ctx, 1); err != nil {
		return err
	}
	defer u.making.Release(1)
	for {
		made, err := u.place(u.ctx, f)
		if err != nil {
			return err
		}
		u.ended(f)
		if made {
			u.add(func(n *Counts) { n.Folders++ })
		}
		if f.parent == nil {
			u.root = f.made
			return nil
		}
		if !f.parent.done() {
			return nil
		}
		f = f.parent
	}
}
