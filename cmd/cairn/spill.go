package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
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
	cmd.AddCommand(newSpillSetCommand(a), newSpillShowCommand(a), newSpillTestCommand(a), newSpillStatusCommand(a), newSpillDrainCommand(a), newSpillOffCommand(a))
	return cmd
}

// spillFlags are those of "spill set"; the first ones are settings.
type spillFlags struct {
	bucketAddress
	offer, rate string
	high, low   int
	keys        keyOptions
}

func newSpillSetCommand(a *app) *cobra.Command {
	var f spillFlags
	cmd := &cobra.Command{
		Use:   "set s3://BUCKET/PREFIX",
		Short: "name the bucket",
		Long: help(`Writes down which bucket is used, and keeps its keys in a file of the node's directory that only you can read. The
secret key is read from a file, or from standard input ("--secret-file -"), or asked for; it is never on the command
line. Without --access-key the keys come from the environment, from the files of the AWS tools, or from the role of
the machine. What is not named keeps its value. It holds from the node's next start on.`),
		Example: `  cairn spill set s3://my-bucket/cairn --region eu-central-1 --access-key AKIA... --secret-file -
  cairn spill set s3://shares/node1 --endpoint http://127.0.0.1:9000 --path-style`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runSpillSet(a, cmd, args[0], f) },
	}
	flags := cmd.Flags()
	f.bucketAddress.addFlags(flags, "")
	flags.StringVar(&f.offer, "offer", "", "`SIZE` that the bucket is given at most")
	flags.StringVar(&f.rate, "rate", "", "`SIZE` that is brought back each second")
	flags.IntVar(&f.high, "high", 0, "`PERCENT` of the disk that are used before shares go to the bucket")
	flags.IntVar(&f.low, "low", 0, "`PERCENT` of the disk up to which it takes shares back")
	f.keys.addFlags(flags)
	return cmd
}

func runSpillSet(a *app, cmd *cobra.Command, bucket string, f spillFlags) error {
	if _, err := s3.ParseURL(bucket); err != nil {
		return &usageError{err: err}
	}
	if f.pathStyle && f.virtualHost {
		return usagef("--path-style and --virtual-host exclude each other")
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return err
	}
	if c.Spill.Bucket != "" && c.Spill.Bucket != bucket {
		return withHint(fmt.Errorf("%w: %s is set already, and shares may be in it", share.ErrDenied, c.Spill.Bucket), "bring them back first: \"%s\", then \"%s\"",
			a.command("spill drain"), a.command("spill off"))
	}
	keys, err := f.keys.read(a)
	if err != nil {
		return err
	}
	if err := a.changeSettings(f.settings(bucket, cmd.Flags().Changed)); err != nil {
		return err
	}
	if keys != (node.BucketKeys{}) {
		if err := dir.SetBucketKeys(keys); err != nil {
			return err
		}
	}
	a.noteRestart("the bucket is used")
	return a.result(map[string]string{"bucket": bucket}, func(io.Writer) {})
}

// settings returns what the flags set.
func (f *spillFlags) settings(bucket string, changed func(flag string) bool) map[string]string {
	values := map[string]string{"spill.bucket": bucket}
	for flag, value := range map[string]string{
		"endpoint": f.endpoint, "region": f.region, "path-style": strconv.FormatBool(f.pathStyle), "virtual-host": strconv.FormatBool(f.virtualHost),
		"ca": f.ca, "offer": f.offer, "rate": f.rate, "high": strconv.Itoa(f.high), "low": strconv.Itoa(f.low),
	} {
		if changed(flag) {
			values["spill."+strings.ReplaceAll(flag, "-", "_")] = value
		}
	}
	return values
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
			return a.result(c.Spill, func(w io.Writer) {
				if !set {
					fmt.Fprintln(w, "no bucket is set")
					return
				}
				t := newTable(w)
				t.row("bucket", c.Spill.Bucket)
				t.row("endpoint", orDefault(c.Spill.Endpoint, "Amazon's"))
				t.row("region", orDefault(c.Spill.Region, "us-east-1"))
				t.row("keys", keysOf(where))
				t.row("goes there", fmt.Sprintf("what comes when the disk is %d %% full", c.Spill.High))
				t.row("copies", copiesText(c.Spill.KeepCopy))
				t.row("comes back", fmt.Sprintf("until the disk is %d %% full, %s a second", c.Spill.Low, c.Spill.Rate))
				t.end()
			})
		},
	}
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

func newSpillTestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "try the bucket out",
		Long: help(`Writes a small object into the bucket, reads it, compares it and deletes it, and says what is wrong when one of these
fails. The node does not have to run.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, where, set, err := a.bucket()
			if err != nil {
				return err
			}
			if !set {
				return withHint(errors.New("no bucket is set"), "set one: \"%s\"", a.command("spill set s3://BUCKET/PREFIX"))
			}
			began := time.Now()
			if err := s3.Probe(cmd.Context(), where); err != nil {
				return withHint(fmt.Errorf("the bucket %s cannot be used: %w", c.Spill.Bucket, err), "correct it, with \"%s\" where it is a setting, and try again", a.command("spill set"))
			}
			took := time.Since(began)
			return a.result(map[string]any{"bucket": c.Spill.Bucket, "seconds": took.Seconds()}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: written, read, compared and deleted in %s\n", c.Spill.Bucket, took.Round(time.Millisecond))
			})
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
				return a.result(s, func(w io.Writer) { printSpill(w, s) })
			})
		},
	}
}

func printSpill(w io.Writer, s control.Spill) {
	if s.Bucket == "" {
		fmt.Fprintln(w, "the node uses no bucket")
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
		fmt.Fprintf(w, "          %s\n", line)
	}
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
		lines = append(lines, fmt.Sprintf("%d of them are damaged: repair the files (cairn repair)", len(r.Damaged)))
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
				return a.result(r, func(w io.Writer) { printDrained(w, r, all) })
			})
		},
	}
	cmd.Flags().StringVar(&rate, "rate", "0", "how much is moved each second; 0: as fast as it goes")
	cmd.Flags().BoolVar(&all, "all", false, "use all that the disk lends, also for shares that are better elsewhere")
	return cmd
}

func printDrained(w io.Writer, r control.DrainResult, all bool) {
	fmt.Fprintln(w, movedText(r))
	for _, line := range leftLines(r) {
		fmt.Fprintln(w, line)
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

func newSpillOffCommand(a *app) *cobra.Command {
	var abandon bool
	cmd := &cobra.Command{
		Use:   "off",
		Short: "use no bucket any more",
		Long: help(`Stops using the bucket from the node's next start on, and forgets its keys. It is refused while shares, copies or heads
are in the bucket; --abandon lists them and leaves them there, where nobody serves them.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSpillOff(a, cmd, abandon) },
	}
	cmd.Flags().BoolVar(&abandon, "abandon", false, "leave in the bucket what is there, after a list of it")
	return cmd
}

func runSpillOff(a *app, cmd *cobra.Command, abandon bool) error {
	c, _, _, err := a.bucket()
	if err != nil {
		return err
	}
	left := []control.Spilled{}
	if c.Spill.Bucket == "" {
		a.note("no bucket is set")
		return a.result(map[string]any{"abandoned": left}, func(io.Writer) {})
	}
	err = a.running("spill off", func(client *control.Client) (err error) {
		left, err = client.EndSpill(cmd.Context(), control.EndSpillRequest{Abandon: abandon})
		return err
	})
	if err != nil && !abandon {
		return withHint(err, "what is in the bucket can be told only by a node that runs and reaches it; --abandon does without")
	}
	if err != nil {
		a.note("what is given up is not known: %v", err)
	}
	if len(left) > 0 && !abandon {
		return &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("spill off: %s are in %s and would be lost to the grid", spilledText(left), c.Spill.Bucket),
			Hint: "bring them back with \"" + a.command("spill drain --all") + "\", or give them up with --abandon, which lists them",
		}
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	if err := a.changeSettings(map[string]string{"spill.endpoint": "", "spill.ca": "", "spill.bucket": "", "spill.keep_copy": "false"}); err != nil {
		return err
	}
	if err := dir.SetBucketKeys(node.BucketKeys{}); err != nil {
		return err
	}
	a.noteRestart("no bucket is used")
	return a.result(map[string]any{"abandoned": left}, func(w io.Writer) {
		for _, f := range left {
			if f.Name != "" {
				fmt.Fprintf(w, "%s heads\n", f.Name)
				continue
			}
			what := "stored for"
			if f.Copy {
				what = "a copy for"
			}
			var numbers []string
			for _, n := range f.Shares {
				numbers = append(numbers, strconv.Itoa(n))
			}
			slices.Sort(f.Owners)
			fmt.Fprintf(w, "%s shares %s, %s %s\n", f.File, strings.Join(numbers, ","), what, strings.Join(f.Owners, ", "))
		}
	})
}

// spilledText counts what is in the bucket.
func spilledText(all []control.Spilled) string {
	files, copies, names := 0, 0, 0
	for _, f := range all {
		switch {
		case f.Name != "":
			names++
		case f.Copy:
			copies++
		default:
			files++
		}
	}
	var texts []string
	for _, c := range []struct {
		count int
		what  string
	}{{files, "shares of %d files"}, {copies, "copies of %d files"}, {names, "heads of %d names"}} {
		if c.count > 0 {
			texts = append(texts, fmt.Sprintf(c.what, c.count))
		}
	}
	return strings.Join(texts, ", ")
}
