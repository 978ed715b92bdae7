package testgrid_test

import (
	"testing"
	"time"

	"cairn/grid/dir"
	"cairn/internal/testgrid"
	"cairn/share"
)

// BenchmarkHistory asks eight nodes for the versions of a directory that has 600: for all of them, as a person does, and for the last ones, as a
// writer does after a collision.
func BenchmarkHistory(b *testing.B) {
	const versions = 600
	g := testgrid.New(b, testgrid.Config{Nodes: 8, Params: share.Params{Needed: 3, Happy: 5, Total: 8}})
	d := g.Nodes[0].Grid.Dirs()
	c, err := d.Create(b.Context(), nil)
	for i := 1; err == nil && i < versions; i++ {
		_, err = d.Update(b.Context(), c, func(e *dir.Editor) error {
			e.Retain(share.Retention{Versions: versions, Age: 24 * time.Hour})
			return e.Set(dir.Entry{Name: counter, Capability: c, Metadata: dir.Metadata{Size: int64(i)}})
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	files := g.Nodes[1].Grid.Files()
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if found, err := files.History(b.Context(), c); err != nil || len(found) != versions {
				b.Fatalf("%d versions, %v", len(found), err)
			}
		}
	})
	b.Run("last", func(b *testing.B) {
		for b.Loop() {
			if found, err := files.HistorySince(b.Context(), c, versions-4); err != nil || len(found) != 5 {
				b.Fatalf("%d versions, %v", len(found), err)
			}
		}
	})
}
