package dir_test

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/share/capability"
)

// usual returns entries as a copy of files from a disk makes them.
func usual(from, n int) iter.Seq2[dir.Entry, error] {
	return func(yield func(dir.Entry, error) bool) {
		for i := from; i < from+n; i++ {
			if !yield(usualEntry(i), nil) {
				return
			}
		}
	}
}

func usualEntry(i int) dir.Entry {
	at := time.Unix(1_790_000_000+int64(i)*977, int64(i)*1_000_003%1_000_000_000)
	return dir.Entry{
		Name: fmt.Sprintf("IMG_%06d.jpg", i), Capability: file(i),
		Metadata: dir.Metadata{Size: int64(i)*7919 + 100_000, Modified: at, Changed: at},
	}
}

// BenchmarkOperations says what one operation moves in directories of different sizes, by a node that has nothing of the
// directory in memory.
func BenchmarkOperations(b *testing.B) {
	for _, size := range []int{1, 100, 1000, 10_000, 100_000} {
		m := dirtest.New()
		c, err := m.Dirs().Create(b.Context(), usual(0, size))
		check(b, err)
		for _, op := range operations {
			b.Run(fmt.Sprintf("%s/%d", op.name, size), func(b *testing.B) {
				m.Reset()
				for i := range b.N {
					check(b, op.run(b, m.Dirs(), c, (i*7919+13)%size, size))
				}
				report(b, m.Reset())
			})
		}
	}
}

func report(b *testing.B, moved dirtest.Moved) {
	n := float64(b.N)
	b.ReportMetric(float64(moved.PagesOut)/n, "pages-read/op")
	b.ReportMetric(float64(moved.BytesOut)/n, "B-read/op")
	b.ReportMetric(float64(moved.Fetches+moved.Reads)/n, "trips/op")
	b.ReportMetric(float64(moved.PagesIn)/n, "pages-written/op")
	b.ReportMetric(float64(moved.BytesIn)/n, "B-written/op")
	b.ReportMetric(float64(moved.Shares)/n, "share-B/op")
}

type operation struct {
	name string
	run  func(b *testing.B, d *dir.Dirs, c capability.Capability, i, size int) error
}

var operations = []operation{
	{"lookup", func(b *testing.B, d *dir.Dirs, c capability.Capability, i, _ int) error {
		x, err := d.Open(b.Context(), c)
		if err == nil {
			_, err = x.Lookup(b.Context(), usualEntry(i).Name)
		}
		return err
	}},
	{"list100", func(b *testing.B, d *dir.Dirs, c capability.Capability, i, _ int) error {
		x, err := d.Open(b.Context(), c)
		if err == nil {
			_, err = x.List(b.Context(), usualEntry(i).Name, 100)
		}
		return err
	}},
	{"set", func(b *testing.B, d *dir.Dirs, c capability.Capability, i, _ int) error {
		_, err := d.Update(b.Context(), c, func(e *dir.Editor) error {
			entry := usualEntry(i)
			entry.Size++
			if was, err := e.Get(entry.Name); err == nil {
				entry.Size += was.Size % 1000
			}
			return e.Set(entry)
		})
		return err
	}},
	{"add+remove", func(b *testing.B, d *dir.Dirs, c capability.Capability, i, _ int) error {
		entry := usualEntry(i)
		entry.Name += " (copy)"
		if _, err := d.Update(b.Context(), c, func(e *dir.Editor) error { return e.Set(entry) }); err != nil {
			return err
		}
		_, err := d.Update(b.Context(), c, func(e *dir.Editor) error { return e.Remove(entry.Name) })
		return err
	}},
	{"rename", func(b *testing.B, d *dir.Dirs, c capability.Capability, i, _ int) error {
		name := usualEntry(i).Name
		if _, err := d.Update(b.Context(), c, func(e *dir.Editor) error { return e.Rename(name, "moved "+name, false) }); err != nil {
			return err
		}
		_, err := d.Update(b.Context(), c, func(e *dir.Editor) error { return e.Rename("moved "+name, name, false) })
		return err
	}},
	{"add1000", func(b *testing.B, d *dir.Dirs, c capability.Capability, _, size int) error {
		_, err := d.Update(b.Context(), c, func(e *dir.Editor) error {
			for i := range 1000 {
				entry := usualEntry(size + i)
				entry.Name = fmt.Sprintf("%s new %d", entry.Name, time.Now().UnixNano())
				if err := e.Set(entry); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}},
}

// BenchmarkCreate says what making a directory of many entries at once moves.
func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{100, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := dirtest.New()
			for range b.N {
				_, err := m.Dirs().Create(b.Context(), usual(0, size))
				check(b, err)
			}
			report(b, m.Reset())
		})
	}
}
