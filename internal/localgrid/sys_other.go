//go:build !linux

package localgrid

import (
	"errors"
	"os"
	"os/exec"
)

// dieWithParent does nothing here: the end of its standard input tells the child.
func dieWithParent(*exec.Cmd) {}

func interrupt(p *os.Process) { p.Signal(os.Interrupt) }

// Pause is for Linux.
func (p *Process) Pause() error { return errors.ErrUnsupported }

// Resume is for Linux.
func (p *Process) Resume() error { return errors.ErrUnsupported }

// Usage is for Linux; elsewhere only ended processes are counted.
func (p *Process) Usage() (Usage, error) { return Usage{}, errors.ErrUnsupported }

// ResetPeak is for Linux.
func (p *Process) ResetPeak() error { return errors.ErrUnsupported }

func peakOf(*os.ProcessState) int64 { return 0 }

// BytesRead is for Linux.
func (p *Process) BytesRead() (int64, error) { return 0, errors.ErrUnsupported }
