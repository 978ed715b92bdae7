package baseline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A Bucket is a bucket spoken to by a plain S3 client with its own settings, to compare with.
type Bucket struct {
	client *minio.Client
	name   string
	count  counting
}

// Asked is what was asked of a bucket.
type Asked struct {
	Writes   int64 // requests that write or list
	Reads    int64 // requests that read
	Sent     int64 // bytes of bodies
	Received int64
}

// Less returns what was asked since another time.
func (a Asked) Less(before Asked) Asked {
	return Asked{a.Writes - before.Writes, a.Reads - before.Reads, a.Sent - before.Sent, a.Received - before.Received}
}

type counting struct {
	writes, reads, sent, received atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		c.reads.Add(1)
	} else {
		c.writes.Add(1)
	}
	c.sent.Add(max(0, r.ContentLength))
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.Method == http.MethodGet {
		c.received.Add(max(0, answer.ContentLength))
	}
	return answer, err
}

// OpenBucket makes a bucket on a server, as soon as that answers.
func OpenBucket(ctx context.Context, endpoint, access, secret, name string) (*Bucket, error) {
	b := &Bucket{name: name}
	var err error
	b.client, err = minio.New(strings.TrimPrefix(endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath, Transport: &b.count, MaxRetries: 1,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		err = b.client.MakeBucket(ctx, name, minio.MakeBucketOptions{})
		if err == nil {
			return b, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the S3 server does not answer: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// Put stores an object.
func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	_, err := b.client.PutObject(ctx, b.name, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{})
	return err
}

// Get reads an object.
func (b *Bucket) Get(ctx context.Context, key string) error {
	o, err := b.client.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, o)
	return errors.Join(err, o.Close())
}

// Asked returns what was asked so far.
func (b *Bucket) Asked() Asked {
	return Asked{b.count.writes.Load(), b.count.reads.Load(), b.count.sent.Load(), b.count.received.Load()}
}
