package main

import (
	"context"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// timerSlack is how late, in nanoseconds, the kernel may wake a thread of a node whose time has come, so that it wakes several at once.
// The runtime's own watch over a busy process sleeps for 20 microseconds at a time, of which each costs more than it is worth.
const timerSlack = 1e6

// relax begins the process anew with a timer slack that all of its threads inherit: those that the runtime has started by now keep the
// one they have. Where that is not possible, it returns and the process goes on as it is. A command calls it before it does anything else,
// because it does all of that once more.
func relax(ctx context.Context) {
	if os.Getenv(slackVariable) != "" {
		_ = os.Unsetenv(slackVariable) // cannot fail on a name like this
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || now >= timerSlack {
		return
	}
	program, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) != nil {
		return
	}
	if ctx.Err() != nil { // somebody has interrupted the old one
		return
	}
	_ = syscall.Exec(program, os.Args, append(os.Environ(), slackVariable+"=1")) // returns only when it fails
}
