package localgrid

import (
	"os"
	"time"
)

// Usage is what processes have used.
type Usage struct {
	CPU time.Duration // user and system time
	// PeakBytes is the largest resident set of any one process, zero where the system does not tell.
	PeakBytes int64
}

func (u Usage) plus(other Usage) Usage {
	return Usage{CPU: u.CPU + other.CPU, PeakBytes: max(u.PeakBytes, other.PeakBytes)}
}

// usageOf returns what an ended process has used.
func usageOf(state *os.ProcessState) Usage {
	if state == nil {
		return Usage{}
	}
	return Usage{CPU: state.UserTime() + state.SystemTime(), PeakBytes: peakOf(state)}
}
