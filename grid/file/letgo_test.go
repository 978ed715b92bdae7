package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
)

var errBroken = errors.New("broken")

// A remote is a server on another node: it does not tell of leases.
type remote struct {
	share.Store
	share.Resumer
	share.Releaser
}

// far makes all but the first servers those of other nodes.
func (g *testGrid) far(own int) {
	for i, s := range g.stores[own:] {
		g.servers[own+i].Store = remote{s, s, s}
	}
}

// TestFailedStreamIsLetGo: of an upload that nobody can resume nothing stays leased on any server, whether it fails at the end, is cancelled while some have
// their shares, or has nobody to wait for it.
func TestFailedStreamIsLetGo(t *testing.T) {
	for _, size := range []int{1000, 300000} {
		for what, h := range map[string]hook{"refused": fail(errBroken), "cancelled": hang} {
			for _, background := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/%s/%v", size, what, background), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						g := newGrid(10)
						g.far(1)
						for _, s := range g.stores[6:] {
							s.on(h, opCommit)
						}
						o := options(3, 7, 10, keys.NewReadKey(), size)
						o.Resume, o.Owner, o.Size = false, "owner", -1
						if background {
							o.Background = func(do func(context.Context)) { go do(context.WithoutCancel(t.Context())) }
						}
						ctx, cancel := context.WithCancel(t.Context())
						if what == "cancelled" && background {
							time.AfterFunc(time.Second, cancel)
						} else {
							defer cancel()
						}
						result, err := file.Upload(ctx, g.servers, bytes.NewReader(pattern(size)), o)
						if err == nil || g.used(t) == 0 || len(result.Placed) < 6 {
							t.Fatalf("the upload ended with %v, %d shares, %d bytes", err, len(result.Placed), g.used(t))
						}
						result.LetGo()
						synctest.Wait()
						if used := g.used(t); used != 0 {
							t.Errorf("%d bytes stay that nobody wants", used)
						}
					})
				})
			}
		}
	}
}

// TestFailedFileIsLetGo: of an upload that the same command resumes the own stores let go within a day, where the file was not there before, and go on where they
// stopped until then; other nodes keep theirs.
func TestFailedFileIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(10)
		g.far(2)
		for _, s := range g.stores[6:] {
			s.on(fail(errBroken), opCommit)
		}
		const segments = 40
		data := pattern(segments * 3 * encoding.MinBlockSize)
		o := options(3, 7, 10, keys.NewReadKey(), len(data))
		upload := func() (file.Result, error) { return file.Upload(t.Context(), g.servers, bytes.NewReader(data), o) }
		leased := func() (own, far int) {
			for i, s := range g.stores {
				n, err := s.UsageOf(t.Context(), o.Owner)
				switch {
				case err != nil:
					t.Fatal(err)
				case n > 0 && i < 2:
					own++
				case n > 0:
					far++
				}
			}
			return own, far
		}
		for range 2 { // also when it has failed once more
			result, err := upload()
			if err == nil || len(result.Placed) != 6 {
				t.Fatalf("%d shares placed, %v", len(result.Placed), err)
			}
			result.LetGo()
			// The four whose commit failed have unfinished ones.
			if own, far := leased(); own != 0 || far != 8 {
				t.Errorf("%d own stores and %d others have shares for the owner", own, far)
			}
		}
		for _, s := range g.stores {
			s.on(func(context.Context, string) error { return nil })
		}
		g.sent()
		result, err := upload()
		if err != nil || len(result.Missing) > 0 || g.sent() > 4*segments*encoding.MinBlockSize {
			t.Fatalf("the third time: missing %v, %v", result.Missing, err)
		}
		if own, _ := leased(); own != 2 {
			t.Errorf("%d own stores have shares for the owner, want 2", own)
		}
		// And now that it is stored, a failure takes nothing of it.
		for _, s := range g.stores[2:8] {
			s.on(fail(errBroken))
		}
		if result, err = upload(); err == nil {
			t.Fatal("stored on four servers")
		}
		result.LetGo()
		if own, far := leased(); own != 2 || far != 8 {
			t.Errorf("%d own stores and %d others have shares for the owner", own, far)
		}
	})
}
