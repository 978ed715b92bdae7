package s3

import (
	"encoding/binary"
	"fmt"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// An object with shares is the shares one after the other, a directory of them (a sealed list), the directory's length in four bytes, and
// packMagic. It explains itself: the index can be computed from the ends of all objects.
const (
	packMagic = "cairnpk1"
	trailer   = 4 + len(packMagic)

	packMax       = share.MaxWholeShare // the largest share in bytes that is packed with others
	packBytes     = 8 << 20             // a pack is closed when it has so much
	packShares    = 4096                // or so many
	directoryRead = 128 << 10           // what is read of an object's end at first
	maxDirectory  = 8 << 20
	maxPack       = 64 << 20 // no object with several shares is larger
)

// A member is one share of an object.
type member struct {
	_      struct{} `cbor:",toarray"`
	Index  share.StorageIndex
	Number share.Number
	Offset int64
	Size   int64
	Root   int // bytes of the root at its end
	Sum    uint32
	Upload uploadName
	Lease  leaseRecord
}

// uploadName is SHA-256(owner ‖ upload id), zeros for a share that came whole.
type uploadName [32]byte

func (m member) record(key string) shareRecord {
	return shareRecord{Number: m.Number, Size: m.Size, Key: key, Offset: m.Offset, Sum: m.Sum}
}

// directory returns the end of an object with these members.
func directory(members []member) []byte {
	data := seal(members)
	data = binary.BigEndian.AppendUint32(data, uint32(len(data))) //nolint:gosec // bounded by packShares
	return append(data, packMagic...)
}

// readTrailer returns how long the directory is that the end of an object closes.
func readTrailer(end []byte) (int, error) {
	if len(end) < trailer || string(end[len(end)-len(packMagic):]) != packMagic {
		return 0, fmt.Errorf("%w: it does not end as an object with shares does", share.ErrCorrupt)
	}
	length := binary.BigEndian.Uint32(end[len(end)-trailer:])
	if length > maxDirectory {
		return 0, fmt.Errorf("%w: a directory of %d bytes", share.ErrCorrupt, length)
	}
	return int(length), nil
}

// parseDirectory reads the end of an object of a size, from the directory's start on.
func parseDirectory(end []byte, size int64) ([]member, error) {
	length, err := readTrailer(end)
	if err != nil {
		return nil, err
	}
	if length > len(end)-trailer {
		return nil, fmt.Errorf("%w: a directory of %d bytes in %d", share.ErrCorrupt, length, len(end))
	}
	var members []member
	if err := unseal(end[len(end)-trailer-length:len(end)-trailer], &members); err != nil {
		return nil, err
	}
	if len(members) > packShares+share.MaxBatchShares || len(members) > 1 && size > maxPack {
		return nil, fmt.Errorf("%w: %d shares in an object of %d bytes", share.ErrCorrupt, len(members), size)
	}
	room := size - int64(trailer) - int64(length)
	for _, m := range members {
		if m.Offset < 0 || m.Size <= 0 || m.Size > room || m.Offset > room-m.Size || m.Root <= 0 || m.Root > encoding.MaxRootSize || int64(m.Root) > m.Size ||
			m.Lease.Owner == "" || len(m.Lease.Owner) > column.MaxOwner {
			return nil, fmt.Errorf("%w: the directory lists what cannot be", share.ErrCorrupt)
		}
	}
	return members, nil
}

// An item is a share to be packed.
type item struct {
	index  share.StorageIndex
	number share.Number
	data   []byte // with the root at its end
	root   int
	upload uploadName
	lease  leaseRecord
}

// A packBuilder makes an object of items. Its zero value is empty.
type packBuilder struct {
	data    []byte
	members []member
}

func (b *packBuilder) add(it item) {
	b.members = append(b.members, member{
		Index: it.index, Number: it.number, Offset: int64(len(b.data)), Size: int64(len(it.data)), Root: it.root,
		Sum: checksum(it.data), Upload: it.upload, Lease: it.lease,
	})
	b.data = append(b.data, it.data...)
}

// finish returns the object.
func (b *packBuilder) finish() []byte {
	b.data = append(b.data, directory(b.members)...)
	return b.data
}

// rootIn returns the root of a member of an object.
func (m member) rootIn(data []byte) []byte {
	end := m.Offset + m.Size
	return data[end-int64(m.Root) : end : end]
}
