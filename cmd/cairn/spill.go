package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/config"
	"cairn/node/control"
	"cairn/share/s3"
)

func newSpillCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spill",
		Short: "a bucket for what the disk and the peers cannot take",
		Long: help(`Puts a bucket of an S3-compatible server behind the node's disk, or in its place where the node lends nothing. Shares
of this node's files go there when no other node is left for them: too few, too full, or off line. While the disk is
fuller than its mark, what others store here goes there too. When there is room again they leave it. Members find and
read them here as before.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newSpillSetCommand(a), newSpillShowCommand(a), newSpillTestCommand(a), newSpillTakeOverCommand(a), newSpillStatusCommand(a), newSpillDrainCommand(a), newSpillOffCommand(a),
	)
	return cmd
}

// spillSettings are the settings of the bucket, and where its keys come from.
type spillSettings struct {
	Bucket      string      `json:"bucket"` // empty where none is set
	Endpoint    string      `json:"endpoint"`
	Region      string      `json:"region"`
	PathStyle   bool        `json:"path_style"`
	VirtualHost bool        `json:"virtual_host"`
	CA          string      `json:"ca"`
	Offer       config.Size `json:"offer"`
	High        int         `json:"high"`
	Low         int         `json:"low"`
	Rate        config.Size `json:"rate"`
	KeepCopy    bool        `json:"keep_copy"`
	AccessKey   string      `json:"access_key,omitempty"` // empty where the keys are the machine's
}

func newSpillShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "show which bucket is set",
		Long:  help("Shows the settings of the bucket, and where its keys come from. It does not show the secret key."),
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, where, set, err := a.bucket()
			if err != nil {
				return err
			}
			x := c.Spill
			shown := spillSettings{
				x.Bucket, x.Endpoint, x.Region, x.PathStyle, x.VirtualHost, x.CA, x.Offer, x.High, x.Low, x.Rate, x.KeepCopy, where.AccessKey,
			}
			return a.result(shown, func(w io.Writer) {
				if !set {
					fmt.Fprintln(w, noSpill(c))
					return
				}
				printSpillSettings(w, c, keysOf(where))
			})
		},
	}
}

func printSpillSettings(w io.Writer, c config.Config, keys string) {
	t := newTable(w)
	defer t.end()
	t.row("bucket", c.Spill.Bucket)
	t.row("endpoint", orDefault(c.Spill.Endpoint, "Amazon's"))
	t.row("region", orDefault(c.Spill.Region, "us-east-1"))
	t.row("keys", keys)
	if c.Spill.Offer > 0 {
		t.row("takes", c.Spill.Offer.String()+" at most")
	}
	if !c.Storage.Enabled {
		t.row("goes there", "what no other node is left for of this node's files")
		t.row("copies", copiesText(c.Spill.KeepCopy))
		t.row("comes back", "when other nodes have room")
		return
	}
	t.row("goes there", fmt.Sprintf("what no other node is left for of this node's files; for others what comes when the disk is %d %% full", c.Spill.High))
	t.row("copies", copiesText(c.Spill.KeepCopy))
	t.row("comes back", fmt.Sprintf("until the disk is %d %% full, %s", c.Spill.Low, rateText(c.Spill.Rate)))
}

func rateText(rate config.Size) string {
	if rate == 0 {
		return "as fast as it goes"
	}
	return rate.String() + " a second"
}

func copiesText(keep bool) string {
	if keep {
		return "a complete one of every file that is stored"
	}
	return "where they are asked for (put --keep-copy s3)"
}

func orDefault(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// bucket returns the settings and the bucket that they name.
func (a *app) bucket() (config.Config, s3.Config, bool, error) {
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return c, s3.Config{}, false, err
	}
	dir, err := a.openDir()
	if err != nil {
		return c, s3.Config{}, false, err
	}
	where, set, err := dir.Bucket(c)
	return c, where, set, err
}

// setBucket is bucket, and fails where none is set.
func (a *app) setBucket() (config.Config, s3.Config, error) {
	c, where, set, err := a.bucket()
	switch {
	case err != nil || set:
	case c.Storage.Bucket():
		err = withHint(errors.New(noSpill(c)), "\"%s\" tries that one out", a.command("storage test"))
	default:
		err = withHint(errors.New(noSpill(c)), "set one: \"%s\"", a.command("spill set s3://BUCKET/PREFIX"))
	}
	return c, where, err
}

// noSpill says that no bucket is behind the disk.
func noSpill(c config.Config) string {
	if c.Storage.Bucket() {
		return "this node keeps all its shares in a bucket, " + c.Storage.Path + ", and has no other one"
	}
	return "no bucket is set"
}

func newSpillTestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "try the bucket out",
		Long: help(`Looks whether another node has the prefix, or one above or below it. Then it writes a small object, reads it, compares
it and deletes it, and says what is wrong when one of these fails. It also tells when the bucket keeps versions or locks
objects, and when its server does not know conditional writes. The node does not have to run.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, where, err := a.setBucket()
			if err != nil {
				return err
			}
			dir, err := a.openDir()
			if err != nil {
				return err
			}
			began := time.Now()
			found, err := dir.ProbeBucket(cmd.Context(), where)
			if err != nil {
				return a.explainSpill(err, c.Spill.Bucket)
			}
			return a.tried(c.Spill.Bucket, found, time.Since(began))
		},
	}
}

func newSpillStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show what is in the bucket",
		Long:  help("Shows how much is in the bucket, what the running node has asked of it, and when shares were last brought back."),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.running("spill status", func(client *control.Client) error {
				s, err := client.Spill(cmd.Context())
				if err != nil {
					return err
				}
				if s.Locked {
					a.noteLocked()
				}
				return a.result(s, func(w io.Writer) { a.printSpill(w, s) })
			})
		},
	}
}

// noteLocked says what can be done about a bucket that another node has.
func (a *app) noteLocked() {
	a.note("if that node is gone for good, stop this one and take over what it stored with \"%s\"; otherwise name another bucket: \"%s\", then \"%s\"",
		a.command("spill take-over"), a.command("spill off --abandon"), a.command("spill set s3://BUCKET/PREFIX"))
}

func (a *app) printSpill(w io.Writer, s control.Spill) {
	if s.Bucket == "" {
		a.printNoSpill(w)
		return
	}
	fmt.Fprintf(w, "bucket    %s\n", s.Bucket)
	if s.Problem != "" {
		what := "what is in it is not served"
		if s.Open {
			what = "it takes nothing, or does not answer"
		}
		fmt.Fprintf(w, "problem   %s: %s\n", what, s.Problem)
		if !s.Open {
			return
		}
	}
	if s.Problem == "" && s.Met != "" {
		fmt.Fprintf(w, "lately    %s\n", metText(s.BucketUse))
	}
	fmt.Fprintf(w, "holds     %s of shares, %d objects of %s\n", sizeText(s.Used), s.Objects, sizeText(s.Stored))
	fmt.Fprintf(w, "requests  %d, %s sent, %s received since the node started\n", s.Requests, sizeText(s.Sent), sizeText(s.Received))
	for i := range s.Months {
		fmt.Fprintf(w, "%-9s %s\n", s.Months[i].Month, monthText(&s.Months[i]))
	}
	if s.Draining != nil {
		fmt.Fprintf(w, "draining  %s so far in the pass that goes on\n", movedText(*s.Draining))
	}
	if s.Drained.IsZero() {
		return
	}
	fmt.Fprintf(w, "drained   %s: %s\n", s.Drained.Local().Format(time.DateTime), movedText(s.DrainResult))
	for _, line := range leftLines(s.DrainResult) {
		fmt.Fprintf(w, "          %s\n", a.advice(line))
	}
}

// printNoSpill says that the running node has no bucket behind its disk.
func (a *app) printNoSpill(w io.Writer) {
	if c, _, err := a.loadConfig(nil); err == nil && c.Storage.Bucket() {
		fmt.Fprintf(w, "%s; %q shows what is in it\n", noSpill(c), a.command("status"))
		return
	}
	fmt.Fprintln(w, "the node uses no bucket")
}

// movedText says what left the bucket.
func movedText(r control.DrainResult) string {
	text := fmt.Sprintf("%d shares (%s) came back", r.Shares+r.Spread, sizeText(r.Bytes+r.SpreadBytes))
	if r.Spread > 0 {
		text += fmt.Sprintf(", %d of them to servers that had none of the file", r.Spread)
	}
	if r.Names > 0 {
		text += fmt.Sprintf(", and the heads of %d names", r.Names)
	}
	return text
}

// leftLines say what is left in the bucket, and why.
func leftLines(r control.DrainResult) []string {
	lines := []string{fmt.Sprintf("%d shares are left in the bucket", r.Left)}
	if r.Waiting > 0 {
		lines = append(lines, fmt.Sprintf("%d of them wait for servers with room that have no share of the same file", r.Waiting))
	}
	if r.Full {
		lines = append(lines, "the disk has no room for more below its low mark")
	}
	if r.NamesLeft > 0 {
		lines = append(lines, fmt.Sprintf("the heads of %d names are left there", r.NamesLeft))
	}
	if r.Kept > 0 {
		lines = append(lines, fmt.Sprintf("%d shares of copies stay there", r.Kept))
	}
	if len(r.Damaged) > 0 {
		lines = append(lines, fmt.Sprintf("%d shares were found damaged: \"cairn repair\" makes them anew from the other shares of their files", len(r.Damaged)))
	}
	return lines
}

func newSpillDrainCommand(a *app) *cobra.Command {
	var rate string
	var all bool
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "bring shares back from the bucket now",
		Long: help(`Empties the bucket as far as there is room elsewhere. Shares of this node's files go to servers that have none of the
same file, this node's disk among them; those stored for others come back to the disk. Each is read back and verified
there before it leaves the bucket. A running node does so by itself, once a minute. It can be interrupted and run
again. --all brings to the disk what no other server takes, although other servers would be safer.`, statusNotEnough),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var size config.Size
			if err := size.UnmarshalText([]byte(rate)); err != nil {
				return &usageError{err: about(err, "--rate")}
			}
			return a.running("spill drain", func(client *control.Client) error {
				bar := a.progress()
				defer bar.done()
				r, err := client.DrainSpill(cmd.Context(), control.DrainRequest{Rate: int64(size), All: all}, bar.show)
				bar.done()
				if err != nil {
					return err
				}
				return a.result(r, func(w io.Writer) { a.printDrained(w, r, all) })
			})
		},
	}
	cmd.Flags().StringVar(&rate, "rate", "0", "how much is moved each second; 0: as fast as it goes")
	cmd.Flags().BoolVar(&all, "all", false, "use all that the disk lends, also for shares that are better elsewhere")
	return cmd
}

func (a *app) printDrained(w io.Writer, r control.DrainResult, all bool) {
	fmt.Fprintln(w, movedText(r))
	for _, line := range leftLines(r) {
		fmt.Fprintln(w, a.advice(line))
	}
	switch {
	case r.Full && all:
		fmt.Fprintln(w, "for the rest lend more (storage.offer), or start or invite more nodes")
	case r.Left > 0 && !all:
		fmt.Fprintln(w, "for the rest start or invite more nodes, lend more (storage.offer), or use --all")
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(w, "damaged: %s\n", d)
	}
}
