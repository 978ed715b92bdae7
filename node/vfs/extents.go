package vfs

import (
	"cmp"
	"slices"
)

// An extent is a range of bytes, from From up to but without To.
type extent struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// extents are ranges that neither overlap nor touch, in ascending order.
type extents []extent

// search returns the position of the first extent that ends at off or behind it.
func (e extents) search(off int64) int {
	i, _ := slices.BinarySearchFunc(e, off, func(x extent, off int64) int { return cmp.Compare(x.To, off) })
	return i
}

// add returns the extents with one more.
func (e extents) add(x extent) extents {
	if x.From >= x.To {
		return e
	}
	i := e.search(x.From)
	j := i
	for j < len(e) && e[j].From <= x.To {
		x.From, x.To = min(x.From, e[j].From), max(x.To, e[j].To)
		j++
	}
	return slices.Replace(e, i, j, x)
}

// cut returns the extents without what is at size or behind it.
func (e extents) cut(size int64) extents {
	i := e.search(size)
	if i < len(e) && e[i].From < size {
		e[i].To = min(e[i].To, size)
		i++
	}
	return e[:i]
}

// next returns how the bytes from off on are: whether they are in an extent, and up to where that is so, at most up to end.
func (e extents) next(off, end int64) (in bool, to int64) {
	i := e.search(off)
	for i < len(e) && e[i].To <= off {
		i++
	}
	switch {
	case i == len(e):
		return false, end
	case e[i].From <= off:
		return true, min(e[i].To, end)
	}
	return false, min(e[i].From, end)
}

// bytes returns how many bytes are in extents.
func (e extents) bytes() (n int64) {
	for _, x := range e {
		n += x.To - x.From
	}
	return n
}
