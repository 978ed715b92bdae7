package main

import (
	"sync"

	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share/capability"
)

// A versionMemory keeps which versions of files that can change were written to a folder. It is opened by the first of those.
type versionMemory struct {
	a      *app
	folder string
	once   sync.Once
	known  transfer.Memory
	close  func() error
}

func (v *versionMemory) open() transfer.Memory {
	v.once.Do(func() {
		v.known, v.close = forgetful{}, func() error { return nil }
		if m, files, err := v.a.memory("written to " + v.folder); err == nil {
			v.known, v.close = files, m.Close
		}
	})
	return v.known
}

// Stored returns the version that a file has on disk.
func (v *versionMemory) Stored(e localtree.Entry) (capability.Capability, bool) {
	return v.open().Stored(e)
}

// Remember keeps it.
func (v *versionMemory) Remember(e localtree.Entry, version capability.Capability) error {
	return v.open().Remember(e, version)
}

// Close closes what was opened. Nothing can be kept after it.
func (v *versionMemory) Close() error {
	v.once.Do(func() { v.known, v.close = forgetful{}, func() error { return nil } })
	return v.close()
}
