//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// allocated returns how many bytes of the disk a file takes.
func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512
	}
	return info.Size()
}
