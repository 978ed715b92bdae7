package testgrid_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cairn/grid/health"
	"cairn/internal/s3test"
	"cairn/internal/testgrid"
	"cairn/internal/waittest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/disk"
	"cairn/share/s3"
)

// A rotting grid has three nodes, each with one share of every file. What the second and the third one store can be damaged.
type rotting struct {
	*testgrid.Grid
	dir    string
	bucket *s3test.Server // of the third node, nil where it has a disk
}

func newRotting(t *testing.T, bucket bool) *rotting {
	g := &rotting{dir: t.TempDir()}
	if bucket {
		g.bucket = s3test.Start(t)
	}
	g.Grid = testgrid.New(t, testgrid.Config{Nodes: 3, Params: share.Params{Needed: 2, Happy: 3, Total: 3}, Store: func(i int) share.Store {
		dir := filepath.Join(g.dir, strconv.Itoa(i))
		var store interface {
			share.Store
			Close() error
		}
		var err error
		if i == 2 && bucket {
			store, err = s3.Open(t.Context(), s3.Config{
				Endpoint: g.bucket.Endpoint, Bucket: s3test.Bucket, PathStyle: true, AccessKey: s3test.Access, SecretKey: s3test.Secret, Index: dir,
			})
		} else {
			store, err = disk.Open(dir, disk.Options{Reserve: -1})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}})
	return g
}

// file returns where a node stores the share that came last.
func (g *rotting) file(t *testing.T, node int, c capability.Capability) string {
	t.Helper()
	index, _ := c.StorageIndex()
	found, err := filepath.Glob(filepath.Join(g.dir, strconv.Itoa(node), "shares", "*", index.String()+".*"))
	if g.bucket != nil && node == 2 {
		keys := slices.Sorted(maps.Keys(g.bucket.Objects()))
		keys = slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, "s/") })
		found, err = []string{g.bucket.File(keys[len(keys)-1])}, nil
	}
	if err != nil || len(found) != 1 {
		t.Fatalf("node %d stores %v, %v", node, found, err)
	}
	return found[0]
}

// check verifies a file.
func (g *rotting) check(t *testing.T, c capability.Capability) health.Report {
	t.Helper()
	report, err := g.Nodes[0].Grid.Check(t.Context(), c, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (g *rotting) wantWhole(t *testing.T, c capability.Capability) {
	t.Helper()
	if r := g.check(t, c); !r.Healthy || r.Happiness != 3 || len(r.Corrupt) != 0 {
		t.Errorf("the file is not whole: %+v", r)
	}
}

// rot turns a bit of what some have.
func rot(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		at := []byte{0}
		_, err = file.ReadAt(at, 150_000)
		at[0] ^= 16
		if err == nil {
			_, err = file.WriteAt(at, 150_000)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRotIsMendedInPlace damages the shares of two of three nodes. A verification, a repair or a read finds it; the nodes see for themselves
// and let go of the shares, so that a repair, or storing the file again, makes the file whole where it was: in a grid of three there is no other place.
func TestRotIsMendedInPlace(t *testing.T) {
	for what, bucket := range map[string]bool{"disks": false, "disk and bucket": true} {
		t.Run(what, func(t *testing.T) {
			g := newRotting(t, bucket)
			gateway := g.Nodes[0]
			fresh := func() ([]byte, capability.Capability) {
				data := random(600_000)
				c, result := put(t, gateway, data)
				if result.Happiness != 3 {
					t.Fatalf("%+v", result)
				}
				return data, c
			}

			t.Log("verified, and stored again")
			data, c := fresh()
			rot(t, g.file(t, 1, c), g.file(t, 2, c))
			if r := g.check(t, c); r.SharesGood != 1 || len(r.Corrupt) != 2 || !r.Corrupt[0].Dropped || !r.Corrupt[1].Dropped {
				t.Fatalf("after the damage: %+v", r)
			}
			put(t, gateway, data)
			g.wantWhole(t, c)

			t.Log("repaired")
			_, c = fresh()
			rot(t, g.file(t, 2, c))
			repaired, err := gateway.Grid.Repair(t.Context(), c, true, nil)
			if err != nil || len(repaired.Made) != 1 || repaired.Made[0].Peer != g.Nodes[2].ID() || len(repaired.After.Corrupt) != 0 {
				t.Fatalf("repair: %+v, %v", repaired, err)
			}
			g.wantWhole(t, c)

			t.Log("read, and stored again")
			data, c = fresh()
			report, err := gateway.Grid.Check(t.Context(), c, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			plain := 1 // of the two, one that has a share with data
			if report.Holders[g.Nodes[1].ID()][0] == 2 {
				plain = 2
			}
			rot(t, g.file(t, plain, c))
			// Servers that are busy are spared, so that one read may get by without the damaged block.
			waittest.Eventually(t, "a read finds the damage", func() bool {
				mustGet(t, gateway, c, data)
				report, err := gateway.Grid.Check(t.Context(), c, false, nil)
				return err == nil && report.SharesGood == 2
			})
			put(t, gateway, data)
			g.wantWhole(t, c)

			gateway.Leave()
			mustGet(t, g.Nodes[1], c, data)
		})
	}
}
