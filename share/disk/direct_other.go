//go:build !linux

package disk

// openDirect is zero where nothing writes past the page cache.
const openDirect = 0
