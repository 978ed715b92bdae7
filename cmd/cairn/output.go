package main

import "io"

// A firstFailure writes until a write fails, and keeps the error for those who print without looking.
type firstFailure struct {
	w   io.Writer
	err error
}

func (f *firstFailure) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.w.Write(p)
	f.err = err
	return n, err
}
