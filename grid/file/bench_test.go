package file_test

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// sink is a store that takes everything and keeps nothing.
type sink struct{ share.Store }

func (sink) Create(context.Context, share.Upload) (share.Writer, error) { return sinkWriter{}, nil }

type sinkWriter struct{}

func (sinkWriter) Have(context.Context) (int64, error)                  { return 0, nil }
func (sinkWriter) Append(context.Context, []share.Digest, []byte) error { return nil }
func (sinkWriter) Commit(context.Context, []byte) error                 { return nil }
func (sinkWriter) Close() error                                         { return nil }

// BenchmarkUpload measures what the gateway adds to the codec, with servers that cost nothing.
func BenchmarkUpload(b *testing.B) {
	const size = 256 << 20
	g := newGrid(10)
	for i := range g.servers {
		g.servers[i].Store = sink{}
	}
	o := options(3, 7, 10, keys.NewReadKey(), size)
	o.BlockSize = encoding.DefaultBlockSize
	b.SetBytes(size)
	for b.Loop() {
		if _, err := file.Upload(b.Context(), g.servers, io.LimitReader(zeros{}, size), o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead measures a whole read from stores in memory: fetch, verify, decrypt, write.
func BenchmarkRead(b *testing.B) {
	const size = 64 << 20
	g, key := newGrid(10), keys.NewReadKey()
	o := options(3, 7, 10, key, size)
	o.BlockSize = encoding.DefaultBlockSize
	result, err := file.Upload(b.Context(), g.servers, io.LimitReader(zeros{}, size), o)
	if err != nil {
		b.Fatal(err)
	}
	r, err := file.Open(b.Context(), g.servers, result.Root.StorageIndex(), key, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	b.SetBytes(size)
	for b.Loop() {
		if _, err := r.WriteTo(b.Context(), io.Discard, 0, size); err != nil {
			b.Fatal(err)
		}
	}
}
