//go:build unix

package localtree

import "syscall"

const nonBlocking = syscall.O_NONBLOCK
