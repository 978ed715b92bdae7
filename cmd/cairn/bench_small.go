package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// A benchSmall is what many files of one small size take.
type benchSmall struct {
	Size  int `json:"size"`
	Files int `json:"files"`
	// One client with benchParallel requests at a time.
	Puts float64 `json:"puts_per_second"`
	Gets float64 `json:"gets_per_second"`
	// One after the other, the median.
	Put float64 `json:"put_seconds"`
	Get float64 `json:"get_seconds"`
	// Disk is how many bytes a file takes on the disks of all servers together.
	Disk float64 `json:"disk_bytes_per_file"`
	CPU  float64 `json:"cpu_seconds_per_put"`
}

const (
	benchParallel = 8
	benchAlone    = 20 // files stored one after the other
)

var smallSizes = []int{1_000, 20_000}

func (b *bench) smallFiles(ctx context.Context) error {
	return b.between(func(writer, reader *control.Client) error {
		for _, size := range smallSizes {
			small, err := b.smallOf(ctx, writer, reader, size)
			if err != nil {
				return err
			}
			b.out.Small = append(b.out.Small, small)
		}
		return nil
	})
}

// between measures with two gateways: one that stores and another one that reads.
func (b *bench) between(measure func(writer, reader *control.Client) error) error {
	writer, err := control.Dial(b.gateway(0).dir)
	if err != nil {
		return err
	}
	defer writer.Close()
	reader, err := control.Dial(b.gateway(1).dir)
	if err != nil {
		return err
	}
	defer reader.Close()
	return measure(writer, reader)
}

func (b *bench) smallOf(ctx context.Context, writer, reader *control.Client, size int) (benchSmall, error) {
	out := benchSmall{Size: size, Files: b.small}
	caps := make([]capability.Capability, b.small)
	put := func(i int) (err error) {
		caps[i], err = putBytes(ctx, writer, randomBytes(size))
		return err
	}
	get := func(i int) error {
		_, err := getBytes(ctx, reader, caps[i], 0, -1)
		return err
	}
	before, err := diskUsage(b.dir)
	if err != nil {
		return out, err
	}
	cpu := b.nodes.grid.Usage().CPU
	if out.Puts, err = inParallel(b.small, put); err != nil {
		return out, err
	}
	out.CPU = (b.nodes.grid.Usage().CPU - cpu).Seconds() / float64(b.small)
	after, err := diskUsage(b.dir)
	if err != nil {
		return out, err
	}
	out.Disk = float64(after-before) / float64(b.small)
	if out.Gets, err = inParallel(b.small, get); err != nil {
		return out, err
	}
	alone := min(b.small, benchAlone)
	if out.Put, err = medianOf(alone, put); err != nil {
		return out, err
	}
	out.Get, err = medianOf(alone, get)
	return out, err
}

// inParallel does something n times, benchParallel at a time, and returns how often a second.
func inParallel(n int, do func(i int) error) (perSecond float64, err error) {
	var group errgroup.Group
	group.SetLimit(benchParallel)
	begin := time.Now()
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	err = group.Wait()
	return float64(n) / time.Since(begin).Seconds(), err
}

// medianOf does something n times and returns the median of the seconds that it took.
func medianOf(n int, do func(i int) error) (float64, error) {
	seconds := make([]float64, n)
	for i := range seconds {
		begin := time.Now()
		if err := do(i); err != nil {
			return 0, err
		}
		seconds[i] = time.Since(begin).Seconds()
	}
	slices.Sort(seconds)
	return seconds[n/2], nil
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

// putBytes stores bytes as `put` would store a file of them.
func putBytes(ctx context.Context, client *control.Client, data []byte) (capability.Capability, error) {
	digest := share.Digest(sha256.Sum256(data))
	result, err := client.Put(ctx, bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Digest: &digest}, nil)
	if err != nil {
		return capability.Capability{}, err
	}
	return capability.Parse(result.Capability)
}

// A fetched is what a read took.
type fetched struct {
	data  []byte
	first time.Duration // until the first byte
	all   time.Duration
}

func getBytes(ctx context.Context, client *control.Client, file capability.Capability, offset, length int64) (fetched, error) {
	begin := time.Now()
	download, err := client.Get(ctx, file, offset, length)
	if err != nil {
		return fetched{}, err
	}
	w := &noting{}
	_, err = download.WriteTo(w)
	err = errors.Join(err, download.Close())
	return fetched{w.Bytes(), w.first.Sub(begin), time.Since(begin)}, err
}

// A noting writer notes when the first byte came.
type noting struct {
	bytes.Buffer
	first time.Time
}

var _ io.Writer = (*noting)(nil)

func (n *noting) Write(p []byte) (int, error) {
	if n.first.IsZero() {
		n.first = time.Now()
	}
	return n.Buffer.Write(p)
}
