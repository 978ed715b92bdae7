package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"cairn/share"
)

// An ownerRecord says how many bytes the shares have on which an owner has a lease. It changes in the same transaction
// as the shares and leases; the mark counted says that it did so at all times.
type ownerRecord struct {
	_     struct{} `cbor:",toarray"`
	Bytes int64
}

const (
	filePrefix  = 's'
	ownerPrefix = 'o'
)

var (
	countedKey = []byte("counted")
	counted    = change{countedKey, seal(true)}
)

func ownerKey(owner string) []byte { return append([]byte{ownerPrefix}, owner...) }

// An ownerSpace is what one owner has, in bytes.
type ownerSpace struct {
	held int64 // shares on which it has a lease
	open int64 // unfinished uploads
}

// owner returns the account of an owner. Its caller holds the mutex, and calls tidy when it has changed it.
func (s *space) owner(owner string) *ownerSpace {
	o := s.owners[owner]
	if o == nil {
		o = &ownerSpace{}
		s.owners[owner] = o
	}
	return o
}

// tidy forgets an owner that has nothing.
func (s *space) tidy(owner string) {
	if *s.owners[owner] == (ownerSpace{}) {
		delete(s.owners, owner)
	}
}

// held returns the bytes of the shares on which an owner has a lease.
func (s *space) held(owner string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.owners[owner]; o != nil {
		return o.held
	}
	return 0
}

// A charge is what each owner of a lease on one file is charged with.
type charge struct {
	bytes  int64
	owners []string
}

// charge returns what the owners of leases are charged with for the file.
func (r *fileRecord) charge() charge {
	var c charge
	for _, s := range r.Shares {
		c.bytes += s.Size
	}
	if c.bytes == 0 {
		return c
	}
	for _, l := range r.leases() {
		c.owners = append(c.owners, l.Owner)
	}
	return c
}

func (b *batch) charge(c charge, times int64) {
	for _, owner := range c.owners {
		b.more[owner] += times * c.bytes
	}
}

// owners returns what the index has to write of the owners, and notes by how much each has more.
func (b *batch) owners() []change {
	b.more = map[string]int64{}
	for index, r := range b.files {
		before, after := b.charges[index], r.charge()
		b.charge(before, -1)
		b.charge(after, 1)
	}
	for name, r := range b.names {
		if !r.changed {
			continue
		}
		before, after := b.nameCharges[name], r.charge()
		b.charge(before, -1)
		b.charge(after, 1)
	}
	var changes []change
	for owner, more := range b.more {
		if more != 0 {
			changes = append(changes, ownerChange(owner, b.space.held(owner)+more))
		}
	}
	return changes
}

func ownerChange(owner string, bytes int64) change {
	c := change{key: ownerKey(owner)}
	if bytes != 0 {
		c.data = seal(ownerRecord{Bytes: bytes})
	}
	return c
}

// loadOwners reads what each owner has. Where the index does not say, because it is empty or a change of it was
// interrupted, it counts, and the state too.
func (s *Store) loadOwners(state stateRecord, empty bool) (stateRecord, error) {
	if empty {
		return state, s.index.write([]change{counted})
	}
	var known bool
	held := map[string]int64{}
	_, err := s.index.get(countedKey, &known)
	if err == nil && known {
		err = s.index.each(ownerPrefix, func(key, data []byte) error {
			var r ownerRecord
			if err := unseal(data, &r); err != nil {
				return err
			}
			held[string(key[1:])] = r.Bytes
			return nil
		})
	}
	var heads headsRecord
	if err == nil {
		_, err = s.index.get(headsKey, &heads)
	}
	if err != nil && !errors.Is(err, share.ErrCorrupt) {
		return state, err
	}
	if err != nil || !known {
		if state, held, err = s.countOwners(state); err != nil {
			return state, err
		}
		if _, err := s.index.get(headsKey, &heads); err != nil {
			return state, err
		}
	}
	s.space.settle(state.Bytes+heads.Bytes, held, nil)
	return state, nil
}

// countOwners counts everything from the records of the files, and writes what it found.
func (s *Store) countOwners(state stateRecord) (stateRecord, map[string]int64, error) {
	s.log.Info("counting what the owners of shares have", "directory", s.dir)
	state.Files, state.Shares, state.Bytes = 0, 0, 0
	held := map[string]int64{}
	err := s.index.each(filePrefix, func(key, data []byte) error {
		if _, ok := indexOfKey(key); !ok {
			return nil // state or scrub
		}
		var r fileRecord
		if err := unseal(data, &r); err != nil {
			s.index.damaged(err)
			return nil
		}
		c := r.charge()
		state.Files, state.Shares, state.Bytes = state.Files+1, state.Shares+int64(len(r.Shares)), state.Bytes+c.bytes
		for _, owner := range c.owners {
			held[owner] += c.bytes
		}
		return nil
	})
	if err != nil {
		return state, nil, err
	}
	heads, err := s.countNames(held)
	if err != nil {
		return state, nil, err
	}
	var changes []change
	err = s.index.each(ownerPrefix, func(key, _ []byte) error {
		if held[string(key[1:])] == 0 {
			changes = append(changes, change{key: bytes.Clone(key)})
		}
		return nil
	})
	if err != nil {
		return state, nil, err
	}
	for owner, n := range held {
		changes = append(changes, ownerChange(owner, n))
	}
	return state, held, s.index.write(append(changes, change{headsKey, seal(heads)}, change{stateKey, seal(state)}, counted))
}

// countNames counts what is held of all names and adds it to what their owners have.
func (s *Store) countNames(held map[string]int64) (headsRecord, error) {
	var heads headsRecord
	err := s.index.each(namePrefix, func(key, data []byte) error {
		if len(key) != 1+len(share.Name{}) {
			return nil // heads
		}
		var n nameRecord
		if err := unseal(data, &n); err != nil {
			s.index.damaged(err)
			return nil
		}
		heads.Names, heads.Bytes = heads.Names+1, heads.Bytes+n.size()
		c := n.charge()
		for _, owner := range c.owners {
			held[owner] += c.bytes
		}
		return nil
	})
	return heads, err
}

// Usage implements share.Accounter.
func (s *Store) Usage(ctx context.Context) (map[string]int64, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	usage := make(map[string]int64, len(s.space.owners))
	for owner, o := range s.space.owners {
		usage[owner] = o.held + o.open
	}
	return usage, nil
}

// UsageOf implements share.Accounter.
func (s *Store) UsageOf(ctx context.Context, owner string) (int64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	o := s.space.owners[owner]
	if o == nil {
		return 0, nil
	}
	return o.held + o.open, nil
}

// LeaseCost implements share.Accounter.
func (s *Store) LeaseCost(ctx context.Context, owner string, indexes []share.StorageIndex) (int64, error) {
	var cost int64
	seen := make(map[share.StorageIndex]bool, len(indexes))
	for _, index := range indexes {
		if err := s.ready(ctx); err != nil {
			return 0, err
		}
		if seen[index] {
			continue
		}
		seen[index] = true
		f, err := s.index.file(index)
		if err != nil {
			return 0, fmt.Errorf("leases of %s: %w", index, err)
		}
		if !f.leased(owner) {
			cost += f.charge().bytes
		}
	}
	return cost, nil
}

func (r *fileRecord) leased(owner string) bool {
	for _, l := range r.Leases {
		if l.Owner == owner {
			return true
		}
	}
	return false
}
