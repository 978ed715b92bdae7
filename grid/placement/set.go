package placement

import (
	"math/bits"

	"cairn/share"
)

// A set is a set of share numbers.
type set [share.MaxTotal / 64]uint64

func setOf(numbers []share.Number) set {
	var s set
	for _, number := range numbers {
		s.add(number)
	}
	return s
}

func firstNumbers(n int) set {
	var s set
	for number := range n {
		s.add(share.Number(number))
	}
	return s
}

func (s *set) add(n share.Number)     { s[n/64] |= 1 << (n % 64) }
func (s set) has(n share.Number) bool { return s[n/64]&(1<<(n%64)) != 0 }

func (s set) and(t set) set {
	for i := range s {
		s[i] &= t[i]
	}
	return s
}

func (s set) without(t set) set {
	for i := range s {
		s[i] &^= t[i]
	}
	return s
}

func (s set) len() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// first returns the smallest number of the set.
func (s set) first() (share.Number, bool) {
	for i, word := range s {
		if word != 0 {
			return share.Number(64*i + bits.TrailingZeros64(word)), true
		}
	}
	return 0, false
}
