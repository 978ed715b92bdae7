// Package scale simulates what a grid too large to start does: lookups in the DHT, and news that members pass on. Nothing
// runs but arithmetic; the rules are those of the libraries and packages that really do it.
package scale

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// The rules of go-libp2p-kad-dht.
const (
	BucketSize  = 20 // members in a bucket of a routing table, in an answer, and in the result of a lookup
	Concurrency = 10 // questions under way in a lookup
	Resiliency  = 3  // closest members that have answered when a lookup ends
)

// A DHT is a grid of members with random positions and full routing tables.
type DHT struct {
	at     []uint64 // positions, in order; a member is an index
	tables []table
	random *rand.Rand
}

// A table is a routing table: by length of the common prefix with its owner, up to BucketSize members.
type table [64][]int32

// NewDHT makes a grid of n members.
func NewDHT(n int, seed uint64) *DHT {
	d := &DHT{at: make([]uint64, n), tables: make([]table, n), random: rand.New(rand.NewPCG(seed, seed))}
	for i := range d.at {
		d.at[i] = d.random.Uint64()
	}
	slices.Sort(d.at)
	for i := range d.tables {
		d.fill(i)
	}
	return d
}

// fill gives a member a random BucketSize of the members in each subtree beside its own.
func (d *DHT) fill(owner int) {
	for prefix := range 64 {
		first, end := d.sibling(d.at[owner], prefix)
		switch count := end - first; {
		case count == 0:
		case count <= BucketSize:
			for i := first; i < end; i++ {
				d.tables[owner][prefix] = append(d.tables[owner][prefix], int32(i))
			}
		default:
			chosen := map[int]bool{}
			for len(chosen) < BucketSize {
				i := first + d.random.IntN(count)
				if !chosen[i] {
					chosen[i] = true
					d.tables[owner][prefix] = append(d.tables[owner][prefix], int32(i))
				}
			}
		}
	}
}

// sibling returns the members that share exactly prefix bits with a position.
func (d *DHT) sibling(at uint64, prefix int) (first, end int) {
	low := (at ^ 1<<(63-prefix)) &^ (1<<(63-prefix) - 1)
	high := low | (1<<(63-prefix) - 1)
	first, _ = slices.BinarySearch(d.at, low)
	end, found := slices.BinarySearch(d.at, high)
	if found {
		end++
	}
	return first, end
}

// Size returns how many members there are.
func (d *DHT) Size() int { return len(d.at) }

// TableSize returns how many members are in a routing table on average, and in how many buckets.
func (d *DHT) TableSize() (members, buckets float64) {
	for i := range d.tables {
		for _, bucket := range d.tables[i] {
			members += float64(len(bucket))
			if len(bucket) > 0 {
				buckets++
			}
		}
	}
	return members / float64(len(d.at)), buckets / float64(len(d.at))
}

// nearest returns the members of a routing table that are closest to a position.
func (d *DHT) nearest(owner int, at uint64, n int) []int32 {
	var list []int32
	for _, bucket := range d.tables[owner] {
		list = append(list, bucket...)
	}
	return d.order(list, at, n)
}

func (d *DHT) order(list []int32, at uint64, n int) []int32 {
	slices.SortFunc(list, func(a, b int32) int { return cmp.Compare(d.at[a]^at, d.at[b]^at) })
	return list[:min(n, len(list))]
}

// Closest returns the n members that really are closest to a position.
func (d *DHT) Closest(at uint64, n int) []int32 {
	all := make([]int32, len(d.at))
	for i := range all {
		all[i] = int32(i)
	}
	return d.order(all, at, n)
}

// Position returns a random position.
func (d *DHT) Position() uint64 { return d.random.Uint64() }

// A Lookup is what one lookup did.
type Lookup struct {
	Questions int     // messages sent; as many come back
	Hops      int     // answers in a row before the last one was known of
	Found     []int32 // the closest members, closest first
}

type state uint8

const (
	heard state = iota + 1
	waiting
	answered
)

// An inquiry is a lookup under way.
type inquiry struct {
	d      *DHT
	at     uint64
	states map[int32]state
	hops   map[int32]int
	known  []int32 // closest first
	flying []question
	now    float64
}

type question struct {
	to   int32
	back float64 // when the answer is there
}

// Find looks for the members closest to a position, from one of the members.
func (d *DHT) Find(from int, at uint64) Lookup {
	q := &inquiry{d: d, at: at, states: map[int32]state{int32(from): answered}, hops: map[int32]int{}}
	q.hear(d.nearest(from, at, BucketSize), 0)
	result := Lookup{}
	for !q.over() {
		result.Questions += q.ask()
		if len(q.flying) == 0 {
			break
		}
		q.answer(&result)
	}
	// What is still under way is given up, and who is among the closest is asked once more.
	result.Found = slices.Clone(q.known[:min(BucketSize, len(q.known))])
	for _, one := range result.Found {
		if q.states[one] != answered {
			result.Questions++
		}
	}
	return result
}

func (q *inquiry) hear(list []int32, hops int) {
	for _, one := range list {
		if q.states[one] == 0 {
			q.states[one], q.hops[one] = heard, hops+1
			q.known = append(q.known, one)
		}
	}
	q.known = q.d.order(q.known, q.at, len(q.known))
}

// over reports whether the closest members have answered.
func (q *inquiry) over() bool {
	for _, one := range q.known[:min(Resiliency, len(q.known))] {
		if q.states[one] != answered {
			return false
		}
	}
	return true
}

// ask sends as many questions as may be under way, to the closest members first.
func (q *inquiry) ask() (sent int) {
	for _, one := range q.known {
		if len(q.flying) >= Concurrency {
			break
		}
		if q.states[one] == heard {
			q.states[one] = waiting
			q.flying = append(q.flying, question{one, q.now + 1 + q.d.random.ExpFloat64()})
			sent++
		}
	}
	return sent
}

// answer takes in the answer that is there first.
func (q *inquiry) answer(result *Lookup) {
	slices.SortFunc(q.flying, func(a, b question) int { return cmp.Compare(a.back, b.back) })
	first := q.flying[0]
	q.flying, q.now = q.flying[1:], first.back
	q.states[first.to] = answered
	result.Hops = max(result.Hops, q.hops[first.to])
	q.hear(q.d.nearest(int(first.to), q.at, BucketSize), q.hops[first.to])
}

// Regions returns how many lookups announce everything once: each finds who is close to a part of the key space, and the next
// one starts behind that part.
func (d *DHT) Regions() (lookups, questions int) {
	for at := uint64(0); ; {
		found := d.Find(0, at)
		lookups, questions = lookups+1, questions+found.Questions
		if len(found.Found) < BucketSize {
			return lookups, questions
		}
		furthest := uint64(0)
		for _, one := range found.Found {
			furthest = max(furthest, d.at[one]^at)
		}
		mask := ^uint64(0) >> (bits.LeadingZeros64(furthest) + 1)
		if at |= mask; at == ^uint64(0) {
			return lookups, questions
		}
		at++
	}
}
