package control_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

const benchSize = 256 << 20

// sink is a node that takes bytes as an upload does and gives bytes as a download does, but does nothing with them.
type sink struct {
	*fake
	block []byte
}

func (s sink) Put(_ context.Context, r io.Reader, request control.PutRequest, progress func(control.Progress)) (control.PutResult, error) {
	var done int64
	segment := make([]byte, 192<<10)
	for {
		n, err := io.ReadFull(r, segment)
		done += int64(n)
		progress(control.Progress{Done: done, Total: request.Size})
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return control.PutResult{Size: done}, nil
		}
		if err != nil {
			return control.PutResult{}, err
		}
	}
}

func (s sink) Open(context.Context, capability.Capability) (control.File, error) { return s, nil }
func (s sink) Size() int64                                                       { return benchSize }
func (s sink) Close() error                                                      { return nil }

func (s sink) WriteTo(_ context.Context, w io.Writer, _, n int64) (int64, error) {
	for left := n; left > 0; left -= int64(len(s.block)) {
		if _, err := w.Write(s.block[:min(left, int64(len(s.block)))]); err != nil {
			return n - left, err
		}
	}
	return n, nil
}

func BenchmarkPut(b *testing.B) {
	_, client := serveBench(b)
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, benchSize), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchSize)
	for b.Loop() {
		file, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := client.Put(b.Context(), file, control.PutRequest{Size: benchSize}, nil); err != nil {
			b.Fatal(err)
		}
		file.Close()
	}
}

func BenchmarkPutStream(b *testing.B) {
	_, client := serveBench(b)
	b.SetBytes(benchSize)
	for b.Loop() {
		r, w := io.Pipe()
		go func() {
			sink{block: make([]byte, 256<<10)}.WriteTo(b.Context(), w, 0, benchSize)
			w.Close()
		}()
		if _, err := client.Put(b.Context(), r, control.PutRequest{Size: -1}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	_, client := serveBench(b)
	c := capability.File(share.StorageIndex{}, keys.ReadKey{})
	b.SetBytes(benchSize)
	for b.Loop() {
		d, err := client.Get(b.Context(), c, 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := d.WriteTo(io.Discard); n != benchSize || err != nil {
			b.Fatal(n, err)
		}
		d.Close()
	}
}

func serveBench(b *testing.B) (*control.Server, *control.Client) {
	b.Helper()
	s, err := control.Listen("127.0.0.1:0", sink{newFake(), make([]byte, 256<<10)}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	c := control.NewClient(s.Endpoint())
	b.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return s, c
}
