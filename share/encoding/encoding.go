// Package encoding is the encoded file: how a stream of bytes becomes encrypted segments, erasure-coded blocks,
// an index of hashes and a root, and how each of these is checked on the way back.
//
// The format is specified in docs/formats.md. Every block is a content-addressed block of IPLD; the SHA-256 CID of
// the root is the storage index. Encode streams with bounded memory; Index and Recover give random access in which
// every byte is verified before it is used.
package encoding

// DefaultBlockSize is the block size of files that do not ask for another, chosen from the table in
// docs/benchmarks.md ("Block size").
const DefaultBlockSize = 128 << 10

// maxSegmentBytes bounds the N blocks of a segment where the default block size decides, so that codes with many
// shares stay within the memory of a small box.
const maxSegmentBytes = 4 << 20

// BlockSizeFor returns the block size that suits a code with that many shares.
func BlockSizeFor(total int) int {
	size := DefaultBlockSize
	for size > MinBlockSize && size*total > maxSegmentBytes {
		size /= 2
	}
	return size
}
