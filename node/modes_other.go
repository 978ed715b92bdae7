//go:build !unix

package node

// enforcesModes is true where file modes say who may read a file.
const enforcesModes = false
