package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"cairn/internal/wholefile"
	"cairn/introducer"
	"cairn/share"
)

// maxGridFile is the largest grid file that is read, in bytes.
const maxGridFile = 64 << 10

// Grid returns the address of the node's grid as it was when the node joined. It returns ErrNoGrid when the node
// belongs to none.
func (d *Dir) Grid() (introducer.Address, error) {
	info, err := os.Stat(d.file(gridFile))
	if errors.Is(err, fs.ErrNotExist) {
		return introducer.Address{}, ErrNoGrid
	}
	if err != nil {
		return introducer.Address{}, fmt.Errorf("grid: %w", err)
	}
	if info.Size() > maxGridFile {
		return introducer.Address{}, fmt.Errorf("grid: %s: %w: too long", d.file(gridFile), share.ErrCorrupt)
	}
	data, err := os.ReadFile(d.file(gridFile))
	if err != nil {
		return introducer.Address{}, fmt.Errorf("grid: %w", err)
	}
	a, err := introducer.ParseAddress(strings.TrimSuffix(string(data), "\n"))
	if err != nil {
		return introducer.Address{}, fmt.Errorf("grid: %s: %w: %v; join the grid again", d.file(gridFile), share.ErrCorrupt, err)
	}
	return a, nil
}

// Join records that the node belongs to a grid from now on. It returns ErrHasGrid when the node belongs to another;
// joining the same grid again replaces the addresses of its first peers.
func (d *Dir) Join(address introducer.Address) error {
	lock, err := d.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	current, err := d.Grid()
	switch {
	case err == nil && current.Grid.ID() != address.Grid.ID():
		return fmt.Errorf("join grid %s: %w, %s", address.Grid, ErrHasGrid, current.Grid)
	case err != nil && !errors.Is(err, ErrNoGrid) && !errors.Is(err, share.ErrCorrupt):
		return err
	}
	return d.writeGrid(address)
}

// Found makes a new open grid to which the node belongs from now on. The grid's key stays in the directory. It returns
// ErrHasGrid when the node belongs to a grid.
func (d *Dir) Found(name string, params share.Params) (introducer.Descriptor, error) {
	lock, err := d.lock()
	if err != nil {
		return introducer.Descriptor{}, err
	}
	defer lock.Close()
	if current, err := d.Grid(); !errors.Is(err, ErrNoGrid) {
		if err == nil {
			err = fmt.Errorf("found grid %q: %w, %s", name, ErrHasGrid, current.Grid)
		}
		return introducer.Descriptor{}, err
	}
	grid, key, err := introducer.Found(name, params, true, time.Now())
	if err != nil {
		return introducer.Descriptor{}, err
	}
	if err := writeGridKey(d.file(fmt.Sprintf(gridKeyPattern, grid.ID())), key); err != nil {
		return introducer.Descriptor{}, fmt.Errorf("found grid %q: %w", name, err)
	}
	address, err := introducer.NewAddress(grid, nil)
	if err != nil {
		return introducer.Descriptor{}, err
	}
	return grid, d.writeGrid(address)
}

// Leave forgets the grid and its peers. Shares stay on the disk, and so does the grid's key where this node founded it.
func (d *Dir) Leave() (introducer.Descriptor, error) {
	lock, err := d.lock()
	if err != nil {
		return introducer.Descriptor{}, err
	}
	defer lock.Close()
	address, err := d.Grid()
	if err != nil && !errors.Is(err, share.ErrCorrupt) {
		return introducer.Descriptor{}, err
	}
	for _, name := range []string{bookFile, gridFile} {
		if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return introducer.Descriptor{}, fmt.Errorf("leave grid: %w", err)
		}
	}
	return address.Grid, nil
}

func (d *Dir) writeGrid(address introducer.Address) error {
	if err := wholefile.Write(d.file(gridFile), []byte(address.String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("grid: %w", err)
	}
	return nil
}
