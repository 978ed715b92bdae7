package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // for servers that ask for it
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"cairn/internal/awake"
	"cairn/share"
)

// A bucket is the part of a bucket below a prefix. Keys are given without the prefix. It is safe for concurrent use.
type bucket struct {
	core    *minio.Core
	name    string
	prefix  string // empty, or ends in a slash
	keys    *keys
	meter   *meter
	timeout time.Duration
	stall   time.Duration
	slowest int64
	tries   int
	md5     *atomic.Bool // what is put is sent with its MD5 sum, because the server wants it
	plain   *atomic.Bool // what is put is sent without conditions, because the server refuses them
}

// Requests are repeated this often, with waits that double from the first to the last of these.
const (
	attempts     = 7
	firstWait    = 100 * time.Millisecond
	longestWait  = 10 * time.Second
	longestAsked = time.Minute // the longest wait that a server's Retry-After is given
)

// No request waits for ever: one on which nothing moves for so long is given up and sent again, and one whose bytes move more slowly
// than this ends with its time.
const (
	stallAfter = 30 * time.Second
	slowest    = 32 << 10 // bytes a second
)

var errStalled = errors.New("nothing has moved for too long")

func newBucket(c Config) (*bucket, error) {
	host, secure, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	next := c.transport
	if next == nil {
		if next, err = newTransport(c.CAFile); err != nil {
			return nil, err
		}
	}
	m := &meter{next: next, since: time.Now()}
	lookup := minio.BucketLookupAuto
	switch {
	case c.PathStyle:
		lookup = minio.BucketLookupPath
	case c.VirtualHost:
		lookup = minio.BucketLookupDNS
	}
	keys := c.keys()
	core, err := minio.NewCore(host, &minio.Options{
		Creds: credentials.New(keys), Secure: secure, Transport: m, Region: cmp.Or(c.Region, defaultRegion), BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	core.SetAppInfo("cairn", "1")
	prefix := c.Prefix
	if prefix != "" {
		prefix += "/"
	}
	timeout := cmp.Or(c.Timeout, defaultTimeout)
	return &bucket{
		core: core, name: c.Bucket, prefix: prefix, keys: keys, meter: m, timeout: timeout, stall: min(timeout, cmp.Or(c.stall, stallAfter)),
		slowest: cmp.Or(c.slowest, slowest), tries: cmp.Or(c.attempts, attempts), md5: new(atomic.Bool), plain: new(atomic.Bool),
	}, nil
}

func newTransport(caFile string) (http.RoundTripper, error) {
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
		WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: 2 * time.Second,
		DisableCompression: true, ForceAttemptHTTP2: false,
	}, nil
}

// do sends a request with a body or an answer of so many bytes until it succeeds, fails for good, or the time is over.
func (b *bucket) do(ctx context.Context, doing string, bytes int64, request func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limit := b.timeout + time.Duration(bytes)*time.Second/time.Duration(b.slowest)
	end := time.Now().Add(limit)
	limited, cancel := awake.WithTimeout(ctx, limit)
	defer cancel()
	renewed := false
	var explained error
	for i := 0; ; i++ {
		h, err := b.attempt(limited, request)
		if err == nil {
			h.meet(b.meter, nil)
			return nil
		}
		if ctx.Err() == nil && limited.Err() != nil && explained != nil {
			return explained // what an earlier attempt met says more than that the time is over
		}
		explained = explain(ctx, doing, h, err)
		h.meet(b.meter, explained)
		if e, ok := errors.AsType[*Error](explained); ok && !renewed && b.keys.stale(e.Code) {
			renewed = true
			continue
		}
		if wantsMD5(explained) && !b.md5.Swap(true) {
			continue
		}
		if ctx.Err() != nil || i+1 >= b.tries || !again(explained) {
			return explained
		}
		wait := max(backoff(i), min(h.after, longestAsked))
		if rest := time.Until(end); rest >= 0 && rest < wait { // where less than nothing is left, the time has begun anew
			return explained
		}
		select {
		case <-time.After(wait):
		case <-limited.Done():
			return explained
		}
		b.meter.repeated.Add(1)
	}
}

// attempt sends a request once. It is given up when nothing moves on it.
func (b *bucket) attempt(ctx context.Context, request func(ctx context.Context) error) (*hint, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := awake.AfterFunc(b.stall, func() { cancel(errStalled) })
	defer timer.Stop()
	hinted, h := withHint(ctx, func() { timer.Reset(b.stall) })
	err := b.keys.get(ctx)
	if err == nil {
		err = request(hinted)
	}
	if err != nil && ctx.Err() != nil {
		// The client waits after what it met, and then tells of the context alone.
		switch {
		case h.failed != nil && !errors.Is(h.failed, context.Canceled) && !errors.Is(h.failed, context.DeadlineExceeded):
			err = h.failed
		case errors.Is(context.Cause(ctx), errStalled):
			err = errStalled
		}
	}
	return h, err
}

// again reports whether a request that failed so may succeed when it is sent once more.
func again(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.again
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

// wantsMD5 reports whether a server refuses what has no MD5 sum, as they do where a bucket locks objects for a time.
func wantsMD5(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == "MissingContentMD5" || errors.Is(e.Kind, share.ErrDenied) && strings.Contains(e.Words, "Content-MD5"))
}

// sumMD5 returns the MD5 sum that goes with what is put, empty where the server does not want it.
func (b *bucket) sumMD5(data []byte) string {
	if !b.md5.Load() {
		return ""
	}
	sum := md5.Sum(data) //nolint:gosec // what S3 servers ask for; the SHA-256 sum goes with it
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A condition is what must be true of a key for an object to be put: anything (the zero value), nothing there yet, or an object there
// of the given tag.
type condition struct {
	absent bool
	tag    string
}

// put stores an object and returns its tag. It returns errTaken when the condition does not hold, which can be the doing of an
// earlier attempt whose answer was lost. A server that refuses conditions gets none.
func (b *bucket) put(ctx context.Context, key string, data []byte, c condition) (tag string, err error) {
	if b.plain.Load() {
		c = condition{}
	}
	tag, err = b.putOn(ctx, key, data, c)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "NotImplemented" || c == (condition{}) {
		return tag, err
	}
	tag, failed := b.putOn(ctx, key, data, condition{})
	if failed != nil {
		return "", err
	}
	b.plain.Store(true)
	return tag, nil
}

func (b *bucket) putOn(ctx context.Context, key string, data []byte, c condition) (tag string, err error) {
	sum := sha(data)
	err = b.do(ctx, "put "+key, int64(len(data)), func(ctx context.Context) error {
		var o minio.PutObjectOptions
		o.ContentType = "application/octet-stream"
		o.DisableContentSha256 = true // the sum of all is signed, and not one of each 64 KiB besides
		if c.absent {
			o.SetMatchETagExcept("*")
		} else if c.tag != "" {
			o.SetMatchETag(c.tag)
		}
		info, err := b.core.PutObject(ctx, b.name, b.prefix+key, bytes.NewReader(data), int64(len(data)), b.sumMD5(data), sum, o)
		tag = info.ETag
		return told(tag, err)
	})
	return tag, err
}

// told returns an error for an answer without a tag: it is not one of S3, and nothing is known to be stored.
func told(tag string, err error) error {
	if err == nil && tag == "" {
		return fmt.Errorf("%w: what was put has no tag", errNotS3)
	}
	return err
}

// get fills p from an offset of an object.
func (b *bucket) get(ctx context.Context, key string, p []byte, off int64) error {
	return b.getAsItComes(ctx, key, p, off, nil)
}

// getAsItComes is get, and tells how many bytes more have arrived whenever some have; these stay as they are. What breaks off goes on where it
// ended.
func (b *bucket) getAsItComes(ctx context.Context, key string, p []byte, off int64, arrived func(n int)) error {
	if len(p) == 0 {
		return ctx.Err()
	}
	return b.do(ctx, "get "+key, int64(len(p)), func(ctx context.Context) error {
		var o minio.GetObjectOptions
		if err := o.SetRange(off, off+int64(len(p))-1); err != nil {
			return err
		}
		body, info, header, err := b.core.GetObject(ctx, b.name, b.prefix+key, o)
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != int64(len(p)) && info.Size >= 0 {
			if info.Size < int64(len(p)) && sizeIn(header.Get("Content-Range")) == off+info.Size {
				return errShort
			}
			return fmt.Errorf("%w: %d bytes instead of %d", errNotS3, info.Size, len(p))
		}
		for len(p) > 0 {
			n, err := io.ReadFull(body, p[:min(len(p), pieceBytes)])
			p, off = p[n:], off+int64(n)
			if arrived != nil && n > 0 {
				arrived(n)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// pieceBytes is how much of an answer has to be there before it is told.
const pieceBytes = 256 << 10

// sizeIn returns the size of an object of which an answer has a range, -1 where the header does not tell.
func sizeIn(contentRange string) int64 {
	_, text, _ := strings.Cut(contentRange, "/")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return size
}

// getAll returns an object of at most so many bytes, and its tag.
func (b *bucket) getAll(ctx context.Context, key string, limit int64) (data []byte, tag string, err error) {
	data, info, err := b.getWhole(ctx, key, limit)
	return data, info.ETag, err
}

// getWhole returns an object of at most so many bytes, and what the server says of it.
func (b *bucket) getWhole(ctx context.Context, key string, limit int64) (data []byte, told minio.ObjectInfo, err error) {
	err = b.do(ctx, "get "+key, min(limit, partMin), func(ctx context.Context) error {
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
		told = info
		return err
	})
	return data, told, err
}

// at returns the same bucket below another prefix, which has no slashes at its ends.
func (b *bucket) at(prefix string) *bucket {
	other := *b
	if other.prefix = prefix; prefix != "" {
		other.prefix += "/"
	}
	return &other
}

// size returns how long an object is.
func (b *bucket) size(ctx context.Context, key string) (size int64, err error) {
	info, err := b.stat(ctx, key)
	return info.Size, err
}

// stat returns what the server tells of an object.
func (b *bucket) stat(ctx context.Context, key string) (info minio.ObjectInfo, err error) {
	err = b.do(ctx, "look at "+key, 0, func(ctx context.Context) error {
		info, err = b.core.StatObject(ctx, b.name, b.prefix+key, minio.StatObjectOptions{})
		return err
	})
	return info, err
}

// remove deletes an object. That it is not there is success.
func (b *bucket) remove(ctx context.Context, key string) error {
	err := b.do(ctx, "delete "+key, 0, func(ctx context.Context) error {
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
	tag  string
}

// list calls a function for each object whose key starts so and comes after another, in order.
func (b *bucket) list(ctx context.Context, prefix, after string, each func(object) error) error {
	for {
		var page []object
		err := b.do(ctx, "list "+prefix, 0, func(ctx context.Context) (err error) {
			page, err = b.page(ctx, prefix, after, pageKeys)
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

// page returns the first objects after a key, at most so many.
func (b *bucket) page(ctx context.Context, prefix, after string, limit int) (page []object, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, MaxKeys: limit}
	if after != "" {
		o.StartAfter = b.prefix + after
	}
	last := after
	for found := range b.core.ListObjectsIter(ctx, b.name, o) {
		if found.Err != nil {
			return nil, found.Err
		}
		key, ok := strings.CutPrefix(found.Key, b.prefix)
		if !ok || !strings.HasPrefix(key, prefix) || key <= last || found.Size < 0 {
			return nil, fmt.Errorf("%w: a listing that is out of order", errNotS3)
		}
		page, last = append(page, object{key, found.Size, found.ETag}), key
		if len(page) == limit {
			return page, nil
		}
	}
	return page, ctx.Err() // the listing of a context that has ended just ends
}

// folders returns the first parts of the keys that have several, each with its slash, as far as they are among the first names.
func (b *bucket) folders(ctx context.Context) (names []string, err error) {
	err = b.do(ctx, "look into the prefix", 0, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		names = nil
		seen := 0
		for found := range b.core.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix, MaxKeys: pageKeys}) {
			if found.Err != nil {
				return found.Err
			}
			if name, ok := strings.CutPrefix(found.Key, b.prefix); ok && strings.HasSuffix(name, "/") && name != "/" {
				names = append(names, name)
			}
			if seen++; seen == pageKeys {
				return nil
			}
		}
		return ctx.Err()
	})
	return names, err
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
	err = b.do(ctx, "begin "+key, 0, func(ctx context.Context) error {
		id, err = b.core.NewMultipartUpload(ctx, b.name, b.prefix+key, minio.PutObjectOptions{ContentType: "application/octet-stream"})
		return err
	})
	return id, err
}

// putPart stores one part.
func (b *bucket) putPart(ctx context.Context, key, id string, number int, data []byte) (part, error) {
	sum, p := sha(data), part{Number: number, Size: int64(len(data))}
	err := b.do(ctx, fmt.Sprintf("put part %d of %s", number, key), int64(len(data)), func(ctx context.Context) error {
		got, err := b.core.PutObjectPart(ctx, b.name, b.prefix+key, id, number, bytes.NewReader(data), int64(len(data)),
			minio.PutObjectPartOptions{Md5Base64: b.sumMD5(data), Sha256Hex: sum, DisableContentSha256: true})
		p.Tag = got.ETag
		return told(p.Tag, err)
	})
	return p, err
}

// parts returns the parts that the server has of an upload, by number. It returns errNoKey when there is no such upload.
func (b *bucket) parts(ctx context.Context, key, id string) (map[int]part, error) {
	found := map[int]part{}
	for marker := 0; ; {
		var page minio.ListObjectPartsResult
		err := b.do(ctx, "list the parts of "+key, 0, func(ctx context.Context) (err error) {
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
	err := b.do(ctx, "complete "+key, 0, func(ctx context.Context) error {
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
	err := b.do(ctx, "abort "+key, 0, func(ctx context.Context) error {
		return b.core.AbortMultipartUpload(ctx, b.name, b.prefix+key, id)
	})
	if errors.Is(err, errNoKey) {
		return nil
	}
	return err
}

// unfinished returns the keys and ids of all uploads in parts.
func (b *bucket) unfinished(ctx context.Context) (uploads [][2]string, err error) {
	for key, id := "", ""; ; {
		var page minio.ListMultipartUploadsResult
		err := b.do(ctx, "list unfinished uploads", 0, func(ctx context.Context) (err error) {
			page, err = b.core.ListMultipartUploads(ctx, b.name, b.prefix+largePrefix, key, id, "", pageKeys)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			if k, ok := strings.CutPrefix(u.Key, b.prefix); ok {
				uploads = append(uploads, [2]string{k, u.UploadID})
			}
		}
		if !page.IsTruncated || page.NextKeyMarker == "" || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			return uploads, nil
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
