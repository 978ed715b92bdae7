//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// toJournal reports whether standard error goes to the systemd journal, which notes the time by itself.
func toJournal() bool {
	stream := os.Getenv("JOURNAL_STREAM") // device:inode
	info, err := os.Stderr.Stat()
	if stream == "" || err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
