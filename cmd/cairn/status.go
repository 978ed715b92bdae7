package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/share"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show the running node at a glance",
		Long: help(`Shows the running node: who it is, its grid, how many peers answer, the space it lends and who uses it, and what you
use of the space that others lend; and how healthy home: was found, if it was looked at since the node started.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			err = a.result(s, func(w io.Writer) { printStatus(w, s) })
			if h := s.Health; h != nil {
				a.noteUnhealthy(h.Thin + h.Degraded + h.Unrecoverable)
			}
			return err
		},
	}
}

func printStatus(w io.Writer, s control.Status) {
	fmt.Fprintf(w, "node     %s %s\n", s.Nickname, s.Node)
	fmt.Fprintf(w, "grid     %s (%s)\n", s.Grid.Name, s.Grid.ID)
	fmt.Fprintf(w, "peers    %d answer, %d known\n", s.Peers, s.PeersKnown)
	switch b := s.Storage.Bucket; {
	case b != nil && b.Problem != "":
		fmt.Fprintf(w, "storage  takes nothing now, %s used\n", sizeText(s.Storage.Used))
		printOwners(w, s.Storage.Owners)
	case b != nil && b.Unbounded:
		fmt.Fprintf(w, "storage  lends as much as the bucket takes, %s used\n", sizeText(s.Storage.Used))
		printOwners(w, s.Storage.Owners)
	case s.Storage.Enabled:
		fmt.Fprintf(w, "storage  lends %s, %s used, %s free\n", sizeText(s.Storage.Offered), sizeText(s.Storage.Used), sizeText(s.Storage.Free))
		printOwners(w, s.Storage.Owners)
	default:
		fmt.Fprintf(w, "storage  lends nothing\n")
	}
	if s.Storage.Bucket != nil {
		printBucket(w, s.Storage.Bucket)
	}
	if s.Spill != nil {
		held := sizeText(s.Spill.Used) + " of it there"
		where := "behind the disk"
		if s.Spill.NoDisk {
			where = "for this node's files"
		}
		switch {
		case s.Spill.Problem != "" && !s.Spill.Open:
			held = "not served: " + s.Spill.Problem
		case s.Spill.Problem != "":
			held += ", but it is in trouble: " + s.Spill.Problem
		}
		fmt.Fprintf(w, "bucket   %s %s, %s\n", s.Spill.Bucket, where, held)
		if s.Spill.Problem == "" && s.Spill.Met != "" {
			fmt.Fprintf(w, "lately   %s\n", metText(s.Spill.BucketUse))
		}
		printMonths(w, s.Spill.Months)
	}
	if s.Alone != "" {
		fmt.Fprintf(w, "alone    what you store stays with this node: %s\n", s.Alone)
	}
	if s.Health != nil {
		fmt.Fprintf(w, "health   %s\n", healthText(*s.Health, time.Now()))
	}
	fmt.Fprintf(w, "usage    %s\n", usageText(s.Usage))
	fmt.Fprintf(w, "up       %s, process %d, version %s\n", (time.Duration(s.Uptime) * time.Second).Round(time.Second), s.PID, s.Version)
	for _, address := range s.Addresses {
		fmt.Fprintf(w, "address  %s\n", address)
	}
}

// noteUnhealthy says what to do about things in the root directory that are not healthy.
func (a *app) noteUnhealthy(n int) {
	if n > 0 {
		a.note("next: \"%s\" names what is not healthy, \"%s\" mends what can be mended", a.command("check -r "+homeTarget), a.command("repair -r "+homeTarget))
	}
}

// healthText says how the root directory was found, and when.
func healthText(h control.Health, now time.Time) string {
	when := now.Sub(h.Checked).Round(time.Second).String()
	if h.Thin+h.Degraded+h.Unrecoverable == 0 {
		return fmt.Sprintf("all %d objects of %s are healthy, %s ago", h.Objects, homeTarget, when)
	}
	var wrong []string
	for _, part := range []struct {
		n    int
		what string
	}{{h.Thin, "on too few servers"}, {h.Degraded, "degraded"}, {h.Unrecoverable, "not recoverable"}} {
		if part.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return fmt.Sprintf("%s, of %d objects of %s, %s ago", strings.Join(wrong, ", "), h.Objects, homeTarget, when)
}

func printBucket(w io.Writer, b *control.Bucket) {
	fmt.Fprintf(w, "bucket   %s", b.URL)
	if b.Open {
		fmt.Fprintf(w, ", %d objects of %s; since the start %d requests, %s sent, %s received", b.Objects, sizeText(b.Stored), b.Requests, sizeText(b.Sent), sizeText(b.Received))
	}
	fmt.Fprintln(w)
	if b.Problem != "" {
		fmt.Fprintf(w, "problem  %s\n", b.Problem)
	} else if b.Met != "" {
		fmt.Fprintf(w, "lately   %s\n", metText(b.BucketUse))
	}
	printMonths(w, b.Months)
}

// metText tells of a request to a bucket that failed.
func metText(u control.BucketUse) string {
	return fmt.Sprintf("a request failed %s ago: %s", time.Since(u.MetAt).Round(time.Second), u.Met)
}

func printMonths(w io.Writer, months []control.BucketMonth) {
	for i := range months {
		fmt.Fprintf(w, "%-8s %s\n", months[i].Month, monthText(&months[i]))
	}
}

// monthText says what was asked of a bucket in a month, and what that costs where the prices are known.
func monthText(m *control.BucketMonth) string {
	text := fmt.Sprintf("%d requests that write, %d that read; %s sent, %s received, %s kept on average",
		m.Writes, m.Reads, sizeText(m.Sent), sizeText(m.Received), sizeText(m.Kept))
	if m.Cost == nil {
		return text
	}
	return fmt.Sprintf("%s; cost %s so far, %s for the whole month if it goes on so", text, moneyText(*m.Cost, m.Currency), moneyText(*m.Expected, m.Currency))
}

// moneyText writes an amount with as many digits as make sense of it.
func moneyText(amount float64, currency string) string {
	digits := 2
	if amount > 0 && amount < 0.1 {
		digits = 4
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, amount, currency))
}

// maxOwners is how many of those who use the disk are named; the others are in the JSON.
const maxOwners = 8

func printOwners(w io.Writer, owners []control.Owner) {
	for i, o := range owners {
		if i == maxOwners {
			fmt.Fprintf(w, "         and %d more\n", len(owners)-i)
			return
		}
		name := cmp.Or(o.Nickname, share.ServerID(o.ID).Short())
		if o.Own {
			name = "yourself"
		}
		limit := ""
		if o.Limit != share.NoLimit {
			limit = " of " + sizeText(o.Limit)
		}
		fmt.Fprintf(w, "         for %s %s%s\n", name, sizeText(o.Used), limit)
	}
}

// usageText says what the person behind the node uses of the grid.
func usageText(u control.Usage) string {
	if u.Asked == 0 {
		return "no other node stores yet"
	}
	text := "you use " + sizeText(u.Used)
	if u.Limit != share.NoLimit {
		text += " of " + sizeText(u.Limit)
	}
	text += fmt.Sprintf(" on %d of the %d servers of others", u.Servers, u.Asked)
	if away := u.Asked - u.Answered; away > 0 {
		text += fmt.Sprintf(", %d of which did not tell", away)
	}
	return text
}
