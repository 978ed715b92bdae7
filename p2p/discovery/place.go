package discovery

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/share"
)

// A fileKey stands for a file in records: the first bytes of its storage index. Records are hints, so that the rare two
// files with the same key cost a question, and eight bytes instead of 32 make a million of them light.
type fileKey uint64

const fileKeyLength = 8

func keyOf(index share.StorageIndex) fileKey { return fileKey(binary.BigEndian.Uint64(index[:])) }

// text is what the DHT is asked for.
func (k fileKey) text() string {
	return string(binary.BigEndian.AppendUint64([]byte("file"), uint64(k)))
}

func (k fileKey) place() place { return place{at: position(k.text()), key: k} }

// position returns where the DHT has a key or a peer: the first 64 of the 256 bits that it uses, which no two peers share.
func position(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

const lastPosition = 1<<64 - 1

// A place is a file key with its position.
type place struct {
	at  uint64
	key fileKey
}

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.at, other.at), cmp.Compare(p.key, other.key))
}

// places are in order, without repetition.
type places []place

func sorted(list []place) places {
	list = slices.Clone(list)
	slices.SortFunc(list, place.compare)
	return slices.Compact(list)
}

func (p places) has(one place) bool {
	_, found := slices.BinarySearchFunc(p, one, place.compare)
	return found
}

// from returns the index of the first place at or behind a position.
func (p places) from(at uint64) int {
	i, _ := slices.BinarySearchFunc(p, at, func(one place, at uint64) int { return cmp.Compare(one.at, at) })
	return i
}

// in returns the places in a region, without copying them.
func (p places) in(r region) places {
	if r.last == lastPosition {
		return p[p.from(r.first):]
	}
	return p[p.from(r.first):max(p.from(r.first), p.from(r.last+1))]
}

// after returns the places behind a position, without copying them.
func (p places) after(at uint64) places {
	if at == lastPosition {
		return nil
	}
	return p[p.from(at+1):]
}

// merge returns the places of both.
func (p places) merge(more places) places {
	if len(more) == 0 {
		return p
	}
	all := make(places, 0, len(p)+len(more))
	for len(p) > 0 && len(more) > 0 {
		switch order := p[0].compare(more[0]); {
		case order < 0:
			all, p = append(all, p[0]), p[1:]
		case order > 0:
			all, more = append(all, more[0]), more[1:]
		default:
			all, p, more = append(all, p[0]), p[1:], more[1:]
		}
	}
	return append(append(all, p...), more...)
}

// A region is a part of the key space.
type region struct{ first, last uint64 }

// regionAround returns the region of all positions that share the first bits with one.
func regionAround(at uint64, prefix int) region {
	if prefix <= 0 {
		return region{0, lastPosition}
	}
	if prefix > 64 {
		prefix = 64
	}
	mask := uint64(lastPosition) >> prefix // of the bits that differ; 0 for 64
	return region{at &^ mask, at | mask}
}

// A contact is a member that keeps records.
type contact struct {
	id peer.ID
	at uint64
}

// closest returns up to n of the contacts, the ones closest to a position, closest first.
func closest(contacts []contact, at uint64, n int) []contact {
	list := slices.Clone(contacts)
	slices.SortFunc(list, func(a, b contact) int { return cmp.Compare(a.at^at, b.at^at) })
	return list[:min(n, len(list))]
}

// knownAround returns the region around a position in which a lookup that returned these contacts, as many as it could,
// knows everybody: nobody can be there who is further away than the furthest of them.
func knownAround(at uint64, contacts []contact) region {
	furthest := uint64(0)
	for _, c := range contacts {
		furthest = max(furthest, c.at^at)
	}
	return regionAround(at, bits.LeadingZeros64(furthest)+1)
}
