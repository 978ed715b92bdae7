package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"cairn/node"
	"cairn/node/config"
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
	keys     keyOptions
	takeOver bool
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

func (o *bucketOptions) addFlags(flags *pflag.FlagSet) {
	o.bucketAddress.addFlags(flags, "for a bucket: ")
	flags.BoolVar(&o.takeOver, "take-over", false, "for a bucket: take the prefix from another node, which must be gone for good")
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
		{"--take-over", o.takeOver},
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
	if o.bucket.ca != "" {
		if o.bucket.ca, err = filepath.Abs(o.bucket.ca); err != nil {
			return err
		}
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
	if err == nil {
		err = explainBucket(node.TryBucket(ctx, c, keys, o.takeOver), c.Storage.Path, "", "--take-over", "correct it and try again; nothing was made")
	}
	return keys, err
}

// explainBucket says in plain words why a bucket cannot be used, and what to do about it: how to choose another prefix, how to take over this one, and how
// to correct what is wrong.
func explainBucket(err error, url, another, takeOver, correct string) error {
	if _, locked := errors.AsType[*s3.LockedError](err); locked {
		return withHint(err, "choose another prefix"+another+"; if that node is gone for good and will never run again, take over what it stored with %s", takeOver)
	}
	if _, answered := errors.AsType[*s3.Error](err); answered {
		return withHint(&bucketError{url: url, err: err}, "%s", correct)
	}
	return err
}

// explainOwnBucket is explainBucket for the bucket of a node that is there.
func (a *app) explainOwnBucket(err error, c config.Config) error {
	if !c.Storage.Bucket() {
		return err
	}
	return explainBucket(err, c.Storage.Path, fmt.Sprintf(" (%q)", a.command("config set storage.path s3://BUCKET/PREFIX")), "\""+a.command("storage take-over")+"\"", fmt.Sprintf("correct it with %q, or the keys with %q; %q tries it out",
		a.command("config set storage..."), a.command("storage keys"), a.command("storage test")))
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
func (a *app) takeBucket(ctx context.Context, dir *node.Dir, c config.Config, keys node.BucketKeys, takeOver bool) error {
	if !c.Storage.Enabled || !c.Storage.Bucket() {
		return nil
	}
	if keys != (node.BucketKeys{}) {
		if err := dir.SetBucketKeys(keys); err != nil {
			return about(err, "keys of the bucket")
		}
	}
	return about(a.explainOwnBucket(dir.ClaimBucket(ctx, c, takeOver), c), "the node in %s is made, but", dir.Path())
}
