package localtree

import (
	"io/fs"
	"syscall"
)

func idOf(info fs.FileInfo) ID {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}
	}
	return ID{Device: uint64(s.Dev), Inode: s.Ino, Changed: s.Ctim.Nano()} //nolint:unconvert // Dev is shorter on some processors
}
