package s3

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
)

// TestVerdicts remembers what was found good for an hour, lets one look at a time, and forgets what is too much.
func TestVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x verdicts
		// look reports whether somebody has to look, and says that it is good then.
		look := func(key verdictKey) (looked bool) {
			v, leave, err := x.take(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			defer leave()
			if v.holds(time.Now()) {
				return false
			}
			time.Sleep(time.Second)
			v.good = time.Now()
			return true
		}
		key := verdictKey{share.StorageIndex{1}, shareRecord{Number: 1, Key: "p/1"}, 7}
		moved := key
		moved.held.Key = "p/2"
		var mu sync.Mutex
		var all sync.WaitGroup
		looks := 0
		for range 100 {
			all.Go(func() {
				if look(key) {
					mu.Lock()
					looks++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if looks != 1 {
			t.Errorf("%d of 100 have looked", looks)
		}
		if !look(moved) {
			t.Error("a share that was moved counts as the one before")
		}
		time.Sleep(goodFor - 2*time.Second)
		if look(key) {
			t.Error("looked again within the hour")
		}
		time.Sleep(2 * time.Second)
		if !look(key) {
			t.Error("not looked again after the hour")
		}

		v, leave, err := x.take(t.Context(), verdictKey{segment: 8})
		if err != nil || v.holds(time.Now()) {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := x.take(short, verdictKey{segment: 8}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("took what somebody looks at: %v", err)
		}
		for i := range int64(2 * verdictsKept) {
			look(verdictKey{segment: 100 + i})
			if len(x.all) > verdictsKept {
				t.Fatalf("%d verdicts are remembered", len(x.all))
			}
		}
		if x.all[verdictKey{segment: 8}] != v {
			t.Error("forgotten while somebody looks")
		}
		leave()
		if x.all[verdictKey{segment: 8}] != nil {
			t.Error("a verdict that says nothing is remembered")
		}
	})
}
