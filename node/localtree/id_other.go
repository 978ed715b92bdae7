//go:build !linux

package localtree

import "io/fs"

// idOf knows nothing here: size and time of modification decide alone.
func idOf(fs.FileInfo) ID { return ID{} }
