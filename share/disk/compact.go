package disk

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// Badger's own compactors look for work twenty times a second each, for ever, and start without asking how full the
// disk is. This store compacts by itself instead: when so much was written that there may be work, and only
// while the disk has room for it.
const (
	// compactTables is how many new tables gather before they are merged into the others.
	compactTables = 5
	// compactShare is what part of the index, at least, is new when it is merged: a large index is rewritten rarely.
	compactShare = 10
)

// A compactor merges the tables of the index on a goroutine of its own.
type compactor struct {
	db      *badger.DB
	options indexOptions
	wake    chan struct{}
	running sync.WaitGroup
	written int64 // since wake was last rung; guarded by the index having one writer
}

func startCompactor(db *badger.DB, o indexOptions) *compactor {
	c := &compactor{db: db, options: o, wake: make(chan struct{}, 1)}
	c.running.Go(c.run)
	c.ring() // for what an earlier process left
	return c
}

// wrote counts what was written to the index. It is called from one goroutine at a time.
func (c *compactor) wrote(bytes int64) {
	if c.written += bytes; c.written >= c.options.memTable {
		c.written = 0
		c.ring()
	}
}

func (c *compactor) ring() {
	select {
	case c.wake <- struct{}{}:
	default: // it was rung already
	}
}

// stop waits for a compaction to end. Nothing is written any more when it is called.
func (c *compactor) stop() {
	close(c.wake)
	c.running.Wait()
}

func (c *compactor) run() {
	for range c.wake {
		total, due := c.due()
		if !due {
			continue
		}
		if err := c.options.free(2 * total); err != nil {
			c.options.log.Warn("the index is not compacted", "reason", err)
			continue
		}
		if err := guard(func() error { return c.db.Flatten(1) }); err != nil {
			c.options.log.Error("the index cannot be compacted", "error", err)
		}
	}
}

// due returns the size of the index in bytes and whether enough of it is new.
func (c *compactor) due() (total int64, due bool) {
	levels := c.db.Levels()
	for _, l := range levels {
		total += l.Size
	}
	return total, levels[0].NumTables >= compactTables && levels[0].Size >= total/compactShare
}
