// Package doctor judges what keeps a node from working well, and says how to mend it.
//
// Its functions turn what was seen into a Check each. They start nothing and ask nobody: the node's process tells what it
// sees of the network, the command line looks at the directory and the machine.
package doctor

// A State is the outcome of a check.
type State string

// The outcomes. A node with a warning works, with less than it could; a failure keeps it from something it is asked to do.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// A Check is one line of a diagnosis.
type Check struct {
	// Name says what was looked at, in one or two words.
	Name  string `json:"name"`
	State State  `json:"state"`
	// Seen says what was found.
	Seen string `json:"seen"`
	// Fix says what to do; it is empty where all is well.
	Fix string `json:"fix,omitempty"`
}

func ok(name, seen string) Check { return Check{Name: name, State: OK, Seen: seen} }

func warn(name, seen, fix string) Check { return Check{Name: name, State: Warn, Seen: seen, Fix: fix} }

func fail(name, seen, fix string) Check { return Check{Name: name, State: Fail, Seen: seen, Fix: fix} }

// Failed reports whether a check failed.
func Failed(checks []Check) bool {
	for _, c := range checks {
		if c.State == Fail {
			return true
		}
	}
	return false
}
