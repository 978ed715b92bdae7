// Package sums computes the SHA-256 of many blocks at once, where the processor can: side by side they cost half of what they cost
// one after the other.
package sums

import (
	"crypto/sha256"

	"cairn/share"
)

// Lanes is how many blocks of one length are hashed side by side at most. Calls with multiples of it are the cheapest.
const Lanes = 16

// Sum stores the SHA-256 of blocks[i] in digests[i], which has room for it. Blocks that stand together and are equally long are the
// cheapest. It is safe for concurrent use.
func Sum(digests []share.Digest, blocks [][]byte) {
	digests = digests[:len(blocks)]
	for len(blocks) > 0 {
		n := run(blocks)
		if sideBySide && n >= enough {
			sumLanes(digests[:n], blocks[:n])
		} else {
			for i, block := range blocks[:n] {
				digests[i] = sha256.Sum256(block)
			}
		}
		digests, blocks = digests[n:], blocks[n:]
	}
}

// run returns how many blocks at the front are equally long, at most Lanes.
func run(blocks [][]byte) int {
	n := 1
	for n < min(len(blocks), Lanes) && len(blocks[n]) == len(blocks[0]) {
		n++
	}
	return n
}

// Cost tells what it costs to hash so many blocks of one length with one call of Sum, in parts of what a block costs alone. It
// compares ways to gather blocks and means nothing else.
func Cost(blocks int) int {
	if !sideBySide {
		return blocks
	}
	cost := blocks / Lanes * enough
	return cost + min(blocks%Lanes, enough)
}

// Together returns how many lots of so many blocks, at most limit, are hashed together at the least cost; 1 where it makes no difference.
func Together(lot, limit int) int {
	best := 1
	for n := 2; n <= limit; n++ {
		// Costs per lot are compared as fractions of whole numbers.
		if Cost(n*lot)*best < Cost(best*lot)*n {
			best = n
		}
	}
	return best
}
