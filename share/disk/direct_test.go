package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"cairn/share"
	"cairn/share/storetest"
)

// A directDisk counts what is written past the page cache, and refuses it as some file systems do.
type directDisk struct {
	systemFiles
	refuseOpen bool
	refuse     int // the first write that fails, counted from one
	writes     *int
	bytes      *int
}

type directFile struct {
	file
	disk directDisk
}

func (d directDisk) Open(name string, flag int) (file, error) {
	if flag != openDirect {
		return d.systemFiles.Open(name, flag)
	}
	if d.refuseOpen {
		return nil, fmt.Errorf("open: %w", syscall.EINVAL)
	}
	f, err := d.systemFiles.Open(name, flag)
	return directFile{f, d}, err
}

func (f directFile) WriteAt(p []byte, off int64) (int, error) {
	if *f.disk.writes++; *f.disk.writes == f.disk.refuse {
		n, _ := f.file.WriteAt(p[:directAlign], off)
		return n, fmt.Errorf("write: %w", syscall.EINVAL)
	}
	*f.disk.bytes += len(p)
	return f.file.WriteAt(p, off)
}

// Large shares go past the page cache where the file system lets them, and are the same ones where it does not.
func TestLargeSharesGoPastThePageCache(t *testing.T) {
	if openDirect == 0 {
		t.Skip("nothing is written past the page cache on this system")
	}
	probe, err := systemFiles{}.Open(filepath.Join(t.TempDir(), "probe"), openDirect|openCreate)
	if err != nil {
		t.Skip("the file system of temporary files has nothing but its page cache: ", err)
	}
	probe.Close()
	const blockSize, count = 128 << 10, 16
	large := storetest.NewFile(t, 1, 1, 2, blockSize, cacheBytes+3*blockSize+77)
	small := storetest.NewFile(t, 2, 1, 2, blockSize, cacheBytes/2)
	for name, c := range map[string]struct {
		disk directDisk
		file *storetest.File
		past int // bytes
	}{
		"a large one":               {directDisk{}, large, cacheBytes},
		"one that may be read soon": {directDisk{}, small, 0},
		"not on this file system":   {directDisk{refuseOpen: true}, large, 0},
		"not with this alignment":   {directDisk{refuse: 1}, large, 0},
		"suddenly not any more":     {directDisk{refuse: 3}, large, 2 * count * blockSize},
	} {
		t.Run(name, func(t *testing.T) {
			var writes, bytes int
			c.disk.writes, c.disk.bytes = &writes, &bytes
			store := mustOpen(t, t.TempDir(), Options{files: c.disk})
			w, err := store.Create(t.Context(), c.file.Upload(1, "owner"))
			if err != nil {
				t.Fatal(err)
			}
			memory := make([]byte, count*blockSize) // page-aligned, as everything of that size is
			for i := int64(0); i < c.file.Segments(); i += count {
				var rows []share.Digest
				blocks := memory[:0]
				for j := i; j < min(i+count, c.file.Segments()); j++ {
					rows, blocks = append(rows, c.file.Row(j)...), append(blocks, c.file.Block(j, 1)...)
				}
				if err := w.(share.BulkWriter).AppendAll(t.Context(), rows, blocks); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(w.Commit(t.Context(), c.file.Root), w.Close()); err != nil {
				t.Fatal(err)
			}
			if err := c.file.Check(t.Context(), store, 1); err != nil {
				t.Error(err)
			}
			if bytes != c.past {
				t.Errorf("%d bytes went past the page cache, want %d", bytes, c.past)
			}
		})
	}
}
