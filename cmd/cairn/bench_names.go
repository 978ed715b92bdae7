package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cairn/node/control"
	"cairn/share/capability"
)

// Names of operations, as the tables have them.
const (
	opMkdir     = "make a directory"
	opAdd       = "add files of 1 KB one by one, all of them"
	opFill      = "fill a directory in one step"
	opList      = "list, gateway never saw it"
	opListAgain = "list again"
	opFind      = "look up by path, gateway never saw it"
	opFindAgain = "look up by path again"
	opAddOne    = "add one file"
	opRename    = "rename one"
	opRemove    = "remove one"
	opOverwrite = "overwrite a mutable file of 10 KB"
)

// A yardstick is an operation on something of a size.
type yardstick struct {
	what  string
	count int
}

// yardsticks are what the operations take with Tahoe-LAFS in the same layout, in seconds, with the faster of its protocols.
var yardsticks = map[yardstick]float64{
	{opMkdir, 0}:   0.38,
	{opAdd, 100}:   37,
	{opAdd, 1000}:  430,
	{opList, 1000}: 0.2, {opListAgain, 1000}: 0.2,
	{opList, 5000}: 1.4, {opListAgain, 5000}: 1.4,
	{opFind, 1000}: 0.11, {opFindAgain, 1000}: 0.11,
	{opFind, 5000}: 0.95, {opFindAgain, 5000}: 0.95,
	{opRename, 1000}: 0.69,
	{opOverwrite, 0}: 0.19,
	{opCopyIn, 500}:  46,
	{opCopyOut, 500}: 8.8,
	{opCheck, 500}:   7.4,
	{opVerify, 500}:  33,
}

const (
	benchHome     = homeTarget + "bench"
	mutableSize   = 10_000
	smallFileSize = 1_000
	// namesTimes is how often a single operation is repeated for its median, and coldTimes through how many gateways that
	// have not seen the directory.
	namesTimes = 9
	coldTimes  = 3
)

// names measures directories.
func (b *bench) names(ctx context.Context) (err error) {
	client, err := control.Dial(b.gateway(0).dir)
	if err != nil {
		return err
	}
	defer client.Close()
	n := namesBench{bench: b, client: client, files: b.path("added")}
	defer func() { err = errors.Join(err, os.RemoveAll(n.files)) }()
	if err := n.prepare(ctx); err != nil {
		return err
	}
	if err := n.single(ctx); err != nil {
		return err
	}
	for _, count := range b.added {
		if err := n.addEach(ctx, count); err != nil {
			return fmt.Errorf("%d files one by one: %w", count, err)
		}
	}
	for _, count := range b.entries {
		if err := n.directory(ctx, count); err != nil {
			return fmt.Errorf("a directory of %d: %w", count, err)
		}
	}
	return nil
}

// A namesBench measures directories through one gateway.
type namesBench struct {
	*bench
	client *control.Client
	files  string // a folder with files to add
	made   int    // files in it
	linked control.Item
}

// prepare makes what the directories are filled with.
func (n *namesBench) prepare(ctx context.Context) error {
	if err := os.Mkdir(n.files, 0o700); err != nil {
		return err
	}
	if _, err := n.client.Mkdir(ctx, control.MkdirRequest{Target: benchHome}); err != nil {
		return err
	}
	c, err := putBytes(ctx, n.client, randomBytes(smallFileSize))
	n.linked = control.Item{Capability: c.Text(), Size: smallFileSize}
	n.linked.Modified = time.Now()
	return err
}

// file makes another small file to store.
func (n *namesBench) file(size int) (string, error) {
	n.made++
	path := filepath.Join(n.files, fmt.Sprintf("added-%06d", n.made))
	return path, os.WriteFile(path, randomBytes(size), 0o600)
}

func (n *namesBench) keep(op benchOp, err error) error {
	if err == nil {
		n.out.Names = append(n.out.Names, op)
	}
	return err
}

// put stores random bytes under a target as the command does.
func (n *namesBench) put(ctx context.Context, target string, size int, mutable bool) error {
	request := control.PutRequest{Size: int64(size), Target: target, Mutable: mutable}
	_, err := n.client.Put(ctx, bytes.NewReader(randomBytes(size)), request, nil)
	return err
}

// single measures what has to do with one thing.
func (n *namesBench) single(ctx context.Context) error {
	gateway := n.gateway(0)
	mkdir := n.verbs(ctx, gateway, func(i int) []string { return []string{"mkdir", fmt.Sprintf("%s/made-%d", benchHome, i)} })
	err := n.keep(n.measure(ctx, benchOp{What: opMkdir}, namesTimes, mkdir, func(i int) error {
		_, err := n.client.Mkdir(ctx, control.MkdirRequest{Target: fmt.Sprintf("%s/inside-%d", benchHome, i)})
		return err
	}))
	if err != nil {
		return err
	}
	target := benchHome + "/mutable"
	if err := n.put(ctx, target, mutableSize, true); err != nil {
		return err
	}
	files, err := n.several(namesTimes, mutableSize)
	if err != nil {
		return err
	}
	overwrite := n.verbs(ctx, gateway, func(i int) []string { return []string{"put", "--mutable", files[i], target} })
	return n.keep(n.measure(ctx, benchOp{What: opOverwrite}, namesTimes, overwrite, func(int) error {
		return n.put(ctx, target, mutableSize, true)
	}))
}

func (n *namesBench) several(count, size int) ([]string, error) {
	files := make([]string, count)
	for i := range files {
		var err error
		if files[i], err = n.file(size); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addEach fills a directory file by file: by a command for each, and another directory inside this process.
func (n *namesBench) addEach(ctx context.Context, count int) error {
	files, err := n.several(count, smallFileSize)
	if err != nil {
		return err
	}
	byCommand, inside := fmt.Sprintf("%s/added-%d/", benchHome, count), fmt.Sprintf("%s/inside-added-%d/", benchHome, count)
	for _, target := range []string{byCommand, inside} {
		if _, err := n.client.Mkdir(ctx, control.MkdirRequest{Target: target}); err != nil {
			return err
		}
	}
	add := n.verbs(ctx, n.gateway(0), func(i int) []string { return []string{"cp", files[i], byCommand} })
	all := func(add deed) deed {
		return func(int) error {
			for i := range count {
				if err := add(i); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return n.keep(n.measure(ctx, benchOp{What: opAdd, Count: count}, 1, all(add), all(func(i int) error {
		return n.put(ctx, inside+filepath.Base(files[i]), smallFileSize, false)
	})))
}

// directory measures a directory with so many entries, which are made in one step.
func (n *namesBench) directory(ctx context.Context, count int) error {
	items := make([]control.Item, count)
	for i := range items {
		items[i] = n.linked
		items[i].Name = fmt.Sprintf("file-%06d.txt", i)
	}
	d := benchDirectory{namesBench: n, target: fmt.Sprintf("%s/filled-%d", benchHome, count), count: count}
	err := n.keep(n.once(ctx, benchOp{What: opFill, Count: count}, func() error {
		made, err := n.client.Fill(ctx, control.FillRequest{Target: d.target, Items: items})
		if err == nil {
			d.open, err = capability.Parse(made.Entry.Capability)
		}
		return err
	}))
	if err == nil {
		op := &n.out.Names[len(n.out.Names)-1]
		op.Command, op.Inside = 0, op.Command
		err = d.reads(ctx)
	}
	if err == nil {
		err = d.edits(ctx)
	}
	return err
}

// A benchDirectory is a directory of one size.
type benchDirectory struct {
	*namesBench
	target string
	open   capability.Capability
	count  int
}

func (d benchDirectory) op(what string) benchOp { return benchOp{What: what, Count: d.count} }

// name returns an entry's path, another one for each i.
func (d benchDirectory) name(root string, i int) string {
	return fmt.Sprintf("%s/file-%06d.txt", root, (d.count/2+i*17)%d.count)
}

// reads lists the directory and looks names up: through gateways that have never seen it, and again.
func (d benchDirectory) reads(ctx context.Context) error {
	others := len(d.nodes.nodes) - 1
	cold, first := min(coldTimes, others/2), 1
	ls := func(i int) error {
		_, err := d.nodes.verb(ctx, d.gateway(first+i), "ls", d.open.Text())
		return err
	}
	stat := func(i int) error {
		_, err := d.nodes.verb(ctx, d.gateway(others-i), "stat", d.name(d.open.Text(), i))
		return err
	}
	if err := d.keep(d.measure(ctx, d.op(opList), cold, ls, nil)); err != nil {
		return err
	}
	if err := d.keep(d.measure(ctx, d.op(opFind), cold, stat, nil)); err != nil {
		return err
	}
	again := d.verbs(ctx, d.gateway(0), func(int) []string { return []string{"ls", d.target} })
	err := d.keep(d.measure(ctx, d.op(opListAgain), coldTimes, again, func(int) error {
		found := 0
		err := d.client.List(ctx, control.ListRequest{Target: d.target}, func(control.Entry) error { found++; return nil })
		if err == nil && found != d.count {
			err = fmt.Errorf("%d entries were listed of %d", found, d.count)
		}
		return err
	}))
	if err != nil {
		return err
	}
	find := d.verbs(ctx, d.gateway(0), func(i int) []string { return []string{"stat", d.name(d.target, i)} })
	return d.keep(d.measure(ctx, d.op(opFindAgain), namesTimes, find, func(i int) error {
		_, err := d.client.Lookup(ctx, control.LookupRequest{Target: d.name(d.target, i)})
		return err
	}))
}

// edits changes single entries.
func (d benchDirectory) edits(ctx context.Context) error {
	gateway := d.gateway(0)
	files, err := d.several(namesTimes, smallFileSize)
	if err != nil {
		return err
	}
	add := d.verbs(ctx, gateway, func(i int) []string { return []string{"cp", files[i], d.target + "/"} })
	err = d.keep(d.measure(ctx, d.op(opAddOne), namesTimes, add, func(i int) error {
		return d.put(ctx, fmt.Sprintf("%s/inside-%d", d.target, i), smallFileSize, false)
	}))
	if err != nil {
		return err
	}
	move := d.verbs(ctx, gateway, func(i int) []string {
		return []string{"mv", d.name(d.target, i), fmt.Sprintf("%s/moved-%d", d.target, i)}
	})
	err = d.keep(d.measure(ctx, d.op(opRename), namesTimes, move, func(i int) error {
		source, target := fmt.Sprintf("%s/moved-%d", d.target, i), fmt.Sprintf("%s/back-%d", d.target, i)
		_, err := d.client.Move(ctx, control.MoveRequest{Source: source, Target: target})
		return err
	}))
	if err != nil {
		return err
	}
	remove := d.verbs(ctx, gateway, func(i int) []string { return []string{"rm", fmt.Sprintf("%s/back-%d", d.target, i)} })
	return d.keep(d.measure(ctx, d.op(opRemove), namesTimes, remove, func(i int) error {
		_, err := d.client.Remove(ctx, control.RemoveRequest{Target: fmt.Sprintf("%s/inside-%d", d.target, i)})
		return err
	}))
}
