package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// The demo's grid. With ten shares on ten nodes, the file survives the loss of any Total-Needed of them.
const (
	demoNodes  = 10
	demoSample = 16 << 20 // bytes
)

var demoParams = share.Params{Needed: 3, Happy: 7, Total: 10}

// A demo is one run of the story that `cairn demo` tells.
type demo struct {
	story *story
	in    io.Reader
	keep  bool

	file   string // what is stored
	size   int64
	digest [sha256.Size]byte
	dir    string
	nodes  *localNodes

	writer, reader *localNode // the gateways
	capability     string
	lost           []*localNode
}

func newDemoCommand(a *app) *cobra.Command {
	d := &demo{}
	cmd := &cobra.Command{
		Use:   "demo [FILE]",
		Short: "watch a file survive the loss of seven of ten nodes",
		Long: help(`Starts ten nodes as separate processes on this machine, stores FILE (or a sample) in ten shares of which any three
give it back, kills seven nodes that hold shares and deletes their disks, reads the file back through another node,
and repairs it onto fresh ones. It needs no network and no node of yours, and leaves nothing behind.`, statusNotFound),
		Example: "  cairn demo\n  cairn demo holiday.mp4",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				d.file = args[0]
			}
			d.in, d.story = a.in, newStory(a.out, a.quiet, a.json)
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&d.keep, "keep", false, "keep the nodes' directories and say where they are")
	return cmd
}

func (d *demo) run(ctx context.Context) (err error) {
	// Before anything is started: a mistyped name should cost nothing.
	if d.file != "" && d.file != "-" {
		if err := d.measure(); err != nil {
			return about(err, "demo")
		}
	}
	d.dir, err = os.MkdirTemp("", "cairn-demo-")
	if err != nil {
		return about(err, "demo")
	}
	defer func() { err = errors.Join(err, d.cleanUp()) }()
	d.nodes, err = newLocalNodes(d.dir)
	if err != nil {
		return about(err, "demo")
	}
	if err := d.sample(); err != nil {
		return about(err, "demo")
	}
	if d.size <= capability.MaxLiteral {
		return withHint(usagef("demo: %s has only %d bytes: so little lives in the capability itself and needs no grid", d.file, d.size),
			"take a file of more than %d bytes", capability.MaxLiteral)
	}
	d.story.opening()
	for _, tell := range []func(context.Context, *step) error{d.start, d.store, d.lose, d.readBack, d.replace, d.repair, d.verify} {
		if err := d.story.tell(ctx, tell); err != nil {
			return about(err, "demo")
		}
	}
	return d.story.ending(d)
}

func (d *demo) cleanUp() error {
	if d.nodes != nil {
		d.nodes.grid.Close()
	}
	if d.keep {
		d.story.note("The nodes' directories are in %s.", d.dir)
		return nil
	}
	return os.RemoveAll(d.dir)
}

// measure takes the length and the digest of the file, against which the copy will be compared.
func (d *demo) measure() error {
	file, err := os.Open(d.file)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	d.size, err = io.Copy(hash, file)
	hash.Sum(d.digest[:0])
	return err
}

// sample makes a file of standard input, or of random bytes, where no file is named.
func (d *demo) sample() error {
	from := io.LimitReader(rand.Reader, demoSample)
	name := "sample.bin"
	switch d.file {
	case "":
	case "-":
		from, name = d.in, "input"
	default:
		return nil
	}
	d.file = filepath.Join(d.dir, name)
	file, err := os.Create(d.file)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return d.measure()
}

func (d *demo) start(ctx context.Context, s *step) error {
	s.title("start", "Start ten nodes, each a process of its own")
	if err := d.nodes.found(ctx, "demo", demoParams, demoNodes); err != nil {
		return err
	}
	d.writer = d.nodes.nodes[0]
	s.say("They found each other on the loopback interface: %s.", names(d.nodes.nodes))
	return nil
}

func (d *demo) store(ctx context.Context, s *step) error {
	s.title("store", "Store %s (%s) through %s", filepath.Base(d.file), sizeText(d.size), d.writer.Name)
	out, err := d.nodes.verb(ctx, d.writer, "put", "--", d.file)
	if err != nil {
		return err
	}
	lines := strings.Fields(out)
	if len(lines) == 0 {
		return errors.New("put printed no capability")
	}
	d.capability = lines[len(lines)-1]
	s.rate(d.size)
	s.say("Encrypted on the way in and cut into ten shares; any three of them give the file back.")
	s.say("Its capability, the only key there is: %s", shortened(d.capability))
	return nil
}

// lose kills as many nodes with shares as the encoding survives, but neither gateway, and deletes their folders.
func (d *demo) lose(ctx context.Context, s *step) error {
	most := demoParams.Total - demoParams.Needed
	s.title("lose", "Kill seven nodes that hold shares (kill -9) and delete their disks")
	report, err := d.check(ctx, d.writer, false)
	if err != nil {
		return err
	}
	held := sharesOn(report)
	holders := d.nodes.holding(held)
	holders = slices.DeleteFunc(holders, func(n *localNode) bool { return n == d.writer })
	if len(holders) <= most {
		return fmt.Errorf("only %d other nodes hold shares: want more than %d", len(holders), most)
	}
	d.lost, d.reader = holders[:most], holders[len(holders)-1]
	shares := 0
	for _, node := range d.lost {
		shares += held[node.ID]
	}
	if left := report.SharesGood - shares; left < demoParams.Needed {
		return fmt.Errorf("only %d shares would be left: the placement put several on one node", left)
	}
	s.restart() // finding out who holds what is not part of the deed
	for _, node := range d.lost {
		if err := d.nodes.destroy(node); err != nil {
			return err
		}
	}
	s.say("Gone: %s.", names(d.lost))
	s.say("Left: %s, with %d of the ten shares: as few as can do it.", names(d.nodes.running()), report.SharesGood-shares)
	return nil
}

func (d *demo) readBack(ctx context.Context, s *step) error {
	s.title("read", "Read the file back through another gateway, %s", d.reader.Name)
	digest, err := d.get(ctx, d.reader)
	if err != nil {
		return err
	}
	s.rate(d.size)
	s.say("SHA-256 before %s", hex.EncodeToString(d.digest[:]))
	s.say("SHA-256 after  %s", hex.EncodeToString(digest[:]))
	if digest != d.digest {
		return errors.New("the file that came back is not the one that was stored")
	}
	s.say("The same, bit for bit.")
	return nil
}

// get reads the file through a node and returns the digest of what came.
func (d *demo) get(ctx context.Context, node *localNode) (digest [sha256.Size]byte, err error) {
	copied := filepath.Join(d.dir, "copy")
	defer os.Remove(copied)
	if _, err := d.nodes.verb(ctx, node, "get", d.capability, "-o", copied); err != nil {
		return digest, err
	}
	got := demo{file: copied}
	err = got.measure()
	return got.digest, err
}

func (d *demo) replace(ctx context.Context, s *step) error {
	s.title("replace", "Start %d fresh nodes with empty disks", len(d.lost))
	fresh, err := d.nodes.add(ctx, len(d.lost))
	if err != nil {
		return err
	}
	s.say("They joined with the grid's address: %s.", names(fresh))
	return nil
}

func (d *demo) repair(ctx context.Context, s *step) error {
	s.title("repair", "Repair the file onto them")
	out, err := d.nodes.verb(ctx, d.reader, "cap", "diminish", d.capability)
	if err != nil {
		return err
	}
	verify := strings.TrimSpace(out)
	s.restart()
	if _, err := d.nodes.verb(ctx, d.reader, "repair", verify); err != nil {
		return err
	}
	s.say("The lost shares were made anew from the ones left, with the verify capability alone:")
	s.say("who repairs a file need not be able to read it.")
	return nil
}

func (d *demo) verify(ctx context.Context, s *step) error {
	s.title("verify", "Verify: fetch every share and check every byte")
	report, err := d.check(ctx, d.reader, true)
	if err != nil {
		return err
	}
	s.say("%d of %d shares are good, on %d nodes.", report.SharesGood, report.SharesTotal, len(report.Holders))
	if !report.Healthy || len(report.Corrupt) > 0 || report.Happiness < report.SharesTotal {
		return fmt.Errorf("the file is not healthy again: %d of %d shares are good, happiness %d", report.SharesGood, report.SharesTotal, report.Happiness)
	}
	return d.readThroughFresh(ctx, s)
}

// readThroughFresh reads the file through a node that did not exist when it was stored.
func (d *demo) readThroughFresh(ctx context.Context, s *step) error {
	fresh := d.nodes.nodes[len(d.nodes.nodes)-1]
	s.stop()
	digest, err := d.get(ctx, fresh)
	if err == nil && digest != d.digest {
		err = errors.New("the repaired file is not the one that was stored")
	}
	s.say("And %s, which is newer than the file, reads it too.", fresh.Name)
	return err
}

// check asks a node how the file is.
func (d *demo) check(ctx context.Context, node *localNode, verify bool) (control.Report, error) {
	file, err := capability.Parse(d.capability)
	if err != nil {
		return control.Report{}, err
	}
	return ask(ctx, node, func(c *control.Client, ctx context.Context) (control.Report, error) {
		return c.Check(ctx, file, verify, nil)
	})
}

// sharesOn returns how many shares each server holds.
func sharesOn(report control.Report) map[string]int {
	out := map[string]int{}
	for id, numbers := range report.Holders {
		out[string(id)] = len(numbers)
	}
	return out
}
