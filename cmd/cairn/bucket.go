package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"cairn/node"
	"cairn/node/config"
	"cairn/share"
	"cairn/share/s3"
)

// bucketScheme begins the address of a bucket where otherwise a folder is named.
const bucketScheme = "s3://"

// bucketAddress says how the server of a bucket is reached.
type bucketAddress struct {
	endpoint, region, ca   string
	pathStyle, virtualHost bool
}

// bucketOptions say how the bucket is reached in which a new node keeps its shares.
type bucketOptions struct {
	bucketAddress
	keys  keyOptions
	claim claimOptions
}

// claimOptions say from whom the prefix of a bucket is taken.
type claimOptions struct{ node.BucketClaim }

// addFlags adds the flags; each text begins with when it holds.
func (o *claimOptions) addFlags(flags *pflag.FlagSet, when string) {
	flags.BoolVar(&o.TakeOver, "take-over", false, when+"take the prefix from another node, which must be gone for good")
	o.addForce(flags, when+"with --take-over: ")
}

func (o *claimOptions) addForce(flags *pflag.FlagSet, when string) {
	flags.BoolVar(&o.Force, "force", false, when+"also from a node that was heard of a moment ago")
}

func (o *claimOptions) check() error {
	if o.Force && !o.TakeOver {
		return usagef("--force says from whom --take-over takes the prefix, which is not asked for")
	}
	return nil
}

// keyOptions say where the keys of a bucket come from.
type keyOptions struct{ access, secretFile string }

func (o *keyOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.access, "access-key", "", "access `KEY` of the bucket (default: from the environment, the AWS tools' files, or the machine's role)")
	flags.StringVar(&o.secretFile, "secret-file", "", "`FILE` with the secret key, which only you can read; - for standard input")
}

// addFlags adds the flags of an address; each text begins with when it holds.
func (o *bucketAddress) addFlags(flags *pflag.FlagSet, when string) {
	flags.StringVar(&o.endpoint, "endpoint", "", when+"`URL` of its server, https://HOST or http://HOST:PORT (default: Amazon's)")
	flags.StringVar(&o.region, "region", "", when+"its `REGION` (default: us-east-1)")
	flags.BoolVar(&o.pathStyle, "path-style", false, when+"put its name into the path, whatever the server")
	flags.BoolVar(&o.virtualHost, "virtual-host", false, when+"put its name before the host name, whatever the server")
	flags.StringVar(&o.ca, "ca", "", when+"`FILE` of certificates to trust besides the system's")
}

// absolute makes the path of the certificates one that does not depend on where the command was given.
func (o *bucketAddress) absolute() (err error) {
	if o.ca != "" {
		o.ca, err = filepath.Abs(o.ca)
	}
	return err
}

func (o *bucketOptions) addFlags(flags *pflag.FlagSet) {
	o.bucketAddress.addFlags(flags, "for a bucket: ")
	o.claim.addFlags(flags, "for a bucket: ")
	o.keys.addFlags(flags)
}

// named returns the flags that say something about a bucket.
func (o *bucketOptions) named() []string {
	var flags []string
	for _, f := range []struct {
		flag string
		set  bool
	}{
		{"--endpoint", o.endpoint != ""},
		{"--region", o.region != ""},
		{"--path-style", o.pathStyle},
		{"--virtual-host", o.virtualHost},
		{"--ca", o.ca != ""},
		{"--take-over", o.claim.TakeOver},
		{"--force", o.claim.Force},
		{"--access-key", o.keys.access != ""},
		{"--secret-file", o.keys.secretFile != ""},
	} {
		if f.set {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

// configure writes into a configuration where the shares are kept.
func (o *initOptions) configure(c *config.Storage) (err error) {
	flags := o.bucket.named()
	switch {
	case !strings.HasPrefix(o.storage, bucketScheme):
		if len(flags) > 0 {
			return withHint(usagef("%s: only for shares that are kept in a bucket", strings.Join(flags, ", ")), "name it with --storage s3://BUCKET/PREFIX")
		}
		if strings.Contains(o.storage, "://") {
			return usagef("--storage %.80q: want a folder, or a bucket as s3://BUCKET/PREFIX", o.storage)
		}
		if o.storage != "" {
			c.Path, err = filepath.Abs(o.storage)
		}
		return err
	case o.noStorage:
		return usagef("--storage and --no-storage contradict each other: a gateway keeps no shares")
	case o.reserve != "":
		return usagef("--reserve is for disks: nobody can tell how much of a bucket is free; --offer bounds what goes there")
	case o.offer == "0":
		return usagef("--offer 0 is for disks, all of whose free space is lent then: nobody can tell how much of a bucket is free; give a size, or leave --offer out for no bound")
	}
	where, err := s3.ParseURL(o.storage)
	if err != nil {
		return usagef("--storage: %w", err)
	}
	if err := cmp.Or(o.bucket.claim.check(), o.bucket.absolute()); err != nil {
		return err
	}
	b := o.bucket
	c.Path, c.Endpoint, c.Region, c.PathStyle, c.VirtualHost, c.CA = where.URL(), b.endpoint, b.region, b.pathStyle, b.virtualHost, b.ca
	return nil
}

// read returns the keys that were given, zero where the machine has some.
func (o *keyOptions) read(a *app) (node.BucketKeys, error) {
	if o.access == "" {
		if o.secretFile != "" {
			return node.BucketKeys{}, usagef("--secret-file needs --access-key")
		}
		return node.BucketKeys{}, nil
	}
	secret, err := o.readSecret(a)
	if err == nil && secret == "" {
		err = withHint(errors.New("it is empty"), "name a file whose first line is the secret key")
	}
	return node.BucketKeys{AccessKey: o.access, SecretKey: secret}, about(err, "secret key")
}

func (o *keyOptions) readSecret(a *app) (string, error) {
	if o.secretFile == "" {
		secret, err := a.askSecret("Secret key: ")
		if errors.Is(err, errNoTerminal) {
			err = withHint(&usageError{err: err}, "name a file that holds it with --secret-file, - for standard input")
		}
		return secret, err
	}
	if o.secretFile != "-" {
		if err := node.CheckPrivate(o.secretFile); err != nil {
			return "", err
		}
	}
	return a.readSecretFile(o.secretFile)
}

// tryBucket finds out whether a new node can keep its shares in the bucket that its configuration names, if it names one.
func (a *app) tryBucket(ctx context.Context, o *bucketOptions, c config.Config) (node.BucketKeys, error) {
	if !c.Storage.Enabled || !c.Storage.Bucket() {
		return node.BucketKeys{}, nil
	}
	keys, err := o.keys.read(a)
	if err != nil {
		return keys, err
	}
	found, err := node.TryBucket(ctx, c, keys, o.claim.BucketClaim)
	if err != nil {
		return keys, bucketAdvice{url: c.Storage.Path, takeOver: "--take-over", force: "--take-over --force", correct: "correct it and try again; nothing was made", again: "try again; nothing was made"}.explain(err)
	}
	a.noteProbed(found)
	return keys, nil
}

// A bucketAdvice is what can be done about a bucket that cannot be used.
type bucketAdvice struct {
	url      string
	another  string // how to choose another prefix, behind these words; may be empty
	takeOver string // how to take the prefix over
	force    string // how to do that though the other node may be there
	correct  string // how to correct what is wrong otherwise
	again    string // how to try again
	away     string // stands before how to correct it where the server may be away; may be empty
}

// explain says in plain words why a bucket cannot be used, and what to do about it.
func (b bucketAdvice) explain(err error) error {
	if locked, ok := errors.AsType[*s3.LockedError](err); ok {
		if locked.Alive {
			return withHint(err, "what that node acknowledges after this is lost: stop it, and try again in some minutes; if it will never run again, as after a fire, take the prefix over at once with %s", b.force)
		}
		return withHint(err, "choose another prefix%s; if that node is gone for good and will never run again, take over what it stored with %s", b.another, b.takeOver)
	}
	if _, nested := errors.AsType[*s3.NestedError](err); nested {
		return withHint(err, "choose a prefix that is neither above nor below another one%s", b.another)
	}
	if errors.Is(err, s3.ErrNobody) {
		return withHint(err, "check the names of the bucket and of the prefix, and the endpoint; a prefix that is to be new needs no taking over")
	}
	if errors.Is(err, s3.ErrForeign) {
		return withHint(err, "if another program has the prefix, choose another one%s; if it was this node's, something changes what is read on its way, or changed it in the bucket: %s",
			b.another, b.again)
	}
	if answer, answered := errors.AsType[*s3.Error](err); answered {
		return withHint(&bucketError{url: b.url, err: err}, "%s", b.next(answer))
	}
	return err
}

// next returns what can be done about an error of the server, or of who answers in its place.
func (b bucketAdvice) next(e *s3.Error) string {
	switch {
	case e.Code == "RequestTimeTooSkewed", e.Code == "RequestExpired":
		return "set this machine's clock, as \"timedatectl set-ntp true\" does on Linux, then " + b.again
	case errors.Is(e.Kind, share.ErrBusy):
		return "wait some minutes, then " + b.again + "; if it goes on, its provider can tell how many requests are allowed"
	case errors.Is(e.Kind, share.ErrNoSpace):
		return "make room there, or have the limit raised, then " + b.again
	case errors.Is(e.Kind, share.ErrCorrupt), e.Garbled():
		return "look for a proxy or a device between this machine and the server, or use an https:// endpoint, then " + b.again
	case s3.Temporary(e):
		return b.away + b.correct
	}
	return b.correct
}

// explainOwnBucket explains what is wrong with the bucket of a node that is there.
func (a *app) explainOwnBucket(err error, c config.Config) error {
	if !c.Storage.Bucket() {
		return err
	}
	return bucketAdvice{
		url: c.Storage.Path, another: fmt.Sprintf(" (%q)", a.command("config set storage.path s3://BUCKET/PREFIX")),
		takeOver: fmt.Sprintf("%q", a.command("storage take-over")), force: fmt.Sprintf("%q", a.command("storage take-over --force")),
		correct: fmt.Sprintf("correct it with %q, or the keys with %q; %q tries it out", a.command("config set storage..."), a.command("storage keys"), a.command("storage test")),
		again:   fmt.Sprintf("try it out with %q", a.command("storage test")),
		away:    "if the server is away, wait until it is there; otherwise ",
	}.explain(err)
}

// A bucketError is an error around an *s3.Error, in plain words.
type bucketError struct {
	url string
	err error
}

func (e *bucketError) Error() string {
	answer, _ := errors.AsType[*s3.Error](e.err)
	return strings.ReplaceAll(e.err.Error(), answer.Error(), "the bucket "+e.url+" cannot be used: "+answer.Words)
}

func (e *bucketError) Unwrap() error { return e.err }

// takeBucket gives a node that was just made its bucket.
func (a *app) takeBucket(ctx context.Context, dir *node.Dir, c config.Config, keys node.BucketKeys, claim claimOptions) error {
	if !c.Storage.Enabled || !c.Storage.Bucket() {
		return nil
	}
	if keys != (node.BucketKeys{}) {
		if err := dir.SetBucketKeys(keys); err != nil {
			return about(err, "keys of the bucket")
		}
	}
	where, _, err := dir.StorageBucket(c)
	if err == nil {
		err = a.explainOwnBucket(a.claimBucket(ctx, dir, where, keys, claim), c)
	}
	return about(err, "the node in %s is made, but", dir.Path())
}

// claimBucket makes a prefix the node's, and says whose it was. The keys are those that are not kept yet, if any.
func (a *app) claimBucket(ctx context.Context, dir *node.Dir, where s3.Config, keys node.BucketKeys, claim claimOptions) error {
	where = keys.With(where)
	err := dir.LookAtBucket(ctx, where, node.BucketClaim{})
	held, taken := errors.AsType[*s3.LockedError](err)
	if err != nil && !taken {
		return err
	}
	if err := dir.ClaimBucket(ctx, where, claim.BucketClaim); err != nil {
		return err
	}
	if taken {
		a.note("the prefix was that of %s; if that node does run, it stops writing within a minute or so, and what it acknowledges until then is lost", held.Holder())
	}
	return nil
}
