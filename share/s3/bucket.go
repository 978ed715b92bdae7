package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"cairn/share"
)

// A bucket is the part of a bucket below a prefix. Keys are given without the prefix. It is safe for concurrent use.
type bucket struct {
	core    *minio.Core
	name    string
	prefix  string // empty, or ends in a slash
	meter   *meter
	timeout time.Duration
}

// Requests are repeated this often, with waits that double from the first to the last of these.
const (
	attempts     = 7
	firstWait    = 100 * time.Millisecond
	longestWait  = 10 * time.Second
	longestAsked = time.Minute // the longest wait that a server's Retry-After is given
)

func newBucket(c Config) (*bucket, error) {
	host, secure, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(c.CAFile)
	if err != nil {
		return nil, err
	}
	m := &meter{next: transport, since: time.Now()}
	lookup := minio.BucketLookupAuto
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	core, err := minio.NewCore(host, &minio.Options{
		Creds: c.credentials(transport), Secure: secure, Transport: m, Region: cmp.Or(c.Region, defaultRegion), BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	core.SetAppInfo("cairn", "1")
	prefix := c.Prefix
	if prefix != "" {
		prefix += "/"
	}
	return &bucket{core: core, name: c.Bucket, prefix: prefix, meter: m, timeout: cmp.Or(c.Timeout, defaultTimeout)}, nil
}

func newTransport(caFile string) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA: %s has no certificate in PEM", caFile)
		}
		config.RootCAs = pool
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config,
		DialContext:  (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConns: 64, MaxIdleConnsPerHost: 32, MaxConnsPerHost: 64, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, ExpectContinueTimeout: 2 * time.Second,
		DisableCompression: true, ForceAttemptHTTP2: false,
	}, nil
}

// credentials returns what was configured, or what is found in the usual places.
func (c Config) credentials(transport http.RoundTripper) *credentials.Credentials {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, string(c.SecretKey), string(c.SessionToken))
	}
	_ = transport
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}, missing{},
	})
}

// missing ends a chain of credentials, which would go on without any.
type missing struct{}

func (missing) Retrieve() (credentials.Value, error) { return credentials.Value{}, errNoCredentials }

func (missing) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return credentials.Value{}, errNoCredentials
}

func (missing) IsExpired() bool { return true }

// do sends a request until it succeeds, fails for good, or the time is over.
func (b *bucket) do(ctx context.Context, doing string, request func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	for i := 0; ; i++ {
		hinted, h := withHint(limited)
		err := request(hinted)
		if err == nil {
			return nil
		}
		explained := explain(ctx, doing, h, err)
		if ctx.Err() != nil || i+1 >= attempts || !again(explained, h) {
			return explained
		}
		select {
		case <-time.After(max(backoff(i), min(h.after, longestAsked))):
		case <-limited.Done():
			return explained
		}
		b.meter.repeated.Add(1)
	}
}

// again reports whether a request that failed so may succeed when it is sent once more.
func again(err error, h *hint) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case "NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed", "MovedPermanently":
		return false
	}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	if errors.As(err, &authority) || errors.As(err, &host) || h.status != 0 && h.status < http.StatusInternalServerError && !h.s3() {
		return false
	}
	return errors.Is(e.Kind, share.ErrUnavailable) || errors.Is(e.Kind, share.ErrBusy) || errors.Is(e.Kind, share.ErrCorrupt)
}

// backoff returns a random time below one that doubles with each attempt.
func backoff(attempt int) time.Duration {
	longest := min(firstWait<<attempt, longestWait)
	var random [8]byte
	_, _ = rand.Read(random[:])
	return longest/2 + time.Duration(binary.BigEndian.Uint64(random[:])%uint64(longest/2))
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// A condition is what must be true of a key for an object to be put: anything (the zero value), nothing there yet, or an object there
// of the given tag.
type condition struct {
	absent bool
	tag    string
}

// put stores an object and returns its tag. It returns errTaken when the condition does not hold, which can be the doing of an
// earlier attempt whose answer was lost.
func (b *bucket) put(ctx context.Context, key string, data []byte, c condition) (tag string, err error) {
	sum := sha(data)
	err = b.do(ctx, "put "+key, func(ctx context.Context) error {
		var o minio.PutObjectOptions
		o.ContentType = "application/octet-stream"
		if c.absent {
			o.SetMatchETagExcept("*")
		} else if c.tag != "" {
			o.SetMatchETag(c.tag)
		}
		info, err := b.core.PutObject(ctx, b.name, b.prefix+key, bytes.NewReader(data), int64(len(data)), "", sum, o)
		tag = info.ETag
		return err
	})
	return tag, err
}

// get fills p from an offset of an object.
func (b *bucket) get(ctx context.Context, key string, p []byte, off int64) error {
	if len(p) == 0 {
		return ctx.Err()
	}
	return b.do(ctx, "get "+key, func(ctx context.Context) error {
		var o minio.GetObjectOptions
		if err := o.SetRange(off, off+int64(len(p))-1); err != nil {
			return err
		}
		body, info, _, err := b.core.GetObject(ctx, b.name, b.prefix+key, o)
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != int64(len(p)) && info.Size >= 0 {
			return fmt.Errorf("%w: %d bytes instead of %d", errNotS3, info.Size, len(p))
		}
		_, err = io.ReadFull(body, p)
		return err
	})
}

// getAll returns an object of at most so many bytes, and its tag.
func (b *bucket) getAll(ctx context.Context, key string, limit int64) (data []byte, tag string, err error) {
	err = b.do(ctx, "get "+key, func(ctx context.Context) error {
		body, info, _, err := b.core.GetObject(ctx, b.name, b.prefix+key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size > limit {
			return fmt.Errorf("%w: an object of %d bytes", errNotS3, info.Size)
		}
		data, err = io.ReadAll(io.LimitReader(body, limit+1))
		if err == nil && int64(len(data)) != info.Size {
			err = io.ErrUnexpectedEOF
		}
		tag = info.ETag
		return err
	})
	return data, tag, err
}

// size returns how long an object is.
func (b *bucket) size(ctx context.Context, key string) (size int64, err error) {
	err = b.do(ctx, "look at "+key, func(ctx context.Context) error {
		info, err := b.core.StatObject(ctx, b.name, b.prefix+key, minio.StatObjectOptions{})
		size = info.Size
		return err
	})
	return size, err
}

// remove deletes an object. That it is not there is success.
func (b *bucket) remove(ctx context.Context, key string) error {
	err := b.do(ctx, "delete "+key, func(ctx context.Context) error {
		return b.core.RemoveObject(ctx, b.name, b.prefix+key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, errNoKey) {
		return nil
	}
	return err
}

// An object is one of a listing.
type object struct {
	key  string
	size int64
}

// list calls a function for each object whose key starts so and comes after another, in order.
func (b *bucket) list(ctx context.Context, prefix, after string, each func(object) error) error {
	for {
		var page []object
		err := b.do(ctx, "list "+prefix, func(ctx context.Context) (err error) {
			page, err = b.page(ctx, prefix, after)
			return err
		})
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := each(o); err != nil {
				return err
			}
			after = o.key
		}
		if len(page) < pageKeys {
			return nil
		}
	}
}

const pageKeys = 1000

// page returns the first objects after a key.
func (b *bucket) page(ctx context.Context, prefix, after string) ([]object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing behind the channel
	o := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, MaxKeys: pageKeys}
	if after != "" {
		o.StartAfter = b.prefix + after
	}
	var page []object
	for found := range b.core.Client.ListObjects(ctx, b.name, o) {
		if found.Err != nil {
			return nil, found.Err
		}
		page = append(page, object{strings.TrimPrefix(found.Key, b.prefix), found.Size})
		if len(page) == pageKeys {
			break
		}
	}
	return page, nil
}

// A part is one of an object that is uploaded in parts.
type part struct {
	_      struct{} `cbor:",toarray"`
	Number int
	Tag    string
	Size   int64
}

// begin begins an upload in parts.
func (b *bucket) begin(ctx context.Context, key string) (id string, err error) {
	err = b.do(ctx, "begin "+key, func(ctx context.Context) error {
		id, err = b.core.NewMultipartUpload(ctx, b.name, b.prefix+key, minio.PutObjectOptions{ContentType: "application/octet-stream"})
		return err
	})
	return id, err
}

// putPart stores one part.
func (b *bucket) putPart(ctx context.Context, key, id string, number int, data []byte) (part, error) {
	sum, p := sha(data), part{Number: number, Size: int64(len(data))}
	err := b.do(ctx, fmt.Sprintf("put part %d of %s", number, key), func(ctx context.Context) error {
		got, err := b.core.PutObjectPart(ctx, b.name, b.prefix+key, id, number, bytes.NewReader(data), int64(len(data)),
			minio.PutObjectPartOptions{Sha256Hex: sum})
		p.Tag = got.ETag
		return err
	})
	return p, err
}

// parts returns the parts that the server has of an upload, by number. It returns errNoKey when there is no such upload.
func (b *bucket) parts(ctx context.Context, key, id string) (map[int]part, error) {
	found := map[int]part{}
	for marker := 0; ; {
		var page minio.ListObjectPartsResult
		err := b.do(ctx, "list the parts of "+key, func(ctx context.Context) (err error) {
			page, err = b.core.ListObjectParts(ctx, b.name, b.prefix+key, id, marker, pageKeys)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, p := range page.ObjectParts {
			found[p.PartNumber] = part{Number: p.PartNumber, Tag: strings.Trim(p.ETag, `"`), Size: p.Size}
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return found, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// complete makes an object of the parts. One that was made already by an attempt whose answer was lost is success.
func (b *bucket) complete(ctx context.Context, key, id string, parts []part) error {
	all := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		all[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.Tag}
	}
	err := b.do(ctx, "complete "+key, func(ctx context.Context) error {
		_, err := b.core.CompleteMultipartUpload(ctx, b.name, b.prefix+key, id, all, minio.PutObjectOptions{})
		return err
	})
	if errors.Is(err, errNoKey) {
		if _, found := b.size(ctx, key); found == nil {
			return nil
		}
	}
	return err
}

// abort forgets an upload in parts. That there is none is success.
func (b *bucket) abort(ctx context.Context, key, id string) error {
	err := b.do(ctx, "abort "+key, func(ctx context.Context) error {
		return b.core.AbortMultipartUpload(ctx, b.name, b.prefix+key, id)
	})
	if errors.Is(err, errNoKey) {
		return nil
	}
	return err
}

// unfinished returns the keys and ids of all uploads in parts.
func (b *bucket) unfinished(ctx context.Context) (uploads [][2]string, err error) {
	err = b.do(ctx, "list unfinished uploads", func(ctx context.Context) error {
		uploads = nil
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for u := range b.core.ListIncompleteUploads(ctx, b.name, b.prefix+largePrefix, true) {
			if u.Err != nil {
				return u.Err
			}
			uploads = append(uploads, [2]string{strings.TrimPrefix(u.Key, b.prefix), u.UploadID})
		}
		return nil
	})
	return uploads, err
}
