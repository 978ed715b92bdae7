package file_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// A link carries bytes for all who share it, one after the other.
type link struct {
	bytesPerSecond float64
	mu             sync.Mutex
	free           time.Time
	carried        int
}

func (l *link) carry(ctx context.Context, bytes int) error {
	l.mu.Lock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(bytes) / l.bytesPerSecond * float64(time.Second)))
	l.carried += bytes
	until := time.Until(l.free)
	l.mu.Unlock()
	return sleep(ctx, until)
}

// asked returns how many bytes it was to carry. A read that another one has overtaken may still be under way.
func (l *link) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carried
}

// TestSlowLinkIsNotFlooded: behind a link that is the bottleneck, what is asked twice is small, and it takes as long as
// the link needs.
func TestSlowLinkIsNotFlooded(t *testing.T) {
	for _, kilobytesPerSecond := range []float64{20, 100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			const size = 250 * 3 * encoding.MinBlockSize
			s := store(t, 3, 10, 10, size)
			l := &link{bytesPerSecond: kilobytesPerSecond * 1000}
			for _, server := range s.stores {
				server.on(delay(roundTrip), opNumbers, opOpen, opRead)
				server.link = l.carry
			}
			start := time.Now()
			s.check(t, s.reader(t))
			needed := time.Duration(size / l.bytesPerSecond * float64(time.Second))
			if took := time.Since(start); took > needed*5/4+time.Second {
				t.Errorf("%v kB/s: it took %v, the link needs %v", kilobytesPerSecond, took, needed)
			}
			if asked := l.asked(); asked > size*6/5 {
				t.Errorf("%v kB/s: %d bytes were asked for, of %d", kilobytesPerSecond, asked, size)
			}
		})
	}
}

// TestSlowUplinksAreNotFlooded: the same where each server has a slow link of its own.
func TestSlowUplinksAreNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 250 * 3 * encoding.MinBlockSize
		s := store(t, 3, 10, 10, size)
		carried := 0
		var links []*link
		for _, server := range s.stores {
			l := &link{bytesPerSecond: 30000}
			server.on(delay(roundTrip), opNumbers, opOpen, opRead)
			server.link = l.carry
			links = append(links, l)
		}
		start := time.Now()
		s.check(t, s.reader(t))
		for _, l := range links {
			carried += l.asked()
		}
		if needed := time.Duration(size/90000) * time.Second; time.Since(start) > needed*5/4 {
			t.Errorf("it took %v, three links need %v", time.Since(start), needed)
		}
		if carried > size*6/5 {
			t.Errorf("%d bytes were asked for, of %d", carried, size)
		}
	})
}

// TestReadUsesAllUplinks: where the servers' own links are the bottleneck, all of them carry, each as much as it can and
// none is asked for much more.
func TestReadUsesAllUplinks(t *testing.T) {
	for what, c := range map[string]struct {
		kilobytes []float64 // a second, by share number
		atLeast   float64   // kilobytes a second of plaintext
	}{
		"equal":         {[]float64{30, 30, 30, 30, 30, 30}, 120},  // 60 from the two with plain data, 180 from all
		"one is slow":   {[]float64{5, 100, 100, 100, 100}, 150},   // 10 and 405
		"all are fast":  {[]float64{5e4, 5e4, 5e4, 5e4, 5e4}, 5e3}, // the round trips bound it
		"parity is bad": {[]float64{30, 30, 1, 1, 1, 1}, 45},       // 60 and 64, less what it costs to find out who is bad
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 400 * 2 * encoding.MinBlockSize
				s := store(t, 2, len(c.kilobytes), len(c.kilobytes), size)
				links := make([]*link, len(c.kilobytes))
				for n, rate := range c.kilobytes {
					links[n] = &link{bytesPerSecond: rate * 1000}
					server := s.holder(share.Number(n))
					server.on(delay(roundTrip), opNumbers, opOpen, opRead)
					server.link = links[n].carry
				}
				start := time.Now()
				s.check(t, s.reader(t))
				took := time.Since(start).Seconds()
				got := size / 1000 / took
				if t.Logf("%.0f kB/s", got); got < c.atLeast {
					t.Errorf("%.0f kB/s, want %v", got, c.atLeast)
				}
				for n, l := range links {
					asked := l.asked()
					if could := l.bytesPerSecond*took + 2*encoding.MinBlockSize; float64(asked) > could {
						t.Errorf("the link of share %d was asked for %d bytes, and carried %.0f at most", n, asked, could)
					}
				}
				if what == "all are fast" && s.holder(2).count(opRead) > 20 {
					t.Errorf("parity was read %d times from idle servers", s.holder(2).count(opRead))
				}
			})
		})
	}
}
