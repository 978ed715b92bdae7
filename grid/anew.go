package grid

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
)

// anewAtOnce is how many large files of a directory are stored anew at a time, and anewBatch how many small ones in one exchange.
const (
	anewAtOnce = 4
	anewBatch  = 64
)

// AnewOptions say what StoreAnew does.
type AnewOptions struct {
	// Thin selects the encoded files that are stored anew, and says with which parameters they were stored.
	Thin map[share.StorageIndex]share.Params
	// Keep selects by their tree.IDs what keeps its capability, and directories that go on leading to what they lead to.
	Keep func(id string) bool
	// Progress, if set, is called after each thing that was stored, from one goroutine at a time.
	Progress func(Anew)
}

// Anew says what a StoreAnew has done.
type Anew struct {
	Files       int
	Directories int
	Bytes       int64 // of files
	// Replaced holds the capability that takes the place of an immutable thing, by the tree.ID of the latter.
	Replaced map[string]capability.Capability
	// Left says of things that were met and could not be stored anew why not, by tree.ID.
	// It is ErrKept for what was to keep its capability.
	Left map[string]error
}

// ErrKept says that something that never changes was to keep its capability.
var ErrKept = errors.New("it was to stay what it is")

// Replaces returns the capability that takes the place of another one: c itself where nothing does.
func (a Anew) Replaces(c capability.Capability) (capability.Capability, bool) {
	made, ok := a.Replaced[tree.ID(c)]
	if !ok || tree.ID(c) == "" {
		return c, false
	}
	return made, true
}

// StoreAnew stores what is thin behind a path once more, with the parameters of now. An immutable file, or an immutable directory, becomes
// another one with the same contents, and every directory on the way that can be written leads to that; what can change gets
// another version with the same contents. What is reached through links for reading only stays as it is. Interrupted, it goes on
// where it stopped when it is called again.
//
// What is wrong with one thing is told in Left. The error, of too few servers, no room or a quota, ends it; what was done until then
// is told too.
func (g *Grid) StoreAnew(ctx context.Context, root capability.Capability, path string, o AnewOptions) (Anew, error) {
	a := &anew{g: g, AnewOptions: o, seen: map[string]bool{}}
	a.Replaced, a.Left = map[string]capability.Capability{}, map[string]error{}
	n, err := g.tree.Resolve(ctx, root, path)
	if err == nil {
		err = a.top(ctx, n)
	}
	return a.Anew, err
}

type anew struct {
	AnewOptions
	Anew
	g     *Grid
	seen  map[string]bool // what can change and was dealt with, by tree.ID
	queue []capability.Capability
}

// ErrReadHere says that nothing that leads to a thing can be changed.
var ErrReadHere = fmt.Errorf("%w: it can only be read here", share.ErrReadOnly)

// ErrApart says that two versions of a mutable file were written by writers who did not know of each other. Which one goes on is not for a
// repair to decide.
var ErrApart = fmt.Errorf("%w: two of its versions were written apart from each other, and whoever writes the next one decides between them", share.ErrConflict)

// top deals with what the path leads to, and with all below it.
func (a *anew) top(ctx context.Context, n tree.Node) error {
	c := n.Entry.Capability
	if err := a.prepare(ctx, []dir.Entry{n.Entry}, 0); err != nil {
		return err
	}
	if _, replaced := a.Replaces(c); replaced {
		if n.Parent.Kind() != capability.KindDir {
			a.Left[tree.ID(c)] = ErrReadHere
			return nil
		}
		return a.change(ctx, n.Parent, []dir.Entry{n.Entry}, false)
	}
	for len(a.queue) > 0 {
		next := a.queue[0]
		a.queue = a.queue[1:]
		if err := a.directory(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// directory deals with a directory that can be written, and notes those below it.
func (a *anew) directory(ctx context.Context, c capability.Capability) error {
	entries, thin, err := a.contents(ctx, c)
	if err != nil {
		return a.leave(ctx, c, err)
	}
	if a.keeps(tree.ID(c)) {
		entries = nil
	}
	if err := a.prepare(ctx, entries, 0); err != nil {
		return err
	}
	return a.change(ctx, c, entries, thin)
}

func (a *anew) keeps(id string) bool { return a.Keep != nil && a.Keep(id) }

func (a *anew) anyThin(indexes []share.StorageIndex) bool {
	for _, index := range indexes {
		if _, thin := a.Thin[index]; thin {
			return true
		}
	}
	return false
}

// change puts what was stored anew into a directory as one write, and writes all its pages anew if that is asked for.
func (a *anew) change(ctx context.Context, c capability.Capability, entries []dir.Entry, pages bool) error {
	var changed []dir.Entry
	for _, entry := range entries {
		if _, replaced := a.Replaces(entry.Capability); replaced {
			changed = append(changed, entry)
		}
	}
	if len(changed) == 0 && !pages {
		return nil
	}
	_, err := a.g.dirs.Update(ctx, c, func(e *dir.Editor) error {
		for _, was := range changed {
			entry, err := e.Get(was.Name)
			if errors.Is(err, share.ErrNotFound) || err == nil && tree.ID(entry.Capability) != tree.ID(was.Capability) {
				continue // somebody changed it meanwhile
			}
			if err == nil {
				entry.Capability, _ = a.Replaces(entry.Capability)
				err = e.Set(entry)
			}
			if err != nil {
				return err
			}
		}
		if pages {
			e.Anew()
		}
		return nil
	})
	if err != nil {
		return a.leave(ctx, c, err)
	}
	if pages {
		a.Directories++
		a.tell()
	}
	return nil
}

// leave notes that a thing stays as it is, unless the error has to end all.
func (a *anew) leave(ctx context.Context, c capability.Capability, err error) error {
	_, unhappy := errors.AsType[*share.UnhappyError](err)
	if ctx.Err() != nil || unhappy || errors.Is(err, share.ErrNoSpace) || errors.Is(err, share.ErrQuota) {
		return err
	}
	a.Left[tree.ID(c)] = err
	return nil
}

func (a *anew) tell() {
	if a.Progress != nil {
		a.Progress(a.Anew)
	}
}

// prepare stores anew what entries of one directory lead to, and notes the directories that can be written.
func (a *anew) prepare(ctx context.Context, entries []dir.Entry, depth int) error {
	var files []dir.Entry
	var others []capability.Capability
	for _, entry := range entries {
		c := entry.Capability
		id := tree.ID(c)
		if id == "" || a.seen[id] {
			continue
		}
		a.seen[id] = true
		if kind := c.Kind(); a.keeps(id) && (kind == capability.KindFile || kind == capability.KindIDir) {
			a.Left[id] = ErrKept
			continue
		}
		if c.Kind() != capability.KindFile {
			others = append(others, c)
		} else if index, _ := c.StorageIndex(); a.anyThin([]share.StorageIndex{index}) {
			files = append(files, entry)
		}
	}
	if err := a.files(ctx, files); err != nil { // before the directories that may lead to them as well
		return err
	}
	for _, c := range others {
		var err error
		switch c.Kind() {
		case capability.KindIDir:
			err = a.immutable(ctx, c, depth)
		case capability.KindMutable:
			err = a.mutable(ctx, c)
		case capability.KindDir:
			a.queue = append(a.queue, c)
		default: // who only reads, or verifies, cannot store it anew
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// contents returns what a directory holds, and whether it is thin itself.
func (a *anew) contents(ctx context.Context, c capability.Capability) (entries []dir.Entry, thin bool, err error) {
	x, err := a.g.dirs.Open(ctx, c)
	if err != nil {
		return nil, false, err
	}
	pages, err := x.Files(ctx)
	if err != nil {
		return nil, false, err
	}
	for entry, err := range x.All(ctx) {
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, entry)
	}
	return entries, a.anyThin(pages), nil
}

// immutable makes a directory that never changes anew where it is thin itself or what it leads to was stored anew.
func (a *anew) immutable(ctx context.Context, c capability.Capability, depth int) error {
	if depth > tree.MaxDepth {
		return a.leave(ctx, c, fmt.Errorf("directories are more than %d deep", tree.MaxDepth))
	}
	entries, anew, err := a.contents(ctx, c)
	if err != nil {
		return a.leave(ctx, c, err)
	}
	if err := a.prepare(ctx, entries, depth+1); err != nil {
		return err
	}
	for i := range entries {
		made, replaced := a.Replaces(entries[i].Capability)
		entries[i].Capability, anew = made, anew || replaced
	}
	if !anew {
		return nil
	}
	made, err := a.g.dirs.CreateImmutable(ctx, dir.Entries(entries...))
	if err != nil {
		return a.leave(ctx, c, err)
	}
	a.Replaced[tree.ID(c)] = made
	a.Directories++
	a.tell()
	return nil
}

// mutable writes the newest version of a mutable file once more if it is thin.
func (a *anew) mutable(ctx context.Context, c capability.Capability) error {
	v, err := a.g.files.Read(ctx, c)
	if err != nil {
		return a.leave(ctx, c, err)
	}
	if !a.anyThin([]share.StorageIndex{v.Head.Root}) {
		return nil
	}
	key, _ := c.WriteKey()
	switch {
	case v.Head.Ended:
		return a.leave(ctx, c, mutable.ErrEnded)
	case v.Unclear != nil:
		return a.leave(ctx, c, v.Unclear)
	case len(v.Forks) > 0: // the next version would claim to have what is in them too
		return a.leave(ctx, c, ErrApart)
	}
	r, err := v.Open(ctx)
	if err != nil {
		return a.leave(ctx, c, err)
	}
	defer r.Close()
	if _, err := a.g.store(ctx, key, v, r); err != nil && !errors.Is(err, share.ErrConflict) { // after which there is a newer version
		return a.leave(ctx, c, err)
	}
	a.Files++
	a.Bytes += r.Size()
	a.tell()
	return nil
}

// files stores files anew that never change, the small ones together.
func (a *anew) files(ctx context.Context, entries []dir.Entry) error {
	var small, large []capability.Capability
	for _, entry := range entries {
		if entry.Size > 0 && entry.Size <= MaxBatchFile {
			small = append(small, entry.Capability)
		} else {
			large = append(large, entry.Capability)
		}
	}
	for len(small) > 0 {
		n := min(len(small), anewBatch)
		others, err := a.batch(ctx, small[:n])
		if err != nil {
			return err
		}
		large, small = append(large, others...), small[n:]
	}
	made, errs := make([]PutResult, len(large)), make([]error, len(large))
	var work errgroup.Group
	work.SetLimit(anewAtOnce)
	for i, c := range large {
		work.Go(func() error {
			if ctx.Err() == nil {
				made[i], errs[i] = a.file(ctx, c)
			}
			return nil
		})
	}
	_ = work.Wait() // it has no errors
	var failed error
	for i, c := range large {
		if errs[i] != nil {
			failed = errors.Join(failed, a.leave(ctx, c, errs[i]))
		} else if made[i].Size > 0 {
			a.stored(c, made[i].Capability, made[i].Size)
		}
	}
	return errors.Join(failed, ctx.Err())
}

func (a *anew) stored(was, made capability.Capability, size int64) {
	a.Replaced[tree.ID(was)] = made
	a.Files++
	a.Bytes += size
	a.tell()
}

// batch stores small files anew, and returns those that do not go together with others.
func (a *anew) batch(ctx context.Context, caps []capability.Capability) (others []capability.Capability, _ error) {
	data, errs, err := a.g.GetBatch(ctx, caps)
	if err != nil {
		return nil, err
	}
	var which []capability.Capability
	var contents [][]byte
	for i, c := range caps {
		if errs[i] != nil || !a.convergent(c, sha256.Sum256(data[i])) {
			others = append(others, c)
			continue
		}
		which, contents = append(which, c), append(contents, data[i])
	}
	made, err := a.g.PutBatch(ctx, contents)
	if err != nil {
		return nil, err
	}
	for i, c := range which {
		a.stored(c, made[i], int64(len(contents[i])))
	}
	return others, nil
}

// convergent reports whether the key of a file is the one that follows from its contents. One with a random key, or of somebody else,
// gets a random key again.
func (a *anew) convergent(c capability.Capability, digest share.Digest) bool {
	index, _ := c.StorageIndex()
	was := a.Thin[index]
	key, _ := c.ReadKey()
	return a.g.Secret.Convergent(digest, was.Needed, was.Total, encoding.BlockSizeFor(was.Total)) == key
}

// file stores one file anew. It reads it twice: first for its key.
func (a *anew) file(ctx context.Context, c capability.Capability) (PutResult, error) {
	r, err := a.g.Open(ctx, c)
	if err != nil {
		return PutResult{}, err
	}
	defer r.Close()
	hash := sha256.New()
	if _, err := r.WriteTo(ctx, hash, 0, r.Size()); err != nil {
		return PutResult{}, err
	}
	digest := share.Digest(hash.Sum(nil))
	var result PutResult
	piped(ctx, r, func(in io.Reader) {
		result, err = a.g.Put(ctx, in, PutOptions{Size: r.Size(), Digest: &digest, Private: !a.convergent(c, digest)})
	})
	return result, err
}
