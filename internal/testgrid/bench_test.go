package testgrid_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"path/filepath"
	"strconv"
	"testing"

	"cairn/grid"
	"cairn/internal/testgrid"
	"cairn/share"
	"cairn/share/disk"
)

const benchBytes = 64 << 20

// onDisks starts ten nodes in this process that keep their shares on the disk.
func onDisks(b *testing.B) *testgrid.Grid {
	b.Helper()
	dir := b.TempDir()
	return testgrid.New(b, testgrid.Config{Params: tenShares, Store: func(i int) share.Store {
		store, err := disk.Open(filepath.Join(dir, strconv.Itoa(i)), disk.Options{Reserve: -1})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { store.Close() })
		return store
	}})
}

func putAnother(b *testing.B, n *testgrid.Node, data []byte, i int) grid.PutResult {
	b.Helper()
	binary.BigEndian.PutUint64(data, uint64(i))
	digest := share.Digest(sha256.Sum256(data))
	result, err := n.Grid.Put(b.Context(), bytes.NewReader(data), grid.PutOptions{Size: int64(len(data)), Digest: &digest})
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// BenchmarkPut stores a large file on ten nodes in one process: the whole way but the local API and the command.
func BenchmarkPut(b *testing.B) {
	g := onDisks(b)
	data := random(benchBytes)
	b.SetBytes(benchBytes)
	for i := 0; b.Loop(); i++ {
		putAnother(b, g.Nodes[0], data, i)
	}
}

// BenchmarkPutSmall stores small files one after the other.
func BenchmarkPutSmall(b *testing.B) {
	g := onDisks(b)
	for _, size := range []int{1_000, 20_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			data := random(size)
			for i := 0; b.Loop(); i++ {
				putAnother(b, g.Nodes[0], data, i)
			}
		})
	}
}

// BenchmarkGet reads a large file through another node than the one that stored it.
func BenchmarkGet(b *testing.B) {
	g := onDisks(b)
	stored := putAnother(b, g.Nodes[0], random(benchBytes), 0)
	b.SetBytes(benchBytes)
	for b.Loop() {
		r, err := g.Nodes[1].Grid.Open(b.Context(), stored.Capability)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := r.WriteTo(b.Context(), io.Discard, 0, r.Size()); err != nil || n != benchBytes {
			b.Fatal(n, err)
		}
		r.Close()
	}
}
