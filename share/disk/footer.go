package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// A share file is the share, its root at the end, and then a footer that makes the file explain itself: the index
// can be computed from the files alone.
//
//	owner      the owner of the first lease
//	expires    8 bytes, its end in Unix seconds
//	upload     32 bytes, the name of the upload that brought the share
//	root       2 bytes, length of the root block in front of the footer
//	owner      2 bytes, length of the owner
//	number     1 byte, the share number
//	checksum   4 bytes, CRC-32C of all of the footer before it
//	magic      8 bytes
//
// Numbers are big-endian.
const (
	footerMagic = "cairnsh1"
	footerFixed = 8 + 32 + 2 + 2 + 1 + checksumSize + len(footerMagic)
	footerMax   = column.MaxOwner + footerFixed
)

type footer struct {
	Lease   leaseRecord
	Upload  [32]byte
	RootLen int
	Number  share.Number
}

func (f footer) size() int { return len(f.Lease.Owner) + footerFixed }

// appendTo appends the footer.
func (f footer) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, f.Lease.Owner...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.Lease.Expires))
	dst = append(dst, f.Upload[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(f.RootLen))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.Lease.Owner)))
	dst = append(dst, byte(f.Number))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, footerMagic...)
}

// parseFooter reads the footer at the end of p, which is the end of a share file. Errors wrap share.ErrCorrupt.
func parseFooter(p []byte) (footer, error) {
	if len(p) < footerFixed || string(p[len(p)-len(footerMagic):]) != footerMagic {
		return footer{}, fmt.Errorf("footer: %w: the file does not end like a share file", share.ErrCorrupt)
	}
	fixed := p[len(p)-footerFixed:]
	f := footer{RootLen: int(binary.BigEndian.Uint16(fixed[40:])), Number: share.Number(fixed[44])}
	f.Lease.Expires = int64(binary.BigEndian.Uint64(fixed))
	copy(f.Upload[:], fixed[8:])
	owner := int(binary.BigEndian.Uint16(fixed[42:]))
	if owner > column.MaxOwner || owner > len(p)-footerFixed || f.RootLen > encoding.MaxRootSize {
		return footer{}, fmt.Errorf("footer: %w: lengths out of bounds", share.ErrCorrupt)
	}
	whole := p[len(p)-footerFixed-owner:]
	body := whole[:len(whole)-len(footerMagic)-checksumSize]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(whole[len(body):]) {
		return footer{}, fmt.Errorf("footer: %w: %w", share.ErrCorrupt, errChecksum)
	}
	f.Lease.Owner = string(whole[:owner])
	return f, nil
}
