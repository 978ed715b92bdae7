package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/introducer"
	"cairn/introducer/invite"
	"cairn/node"
	"cairn/node/account"
	"cairn/node/control"
	"cairn/share"
)

const (
	// sheetMembers is how many members a sheet names, with sheetAddresses each in its code.
	sheetMembers   = 4
	sheetAddresses = 3
)

// sheetOptions say what to print.
type sheetOptions struct {
	phraseOptions
	out    string
	phrase bool
}

func newAccountSheetCommand(a *app) *cobra.Command {
	o := &sheetOptions{}
	cmd := &cobra.Command{
		Use:   "sheet",
		Short: "print a recovery sheet",
		Long: help(`Prints what to keep on paper: your grid, members that can let you back in, and lines for the 24 words. While the node
runs, the sheet has the addresses that members have now; introducers come first.

-o FILE writes a file that you alone can read; one whose name ends in .html is a page with a square code, to be
printed from a browser. With --with-phrase, or --phrase-file, the words are on it too: print it at home, and delete
the file. A phrase that nobody has seen yet is on the sheet without being asked for, and counts as shown then.`, statusRefused),
		Example: "  cairn account sheet -o sheet.html\n  cairn account sheet --with-phrase | lp",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAccountSheet(cmd.Context(), a, o) },
	}
	cmd.Flags().StringVarP(&o.out, "output", "o", "-", "`FILE` to write, a page if its name ends in .html")
	cmd.Flags().BoolVar(&o.phrase, "with-phrase", false, "ask for the recovery phrase and print it too")
	o.addFlags(cmd.Flags())
	return cmd
}

func runAccountSheet(ctx context.Context, a *app, o *sheetOptions) error {
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	sheet, err := a.sheet(ctx, dir)
	if err != nil {
		return about(err, "recovery sheet")
	}
	unseen, err := dir.Phrase()
	switch {
	case o.phrase || o.file != "":
		phrase, err := a.phrase(o.phraseOptions)
		if err == nil {
			err = matches(dir, phrase)
		}
		if err != nil {
			return err
		}
		sheet.Phrase = &phrase
	case err == nil:
		sheet.Phrase = &unseen
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := a.writeSheet(sheet, o.out); err != nil {
		return err
	}
	if sheet.Phrase == &unseen {
		return dir.ForgetPhrase()
	}
	return nil
}

// writeSheet writes a sheet to a file, or to standard output.
func (a *app) writeSheet(sheet account.Sheet, path string) error {
	data := []byte(sheet.Text())
	if strings.EqualFold(filepath.Ext(path), ".html") {
		var err error
		if data, err = sheet.HTML(); err != nil {
			return err
		}
	}
	if path == "-" {
		return a.result(map[string]string{"sheet": string(data), "code": sheet.Code()}, func(w io.Writer) { _, _ = w.Write(data) })
	}
	if err := writePrivate(path, data); err != nil {
		return about(err, "recovery sheet")
	}
	if sheet.Phrase != nil {
		a.note("%s has the recovery phrase on it: print it, and delete the file.", path)
	}
	return a.result(map[string]string{"file": path}, func(w io.Writer) { fmt.Fprintf(w, "wrote %s\n", path) })
}

// writePrivate writes a file that its owner alone can read, also where it was there before.
func writePrivate(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = file.Chmod(0o600)
	if err == nil {
		_, err = file.Write(data)
	}
	return errors.Join(err, file.Close())
}

// sheet gathers what a recovery sheet says, from the running node where there is one.
func (a *app) sheet(ctx context.Context, dir *node.Dir) (account.Sheet, error) {
	s := account.Sheet{Made: time.Now()}
	self, err := dir.Account()
	if err != nil {
		return s, err
	}
	s.Account = self.Key().Short()
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return s, err
	}
	s.Nickname = c.Nickname
	address, err := dir.Grid()
	if errors.Is(err, node.ErrNoGrid) {
		a.note("The node belongs to no grid yet: make another sheet when it does.")
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Grid, s.GridID = address.Grid.Name, address.Grid.ID()
	contacts := a.contacts(ctx, &s)
	if len(contacts) == 0 {
		contacts = address.Bootstrap
		s.Members = members(contacts)
	}
	if address, err = introducer.NewAddress(address.Grid, contacts); err != nil {
		return s, err
	}
	s.Address = address.String()
	return s, nil
}

// members returns the first address of each of the nodes that addresses lead to.
func members(addresses []string) []account.Contact {
	var list []account.Contact
	seen := map[string]bool{}
	for _, at := range addresses {
		id := at[strings.LastIndex(at, "/")+1:]
		if !seen[id] && len(list) < sheetMembers {
			seen[id] = true
			list = append(list, account.Contact{Name: "a member", Address: at})
		}
	}
	return list
}

// contacts asks the running node for members that can let somebody back in, introducers first, and notes how the grid knows the
// person. It returns their addresses, none where the node does not run.
func (a *app) contacts(ctx context.Context, s *account.Sheet) []string {
	client, err := a.client()
	if err != nil {
		a.note("The node does not run: the sheet has the addresses that members had when you joined.")
		return nil
	}
	defer client.Close()
	peers, err := client.Peers(ctx)
	if err != nil {
		a.note("The node does not answer: the sheet has the addresses that members had when you joined.")
		return nil
	}
	rank := map[string]int{}
	if members, err := client.Members(ctx); err == nil { // not in an open grid
		for _, m := range members {
			if m.Self {
				s.Nickname = m.Nickname
			}
			for _, d := range m.Devices {
				rank[d.ID] = rankOf(m)
			}
		}
	}
	peers = slices.DeleteFunc(peers, func(p control.Peer) bool { return len(p.Addresses) == 0 || !p.Answers })
	slices.SortStableFunc(peers, func(x, y control.Peer) int { return rank[x.ID] - rank[y.ID] })
	var all []string
	for _, p := range peers[:min(len(peers), sheetMembers)] {
		own := invite.ChooseAddresses(share.ServerID(p.ID), p.Addresses, sheetAddresses)
		if len(own) == 0 {
			continue
		}
		s.Members = append(s.Members, account.Contact{Name: p.Nickname, Address: own[0]})
		all = append(all, own...)
	}
	return all
}

// rankOf orders members by how likely they are there when everything is lost: introducers, others, then one's own devices.
func rankOf(m control.Member) int {
	switch {
	case m.Self:
		return 2
	case m.Introducer:
		return 0
	}
	return 1
}

// writeNewSheet writes the sheet of a node that was just made, with its phrase.
func (a *app) writeNewSheet(ctx context.Context, dir *node.Dir, path string) error {
	quiet := *a
	quiet.out, quiet.quiet = io.Discard, true
	return runAccountSheet(ctx, &quiet, &sheetOptions{out: path})
}
