// Package transfer moves whole trees between the disk of this machine and the grid: many small files at a time, large
// ones one by one, folders last, and what has not changed not at all.
package transfer

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"cairn/node/localtree"
	"cairn/share/capability"
)

// How much is under way at a time.
const (
	// SmallFile is the largest file in bytes that travels together with others.
	SmallFile = 64 << 10
	// batchFiles and batchBytes bound one batch of small files.
	batchFiles = 256
	batchBytes = 2 << 20
	// smallWorkers, largeWorkers and folderWorkers are how many batches, large files and folders are under way at once.
	smallWorkers  = 4
	largeWorkers  = 2
	folderWorkers = 8
)

// An Item is a file, folder or link as a folder of the grid holds it.
type Item struct {
	Name string
	Kind localtree.Kind
	// Capability reads the file or folder. For a link, it reads a file that holds the link's target.
	Capability capability.Capability
	// Link is where a link points, if that is known without reading it.
	Link       string
	Size       int64
	Modified   time.Time
	Executable bool
	// Changes says that the contents can change, so that their size is known only when they were read.
	Changes bool
}

// Counts say how far a transfer is. Bytes are those of files.
type Counts struct {
	Files     int64 `json:"files"`   // files and links dealt with
	Folders   int64 `json:"folders"` // folders dealt with
	Bytes     int64 `json:"bytes"`   // their length
	Moved     int64 `json:"moved"`   // files that had to be moved
	MovedSize int64 `json:"moved_bytes"`
	Same      int64 `json:"unchanged"` // files that were there already
	Problems  int64 `json:"problems"`  // entries passed over
}

// tally counts what is done and tells of it. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	counts   Counts
	problems []localtree.Problem
	tell     func(Counts)
}

// maxProblems bounds how many problems are kept; all are counted.
const maxProblems = 10_000

func (t *tally) add(change func(*Counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.counts)
	if t.tell != nil {
		t.tell(t.counts)
	}
}

func (t *tally) problem(p localtree.Problem) {
	t.add(func(c *Counts) { c.Problems++ })
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.problems) < maxProblems {
		t.problems = append(t.problems, p)
	}
}

func (t *tally) file(size int64, moved bool) {
	t.add(func(c *Counts) {
		c.Files++
		c.Bytes += size
		if moved {
			c.Moved++
			c.MovedSize += size
		} else {
			c.Same++
		}
	})
}

// sorted returns the problems in the order of their paths.
func (t *tally) sorted() []localtree.Problem {
	slices.SortFunc(t.problems, func(a, b localtree.Problem) int { return cmp.Compare(a.Path, b.Path) })
	return t.problems
}
