package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/config"
	"cairn/share"
	"cairn/share/s3"
)

// spillFlags are those of "spill set"; the first ones are settings.
type spillFlags struct {
	bucketAddress
	offer, rate string
	high, low   int
	claim       claimOptions
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
the machine. What is not named keeps its value. It holds from the node's next start on.

A bucket that can never be this node's is refused: one whose prefix another node has, or holds something else, or is
above or below the prefix of another node, and one of which the server says that there is none. With --take-over it
becomes this node's with all that is in it, when the other node is gone for good. A server that is away, or keys that
it does not take, are no obstacle, but told.`, statusNotFound, statusRefused),
		Example: `  cairn spill set s3://my-bucket/cairn --region eu-central-1 --access-key AKIA... --secret-file -
  cairn spill set s3://shares/node1 --endpoint http://127.0.0.1:9000 --path-style`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSpillSet(cmd.Context(), a, cmd.Flags().Changed, args[0], f)
		},
	}
	flags := cmd.Flags()
	f.bucketAddress.addFlags(flags, "")
	flags.StringVar(&f.offer, "offer", "", "`SIZE` that the bucket is given at most")
	flags.StringVar(&f.rate, "rate", "", "`SIZE` that is brought back each second")
	flags.IntVar(&f.high, "high", 0, "`PERCENT` of the disk that are used before shares go to the bucket")
	flags.IntVar(&f.low, "low", 0, "`PERCENT` of the disk up to which it takes shares back")
	f.claim.addFlags(flags, "")
	f.keys.addFlags(flags)
	return cmd
}

func runSpillSet(ctx context.Context, a *app, changed func(flag string) bool, bucket string, f spillFlags) error {
	where, err := s3.ParseURL(bucket)
	if err != nil {
		return &usageError{err: err}
	}
	if f.pathStyle && f.virtualHost {
		return usagef("--path-style and --virtual-host exclude each other")
	}
	if err := cmp.Or(f.claim.check(), f.absolute()); err != nil {
		return err
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	before, _, err := a.loadConfig(nil)
	if err != nil {
		return err
	}
	_, lost := errors.AsType[*s3.OtherError](node.LeavesBucket(a.dir, before))
	if was := before.Spill.Bucket; was != "" && was != where.URL() && !lost {
		return a.otherBucket(dir, was)
	}
	keys, err := f.keys.read(a)
	if err != nil {
		return err
	}
	edited, err := a.editSettings(f.settings(where.URL(), changed))
	if err != nil {
		return err
	}
	if err := node.LeavesBucket(a.dir, edited.config); err != nil && !errors.Is(err, share.ErrBusy) {
		_, origins, _ := a.loadConfig(nil)
		return a.explainLeft(err, before, origins)
	}
	if err := a.examineSpill(ctx, dir, before, edited.config, keys, f.claim); err != nil {
		return err
	}
	if keys != (node.BucketKeys{}) {
		if err := dir.SetBucketKeys(keys); err != nil {
			return about(err, "keys of the bucket")
		}
	}
	if err := edited.write(a); err != nil {
		return err
	}
	a.noteRestart("the bucket is used")
	return a.result(map[string]string{"bucket": where.URL()}, func(io.Writer) {})
}

// otherBucket refuses to change from one bucket to another.
func (a *app) otherBucket(dir *node.Dir, was string) error {
	if !dir.UsedBucket() {
		return withHint(fmt.Errorf("%w: %s is set already", share.ErrDenied, was), "switch it off first: \"%s\"", a.command("spill off"))
	}
	return withHint(fmt.Errorf("%w: %s is set already, and shares may be in it", share.ErrDenied, was), "bring them back first: \"%s\", then \"%s\"",
		a.command("spill drain"), a.command("spill off"))
}

// examineSpill refuses settings under which the bucket can never be this node's, or would be another one than before, and takes it over
// where that is wanted. What may pass, or is wrong with the keys, it tells.
func (a *app) examineSpill(ctx context.Context, dir *node.Dir, before, after config.Config, keys node.BucketKeys, claim claimOptions) error {
	where, _, err := dir.Bucket(after)
	if err != nil {
		return err
	}
	if was := before.Spill; was.Bucket != "" && was.Endpoint != after.Spill.Endpoint && dir.UsedBucket() {
		if err := a.sameBucket(ctx, dir, where, keys, was.Endpoint); err != nil {
			return err
		}
	}
	advice := spillAdvice(a, after.Spill.Bucket, "--take-over", "--take-over --force")
	if claim.TakeOver {
		return advice.explain(a.claimBucket(ctx, dir, where, keys, claim))
	}
	err = dir.LookAtBucket(ctx, keys.With(where), claim.BucketClaim)
	if answer, ok := errors.AsType[*s3.Error](err); ok && answer.Code != "NoSuchBucket" {
		a.note("the bucket cannot be used yet: %s; \"%s\" tries it out", answer.Words, a.command("spill test"))
		return nil
	}
	return advice.explain(err)
}

// sameBucket refuses an endpoint behind which is another bucket of the same name than the one in use.
func (a *app) sameBucket(ctx context.Context, dir *node.Dir, where s3.Config, keys node.BucketKeys, was string) error {
	has, err := dir.HasBucket(ctx, keys.With(where))
	switch {
	case err == nil && has:
		return nil
	case err == nil:
		err = errors.New("it is not this node's")
	default:
		err = errors.New(s3.Explain(err))
	}
	return withHint(fmt.Errorf("%w: the bucket at %s is in use, and shares may be in it; the one at %s does not take its place: %w", share.ErrDenied,
		orDefault(was, "Amazon's"), orDefault(where.Endpoint, "Amazon's"), err), "name an endpoint of the same bucket, or bring the shares back first: \"%s\", then \"%s\"",
		a.command("spill drain"), a.command("spill off"))
}

// spillAdvice says what can be done about the bucket behind the disk.
func spillAdvice(a *app, url, takeOver, force string) bucketAdvice {
	return bucketAdvice{
		url: url, takeOver: takeOver, force: force,
		correct: fmt.Sprintf("correct it, with %q where it is a setting, and try again", a.command("spill set "+url)),
		again:   "try again",
	}
}

// explainSpill explains what is wrong with the bucket that is set.
func (a *app) explainSpill(err error, url string) error {
	return spillAdvice(a, url, fmt.Sprintf("%q", a.command("spill take-over")), fmt.Sprintf("%q", a.command("spill take-over --force"))).explain(err)
}

func newSpillTakeOverCommand(a *app) *cobra.Command {
	claim := claimOptions{node.BucketClaim{TakeOver: true}}
	cmd := &cobra.Command{
		Use:   "take-over",
		Short: "take the bucket's prefix from a node that is gone for good",
		Long: help(`Makes the prefix of the bucket this node's, when another node has it that will never run again: one whose machine and
directory are lost. What that node left there this one serves from its next start on. The other node, should it run
after all, stops writing when it notices, within a minute or so. What it acknowledges until then is lost: a node that
was heard of in the last three minutes keeps the prefix, unless --force says that it is gone.

For a bucket that is not set yet the same is "cairn spill set s3://BUCKET/PREFIX --take-over". The node must not run.`, statusNotFound, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSpillTakeOver(cmd.Context(), a, claim) },
	}
	claim.addForce(cmd.Flags(), "")
	return cmd
}

func runSpillTakeOver(ctx context.Context, a *app, claim claimOptions) error {
	c, where, err := a.setBucket()
	if err != nil {
		return err
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	if err := a.claimBucket(ctx, dir, where, node.BucketKeys{}, claim); err != nil {
		return a.explainSpill(err, c.Spill.Bucket)
	}
	return a.result(map[string]string{"bucket": c.Spill.Bucket}, func(w io.Writer) { fmt.Fprintf(w, "%s is this node's\n", c.Spill.Bucket) })
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

// bucketSettings are the settings that say which bucket is behind the disk, and the flags of "spill set".
var bucketSettings = map[string]string{
	"spill.bucket": "", "spill.endpoint": "--endpoint", "spill.region": "--region", "spill.path_style": "--path-style", "spill.virtual_host": "--virtual-host", "spill.ca": "--ca",
}

// refuseBucketSettings is refuseBucketSetting for each setting that an edited file changes, unless they become those of the bucket in which
// shares are.
func (a *app) refuseBucketSettings(before, after config.Config) error {
	_, lost := errors.AsType[*s3.OtherError](node.LeavesBucket(a.dir, before))
	if lost && node.LeavesBucket(a.dir, after) == nil {
		return nil
	}
	for _, f := range config.Fields() {
		if f.Get(before) == f.Get(after) {
			continue
		}
		if err := a.refuseBucketSetting(f.Key, after.Spill); err != nil {
			return err
		}
	}
	return nil
}

// refuseBucketSetting refuses to change a setting that says which bucket is used otherwise than by the verbs that look into it first.
func (a *app) refuseBucketSetting(key string, after config.Spill) error {
	flag, ok := bucketSettings[key]
	if !ok {
		return nil
	}
	err := fmt.Errorf("%w: %s says in which bucket shares are, and is changed only by who looks there first", share.ErrDenied, key)
	if after.Bucket == "" && flag == "" {
		return withHint(err, "switch the bucket off with \"%s\"", a.command("spill off"))
	}
	verb := "spill set " + orDefault(after.Bucket, "s3://BUCKET/PREFIX")
	if flag != "" {
		verb += " " + flag
		if f, err := config.Lookup(key); err == nil {
			verb += "=" + f.Get(config.Config{Spill: after})
		}
	}
	return withHint(err, "change it with \"%s\"", a.command(verb))
}
