package storage_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A watchedBulk store counts how its blocks come.
type watchedBulk struct {
	*memory.Store
	single, bulk *atomic.Int64 // blocks
}

type watchedWriter struct {
	share.Writer
	store watchedBulk
}

func (s watchedBulk) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	w, err := s.Store.Create(ctx, u)
	return &watchedWriter{w, s}, err
}

func (w *watchedWriter) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	w.store.single.Add(1)
	return w.Writer.Append(ctx, digests, block)
}

func (w *watchedWriter) AppendAll(ctx context.Context, rows []share.Digest, blocks []byte) error {
	w.store.bulk.Add(int64((len(blocks) + 4095) / 4096))
	return w.Writer.(share.BulkWriter).AppendAll(ctx, rows, blocks)
}

func newWatchedBulk() watchedBulk {
	return watchedBulk{memory.New(memory.Options{}), &atomic.Int64{}, &atomic.Int64{}}
}

// Blocks of large files are appended many at a time, as far as there is memory for it; small files, and the others, one by one.
func TestBlocksAreAppendedTogether(t *testing.T) {
	large := storetest.NewFile(t, 1, 1, 2, 4096, 40*4096+9)
	for name, c := range map[string]struct {
		file         *storetest.File
		open         int // uploads under way that have the memory
		single, bulk int64
	}{
		"large":     {large, 0, 0, 41},
		"small":     {storetest.NewFile(t, 2, 1, 2, 4096, 3*4096), 0, 3, 0},
		"no memory": {large, 2, 41, 0},
	} {
		t.Run(name, func(t *testing.T) {
			store := newWatchedBulk()
			p := connect(t, store, storage.ServerOptions{Bulks: 2}, storage.ClientOptions{})
			for i := range c.open {
				other := storetest.NewFile(t, uint64(10+i), 1, 2, 4096, 40*4096)
				w, err := p.client.Create(t.Context(), other.Upload(0, ""))
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				if err := other.Append(t.Context(), w, 0, 0, 17); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Have(t.Context()); err != nil { // the server has taken them
					t.Fatal(err)
				}
			}
			store.single.Store(0)
			store.bulk.Store(0)
			if err := c.file.Put(t.Context(), p.client, 1, ""); err != nil {
				t.Fatal(err)
			}
			if single, bulk := store.single.Load(), store.bulk.Load(); single != c.single || bulk != c.bulk {
				t.Errorf("%d blocks came one by one and %d together, want %d and %d", single, bulk, c.single, c.bulk)
			}
			if err := c.file.Check(t.Context(), p.client, 1); err != nil {
				t.Error(err)
			}
		})
	}
}

// What has come whole is kept when the stream ends in the middle of a block.
func TestCutUploadKeepsItsBlocks(t *testing.T) {
	store := newWatchedBulk()
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 3, 1, 2, 4096, 40*4096)
	r := p.raw(t, storage.Write)
	const whole = 21
	all := upload(t, f, 1)
	each := len(wire.AppendBlock(nil, f.Block(0, 1)))
	if row, err := wire.AppendRow(nil, 4096, f.Row(0)); err != nil {
		t.Fatal(err)
	} else {
		each += len(row)
	}
	begin := len(frames(t, wire.CreateOf(f.Upload(1, ""), time.Now())))
	r.say(all[:begin+whole*each+100])
	if err := r.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := r.hear(); err == nil {
		t.Fatal("the server answered")
	}
	w, err := p.client.Create(t.Context(), f.Upload(1, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if have, err := w.Have(t.Context()); err != nil || have != whole {
		t.Fatalf("have %d blocks, %v; want %d", have, err, whole)
	}
	if err := errors.Join(f.Append(t.Context(), w, 1, whole, f.Segments()), w.Commit(t.Context(), f.Root)); err != nil {
		t.Fatal(err)
	}
}

// A damaged block among others is refused, and those before it are kept.
func TestDamagedBlockAmongOthers(t *testing.T) {
	store := newWatchedBulk()
	p := connect(t, store, storage.ServerOptions{}, storage.ClientOptions{})
	f := storetest.NewFile(t, 4, 1, 2, 4096, 40*4096)
	w, err := p.client.Create(t.Context(), f.Upload(1, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), w, 1, 0, 5); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(t.Context(), f.Row(5), f.Block(6, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Have(t.Context()); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("after a damaged block: %v", err)
	}
	w.Close()
	again, err := p.client.Create(t.Context(), f.Upload(1, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if have, err := again.Have(t.Context()); err != nil || have != 5 {
		t.Errorf("have %d blocks, %v; want 5", have, err)
	}
}
