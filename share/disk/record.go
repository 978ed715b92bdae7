package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"cairn/share"
)

// Everything that this package writes into the index and the journal is CBOR, arrays instead of maps, followed by
// its CRC-32C. The types here are those records; docs/storage.md describes them.

// MaxLeases bounds how many owners can hold leases on one file.
const MaxLeases = 256

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumSize = 4

var errChecksum = errors.New("checksum mismatch")

var (
	recordEncoder = must(cbor.EncOptions{}.EncMode())
	recordDecoder = must(cbor.DecOptions{
		IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: 6, MaxArrayElements: 1 << 16,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("disk: " + err.Error())
	}
	return v
}

// seal encodes a record with its checksum.
func seal(record any) []byte {
	data := must(recordEncoder.Marshal(record))
	return binary.BigEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}

// unseal checks and decodes a record. Errors wrap share.ErrCorrupt.
func unseal(data []byte, record any) error {
	body := len(data) - checksumSize
	if body < 0 || crc32.Checksum(data[:body], castagnoli) != binary.BigEndian.Uint32(data[body:]) {
		return fmt.Errorf("%w: %w", share.ErrCorrupt, errChecksum)
	}
	if err := recordDecoder.Unmarshal(data[:body], record); err != nil {
		return fmt.Errorf("%w: %v", share.ErrCorrupt, err)
	}
	return nil
}

// A position is a place in the journal. The zero position is none.
type position struct {
	_       struct{} `cbor:",toarray"`
	Segment uint32
	Offset  int64
}

// A fileRecord is what the index knows of one encoded file.
type fileRecord struct {
	_      struct{} `cbor:",toarray"`
	Root   []byte
	Shares []shareRecord // ascending by number
	Leases []leaseRecord
}

// A shareRecord says where a share is: in the journal, or in its own file when At is zero.
type shareRecord struct {
	_      struct{} `cbor:",toarray"`
	Number share.Number
	Size   int64
	At     position
}

type leaseRecord struct {
	_       struct{} `cbor:",toarray"`
	Owner   string
	Expires int64 // Unix seconds
}

// An uploadRecord says which shares of one upload were committed, and as what.
type uploadRecord struct {
	_         struct{} `cbor:",toarray"`
	Committed []committedRecord
}

type committedRecord struct {
	_      struct{} `cbor:",toarray"`
	Number share.Number
	Index  share.StorageIndex
}

// A stateRecord is written with every batch: how far the index has followed the journal, and what it counts.
type stateRecord struct {
	_      struct{} `cbor:",toarray"`
	At     position
	Files  int64
	Shares int64
	Bytes  int64
}

// A journalRecord tells of one share: stored with its bytes, stored as a file, or removed.
type journalRecord struct {
	_      struct{} `cbor:",toarray"`
	Index  share.StorageIndex
	Number share.Number
	Root   []byte
	// Size is that of the share. In the record of a removed one it is the segment of the journal in which it was, or
	// fileTombstone.
	Size   int64
	Upload [32]byte    // zero for a share that came whole
	Lease  leaseRecord // without an owner when there was none any more
	Data   []byte      // kindSmall only: the share without its root, which Root has
}

func (r *fileRecord) share(n share.Number) (shareRecord, bool) {
	i, found := r.find(n)
	if !found {
		return shareRecord{}, false
	}
	return r.Shares[i], true
}

func (r *fileRecord) find(n share.Number) (int, bool) {
	return slices.BinarySearchFunc(r.Shares, n, func(s shareRecord, n share.Number) int { return int(s.Number) - int(n) })
}

// put adds or replaces a share and returns how many shares and bytes were gained.
func (r *fileRecord) put(s shareRecord) (shares, bytes int64) {
	i, found := r.find(s.Number)
	if found {
		bytes = s.Size - r.Shares[i].Size
		r.Shares[i] = s
		return 0, bytes
	}
	r.Shares = slices.Insert(r.Shares, i, s)
	return 1, s.Size
}

func (r *fileRecord) numbers() []share.Number {
	numbers := make([]share.Number, len(r.Shares))
	for i, s := range r.Shares {
		numbers[i] = s.Number
	}
	return numbers
}

// lease adds or extends a lease; it never shortens one. It returns ErrDenied when the file has too many owners.
func (r *fileRecord) lease(l leaseRecord) error {
	for i := range r.Leases {
		if r.Leases[i].Owner == l.Owner {
			r.Leases[i].Expires = max(r.Leases[i].Expires, l.Expires)
			return nil
		}
	}
	if err := r.leasable(l.Owner); err != nil {
		return err
	}
	r.Leases = append(r.leases(), l)
	return nil
}

// leasable returns ErrDenied when one more owner would be too many.
func (r *fileRecord) leasable(owner string) error {
	if len(r.Leases) >= MaxLeases && !r.leased(owner) {
		return fmt.Errorf("lease: %w: the file has %d owners", share.ErrDenied, len(r.Leases))
	}
	return nil
}

// leases returns the leases without the mark that release leaves.
func (r *fileRecord) leases() []leaseRecord {
	if len(r.Leases) > 0 && r.Leases[0].Owner == "" {
		return r.Leases[1:]
	}
	return r.Leases
}

// release ends the lease of an owner at once. When none is left a lease without an owner says since when.
func (r *fileRecord) release(owner string, now time.Time) {
	leases := r.leases()
	left := slices.DeleteFunc(slices.Clone(leases), func(l leaseRecord) bool { return l.Owner == owner })
	if len(left) == len(leases) {
		return
	}
	if len(left) == 0 {
		left = []leaseRecord{{Expires: now.Unix()}}
	}
	r.Leases = left
}

// longest returns the lease that ends last; one without an owner when there is none.
func (r *fileRecord) longest() leaseRecord {
	var longest leaseRecord
	for _, l := range r.leases() {
		if longest.Owner == "" || l.Expires > longest.Expires {
			longest = l
		}
	}
	return longest
}

func recordLease(l share.Lease) leaseRecord {
	// Rounded up, so that a lease never ends before what was promised.
	return leaseRecord{Owner: l.Owner, Expires: l.Expires.Add(time.Second - 1).Unix()}
}

func (l leaseRecord) lease() share.Lease {
	return share.Lease{Owner: l.Owner, Expires: time.Unix(l.Expires, 0)}
}

// put adds or replaces a committed share of the upload.
func (r *uploadRecord) put(c committedRecord) {
	i, found := slices.BinarySearchFunc(r.Committed, c.Number, func(c committedRecord, n share.Number) int { return int(c.Number) - int(n) })
	if found {
		r.Committed[i] = c
		return
	}
	r.Committed = slices.Insert(r.Committed, i, c)
}
