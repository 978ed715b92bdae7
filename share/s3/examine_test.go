package s3_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/storetest"
)

// TestComplaintsCostOneRead has many complain of good shares: each is read once. One that was stored again is looked at again.
func TestComplaintsCostOneRead(t *testing.T) {
	x := newScrubbed(t, newKit(t, nil))
	for what, f := range map[string]*storetest.File{"packed": x.small[0], "an object": x.large} {
		t.Run(what, func(t *testing.T) {
			before := x.store.Stats().Get
			var all sync.WaitGroup
			var mu sync.Mutex
			var total int64
			for range 50 {
				all.Go(func() {
					held, read, err := x.store.Examine(t.Context(), f.Index, 0, 0)
					if !held || err != nil {
						t.Errorf("examine: %v, %v", held, err)
					}
					mu.Lock()
					defer mu.Unlock()
					total += read
				})
			}
			all.Wait()
			after := x.store.Stats().Get
			if spent := after.Requests - before.Requests; spent == 0 || spent > 4 || total == 0 || total > 150<<10 || after.Received-before.Received > total {
				t.Errorf("%d requests for 50 complaints, %d bytes told, %d read", spent, total, after.Received-before.Received)
			}
			x.damageNewest(t, f)
			if held, read, err := x.store.Examine(t.Context(), f.Index, 0, 0); !held || read != 0 || err != nil {
				t.Errorf("within the hour: %v, %d bytes, %v", held, read, err)
			}
			if held, err := x.store.Recheck(t.Context(), f.Index, 0, 0); held || err != nil {
				t.Errorf("the node itself looks: %v, %v", held, err)
			}
			if held, read, err := x.store.Examine(t.Context(), f.Index, 0, 0); held || read != 0 || err != nil {
				t.Errorf("after that: %v, %d bytes, %v", held, read, err)
			}
			if err := f.Put(t.Context(), x.store, 0, "alice"); err != nil {
				t.Fatal(err)
			}
			if held, read, err := x.store.Examine(t.Context(), f.Index, 0, 0); !held || read == 0 || err != nil {
				t.Errorf("stored again: %v, %d bytes, %v", held, read, err)
			}
			x.damageNewest(t, f)
			x.store.AgeVerdicts(time.Hour)
			if held, read, err := x.store.Examine(t.Context(), f.Index, 0, 0); held || read == 0 || err != nil {
				t.Errorf("an hour later: %v, %d bytes, %v", held, read, err)
			}
			numbers, err := x.store.Numbers(t.Context(), []share.StorageIndex{f.Index})
			if err != nil || slices.Contains(numbers[0].Numbers, 0) {
				t.Errorf("held: %v, %v", numbers, err)
			}
		})
	}
}

// damageNewest turns a bit of the newest object that has a file's share 0.
func (x *scrubbed) damageNewest(t *testing.T, f *storetest.File) {
	t.Helper()
	if !x.hurt(t, x.config, f, 0, storetest.Flip) {
		t.Fatal("nothing was damaged")
	}
}
