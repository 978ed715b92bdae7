package main

import (
	"context"
	"io"
	"os"
)

// leashVariable, when set, ties a process to the one that started it: it stops when its standard input ends.
const leashVariable = "CAIRN_LEASH"

// leashed returns a context that is cancelled when standard input ends, if this process is on a leash.
func leashed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if os.Getenv(leashVariable) == "" {
		return ctx, cancel
	}
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, cancel
}
