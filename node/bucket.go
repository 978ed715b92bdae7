package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cairn/node/config"
	"cairn/share"
	"cairn/share/s3"
)

const (
	// bucketFile holds the keys of the node's bucket. It is there where they were given to this node, and not to the machine.
	bucketFile = "bucket"
	// bucketIndex is the folder of what is known of the bucket. It can be computed from the bucket.
	bucketIndex = "bucket-index"
)

// BucketKeys are the credentials of a bucket.
type BucketKeys struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// SetBucketKeys keeps the credentials of the bucket, or removes them when they are zero.
func (d *Dir) SetBucketKeys(k BucketKeys) error {
	if k == (BucketKeys{}) {
		if err := d.keep.remove(bucketFile); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return d.keep.write(bucketFile, append(data, '\n'))
}

// completeBucket adds what does not depend on what the bucket is for: who has it, and the keys.
func (d *Dir) completeBucket(b *s3.Config, c config.Config) error {
	b.Index, b.Owner, b.Name, b.Grace = d.file(bucketIndex), string(d.id), c.Nickname, time.Duration(c.Storage.Grace)
	if b.CAFile != "" && !filepath.IsAbs(b.CAFile) {
		b.CAFile = d.file(b.CAFile)
	}
	data, err := d.keep.read(bucketFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keys of the bucket: %w", err)
	}
	var k BucketKeys
	if json.Unmarshal(data, &k) != nil {
		return fmt.Errorf("keys of the bucket: %w: %s is not what this program writes there", share.ErrCorrupt, d.file(bucketFile))
	}
	k.giveTo(b)
	return nil
}

// giveTo sets the keys, if there are any.
func (k BucketKeys) giveTo(b *s3.Config) {
	b.AccessKey, b.SecretKey = k.AccessKey, s3.Secret(k.SecretKey)
}

// With returns a bucket that is asked with these keys, unless they are zero.
func (k BucketKeys) With(b s3.Config) s3.Config {
	if k != (BucketKeys{}) {
		k.giveTo(&b)
	}
	return b
}

// storageBucket reads which bucket a configuration names for the shares, without keys and without an owner.
func storageBucket(c config.Config) (s3.Config, error) {
	b, err := s3.ParseURL(c.Storage.Path)
	if err != nil {
		return s3.Config{}, fmt.Errorf("storage.path: %w", err)
	}
	b.Endpoint, b.Region, b.PathStyle, b.VirtualHost = c.Storage.Endpoint, c.Storage.Region, c.Storage.PathStyle, c.Storage.VirtualHost
	b.CAFile, b.Offer, b.Use = c.Storage.CA, int64(c.Storage.Offer), useStorage
	return b, nil
}

// spillBucket reads which bucket a configuration names behind the disk, without keys and without an owner.
func spillBucket(c config.Config) (s3.Config, error) {
	b, err := s3.ParseURL(c.Spill.Bucket)
	if err != nil {
		return s3.Config{}, err
	}
	b.Endpoint, b.Region, b.PathStyle, b.VirtualHost = c.Spill.Endpoint, c.Spill.Region, c.Spill.PathStyle, c.Spill.VirtualHost
	b.CAFile, b.Offer, b.Use = c.Spill.CA, int64(c.Spill.Offer), useSpill
	return b, nil
}

// StorageBucket returns the bucket in which the node keeps its shares, with its credentials, and false where it keeps them in a folder. Its
// errors tell nothing of the credentials.
func (d *Dir) StorageBucket(c config.Config) (s3.Config, bool, error) {
	if !c.Storage.Enabled || !c.Storage.Bucket() {
		return s3.Config{}, false, nil
	}
	b, err := storageBucket(c)
	if err == nil {
		err = d.completeBucket(&b, c)
	}
	return b, err == nil, err
}

const (
	// requestWithin bounds one request while a command waits for it.
	requestWithin = 6 * time.Second
	// silentFor is how long a node must have been silent to be taken for one that is gone: it refreshes its lock every minute.
	silentFor = 3 * time.Minute
)

// A BucketClaim says what a node may do to get the prefix of a bucket.
type BucketClaim struct {
	// TakeOver takes it from another node that was silent for some minutes.
	TakeOver bool
	// Force takes it also from one that was heard of a moment ago, and may still acknowledge what is lost then.
	Force bool
}

func (k BucketClaim) giveTo(b *s3.Config) {
	b.TakeOver, b.Timeout = k.TakeOver, requestWithin
	if !k.Force {
		b.Silent = silentFor
	}
}

// TryBucket finds out whether a node that is yet to be made can keep its shares in the bucket that a configuration names: it writes, reads
// and deletes a small object, and looks whether somebody else has the prefix, unless that may be taken over.
func TryBucket(ctx context.Context, c config.Config, k BucketKeys, claim BucketClaim) (s3.Probed, error) {
	b, err := storageBucket(c)
	if err != nil {
		return s3.Probed{}, err
	}
	k.giveTo(&b)
	b.Index = bucketIndex
	claim.giveTo(&b)
	if err := s3.Look(ctx, b); err != nil {
		return s3.Probed{}, err
	}
	return s3.Probe(ctx, b)
}

// ClaimBucket makes a prefix this node's: that of StorageBucket or Bucket. The node must not run.
func (d *Dir) ClaimBucket(ctx context.Context, b s3.Config, claim BucketClaim) error {
	lock, err := d.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	claim.giveTo(&b)
	return s3.Claim(ctx, b)
}

// LookAtBucket finds out whether a prefix could be this node's. It changes nothing there.
func (d *Dir) LookAtBucket(ctx context.Context, b s3.Config, claim BucketClaim) error {
	claim.giveTo(&b)
	return s3.Look(ctx, b)
}

// HasBucket reports whether a prefix is this node's.
func (d *Dir) HasBucket(ctx context.Context, b s3.Config) (bool, error) {
	b.Timeout = requestWithin
	return s3.Has(ctx, b)
}

// ProbeBucket tries a prefix out: it looks whether somebody else has the prefix, or one above or below it, and writes, reads, compares and
// deletes a small object.
func (d *Dir) ProbeBucket(ctx context.Context, b s3.Config) (s3.Probed, error) {
	b.Timeout = requestWithin
	for _, try := range []func(context.Context, s3.Config) error{s3.Look, s3.Nested} {
		if err := try(ctx, b); err != nil {
			return s3.Probed{}, err
		}
	}
	return s3.Probe(ctx, b)
}

// UsedBucket reports whether the node has had a bucket open: shares may be in it.
func (d *Dir) UsedBucket() bool {
	_, err := os.Stat(d.file(bucketIndex)) // which is made when a bucket is opened
	return err == nil
}
