package disk

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cairn/internal/fault"
)

// powerFiles remembers what would be left after the power failed: the bytes of each file as of its last sync, under
// the names that were there when their directory was last synced.
type powerFiles struct {
	files

	mu     sync.Mutex
	names  map[string]*inode // as the file system shows them
	stable map[string]*inode // as they survive
	dirs   map[string]bool
}

type inode struct{ synced []byte }

type powerFile struct {
	file
	name  string
	power *powerFiles
	inode *inode
}

func newPowerFiles() *powerFiles {
	return &powerFiles{files: systemFiles{}, names: map[string]*inode{}, stable: map[string]*inode{}, dirs: map[string]bool{}}
}

func (p *powerFiles) Open(name string, flag int) (file, error) {
	f, err := p.files.Open(name, flag)
	if err != nil || flag == openRead {
		return f, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names[name] == nil {
		p.names[name] = &inode{}
	}
	return &powerFile{f, name, p, p.names[name]}, nil
}

func (p *powerFiles) Mkdir(name string) error {
	err := p.files.Mkdir(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirs[name] = p.dirs[name] || false
	return err
}

func (p *powerFiles) Rename(from, to string) error {
	if err := p.files.Rename(from, to); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names[to] = p.names[from]
	delete(p.names, from)
	return nil
}

func (p *powerFiles) Remove(name string) error {
	p.mu.Lock()
	delete(p.names, name)
	p.mu.Unlock()
	return p.files.Remove(name)
}

func (p *powerFiles) SyncDir(dir string) error {
	if err := p.files.SyncDir(dir); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.dirs {
		p.dirs[name] = p.dirs[name] || filepath.Dir(name) == dir
	}
	maps.DeleteFunc(p.stable, func(name string, _ *inode) bool { return filepath.Dir(name) == dir })
	for name, node := range p.names {
		if filepath.Dir(name) == dir {
			p.stable[name] = node
		}
	}
	return nil
}

func (f *powerFile) Sync() error {
	if err := f.file.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil && len(data) > 0 {
		return err
	}
	f.power.mu.Lock()
	defer f.power.mu.Unlock()
	f.inode.synced = data
	return nil
}

// restore writes what survives below another directory. The index, which is Badger's own business, is lost entirely.
func (p *powerFiles) restore(t *testing.T, from, to string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, stable := range p.dirs {
		if stable {
			if err := os.MkdirAll(strings.Replace(name, from, to, 1), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, node := range p.stable {
		if dir := filepath.Dir(name); dir != from && !p.dirs[dir] {
			continue // its directory did not survive
		}
		if err := os.WriteFile(strings.Replace(name, from, to, 1), node.synced, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPowerLoss cuts the power before each operation of the file system. Nothing that was not synced survives, nor does
// the index; every acknowledged share does.
func TestPowerLoss(t *testing.T) {
	all := newWorkload(t)
	type outage struct {
		dir   string
		acked []int
	}
	var outages []outage
	dir, w, power := quickDir(t), all.again(), newPowerFiles()
	var acked []int
	in := fault.From(1, fault.Action{Do: func() {
		to := quickDir(t)
		power.restore(t, dir, to)
		outages = append(outages, outage{to, append([]int(nil), acked...)})
	}})
	store := mustOpen(t, dir, Options{files: failingFiles{power, in}, segment: testSegment})
	if err := w.run(t.Context(), store, func(i int) { acked = append(acked, i) }); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if len(acked) != workloadSteps || len(outages) < 50 {
		t.Fatalf("%d acknowledged, %d outages", len(acked), len(outages))
	}
	for i, o := range outages {
		if i%3 != rand.IntN(3) && i != len(outages)-1 {
			continue // each run looks at another third
		}
		after := all.again()
		for _, step := range o.acked {
			after.acknowledge(step)
		}
		after.check(t, o.dir)
		if t.Failed() {
			t.Fatalf("power cut before operation %d, %s", i+1, in.Fired()[i])
		}
	}
}
