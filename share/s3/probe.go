package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cairn/share"
)

const probePrefix = "cairn-probe-"

// A Probed is what Probe has found out about a bucket that can be used.
type Probed struct {
	// Conditions says that the server keeps to the conditions of requests that write. Without them two nodes that begin to use one prefix at the
	// same time notice it only when they look at the lock the next time.
	Conditions bool `json:"conditions"`
	// Versions says that the bucket keeps what is deleted and replaced as older versions, which are paid for.
	Versions bool `json:"versions"`
	// Retained is until when an object that is written now cannot be removed for good; zero where the bucket has no such lock, or the
	// credentials may not see it.
	Retained time.Time `json:"retained,omitzero"`
}

// Notes says in plain words what is to be known about a bucket that can be used all the same.
func (p Probed) Notes() (notes []string) {
	if !p.Conditions {
		notes = append(notes, "the server does not know conditional writes: that two nodes use this prefix is noticed late, so give it to one node alone")
	}
	if p.Versions {
		notes = append(notes, "the bucket keeps versions: what is deleted or replaced stays and is paid for until a life-cycle rule lets noncurrent versions expire")
	}
	if !p.Retained.IsZero() {
		notes = append(notes, "the bucket locks each object: what is written now stays, and is paid for, until "+p.Retained.UTC().Format(time.RFC3339)+" at least")
	}
	return notes
}

// Probe writes an object below the prefix, reads it, compares and deletes it, and so finds out whether the bucket can be used as the
// settings say. It neither opens the prefix nor takes its lock, and can be called while a node uses it. Explain tells its error
// in plain words.
func Probe(ctx context.Context, c Config) (Probed, error) {
	if c.Index == "" {
		c.Index = "." // which is not used
	}
	if err := c.Check(); err != nil {
		return Probed{}, fmt.Errorf("bucket %s: %w", c.URL(), err)
	}
	b, err := newBucket(c)
	if err != nil {
		return Probed{}, fmt.Errorf("bucket %s: %w", c.URL(), err)
	}
	p := probe{bucket: b, key: probePrefix + randomText(16)}
	if err := p.try(ctx); err != nil {
		return Probed{}, err
	}
	return p.found, nil
}

// A probe is one object that is there for a moment.
type probe struct {
	bucket *bucket
	key    string
	tag    string
	found  Probed
}

func (p *probe) try(ctx context.Context) error {
	data := []byte(randomText(4 << 10))
	var err error
	if p.tag, err = p.bucket.put(ctx, p.key, data, condition{absent: true}); err != nil {
		return fmt.Errorf("write a probe: %w", err)
	}
	for _, step := range []func(context.Context, []byte) error{p.read, p.look, p.conditions, p.parts} {
		if err := step(ctx, data); err != nil {
			return errors.Join(err, p.bucket.remove(ctx, p.key))
		}
	}
	return p.remove(ctx)
}

func (p *probe) read(ctx context.Context, want []byte) error {
	got, _, err := p.bucket.getAll(ctx, p.key, int64(len(want)))
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%w: what was read is not what was written", share.ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("read the probe: %w", err)
	}
	return nil
}

// look finds out what the bucket does with objects that are deleted.
func (p *probe) look(ctx context.Context, _ []byte) error {
	info, err := p.bucket.stat(ctx, p.key)
	if err != nil {
		return fmt.Errorf("look at the probe: %w", err)
	}
	p.found.Versions = info.VersionID != "" && info.VersionID != "null"
	p.found.Retained, _ = time.Parse(time.RFC3339, info.Headers.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	return nil
}

// conditions has the server refuse what it must, and take what it must not refuse.
func (p *probe) conditions(ctx context.Context, data []byte) error {
	p.found.Conditions = true
	for _, c := range []condition{{absent: true}, {tag: strings.Repeat("0", 32)}} {
		tag, err := p.bucket.put(ctx, p.key, data, c)
		switch {
		case err == nil:
			p.found.Conditions, p.tag = false, tag
		case !errors.Is(err, errTaken):
			return fmt.Errorf("write the probe on a condition that does not hold: %w", err)
		}
	}
	if _, err := p.bucket.put(ctx, p.key, data, condition{tag: p.tag}); err != nil {
		return fmt.Errorf("write the probe on a condition that holds: %w", err)
	}
	return nil
}

// parts begins an upload in parts, as large shares have one, and ends it. Those that others have left are listed when the bucket is opened.
func (p *probe) parts(ctx context.Context, _ []byte) error {
	id, err := p.bucket.begin(ctx, p.key)
	if err == nil {
		err = p.bucket.abort(ctx, p.key, id)
	}
	if err == nil {
		_, err = p.bucket.unfinished(ctx)
	}
	if err != nil {
		return fmt.Errorf("begin, end and list uploads in parts: %w", err)
	}
	return nil
}

func (p *probe) remove(ctx context.Context) error {
	if err := p.bucket.remove(ctx, p.key); err != nil {
		return fmt.Errorf("delete the probe: %w", err)
	}
	switch _, _, err := p.bucket.getAll(ctx, p.key, markerLimit); {
	case err == nil:
		return fmt.Errorf("delete the probe: %w: it is still there", share.ErrDenied)
	case !errors.Is(err, errNoKey):
		return fmt.Errorf("look whether the probe is gone, which takes the right to list the bucket (s3:ListBucket): %w", err)
	}
	return nil
}
