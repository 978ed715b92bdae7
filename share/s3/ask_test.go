package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
)

// TestAsk asks a server whether it is there that hangs, comes back, and refuses: within seconds, seldom, and whatever it says is an answer.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, requests := false, 0
		s, err := unopened(t.Context(), Config{
			Endpoint: "http://127.0.0.1:1", Bucket: "abc", AccessKey: "a", SecretKey: "s", Index: t.TempDir(),
			transport: transportFunc(func(r *http.Request) (*http.Response, error) {
				requests++
				if hangs {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return &http.Response{
					StatusCode: http.StatusForbidden, Request: r, Header: http.Header{"Content-Type": {"application/xml"}},
					Body: io.NopCloser(strings.NewReader("<Error><Code>AccessDenied</Code></Error>")),
				}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		ask := func(what string, want error, within time.Duration, asked int) {
			t.Helper()
			began, before := time.Now(), requests
			err := s.Ask(t.Context())
			if !errors.Is(err, want) || time.Since(began) > within || requests-before != asked {
				t.Errorf("%s: %v after %v and %d requests, want %v within %v and %d", what, err, time.Since(began), requests-before, want, within, asked)
			}
		}
		time.Sleep(time.Minute)
		ask("a server that refuses", nil, time.Second, 1)
		ask("a moment later", nil, 0, 0)
		hangs = true
		ask("a server that has answered a moment ago", nil, 0, 0)
		time.Sleep(time.Minute)
		ask("a server that hangs", share.ErrUnavailable, 4*time.Second, 1)
		time.Sleep(time.Second)
		ask("one that was just found to hang", share.ErrUnavailable, 0, 0)
		hangs = false
		if err := s.bucket.remove(t.Context(), "something"); !errors.Is(err, share.ErrDenied) {
			t.Errorf("remove: %v", err)
		}
		ask("one that has answered to somebody else", nil, 0, 0)
		hangs = true
		time.Sleep(time.Minute)
		hangs = false
		ask("one that is back", nil, time.Second, 1)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Ask(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody wants to know: %v", err)
		}
	})
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
