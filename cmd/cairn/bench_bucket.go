package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"cairn/internal/baseline"
	"cairn/internal/localgrid"
	"cairn/node/control"
	"cairn/share/capability"
)

// A benchBucket is one operation of a node whose shares are in a bucket, beside the same bytes put straight into it.
type benchBucket struct {
	What  string          `json:"what"`
	Unit  string          `json:"unit"` // of what follows: MB/s, files/s or ms
	Plain float64         `json:"plain"`
	Cairn float64         `json:"cairn"`
	Tahoe float64         `json:"tahoe,omitempty"`
	Asked baseline.Asked  `json:"asked"`
	Also  *baseline.Asked `json:"plain_asked"`
}

// Tahoe-LAFS with one storage server on a local disk and k = N = 1, on this kind of machine.
const (
	tahoeStores, tahoeReads     = 78, 109 // MB/s of 100 MB
	tahoeStoresOne, tahoeGetOne = 13, 9   // ms of 1 KB
)

const (
	bucketLarge = 100_000_000
	bucketRuns  = 3
	bucketName  = "bench"
	bucketKey   = "bench"
	bucketWord  = "bench-secret"
)

// A bucketBench is a node in whose bucket everything goes, and a plain client of the same server.
type bucketBench struct {
	*bench
	plain  *baseline.Bucket
	client *control.Client
}

// bucketLayout measures a node whose only store is a bucket, with k = N = 1.
func (b *bench) bucketLayout(ctx context.Context) (err error) {
	if b.server == "" || b.bucketFiles == 0 {
		b.app.note("bench: the bucket is left out: --s3-server names no S3 server (versitygw)")
		return nil
	}
	program, err := filepath.Abs(b.server)
	if err != nil {
		return err
	}
	folder := b.path("s3-objects")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	servers := localgrid.New(localgrid.Config{Dir: b.dir, Program: program})
	defer servers.Close()
	if _, err := servers.Start(ctx, "IAM", "--port", address, "--access", bucketKey, "--secret", bucketWord, "--quiet", "--keep-alive", "posix", folder); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	x := &bucketBench{bench: b}
	if x.plain, err = baseline.OpenBucket(ctx, "http://"+address, bucketKey, bucketWord, bucketName); err != nil {
		return err
	}
	nodes, err := newLocalNodes(b.path("bucket-nodes"))
	if err != nil {
		return err
	}
	defer nodes.grid.Close()
	if x.client, err = b.bucketNode(ctx, nodes, "http://"+address); err != nil {
		return err
	}
	defer x.client.Close()
	return x.measure(ctx)
}

// bucketNode makes and starts a node whose shares are in the bucket.
func (b *bench) bucketNode(ctx context.Context, nodes *localNodes, endpoint string) (*control.Client, error) {
	secret := b.path("bucket-secret")
	if err := os.WriteFile(secret, []byte(bucketWord), 0o600); err != nil {
		return nil, err
	}
	node := &localNode{Name: "bucket", dir: nodes.grid.Dir("bucket")}
	for _, args := range [][]string{
		{
			"init", "--nickname", "bucket", "--no-phrase", "--storage", "s3://" + bucketName + "/node", "--endpoint", endpoint, "--path-style",
			"--access-key", bucketKey, "--secret-file", secret,
		},
		{"grid", "create", "bench", "--open", "--k", "1", "--happy", "1", "--n", "1"},
	} {
		if _, err := nodes.verb(ctx, node, args...); err != nil {
			return nil, err
		}
	}
	if err := nodes.up(ctx, node); err != nil {
		return nil, err
	}
	return control.Dial(node.dir)
}

// asked returns what the node has asked of the bucket so far.
func (x *bucketBench) asked(ctx context.Context) (baseline.Asked, error) {
	s, err := x.client.Status(ctx)
	if err != nil {
		return baseline.Asked{}, err
	}
	if s.Storage.Bucket == nil || len(s.Storage.Bucket.Months) == 0 {
		return baseline.Asked{}, errors.New("the node does not tell what it has asked of its bucket")
	}
	var a baseline.Asked
	for _, m := range s.Storage.Bucket.Months { // two where a month ends meanwhile
		a = baseline.Asked{Writes: a.Writes + m.Writes, Reads: a.Reads + m.Reads, Sent: a.Sent + m.Sent, Received: a.Received + m.Received}
	}
	return a, nil
}

// both notes what two ways of doing the same ask of the server.
func (x *bucketBench) both(ctx context.Context, out benchBucket, plain, cairn func() (float64, error)) error {
	before := x.plain.Asked()
	var err error
	if out.Plain, err = plain(); err != nil {
		return fmt.Errorf("%s, plain client: %w", out.What, err)
	}
	also := x.plain.Asked().Less(before)
	asked, err := x.asked(ctx)
	if err != nil {
		return err
	}
	if out.Cairn, err = cairn(); err != nil {
		return fmt.Errorf("%s: %w", out.What, err)
	}
	after, err := x.asked(ctx)
	if err != nil {
		return err
	}
	out.Asked, out.Also = after.Less(asked), &also
	x.out.Bucket = append(x.out.Bucket, out)
	return nil
}

func (x *bucketBench) measure(ctx context.Context) error {
	data := randomBytes(bucketLarge)
	var large capability.Capability
	megabytes := func(do func() error) func() (float64, error) {
		return func() (float64, error) {
			seconds, err := medianOf(bucketRuns, func(int) error { return do() })
			return bucketLarge / 1e6 / seconds, err
		}
	}
	err := x.both(ctx, benchBucket{What: "100 MB, stored", Unit: "MB/s", Tahoe: tahoeStores},
		megabytes(func() error { return x.plain.Put(ctx, "large", data) }),
		megabytes(func() (err error) {
			copy(data, randomBytes(64)) // what is there already would not be stored again
			large, err = putBytes(ctx, x.client, data)
			return err
		}))
	if err != nil {
		return err
	}
	err = x.both(ctx, benchBucket{What: "100 MB, read", Unit: "MB/s", Tahoe: tahoeReads},
		megabytes(func() error { return x.plain.Get(ctx, "large") }),
		megabytes(func() error {
			_, err := getBytes(ctx, x.client, large, 0, -1)
			return err
		}))
	if err != nil {
		return err
	}
	return x.small(ctx)
}

// small stores and reads small files, some at a time and one by one.
func (x *bucketBench) small(ctx context.Context) error {
	const size = 1000
	caps := make([]capability.Capability, x.bucketFiles)
	plainPut := func(i int) error { return x.plain.Put(ctx, fmt.Sprint("small-", i), randomBytes(size)) }
	plainGet := func(i int) error { return x.plain.Get(ctx, fmt.Sprint("small-", i)) }
	put := func(i int) (err error) {
		caps[i], err = putBytes(ctx, x.client, randomBytes(size))
		return err
	}
	get := func(i int) error {
		_, err := getBytes(ctx, x.client, caps[i], 0, -1)
		return err
	}
	many := func(do func(int) error) func() (float64, error) {
		return func() (float64, error) { return inParallel(x.bucketFiles, do) }
	}
	alone := func(do func(int) error) func() (float64, error) {
		return func() (float64, error) {
			seconds, err := medianOf(min(x.bucketFiles, benchAlone), do)
			return 1000 * seconds, err
		}
	}
	for _, step := range []struct {
		out          benchBucket
		plain, cairn func() (float64, error)
	}{
		{benchBucket{What: fmt.Sprintf("%d files of 1 KB, stored", x.bucketFiles), Unit: "files/s"}, many(plainPut), many(put)},
		{benchBucket{What: fmt.Sprintf("%d files of 1 KB, read", x.bucketFiles), Unit: "files/s"}, many(plainGet), many(get)},
		{benchBucket{What: "one file of 1 KB, stored", Unit: "ms", Tahoe: tahoeStoresOne}, alone(plainPut), alone(put)},
		{benchBucket{What: "one file of 1 KB, read", Unit: "ms", Tahoe: tahoeGetOne}, alone(plainGet), alone(get)},
	} {
		if err := x.both(ctx, step.out, step.plain, step.cairn); err != nil {
			return err
		}
	}
	return nil
}

func (r benchReport) bucketTable() benchTable {
	t := benchTable{
		title: "A node whose shares are in a bucket",
		text: "One node, k = N = 1, whose shares are in a bucket of an S3 server (versitygw) on the same machine, beside the same bytes put straight into the same server\n" +
			"by a plain S3 client with its own settings (minio-go), and Tahoe-LAFS with one server and a local disk. Several small files are stored and read\n" +
			fmt.Sprintf("%d at a time, one file is the median of %d. *Asked* is what is billed: requests that write and that read, bytes sent and received.", benchParallel, benchAlone),
		head: []string{"operation", "plain S3", "Cairn", "Tahoe-LAFS", "asked by the plain client", "asked by Cairn"},
	}
	if len(r.Bucket) == 0 {
		t.text = "There was no S3 server (versitygw), and it is left out."
	}
	for _, b := range r.Bucket {
		tahoe := ""
		if b.Tahoe != 0 {
			tahoe = fmt.Sprintf("%.0f %s", b.Tahoe, b.Unit)
		}
		digits := 0
		if b.Unit == "ms" {
			digits = 1
		}
		t.rows = append(t.rows, []string{
			b.What, fmt.Sprintf("%.*f %s", digits, b.Plain, b.Unit), fmt.Sprintf("%.*f %s", digits, b.Cairn, b.Unit), tahoe, askedText(*b.Also), askedText(b.Asked),
		})
	}
	return t
}

func askedText(a baseline.Asked) string {
	var parts []string
	for _, p := range []struct {
		n    int64
		text string
	}{{a.Writes, fmt.Sprintf("%d writes", a.Writes)}, {a.Reads, fmt.Sprintf("%d reads", a.Reads)}, {a.Sent, sizeText(a.Sent) + " sent"}, {a.Received, sizeText(a.Received) + " received"}} {
		if p.n > 0 {
			parts = append(parts, p.text)
		}
	}
	return strings.Join(parts, ", ")
}
