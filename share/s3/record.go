package s3

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

// Everything that this package writes is CBOR, arrays instead of maps, followed by its CRC-32C.

// MaxLeases bounds how many owners can hold leases on one file.
const MaxLeases = 256

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumSize = 4

var (
	recordEncoder = must(cbor.EncOptions{}.EncMode())
	recordDecoder = must(cbor.DecOptions{
		IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: 6, MaxArrayElements: 1 << 17, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("s3: " + err.Error())
	}
	return v
}

func checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// seal encodes a record with its checksum.
func seal(record any) []byte {
	data := must(recordEncoder.Marshal(record))
	return binary.BigEndian.AppendUint32(data, checksum(data))
}

// unseal checks and decodes a record. Errors wrap share.ErrCorrupt.
func unseal(data []byte, record any) error {
	body := len(data) - checksumSize
	if body < 0 || checksum(data[:body]) != binary.BigEndian.Uint32(data[body:]) {
		return fmt.Errorf("%w: checksum mismatch", share.ErrCorrupt)
	}
	if err := recordDecoder.Unmarshal(data[:body], record); err != nil {
		return fmt.Errorf("%w: %v", share.ErrCorrupt, err)
	}
	return nil
}

// A leaseRecord is a share.Lease.
type leaseRecord struct {
	_       struct{} `cbor:",toarray"`
	Owner   string
	Expires int64 // Unix seconds
}

func recordLease(l share.Lease) leaseRecord {
	// A second is added, because a lease may not end before the owner believes.
	return leaseRecord{Owner: l.Owner, Expires: l.Expires.Add(time.Second - 1).Unix()}
}

// A shareRecord says where a share is: so many bytes from an offset of an object.
type shareRecord struct {
	_      struct{} `cbor:",toarray"`
	Number share.Number
	Size   int64
	Key    string
	Offset int64
	Sum    uint32 // CRC-32C of a packed share
}

// A fileRecord is what is held under one storage index.
type fileRecord struct {
	_      struct{} `cbor:",toarray"`
	Root   []byte
	Shares []shareRecord // ascending by number
	Leases []leaseRecord
	Unheld int64 // when the last lease was released, in Unix seconds; 0 while there is one
}

func (f *fileRecord) share(n share.Number) (shareRecord, bool) {
	for _, s := range f.Shares {
		if s.Number == n {
			return s, true
		}
	}
	return shareRecord{}, false
}

func (f *fileRecord) numbers() []share.Number {
	var numbers []share.Number
	for _, s := range f.Shares {
		numbers = append(numbers, s.Number)
	}
	return numbers
}

// put adds or replaces a share.
func (f *fileRecord) put(s shareRecord) {
	f.Shares = slices.DeleteFunc(f.Shares, func(old shareRecord) bool { return old.Number == s.Number })
	f.Shares = append(f.Shares, s)
	slices.SortFunc(f.Shares, func(a, b shareRecord) int { return int(a.Number) - int(b.Number) })
}

var errLeases = errors.New("too many owners hold leases on one file")

// lease adds a lease or extends the owner's; it never shortens one.
func (f *fileRecord) lease(l leaseRecord) error {
	f.Unheld = 0
	for i := range f.Leases {
		if f.Leases[i].Owner == l.Owner {
			f.Leases[i].Expires = max(f.Leases[i].Expires, l.Expires)
			return nil
		}
	}
	if len(f.Leases) >= MaxLeases {
		return fmt.Errorf("%w: %w", share.ErrDenied, errLeases)
	}
	f.Leases = append(f.Leases, l)
	slices.SortFunc(f.Leases, func(a, b leaseRecord) int {
		if a.Owner < b.Owner {
			return -1
		}
		return 1
	})
	return nil
}

// release ends the lease of an owner.
func (f *fileRecord) release(owner string, now time.Time) {
	f.Leases = slices.DeleteFunc(f.Leases, func(l leaseRecord) bool { return l.Owner == owner })
	if len(f.Leases) == 0 && f.Unheld == 0 {
		f.Unheld = now.Unix()
	}
}

func (f *fileRecord) leased(owner string) bool {
	return slices.ContainsFunc(f.Leases, func(l leaseRecord) bool { return l.Owner == owner })
}

// bytes returns what the shares have.
func (f *fileRecord) bytes() int64 {
	var total int64
	for _, s := range f.Shares {
		total += s.Size
	}
	return total
}

// since returns when the last interest in the file ended, in Unix seconds.
func (f *fileRecord) since() int64 {
	since := f.Unheld
	for _, l := range f.Leases {
		since = max(since, l.Expires)
	}
	return since
}

// An objectRecord is what is known of an object with shares: its size, and how much of it shares that are held have.
type objectRecord struct {
	_      struct{} `cbor:",toarray"`
	Size   int64
	Live   int64
	Shares int64
}

// A doneRecord is an upload with the shares that it committed.
type doneRecord struct {
	_         struct{} `cbor:",toarray"`
	Committed []committed
}

type committed struct {
	_      struct{} `cbor:",toarray"`
	Number share.Number
	Index  share.StorageIndex
}
