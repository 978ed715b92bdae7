package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"path/filepath"
	"strings"
	"time"

	"cairn/node/backup"
	"cairn/node/control"
	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
)

// memoryFile is what this machine's files were stored as, in the node's directory.
const memoryFile = "backup.db"

// relied is how long it is relied on that the grid has a file which nobody has stored again since. It is a part of
// share.DefaultLease, and renewing leases makes it longer.
const relied = 90 * 24 * time.Hour

// A treeGrid is the grid as trees of files are moved to it and from it.
type treeGrid struct {
	client *control.Client
	places *places // where a copy goes; nil for directories that never change
	keep   bool    // what has a name already
}

var (
	_ transfer.Store   = treeGrid{}
	_ transfer.Folders = treeGrid{}
	_ transfer.Source  = treeGrid{}
	_ backup.Maker     = treeGrid{}
)

// PutSmall stores small files.
func (g treeGrid) PutSmall(ctx context.Context, files [][]byte) ([]capability.Capability, error) {
	return g.client.PutBatch(ctx, files)
}

// Put stores a large file. It reads it twice: first for its key.
func (g treeGrid) Put(ctx context.Context, file io.ReadSeeker, size int64) (capability.Capability, error) {
	request := control.PutRequest{Size: size}
	if err := announceHash(ctx, file, &request, &progress{}); err != nil {
		return capability.Capability{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return capability.Capability{}, err
	}
	result, err := g.client.Put(ctx, file, request, nil)
	if err != nil {
		return capability.Capability{}, err
	}
	return capability.Parse(result.Capability)
}

// Folder makes a directory, or puts into the one that is there what is not in it.
func (g treeGrid) Folder(ctx context.Context, folder localtree.Entry, items []transfer.Item) (none capability.Capability, _ []localtree.Problem, _ error) {
	at, err := g.places.find(ctx, folder.Path)
	if err != nil {
		return none, nil, err
	}
	made, err := g.client.Fill(ctx, control.FillRequest{Target: at.target, Detached: at.target == "", Items: itemsOf(items), Keep: g.keep})
	if err != nil {
		return none, nil, err
	}
	var skipped []localtree.Problem
	for _, s := range made.Skipped {
		skipped = append(skipped, localtree.Problem{Path: path.Join(folder.Path, s.Path), Err: errors.New(s.Error)})
	}
	c, err := capability.Parse(made.Entry.Capability)
	if err == nil {
		g.places.set(folder.Path, destination{target: c.Text(), there: true})
	}
	return c, skipped, err
}

// MakeImmutable makes a directory that never changes.
func (g treeGrid) MakeImmutable(ctx context.Context, items []transfer.Item) (capability.Capability, error) {
	made, err := g.client.Fill(ctx, control.FillRequest{Items: itemsOf(items)})
	if err != nil {
		return capability.Capability{}, err
	}
	return capability.Parse(made.Entry.Capability)
}

func itemsOf(items []transfer.Item) []control.Item {
	out := make([]control.Item, len(items))
	for i, it := range items {
		out[i] = control.Item{Name: it.Name, Capability: it.Capability.Text(), Size: it.Size}
		out[i].Modified, out[i].Executable = it.Modified, it.Executable
		switch it.Kind {
		case localtree.Link:
			out[i].ContentType = control.LinkContent
		case localtree.File:
			out[i].ContentType = mime.TypeByExtension(filepath.Ext(it.Name))
		case localtree.Folder:
		}
	}
	return out
}

// List lists a directory.
func (g treeGrid) List(ctx context.Context, folder capability.Capability, after string, limit int) ([]transfer.Item, error) {
	var items []transfer.Item
	request := control.ListRequest{Target: folder.Text(), Capabilities: true, After: after, Limit: limit}
	err := g.client.List(ctx, request, func(e control.Entry) error {
		item, err := itemOf(e)
		items = append(items, item)
		return err
	})
	return items, err
}

func itemOf(e control.Entry) (transfer.Item, error) {
	c, err := capability.Parse(e.Capability)
	it := transfer.Item{Name: e.Name, Capability: c, Link: e.Link, Size: e.Size, Modified: e.Modified, Executable: e.Executable}
	switch e.Type {
	case control.TypeDirectory:
		it.Kind = localtree.Folder
	case control.TypeLink:
		it.Kind = localtree.Link
	}
	if it.Kind == localtree.File {
		_, it.Changes = c.Name()
	}
	return it, err
}

// GetSmall reads small files.
func (g treeGrid) GetSmall(ctx context.Context, files []capability.Capability) ([][]byte, []error, error) {
	fetched, err := g.client.GetBatch(ctx, files)
	data, errs := make([][]byte, len(fetched)), make([]error, len(fetched))
	for i, f := range fetched {
		data[i], errs[i] = f.Data, f.Err
	}
	return data, errs, err
}

// Version returns what verifies the present contents of a file that can change.
func (g treeGrid) Version(ctx context.Context, file capability.Capability) (none capability.Capability, _ error) {
	s, err := g.client.Stat(ctx, file)
	if err != nil || s.StorageIndex == "" {
		return none, err
	}
	index, err := share.ParseStorageIndex(s.StorageIndex)
	return capability.FileVerify(index), err
}

// Get reads a file of any size.
func (g treeGrid) Get(ctx context.Context, file capability.Capability, w io.Writer) error {
	download, err := g.client.Get(ctx, file, 0, -1)
	if err != nil {
		return err
	}
	_, err = download.WriteTo(w)
	return errors.Join(err, download.Close())
}

// A treeResult says what was done with a tree.
type treeResult struct {
	Source string `json:"source"`
	Target string `json:"target"`
	transfer.Counts
	Skipped []control.Skipped `json:"skipped"`
	// Snapshot is the name of the snapshot that was made.
	Snapshot   string `json:"snapshot,omitempty"`
	Capability string `json:"capability,omitempty"`
}

// summary says in a line what was done.
func (r treeResult) summary() string {
	return fmt.Sprintf("%s in %s, %s; %d moved (%s), %d unchanged", counted(r.Files, "file"), counted(r.Folders, "folder"), sizeText(r.Bytes),
		r.Moved, sizeText(r.MovedSize), r.Same)
}

// noteAlone warns where what was stored is with this node only.
func (a *app) noteAlone(ctx context.Context, client *control.Client) {
	if s, err := client.Status(ctx); err == nil && s.Alone != "" {
		a.note("warning: what was stored is with this node only: %s", s.Alone)
		a.note("next: when others store, \"%s\" stores it with them", a.command("repair -r "+homeTarget))
	}
}

// counted returns a number with a noun whose plural takes an s.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// errSkipped says that a tree was moved, but for some entries.
var errSkipped = errors.New("not everything was copied")

// told names what was passed over, on standard error, and turns it into an error.
func (a *app) told(verb string, r *treeResult, problems []localtree.Problem, hint string) error {
	r.Skipped = []control.Skipped{}
	for _, p := range problems {
		r.Skipped = append(r.Skipped, control.Skipped{Path: p.Path, Error: p.Err.Error(), Cycle: errors.Is(p.Err, transfer.ErrCycle)})
	}
	return a.skipped(verb, r.Source, r.Skipped, r.Problems, hint)
}

// skipped names what was passed over, and returns an error unless that was nothing.
func (a *app) skipped(verb, source string, list []control.Skipped, all int64, hint string) error {
	var cycles int64
	for _, p := range list {
		if p.Cycle {
			cycles++
		}
		fmt.Fprintf(a.err, "cairn: %s: %s: %s\n", verb, visible(p.Path), visible(p.Error))
	}
	source = strings.TrimSuffix(source, ":")
	switch all {
	case 0:
		return nil
	case cycles:
		inside := "1 directory inside itself"
		if all > 1 {
			inside = fmt.Sprintf("%d directories inside themselves", all)
		}
		return withHint(fmt.Errorf("%s: %w: %s, named above", source, errSkipped, inside),
			"a directory inside itself has no end, and was copied once: nothing else is missing, and nothing is to be done")
	}
	return withHint(fmt.Errorf("%s: %w: %d of its entries could not be, and are named above", source, errSkipped, all), "%s", hint)
}

// tree draws how far a tree is.
func (p *progress) tree(c transfer.Counts) {
	p.count(control.Progress{Note: fmt.Sprintf("%s in %d files, %d unchanged, %d moved:", sizeText(c.Bytes), c.Files, c.Same, c.Moved), Done: c.Files})
}

// memory opens what is remembered of a folder's files. While another command has it, this one does without.
func (a *app) memory(folder string) (*backup.Memory, *backup.Files, error) {
	m, err := backup.OpenMemory(filepath.Join(a.dir, memoryFile), nil)
	if err != nil {
		return nil, nil, err
	}
	return m, m.For(folder, min(relied, share.DefaultLease/4)), nil
}

// review has what was stored in a smaller grid stored anew.
func review(ctx context.Context, client *control.Client, files *backup.Files) error {
	now, err := client.Outgrown(ctx, nil)
	if err != nil {
		return err
	}
	return files.Review(ctx, now.Wanted, func(ctx context.Context, caps []capability.Capability) ([]int, error) {
		answer, err := client.Outgrown(ctx, caps)
		return answer.Which, err
	})
}

// forgetful is the memory of a copy that has none.
type forgetful struct{}

// Stored knows nothing.
func (forgetful) Stored(localtree.Entry) (none capability.Capability, ok bool) { return none, false }

// Remember does nothing.
func (forgetful) Remember(localtree.Entry, capability.Capability) error { return nil }
