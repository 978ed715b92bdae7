package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/node/control"
	"cairn/share/capability"
)

// benchTimes are single times, in seconds.
type benchTimes struct {
	Start   float64 `json:"start"`          // making, joining and starting all nodes until each knows all others
	Command float64 `json:"command"`        // the shortest command
	Join    float64 `json:"join"`           // from `join` of a new node until it knows all others
	Back    float64 `json:"start_to_put"`   // from starting a node that was stopped to its first successful put
	Healthy float64 `json:"put_healthy"`    // a put of hungSize
	Hung    float64 `json:"put_hung"`       // the same right after one node was stopped (SIGSTOP)
	HungGet float64 `json:"get_hung"`       // reading it then
	Known   float64 `json:"put_hung_known"` // the same once the others have noticed
}

// A benchRange is what a small read in the middle of the largest file takes.
type benchRange struct {
	FileSize int64 `json:"file_size"`
	Length   int64 `json:"length"`
	// First is the time to the first byte and All to the last, in seconds: of the first read through a gateway that has
	// never seen the file, and the median of later ones elsewhere in it.
	First     float64 `json:"first_byte_seconds"`
	All       float64 `json:"all_seconds"`
	LaterAll  float64 `json:"later_all_seconds"`
	Read      int64   `json:"bytes_read"` // by the gateway, from sockets and its disk, for the first read
	LaterRead int64   `json:"later_bytes_read"`
}

const (
	rangeLength = 64 << 10
	rangeReads  = 9
	hungSize    = 10_000_000
)

// readRange reads small pieces of the largest file through a gateway that has not read it.
func (b *bench) readRange(ctx context.Context) error {
	large := b.out.Large[len(b.out.Large)-1]
	file, err := capability.Parse(large.capability)
	if err != nil {
		return err
	}
	gateway := b.gateway(2)
	client, err := control.Dial(gateway.dir)
	if err != nil {
		return err
	}
	defer client.Close()
	out := &b.out.Range
	out.FileSize, out.Length = large.Size, rangeLength
	var times []float64
	var reads []int64
	for i := range int64(rangeReads) {
		// An odd place in the middle, then others all over the file.
		offset := (large.Size/2 + i*large.Size/rangeReads + 12_345) % (large.Size - rangeLength)
		before, _ := gateway.process.BytesRead() // zero where the system does not tell
		got, err := getBytes(ctx, client, file, offset, rangeLength)
		if err != nil {
			return err
		}
		if len(got.data) != rangeLength {
			return fmt.Errorf("%d bytes came, %d were asked for", len(got.data), rangeLength)
		}
		after, _ := gateway.process.BytesRead()
		if i == 0 {
			out.First, out.All, out.Read = got.first.Seconds(), got.all.Seconds(), after-before
			continue
		}
		times, reads = append(times, got.all.Seconds()), append(reads, after-before)
	}
	slices.Sort(times)
	slices.Sort(reads)
	out.LaterAll, out.LaterRead = times[len(times)/2], reads[len(reads)/2]
	return nil
}

// hung stores a file with all nodes well, and again with one that is stopped and keeps its connections.
func (b *bench) hung(ctx context.Context) error {
	return b.between(func(writer, reader *control.Client) error { return b.hungBetween(ctx, writer, reader) })
}

func (b *bench) hungBetween(ctx context.Context, writer, reader *control.Client) error {
	timed := func() (seconds float64, file capability.Capability, err error) {
		data := randomBytes(hungSize)
		begin := time.Now()
		file, err = putBytes(ctx, writer, data)
		return time.Since(begin).Seconds(), file, err
	}
	times := &b.out.Times
	healthy, file, err := timed()
	if err != nil {
		return err
	}
	times.Healthy = healthy
	victim := b.nodes.nodes[b.benchOptions.nodes-1].process
	if err := victim.Pause(); errors.Is(err, errors.ErrUnsupported) {
		b.app.note("bench: left out: processes cannot be stopped on this system")
		return nil
	} else if err != nil {
		return err
	}
	defer victim.Resume()
	if times.Hung, _, err = timed(); err != nil {
		return err
	}
	begin := time.Now()
	if _, err := getBytes(ctx, reader, file, 0, -1); err != nil {
		return err
	}
	times.HungGet = time.Since(begin).Seconds()
	if err := pause(ctx, b.notice); err != nil {
		return err
	}
	times.Known, _, err = timed()
	return err
}

// comings measures how soon a new node and a returning one are of use.
func (b *bench) comings(ctx context.Context) error {
	back := b.gateway(1)
	back.process.Kill()
	begin := time.Now()
	if err := b.nodes.up(ctx, back); err != nil {
		return err
	}
	client, err := control.Dial(back.dir)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		if _, err = putBytes(ctx, client, randomBytes(1000)); err == nil {
			break
		}
		if time.Since(begin) > readyWithin || pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("%s stores nothing after it came back: %w", back.Name, err)
		}
	}
	b.out.Times.Back = time.Since(begin).Seconds()
	if err := b.nodes.meet(ctx); err != nil {
		return err
	}
	fresh, err := b.nodes.make(ctx, 1)
	if err != nil {
		return err
	}
	begin = time.Now()
	err = b.nodes.bring(ctx, fresh)
	b.out.Times.Join = time.Since(begin).Seconds()
	return err
}
