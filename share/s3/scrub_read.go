package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
	"cairn/share/encoding"
)

// read goes on with a pass over all objects, until it ends or the budget of the day is used up.
func (p *scrub) read(ctx context.Context) error {
	for {
		key, size, err := p.nextObject()
		if err != nil {
			return err
		}
		if key == "" {
			p.at.After, p.at.Ended, p.report.Done = "", p.now.Unix(), true
			return nil
		}
		if p.report.Spent = p.spent(); p.report.Spent {
			return nil
		}
		if err := p.objectOr(ctx, key, size); err != nil {
			return err
		}
		p.report.Objects++
		p.at.After = key
		if p.report.Objects%64 == 0 {
			if err := p.note(); err != nil {
				return err
			}
		}
	}
}

// nextObject returns the object in which something is held that comes after the last one that was read, and its size.
func (p *scrub) nextObject() (key string, size int64, err error) {
	err = p.index.file.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(objectsBucket).Cursor()
		k, data := c.Seek([]byte(p.at.After))
		if k != nil && string(k) == p.at.After {
			k, data = c.Next()
		}
		for ; k != nil; k, data = c.Next() {
			var o objectRecord
			if err := unseal(data, &o); err != nil {
				return err
			}
			if o.Shares > 0 {
				key, size = string(k), o.Size
				return nil
			}
		}
		return nil
	})
	return key, size, err
}

// object verifies all shares of one object that are held. What does not verify is read once more.
func (p *scrub) object(ctx context.Context, key string, size int64) error {
	held, err := p.inObject(ctx, key, size)
	if err != nil || len(held) == 0 {
		return err
	}
	chunks := p.chunks(key, size)
	var doubtful []holding
	for _, h := range held {
		p.report.Shares++
		err := p.verify(ctx, chunks, h)
		if isBad(err) {
			doubtful = append(doubtful, h)
		} else if err != nil {
			return err
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	chunks = p.chunks(key, size)
	for _, h := range doubtful {
		err := p.verify(ctx, chunks, h)
		if isBad(err) {
			err = p.condemned(ctx, h, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isBad reports whether an error says that a share is bad, and not that the bucket could not be asked.
func isBad(err error) bool {
	return errors.Is(err, share.ErrCorrupt) || errors.Is(err, errNoKey)
}

func (p *scrub) verify(ctx context.Context, chunks *chunkReader, h holding) error {
	return encoding.Verify(ctx, &inChunks{chunks, h.held}, h.index, h.held.Number, h.root)
}

// inObject returns the shares of an object that are held. An object whose directory is damaged is written anew where it is small, because
// an index that is computed from the bucket would not find what is in it; in a large one the share counts as bad.
func (p *scrub) inObject(ctx context.Context, key string, size int64) ([]holding, error) {
	if err := p.spend(ctx, min(size, directoryRead)); err != nil {
		return nil, err
	}
	members, _, err := p.directory(ctx, object{key: key, size: size})
	if err == nil {
		held, live, err := p.heldOf(key, members)
		if err != nil || int64(len(held)) == live {
			return held, err
		}
	} else if !isBad(err) {
		return nil, err
	}
	damage := err
	held, err := p.holdings(map[string]bool{key: true})
	if err != nil || errors.Is(damage, errNoKey) {
		return held, err // what is gone does not verify either
	}
	if damage == nil {
		damage = fmt.Errorf("%w: the directory does not list all", share.ErrCorrupt)
	}
	if size > 2*packBytes {
		for _, h := range held {
			if err := p.condemned(ctx, h, damage); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	p.log.Warn("an object in the bucket has a damaged directory, what is good of it is written anew", "key", key, "reason", damage)
	return p.salvage(ctx, key, size, held)
}

// heldOf returns the members of an object that are held, and how many the index counts in it.
func (p *scrub) heldOf(key string, members []member) (held []holding, live int64, err error) {
	err = p.index.file.View(func(tx *bolt.Tx) error {
		var o objectRecord
		if _, err := get(tx, objectsBucket, []byte(key), &o); err != nil {
			return err
		}
		live = o.Shares
		for _, m := range members {
			var f fileRecord
			if _, err := get(tx, filesBucket, m.Index[:], &f); err != nil {
				return err
			}
			if s, ok := f.share(m.Number); ok && s.Key == key && s.Offset == m.Offset && s.Size == m.Size {
				held = append(held, holding{m.Index, s, f.Root})
			}
		}
		return nil
	})
	return held, live, err
}

// salvage writes the good shares of a small object to a new one, and returns the others.
func (p *scrub) salvage(ctx context.Context, key string, size int64, held []holding) (bad []holding, err error) {
	chunks := p.chunks(key, size)
	var b packBuilder
	for _, h := range held {
		switch err := p.verify(ctx, chunks, h); {
		case isBad(err):
			bad = append(bad, h)
			continue
		case err != nil:
			return nil, err
		}
		data := make([]byte, h.held.Size)
		if err := chunks.readAt(ctx, data, h.held.Offset); err != nil {
			return nil, err
		}
		leases, err := p.index.files(h.index)
		if err != nil {
			return nil, err
		}
		lease := leaseRecord{Owner: "nobody"}
		for _, l := range leases[0].Leases {
			if l.Expires > lease.Expires {
				lease = l
			}
		}
		b.add(item{index: h.index, number: h.held.Number, data: data, root: len(h.root), lease: lease})
	}
	if len(b.members) == 0 {
		return bad, nil
	}
	data, to := b.finish(), p.keys.next(packPrefix)
	if err := p.spend(ctx, 0); err != nil {
		return nil, err
	}
	if _, err := p.bucket.put(ctx, to, data, condition{}); err != nil {
		return nil, err
	}
	p.report.Shares += int64(len(b.members))
	return bad, p.index.update(func(c *change) error { return c.move(key, to, int64(len(data)), b.members) }, nil)
}

const (
	scrubChunk = 4 << 20 // bytes of one request
	chunksKept = 4
)

// A chunkReader reads an object by large pieces, of which it keeps the last.
type chunkReader struct {
	scrub *scrub
	key   string

	mu       sync.Mutex // guards what follows
	size     int64
	measured bool
	kept     []chunk // the one used last at the end
}

type chunk struct {
	number int64
	data   []byte
}

func (p *scrub) chunks(key string, size int64) *chunkReader {
	return &chunkReader{scrub: p, key: key, size: size}
}

func (r *chunkReader) readAt(ctx context.Context, p []byte, off int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(p) > 0 {
		c, err := r.chunk(ctx, off/scrubChunk)
		if err != nil {
			return err
		}
		n := copy(p, c.data[min(off%scrubChunk, int64(len(c.data))):])
		if n == 0 {
			return fmt.Errorf("%w: the object ends before", share.ErrCorrupt)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (r *chunkReader) chunk(ctx context.Context, number int64) (chunk, error) {
	for i, c := range r.kept {
		if c.number == number {
			r.kept = append(append(r.kept[:i:i], r.kept[i+1:]...), c)
			return c, nil
		}
	}
	c := chunk{number: number}
	err := r.fetch(ctx, &c)
	if errors.Is(err, share.ErrCorrupt) && !r.measured { // it may have been cut: what is left of it can be good
		r.measured = true
		if r.size, err = r.scrub.bucket.size(ctx, r.key); err == nil {
			err = r.fetch(ctx, &c)
		}
	}
	if err != nil {
		return c, err
	}
	if len(r.kept) == chunksKept {
		r.kept = r.kept[1:]
	}
	r.kept = append(r.kept, c)
	return c, nil
}

func (r *chunkReader) fetch(ctx context.Context, c *chunk) error {
	from := c.number * scrubChunk
	if from >= r.size {
		return fmt.Errorf("%w: the object ends before", share.ErrCorrupt)
	}
	c.data = make([]byte, min(scrubChunk, r.size-from))
	if err := r.scrub.spend(ctx, int64(len(c.data))); err != nil {
		return err
	}
	return r.scrub.bucket.get(ctx, r.key, c.data, from)
}

// inChunks is a share of an object that is read by chunks.
type inChunks struct {
	chunks *chunkReader
	held   shareRecord
}

func (r *inChunks) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > r.held.Size {
		return 0, io.ErrUnexpectedEOF
	}
	if err := r.chunks.readAt(ctx, p, r.held.Offset+off); err != nil {
		return 0, err // bytes beside an error would be verified before it is seen
	}
	return len(p), nil
}

func (r *inChunks) Size() int64 { return r.held.Size }

func (r *inChunks) Close() error { return nil }
