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

// Join records that the node belongs to an open grid from now on. It returns ErrHasGrid when the node belongs to another;
// joining the same grid again replaces the addresses of its first peers.
func (d *Dir) Join(address introducer.Address) error {
	if !address.Grid.Open {
		return fmt.Errorf("join grid %s: it takes an invitation: %w", address.Grid, share.ErrDenied)
	}
	lock, err := d.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := d.free(address.Grid); err != nil {
		return err
	}
	return d.writeGrid(address)
}

// free returns ErrHasGrid when the node belongs to another grid than this.
func (d *Dir) free(grid introducer.Descriptor) error {
	current, err := d.Grid()
	switch {
	case err == nil && current.Grid.ID() != grid.ID():
		return fmt.Errorf("join grid %s: %w, %s", grid, ErrHasGrid, current.Grid)
	case err != nil && !errors.Is(err, ErrNoGrid) && !errors.Is(err, share.ErrCorrupt):
		return err
	}
	return nil
}

// An Admission is what a node gets that joins a private grid.
type Admission struct {
	// Address is the grid with the peers to start from.
	Address introducer.Address
	// Statements are the grid's roster, in which the node belongs to a member.
	Statements [][]byte
	// Owner is the person to whom a paired device belongs; zero where the node keeps the account that it has.
	Owner Owner
}

// Enter records that the node belongs to a private grid from now on. It returns ErrHasGrid when the node belongs to another
// grid, and the roster's refusal when the statements do not make the node a member of this one.
func (d *Dir) Enter(a Admission) error {
	lock, err := d.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	grid := a.Address.Grid
	if err := d.free(grid); err != nil {
		return err
	}
	judge := introducer.NewRoster(grid)
	if _, err := judge.Add(a.Statements...); err != nil {
		return fmt.Errorf("join grid %s: %w", grid, err)
	}
	if err := judge.Admit(d.id); err != nil {
		return fmt.Errorf("join grid %s: %w", grid, err)
	}
	if !a.Owner.Account.IsZero() {
		if err := d.belongTo(a.Owner); err != nil {
			return err
		}
	}
	roster, err := d.freshRoster(grid)
	if err != nil {
		return err
	}
	if _, err := roster.Add(a.Statements...); err != nil {
		return fmt.Errorf("join grid %s: %w", grid, err)
	}
	return d.writeGrid(a.Address)
}

// freshRoster opens the roster of a grid in place of one of another grid, which the node left.
func (d *Dir) freshRoster(grid introducer.Descriptor) (*introducer.Roster, error) {
	roster, err := introducer.OpenRoster(grid, d.file(rosterFile))
	if err == nil {
		return roster, nil
	}
	if err := os.Remove(d.file(rosterFile)); err != nil {
		return nil, err
	}
	return introducer.OpenRoster(grid, d.file(rosterFile))
}

// Founding says what grid to make.
type Founding struct {
	Name   string
	Params share.Params // zero: by the number of servers
	// Open lets everybody join who has the grid's address. Otherwise the founder is the first member, under Nickname, and
	// others need an invitation.
	Open     bool
	Nickname string
}

// Found makes a new grid to which the node belongs from now on. The grid's key stays in the directory. It returns
// ErrHasGrid when the node belongs to a grid.
func (d *Dir) Found(f Founding) (introducer.Descriptor, error) {
	lock, err := d.lock()
	if err != nil {
		return introducer.Descriptor{}, err
	}
	defer lock.Close()
	if current, err := d.Grid(); !errors.Is(err, ErrNoGrid) {
		if err == nil {
			err = fmt.Errorf("found grid %q: %w, %s", f.Name, ErrHasGrid, current.Grid)
		}
		return introducer.Descriptor{}, err
	}
	now := time.Now()
	grid, err := d.newGrid(f, now)
	if err != nil {
		return introducer.Descriptor{}, fmt.Errorf("found grid %q: %w", f.Name, err)
	}
	if !f.Open {
		if err := d.firstMember(grid, f.Nickname, now); err != nil {
			return introducer.Descriptor{}, fmt.Errorf("found grid %q: %w", f.Name, err)
		}
	}
	address, err := introducer.NewAddress(grid, nil)
	if err != nil {
		return introducer.Descriptor{}, err
	}
	return grid, d.writeGrid(address)
}

// newGrid makes a grid and keeps its key, which comes back with the recovery phrase where there is one.
func (d *Dir) newGrid(f Founding, now time.Time) (introducer.Descriptor, error) {
	founder, err := d.founder()
	if err != nil {
		return introducer.Descriptor{}, err
	}
	key := founder.GridKey(f.Name, now)
	var grid introducer.Descriptor
	if founder.IsZero() {
		grid, key, err = introducer.Found(f.Name, f.Params, f.Open, now)
	} else {
		grid, err = introducer.FoundWith(key, f.Name, f.Params, f.Open, now)
	}
	if err != nil {
		return introducer.Descriptor{}, err
	}
	return grid, d.writeGridKey(grid.ID(), key)
}

// firstMember writes the roster of a new private grid: its founder, who may introduce others, with this node.
func (d *Dir) firstMember(grid introducer.Descriptor, nickname string, now time.Time) error {
	account, err := d.Account()
	if err != nil {
		return err
	}
	signer, err := d.signer(grid)
	if err != nil {
		return err
	}
	roster, err := d.freshRoster(grid)
	if err != nil {
		return err
	}
	grant := introducer.Grant{Account: account.Key(), Nickname: nickname, Introducer: true}
	if _, err := roster.Vouch(signer, grant, now); err != nil {
		return err
	}
	device, err := introducer.SignDevice(grid, account, d.identity, introducer.Device{Name: nickname, Issued: now})
	if err != nil {
		return err
	}
	_, err = roster.Add(device)
	return err
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
	for _, name := range []string{bookFile, gridFile, rosterFile, invitationsFile} {
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
