package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

var errQuota = &share.QuotaError{Used: 900, Limit: 1000, Asked: 200}

// used returns how many bytes the servers keep for the owner.
func (g *testGrid) used(t T) int64 {
	t.Helper()
	var total int64
	for _, s := range g.stores {
		n, err := s.Store.UsageOf(context.Background(), "owner")
		if err != nil {
			t.Fatalf("usage: %v", err)
		}
		total += n
	}
	return total
}

// TestQuotaIsReplaced puts shares elsewhere that servers refuse because of a quota.
func TestQuotaIsReplaced(t *testing.T) { synctest.Test(t, testQuotaIsReplaced) }

func testQuotaIsReplaced(t *testing.T) {
	g := newGrid(12)
	for _, s := range g.stores[:2] {
		s.on(fail(fmt.Errorf("create: %w", errQuota)), opHave)
	}
	data := pattern(20 * 4096)
	result := g.upload(t, data, options(3, 7, 10, keys.NewReadKey(), len(data)))
	if len(result.Placed) != 10 || result.Happiness != 10 {
		t.Errorf("%d shares placed, happiness %d", len(result.Placed), result.Happiness)
	}
}

// TestRefusedAreAskedLast: servers that refused lately are not sent anything where the others suffice, and are where they do not.
func TestRefusedAreAskedLast(t *testing.T) {
	for name, c := range map[string]struct{ servers, asked int }{"others suffice": {10, 0}, "too few others": {8, 2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGrid(c.servers)
				for i := range 2 {
					g.servers[i].Refused = true
				}
				data := pattern(20 * 4096)
				result := g.upload(t, data, options(3, 7, 10, keys.NewReadKey(), len(data)))
				if len(result.Placed) != 10 || result.Happiness != 8 {
					t.Errorf("%d shares placed, happiness %d", len(result.Placed), result.Happiness)
				}
				asked := 0
				for _, s := range g.stores[:2] {
					asked += min(1, s.count(opHave))
				}
				if asked != c.asked {
					t.Errorf("%d of two servers that refused were asked, want %d", asked, c.asked)
				}
			})
		})
	}
}

// TestQuotaEndsUpload refuses with so many servers that the upload cannot become happy: before anything is sent where the
// quota is known at the beginning, in the middle of a stream where it is reached there. Then nothing stays that nobody can use.
func TestQuotaEndsUpload(t *testing.T) {
	for name, at := range map[string]string{"at the beginning": opHave, "in the middle": opAppend} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGrid(10)
				for _, s := range g.stores[:4] {
					if at == opHave {
						s.on(fail(errQuota), opHave)
					} else {
						s.on(failFrom(5, errQuota), opAppend)
					}
				}
				for _, s := range g.stores {
					s.link = func(ctx context.Context, _ int) error { return sleep(ctx, 10*time.Millisecond) }
				}
				o := options(3, 7, 10, keys.NewReadKey(), -1)
				o.Owner, o.Resume = "owner", false
				const segments = 2000
				stream := &counting{r: bytes.NewReader(pattern(segments * 3 * 4096))}
				_, err := file.Upload(t.Context(), g.servers, stream, o)
				unhappy, ok := errors.AsType[*share.UnhappyError](err)
				if !ok || !unhappy.OverQuota() || len(unhappy.Quotas()) != 4 || unhappy.Happiness != 6 {
					t.Fatalf("the error is %v", err)
				}
				if stream.n > segments*3*4096/2 {
					t.Errorf("%d bytes were read before the upload ended", stream.n)
				}
				for _, s := range g.stores {
					s.on(func(context.Context, string) error { return nil })
				}
				if used := g.used(t); used != 0 {
					t.Errorf("%d bytes stay that nobody can use", used)
				}
			})
		})
	}
}

// TestQuotaKeepsWhatResumes leaves what a later attempt goes on with, once the quota allows it.
func TestQuotaKeepsWhatResumes(t *testing.T) { synctest.Test(t, testQuotaKeepsWhatResumes) }

func testQuotaKeepsWhatResumes(t *testing.T) {
	g := newGrid(10)
	for _, s := range g.stores[:4] {
		s.on(failFrom(5, errQuota), opAppend)
	}
	data := pattern(100 * 3 * 4096)
	o := options(3, 7, 10, keys.NewReadKey(), len(data))
	o.Owner, o.Resume = "owner", true
	_, err := file.Upload(t.Context(), g.servers, bytes.NewReader(data), o)
	if unhappy, ok := errors.AsType[*share.UnhappyError](err); !ok || !unhappy.OverQuota() {
		t.Fatalf("the error is %v", err)
	}
	if used := g.used(t); used < 4*5*4096 {
		t.Errorf("%d bytes are kept", used)
	}
	for _, s := range g.stores[:4] {
		s.on(func(context.Context, string) error { return nil })
	}
	result, err := file.Upload(t.Context(), g.servers, bytes.NewReader(data), o)
	if err != nil || len(result.Placed) != 10 || result.Skipped < 4*5*4096 {
		t.Errorf("%d shares placed, %d bytes were there, %v", len(result.Placed), result.Skipped, err)
	}
	if max := int64(10 * (100*4096 + 100*10*32*2 + encoding.MaxRootSize)); g.used(t) > max {
		t.Errorf("%d bytes are used", g.used(t))
	}
}

// counting counts what is read.
type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
