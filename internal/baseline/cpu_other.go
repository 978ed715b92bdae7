//go:build !unix

package baseline

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
