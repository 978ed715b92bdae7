package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"cairn/internal/testgrid"
	"cairn/node/vfs"
	"cairn/node/vfs/vfstest"
	"cairn/share"
)

// filesOf returns what a file system on a node of a grid needs, with a new, empty root.
func filesOf(t *testing.T, n *testgrid.Node) vfs.Config {
	t.Helper()
	root, err := n.Grid.Dirs().Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return vfs.Config{Dirs: n.Grid.Dirs(), Files: gridFiles{grid: n.Grid}, Root: root}
}

// TestFilesOnAGrid runs the suite of file systems on a grid of nodes, with the storage protocol between them.
func TestFilesOnAGrid(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 4, Params: share.Params{Needed: 2, Happy: 3, Total: 4}})
	vfstest.Run(t, func(t *testing.T) vfs.Config { return filesOf(t, g.Nodes[0]) })
}

// TestFilesWhileServersFail writes on while one server ends and another one hangs: what Sync acknowledged is there, for this node and
// for another.
func TestFilesWhileServersFail(t *testing.T) {
	g := testgrid.New(t, testgrid.Config{Nodes: 6, Params: share.Params{Needed: 2, Happy: 3, Total: 6}})
	config := filesOf(t, g.Nodes[0])
	config.Spool, config.WriteAfter = t.TempDir(), 50*time.Millisecond
	f := openFiles(t, config)
	want := map[string][]byte{}
	for round := range 12 {
		switch round {
		case 4:
			g.Nodes[5].Leave()
		case 8:
			g.Nodes[4].Store.Pause()
			defer g.Nodes[4].Store.Resume()
		}
		for i, size := range []int{10, 5_000, 300_000} {
			name := fmt.Sprintf("%d-%d", round%6, i) // later rounds write over what earlier ones have written
			want[name] = bytes.Repeat([]byte{byte(round), byte(i), 7}, size/3+1)
			if err := writeSynced(t.Context(), f, name, want[name]); err != nil {
				t.Fatalf("round %d, %s: %v", round, name, err)
			}
		}
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]vfs.Config{
		"the same node":    config,
		"another node":     {Dirs: g.Nodes[1].Grid.Dirs(), Files: gridFiles{grid: g.Nodes[1].Grid}, Root: config.Root},
		"the hanging node": {Dirs: g.Nodes[4].Grid.Dirs(), Files: gridFiles{grid: g.Nodes[4].Grid}, Root: config.Root},
	} {
		c.Spool = t.TempDir()
		f := openFiles(t, c)
		for name, data := range want {
			if got, err := readWhole(t.Context(), f, name); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s reads %d bytes of %s, want %d, or others: %v", what, len(got), name, len(data), err)
			}
		}
	}
}

func openFiles(t *testing.T, c vfs.Config) *vfs.FS {
	t.Helper()
	f, err := vfs.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return f
}

func writeSynced(ctx context.Context, f *vfs.FS, name string, data []byte) error {
	file, err := f.Open(ctx, name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(ctx, data, 0)
	return errors.Join(err, file.Sync(ctx), file.Close())
}

func readWhole(ctx context.Context, f *vfs.FS, name string) ([]byte, error) {
	file, err := f.Open(ctx, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, file.Info().Size)
	n, err := file.ReadAt(ctx, data, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], err
}
