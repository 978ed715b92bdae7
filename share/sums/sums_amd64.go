//go:build !purego

package sums

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"

	"cairn/share"
)

// sideBySide says that the processor, and the system, have what blocks16 uses.
var sideBySide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW

const (
	// enough is from how many blocks on all lanes together are faster than one block after the other with the
	// processor's own instructions for SHA-256.
	enough = 8
	// chunk is the size of a block of SHA-256, and tail that of what is made of the end of a message at most.
	chunk = 64
	tail  = 2 * chunk
	// maxChunks bounds a call of blocks16, which nothing can interrupt: that much takes a third of a millisecond.
	maxChunks = 1 << 10
)

// initial is the hash before the first block.
var initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// blocks16 adds n blocks of 64 bytes of each of sixteen messages, which begin at an offset, to their hashes. It needs AVX-512 F and BW.
//
//go:noescape
func blocks16(state *[8][Lanes]uint32, messages *[Lanes]*byte, offset, n int)

// sumLanes hashes up to Lanes blocks of one length.
func sumLanes(digests []share.Digest, blocks [][]byte) {
	var state [8][Lanes]uint32
	for word := range state {
		for lane := range state[word] {
			state[word][lane] = initial[word]
		}
	}
	size := len(blocks[0])
	whole := size / chunk
	if whole > 0 {
		var messages [Lanes]*byte
		for lane := range messages {
			messages[lane] = &blocks[min(lane, len(blocks)-1)][0] // lanes that are left over do what another one does
		}
		for at := 0; at < whole; at += maxChunks {
			blocks16(&state, &messages, at*chunk, min(maxChunks, whole-at))
		}
	}
	finish(&state, blocks, size)
	for lane := range digests {
		for word := range state {
			binary.BigEndian.PutUint32(digests[lane][4*word:], state[word][lane])
		}
	}
}

// finish adds what follows the last whole 64 bytes of each block: the rest, a one, zeros, and the length in bits.
func finish(state *[8][Lanes]uint32, blocks [][]byte, size int) {
	var ends [Lanes][tail]byte
	var messages [Lanes]*byte
	rest := size % chunk
	n := (rest + 1 + 8 + chunk - 1) / chunk
	for lane := range messages {
		end := &ends[min(lane, len(blocks)-1)]
		messages[lane] = &end[0]
		if lane < len(blocks) {
			copy(end[:], blocks[lane][size-rest:])
			end[rest] = 0x80
			binary.BigEndian.PutUint64(end[n*chunk-8:], uint64(size)*8)
		}
	}
	blocks16(state, &messages, 0, n)
}
