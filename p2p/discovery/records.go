package discovery

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/share"
)

// DefaultMaxRecords is how many records of others a node keeps.
const DefaultMaxRecords = 8 << 20

// maxAnnouncers is how many members' records a node keeps; a record has 16 bits for which member it is of.
const maxAnnouncers = 1 << 16

// A record says which member announced a file, and when: 16 bits for its number, 16 for the hour.
type record uint32

func newRecord(number int, hour uint16) record { return record(number)<<16 | record(hour) }

func (r record) number() int  { return int(r >> 16) }
func (r record) hour() uint16 { return uint16(r) }

// records are what other members announced, in memory: 11 to 90 bytes each, depending on how many members announce the same
// file. What is lost in a restart is announced again within a day, and kept by other members meanwhile.
type records struct {
	limit int
	begin time.Time // hours are counted from here

	mu      sync.Mutex
	files   map[fileKey][]record
	numbers map[peer.ID]int
	by      []source // by number
	free    []int    // numbers of nobody
	count   int
}

// A source is a member that announced something.
type source struct {
	id        peer.ID
	addresses []byte // as it sent them
	count     int
}

func newRecords(limit int, now time.Time) *records {
	return &records{limit: limit, begin: now, files: map[fileKey][]record{}, numbers: map[peer.ID]int{}}
}

func (r *records) hour(now time.Time) uint16 { return uint16(now.Sub(r.begin) / time.Hour) }

// put keeps records of one member. When there is no room, members that have less than an equal part of it still get
// theirs, so that one that announces too much takes nothing from the others: there are never more than twice the limit.
func (r *records) put(id peer.ID, addresses []byte, keys []fileKey, now time.Time) error {
	hour := r.hour(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	number, err := r.number(id)
	if err != nil {
		return err
	}
	s := &r.by[number]
	s.addresses = addresses
	for i, key := range keys {
		list := r.files[key]
		if at := slices.IndexFunc(list, func(one record) bool { return one.number() == number }); at >= 0 {
			list[at] = newRecord(number, hour)
			continue
		}
		if r.count >= r.limit && s.count >= r.limit/len(r.numbers) {
			return fmt.Errorf("keep %d records: %w: there is room for %d of them", len(keys), share.ErrNoSpace, i)
		}
		r.files[key] = append(list, newRecord(number, hour))
		s.count, r.count = s.count+1, r.count+1
	}
	return nil
}

// number returns the number of a member, a new one if it has none.
func (r *records) number(id peer.ID) (int, error) {
	number, known := r.numbers[id]
	switch {
	case known:
		return number, nil
	case len(r.free) > 0:
		number, r.free = r.free[len(r.free)-1], r.free[:len(r.free)-1]
	case len(r.by) == maxAnnouncers:
		return 0, fmt.Errorf("keep records: %w: they are of %d members already", share.ErrNoSpace, maxAnnouncers)
	default:
		number, r.by = len(r.by), append(r.by, source{})
	}
	r.numbers[id], r.by[number] = number, source{id: id}
	return number, nil
}

// get returns up to limit members that announced a file.
func (r *records) get(key fileKey, limit int, now time.Time) []source {
	hour := r.hour(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []source
	for _, one := range r.files[key] {
		if len(found) < limit && !expired(one, hour) {
			found = append(found, r.by[one.number()])
		}
	}
	return found
}

func expired(one record, hour uint16) bool {
	return time.Duration(hour-one.hour())*time.Hour > recordAge
}

// expire drops what was not announced again.
func (r *records) expire(now time.Time) {
	hour := r.hour(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, list := range r.files {
		list = slices.DeleteFunc(list, func(one record) bool {
			if !expired(one, hour) {
				return false
			}
			r.by[one.number()].count--
			r.count--
			return true
		})
		if len(list) == 0 {
			delete(r.files, key)
		} else {
			r.files[key] = list
		}
	}
	for id, number := range r.numbers {
		if r.by[number].count == 0 {
			delete(r.numbers, id)
			r.by[number], r.free = source{}, append(r.free, number)
		}
	}
}

// size returns how many records there are.
func (r *records) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}
