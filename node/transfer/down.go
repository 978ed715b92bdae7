package transfer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"cairn/node/localtree"
	"cairn/share/capability"
)

// A Source gives what the grid holds.
type Source interface {
	// List returns at most limit items of a folder whose names come after a name, in the order of their names.
	List(ctx context.Context, folder capability.Capability, after string, limit int) ([]Item, error)
	// GetSmall returns the contents of many files at once, and for each the reason why it cannot be read, or nil.
	GetSmall(ctx context.Context, files []capability.Capability) ([][]byte, []error, error)
	// Get writes a file.
	Get(ctx context.Context, file capability.Capability, w io.Writer) error
	// Version returns a capability that is the same as long as the contents of a file that can change are the same.
	Version(ctx context.Context, file capability.Capability) (capability.Capability, error)
}

// listLimit is how many items of a folder are asked for at a time.
const listLimit = 1000

// The reasons of Problems of a Down.
var (
	// ErrCycle says that a folder holds itself, directly or through others.
	ErrCycle = errors.New("the directory contains itself; it is copied once")
	// ErrUnknown says that the capability is of a kind that this program does not know.
	ErrUnknown = errors.New("of a kind that this version does not know")
	// ErrSameName says that the disk takes a name for another one in the folder.
	ErrSameName = errors.New("this disk takes its name for that of another beside it, which differs in case only")
	// ErrForeignName says that a name cannot be written on this machine.
	ErrForeignName = errors.New("this machine cannot have a file of that name")
)

// DefaultRepeats is how many entries come down once more that came down already, where nothing else is asked for.
const DefaultRepeats = 100_000

// A RepeatsError says that the source leads to the same folders again and again, as one does that was made to fill a disk.
type RepeatsError struct {
	Path  string // of the folder at which it ended
	Limit int    // how many entries were to come down once more at most
}

func (e *RepeatsError) Error() string {
	return fmt.Sprintf("%s: the same directories are met again and again: more than %d entries would be written once more that have been written already", e.Path, e.Limit)
}

// DownOptions say what comes down, and where to.
type DownOptions struct {
	Source Source
	// Root is the folder whose contents are wanted.
	Root capability.Capability
	// Target is the folder on disk that gets them; it is made if it is not there, and may be a link to one.
	Target string
	// Name, if set, is that of a folder in Target which gets them instead. It is made if it is not there; a link that has the
	// name is not followed.
	Name string
	// Folding says that the disk takes names for one that differ in case only. Where it is not set, that is found out.
	Folding bool
	// Omit are names in Root that are left out.
	Omit []string
	// Repeats bounds how many entries come down that came down already, in folders to which the source leads more than once;
	// DefaultRepeats where it is 0. Beyond it Down ends with a *RepeatsError.
	Repeats int
	// Memory, if set, keeps which version of a file that can change is on disk, so that it is not fetched again.
	Memory Memory
	// KeepExisting leaves files alone that are there already, whatever is in them.
	KeepExisting bool
	// Progress, if set, is called after each step, from one goroutine at a time.
	Progress func(Counts)
}

// Down writes a folder of the grid to disk. A file appears under its name when it is complete, and with its time; one that is
// there with the same size and time is not fetched again, nor one that can change and is there as Memory tells, so that an interrupted Down goes on where it was; what one that was killed
// has left unfinished is removed. No link below the
// target is followed, and nothing is written outside of it, whoever moves things about meanwhile. What cannot be read or written is a Problem; only when the folder at the top
// cannot, or the context ends, there is an error.
func Down(ctx context.Context, o DownOptions) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	root, err := o.open()
	if err != nil {
		return Result{}, err
	}
	defer root.Close()
	d := &down{
		DownOptions: o, ctx: ctx, cancel: cancel, root: root, tally: tally{tell: o.Progress}, batches: make(chan []wanted), large: make(chan wanted),
		met: map[string]bool{},
	}
	d.Repeats = cmp.Or(d.Repeats, DefaultRepeats)
	Sweep(root, ".")
	d.Folding = d.Folding || folds(root)
	for range smallWorkers {
		d.work.Go(d.fetchBatches)
	}
	for range largeWorkers {
		d.work.Go(d.fetchLarge)
	}
	err = d.folder(".", o.Root, nil)
	if err == nil {
		err = d.flush()
	}
	if err != nil {
		cancel(err)
	}
	close(d.batches)
	close(d.large)
	d.work.Wait()
	d.setTimes()
	return Result{Root: o.Root, Counts: d.counts, Problems: d.sorted()}, context.Cause(ctx)
}

// open opens the folder that gets what comes down.
func (o DownOptions) open() (*os.Root, error) {
	if err := os.MkdirAll(o.Target, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Target)
	if err != nil || o.Name == "" {
		return root, err
	}
	defer root.Close()
	at := filepath.Join(o.Target, o.Name)
	if err := checkLocal(o.Name); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if _, err := makeFolder(root, o.Name); err != nil {
		return nil, fmt.Errorf("%s: %w", at, cause(err))
	}
	return root.OpenRoot(o.Name)
}

// makeFolder makes a folder unless there is one, and reports whether it did. Anything else that has the name is in the way, a link to a
// folder too.
func makeFolder(root *os.Root, name string) (made bool, err error) {
	err = root.Mkdir(name, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	info, err := root.Lstat(name)
	switch {
	case err != nil:
		return false, err
	case info.Mode()&fs.ModeSymlink != 0:
		return false, errors.New("there is a link of that name, which is not followed")
	case !info.IsDir():
		return false, errors.New("there is a file of that name")
	}
	return false, nil
}

// folds reports whether a folder's disk takes names for one that differ in case only.
func folds(root *os.Root) bool {
	name := ".cairn-a" + strings.ToLower(rand.Text())
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false // nothing can be written here, as will be told
	}
	f.Close()
	defer func() { _ = root.Remove(name) }()
	_, err = root.Lstat(strings.ToUpper(name))
	return err == nil
}

// folded returns a text that is the same for names that differ in case only.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// A down is one run of Down. The folders are walked in one goroutine.
type down struct {
	DownOptions
	tally
	ctx     context.Context
	cancel  context.CancelCauseFunc
	root    *os.Root
	work    sync.WaitGroup
	batch   []wanted
	bytes   int64
	batches chan []wanted
	large   chan wanted
	folders []wanted        // those whose times are set when all is in them, outer ones first
	met     map[string]bool // the folders that came down, by thing
	repeats int             // how many entries of those came down once more
}

// A wanted item is to be written at a path below the target.
type wanted struct {
	path string
	item Item
}

// folder writes what a folder holds; above are the things that it is in.
func (d *down) folder(at string, c capability.Capability, above []string) error {
	d.add(func(n *Counts) { n.Folders++ })
	above = append(above[:len(above):len(above)], thing(c))
	again := d.met[thing(c)]
	d.met[thing(c)] = true
	taken := map[string]bool{}
	for after := ""; ; {
		items, err := d.Source.List(d.ctx, c, after, listLimit)
		if err != nil && (at == "." || d.ctx.Err() != nil) {
			return err
		}
		if err != nil {
			d.problem(localtree.Problem{Path: at, Err: err})
			return nil
		}
		for _, item := range items {
			if at == "." && slices.Contains(d.Omit, item.Name) {
				continue
			}
			if again {
				d.repeats++
			}
			if d.repeats > d.Repeats {
				return &RepeatsError{Path: at, Limit: d.Repeats}
			}
			if d.Folding && taken[folded(item.Name)] {
				d.problem(localtree.Problem{Path: path.Join(at, item.Name), Err: ErrSameName})
				continue
			}
			if d.Folding {
				taken[folded(item.Name)] = true
			}
			if err := d.one(path.Join(at, item.Name), item, above); err != nil {
				return err
			}
		}
		if len(items) < listLimit {
			return nil
		}
		after = items[len(items)-1].Name
	}
}

func (d *down) one(at string, item Item, above []string) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if err := checkLocal(item.Name); err != nil {
		d.problem(localtree.Problem{Path: at, Err: err})
		return nil
	}
	w := wanted{at, item}
	switch {
	case item.Capability.Kind() == capability.KindUnknown:
		d.problem(localtree.Problem{Path: at, Err: ErrUnknown})
	case item.Kind == localtree.Folder:
		return d.inner(w, above)
	case d.same(w):
		d.file(item.Size, false)
	case item.Changes || item.Size > SmallFile:
		return send(d.ctx, d.large, w)
	default:
		d.batch = append(d.batch, w)
		d.bytes += item.Size
		if len(d.batch) >= batchFiles || d.bytes >= batchBytes {
			return d.flush()
		}
	}
	return nil
}

// checkLocal refuses names that mean something else on this machine.
func checkLocal(name string) error {
	if name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) || strings.ContainsAny(name, "/\x00") {
		return ErrForeignName
	}
	if runtime.GOOS == "windows" && strings.ContainsAny(name, `<>:"\|?*`) {
		return ErrForeignName
	}
	return nil
}

// inner makes a folder and writes what it holds.
func (d *down) inner(w wanted, above []string) error {
	if slices.Contains(above, thing(w.item.Capability)) {
		d.problem(localtree.Problem{Path: w.path, Err: ErrCycle})
		return nil
	}
	if len(above) > localtree.MaxDepth {
		d.problem(localtree.Problem{Path: w.path, Err: localtree.ErrDepth})
		return nil
	}
	made, err := makeFolder(d.root, w.path)
	if err != nil {
		d.problem(localtree.Problem{Path: w.path, Err: cause(err)})
		return nil
	}
	if !made {
		Sweep(d.root, w.path)
	}
	d.folders = append(d.folders, w)
	return d.folder(w.path, w.item.Capability, above)
}

// thing returns a text that is the same for all capabilities of one folder, whatever each allows.
func thing(c capability.Capability) string {
	if verify, err := c.Verify(); err == nil {
		c = verify
	}
	return c.Text()
}

// same reports whether a file is there already.
func (d *down) same(w wanted) bool {
	info, err := d.root.Lstat(w.path)
	if err != nil {
		return false
	}
	if d.KeepExisting {
		return true
	}
	if w.item.Kind == localtree.Link {
		return w.item.Link != "" && d.pointsTo(w.path, w.item.Link)
	}
	if w.item.Changes { // the item's time may be older than the contents
		return false
	}
	return info.Mode().IsRegular() && info.Size() == w.item.Size && !w.item.Modified.IsZero() && sameTime(info.ModTime(), w.item.Modified) &&
		(info.Mode()&0o100 != 0) == w.item.Executable
}

// pointsTo reports whether there is a link that points there.
func (d *down) pointsTo(at, target string) bool {
	points, err := d.root.Readlink(at)
	return err == nil && points == target
}

// sameTime allows for file systems that keep microseconds only.
func sameTime(a, b time.Time) bool {
	return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond))
}

func (d *down) flush() error {
	batch := d.batch
	d.batch, d.bytes = nil, 0
	if len(batch) == 0 {
		return nil
	}
	return send(d.ctx, d.batches, batch)
}

func (d *down) fetchBatches() {
	for batch := range d.batches {
		files := make([]capability.Capability, len(batch))
		for i, w := range batch {
			files[i] = w.item.Capability
		}
		contents, errs, err := d.Source.GetSmall(d.ctx, files)
		if err != nil {
			d.cancel(fmt.Errorf("read %d small files, the first of them %s: %w", len(batch), batch[0].path, err))
			continue
		}
		for i, w := range batch {
			if errs[i] != nil {
				d.failed(w, errs[i])
				continue
			}
			if w.item.Kind == localtree.Link && d.pointsTo(w.path, string(contents[i])) {
				d.file(w.item.Size, false)
				continue
			}
			d.wrote(w, d.write(w, func(f io.Writer) error { _, err := f.Write(contents[i]); return err }, contents[i]))
		}
	}
}

func (d *down) fetchLarge() {
	for w := range d.large {
		version, known := d.version(w)
		if size, same := d.has(w, version); known && same {
			d.file(size, false)
			continue
		}
		var size counter
		err := d.write(w, func(f io.Writer) error { return d.Source.Get(d.ctx, w.item.Capability, io.MultiWriter(f, &size)) }, nil)
		if w.item.Changes {
			w.item.Size = int64(size)
		}
		d.wrote(w, err)
		if known && err == nil {
			d.remember(w, version)
		}
	}
}

// version returns which version a file that can change has now. What it has when it is read may be a later one.
func (d *down) version(w wanted) (version capability.Capability, known bool) {
	if !w.item.Changes || d.Memory == nil {
		return version, false
	}
	version, err := d.Source.Version(d.ctx, w.item.Capability)
	return version, err == nil && !version.IsZero()
}

// has reports whether the version of a file that can change is on disk, and how long it is there.
func (d *down) has(w wanted, version capability.Capability) (size int64, same bool) {
	info, err := d.root.Lstat(w.path)
	if err != nil || d.Memory == nil || !info.Mode().IsRegular() {
		return 0, false
	}
	if !w.item.Modified.IsZero() && !sameTime(info.ModTime(), w.item.Modified) || (info.Mode()&0o100 != 0) != w.item.Executable {
		return 0, false
	}
	there, ok := d.Memory.Stored(localtree.EntryOf(w.path, info))
	return info.Size(), ok && there.Equal(version)
}

// remember keeps which version of a file is on disk. Without it, it is fetched once more.
func (d *down) remember(w wanted, version capability.Capability) {
	if info, err := d.root.Lstat(w.path); err == nil {
		_ = d.Memory.Remember(localtree.EntryOf(w.path, info), version)
	}
}

// A counter counts the bytes that are written.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func (d *down) wrote(w wanted, err error) {
	if err != nil {
		d.failed(w, err)
		return
	}
	d.file(w.item.Size, true)
}

// failed notes what could not be had, unless all is ending anyway. A full disk ends it: nothing else would fit either.
func (d *down) failed(w wanted, err error) {
	if errors.Is(err, syscall.ENOSPC) {
		d.cancel(fmt.Errorf("write %s: %w", w.path, cause(err)))
	} else if d.ctx.Err() == nil {
		d.problem(localtree.Problem{Path: w.path, Err: cause(err)})
	}
}

// write puts a file or link under its name once it is complete.
func (d *down) write(w wanted, fill func(io.Writer) error, small []byte) error {
	if w.item.Kind == localtree.Link {
		return PutLink(d.root, string(small), w.path)
	}
	mode := fs.FileMode(0o666)
	if w.item.Executable {
		mode = 0o777
	}
	t, err := NewTemporary(d.root, w.path, mode)
	if err != nil {
		return err
	}
	return t.fill(w.item.Modified, fill)
}

// setTimes sets the folders' times, inner ones first, now that nothing is written into them any more.
func (d *down) setTimes() {
	for i := len(d.folders) - 1; i >= 0; i-- {
		if w := d.folders[i]; !w.item.Modified.IsZero() {
			_ = d.root.Chtimes(w.path, w.item.Modified, w.item.Modified) // a folder with another time is no loss
		}
	}
}
