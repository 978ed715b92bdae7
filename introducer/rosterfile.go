package introducer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"cairn/share"
)

// maxRosterFile bounds a roster's file, in bytes.
const maxRosterFile = 128 << 20

// rosterMagic starts a roster's file; the last byte is the version of the format.
const rosterMagic = "cairn roster\x00\x01"

// OpenRoster returns the roster that lies in a file, and an empty one that will lie there when there is none. It refuses the
// file of another grid with share.ErrDenied, that of a later version with share.ErrVersion, and one that is damaged with
// share.ErrCorrupt.
func OpenRoster(grid Descriptor, path string) (*Roster, error) {
	r := NewRoster(grid)
	r.path = path
	data, err := readRoster(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = r.load(data)
	}
	switch {
	case errors.Is(err, share.ErrCorrupt):
		return nil, fmt.Errorf("roster %s: %w; move the file away: the node gets the roster anew from any member that it meets; "+
			"if there is no other member, restore the file from a backup", path, err)
	case err != nil:
		return nil, fmt.Errorf("roster %s: %w", path, err)
	}
	return r, nil
}

func readRoster(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxRosterFile+1))
	if err == nil && len(data) > maxRosterFile {
		err = fmt.Errorf("more than %d bytes: %w", maxRosterFile, share.ErrCorrupt)
	}
	return data, err
}

// load takes the statements of a file. They were heeded when they were written, so only their signatures are verified.
func (r *Roster) load(data []byte) error {
	rest, sum, err := cutRoster(data)
	if err != nil {
		return err
	}
	key := rest[len(rosterMagic):][:len(r.grid.key)]
	if !bytes.Equal(key, r.grid.key[:]) {
		return fmt.Errorf("it is of another grid than %s; leave that grid first, or move the file away: %w", r.grid, share.ErrDenied)
	}
	if sha256.Sum256(rest) != sum {
		return fmt.Errorf("the checksum does not match: %w", share.ErrCorrupt)
	}
	var list []*Statement
	for rest = rest[len(rosterMagic)+len(key):]; len(rest) > 0; {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return fmt.Errorf("statement %d is cut off: %w", len(list), share.ErrCorrupt)
		}
		size := int(binary.BigEndian.Uint16(rest))
		st, err := parseStatement(r.grid, rest[2:2+size])
		if err != nil {
			return fmt.Errorf("statement %d: %w", len(list), err)
		}
		list, rest = append(list, st), rest[2+size:]
	}
	if err := errors.Join(verifyAll(list, r.verify)...); err != nil {
		return err
	}
	for _, st := range list {
		if r.set.wants(st) {
			r.set.put(st)
		}
	}
	return nil
}

// cutRoster separates a file's contents from its checksum.
func cutRoster(data []byte) (rest []byte, sum [sha256.Size]byte, err error) {
	const prefix = len(rosterMagic) - 1
	if len(data) < prefix+1 || string(data[:prefix]) != rosterMagic[:prefix] {
		return nil, sum, fmt.Errorf("it is no roster: %w", share.ErrCorrupt)
	}
	if v := data[prefix]; v != rosterMagic[prefix] {
		return nil, sum, fmt.Errorf("%w %d", share.ErrVersion, v)
	}
	if len(data) < len(rosterMagic)+32+len(sum) {
		return nil, sum, fmt.Errorf("it is cut off: %w", share.ErrCorrupt)
	}
	at := len(data) - len(sum)
	copy(sum[:], data[at:])
	return data[:at], sum, nil
}

// write writes the file, for who holds adding.
func (r *Roster) write() error {
	if r.path == "" {
		return nil
	}
	r.mu.Lock()
	list := make([]*Statement, 0, len(r.set.slots))
	for _, st := range r.set.slots {
		list = append(list, st)
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b *Statement) int { return bytes.Compare(a.digest[:], b.digest[:]) })

	size := len(rosterMagic) + len(r.grid.key) + sha256.Size
	for _, st := range list {
		size += 2 + len(st.data)
	}
	data := append(append(make([]byte, 0, size), rosterMagic...), r.grid.key[:]...)
	for _, st := range list {
		data = binary.BigEndian.AppendUint16(data, uint16(len(st.data)))
		data = append(data, st.data...)
	}
	sum := sha256.Sum256(data)
	if err := r.save(r.path, append(data, sum[:]...)); err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	return nil
}
