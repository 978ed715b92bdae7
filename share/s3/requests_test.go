package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/internal/s3test"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestReadsWhatIsAsked counts the requests and bytes of reads.
func TestReadsWhatIsAsked(t *testing.T) {
	k := newKit(t, nil)
	store := open(t, k.config(t))
	large := storetest.NewFile(t, 1, 1, 2, 64<<10, 3<<20)
	if err := large.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	var small []*storetest.File
	var batch []share.WholeShare
	var indexes []share.StorageIndex
	for i := range 50 {
		f := storetest.NewFile(t, uint64(10+i), 1, 2, 4<<10, 1000)
		small, batch, indexes = append(small, f), append(batch, f.Whole(0)), append(indexes, f.Index)
	}
	if _, err := store.Put(t.Context(), batch, share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	const block = 64 << 10
	for what, test := range map[string]struct {
		do       func() error
		requests int64
		bytes    int64
	}{
		"one block": {func() error {
			r, err := store.Open(t.Context(), large.Index, 0)
			if err != nil {
				return err
			}
			defer r.Close()
			p := make([]byte, block)
			if _, err := r.ReadAt(t.Context(), p, 7*block); err != nil {
				return err
			}
			if !bytes.Equal(p, large.Block(7, 0)) {
				return errors.New("another block")
			}
			return nil
		}, 1, block},
		"one small share": {func() error { return small[3].Check(t.Context(), store, 0) }, 1, int64(len(small[3].Whole(0).Data))},
		"fifty small shares": {func() error {
			found, err := store.Fetch(t.Context(), indexes)
			if err == nil && (len(found) != 50 || len(found[49]) != 1) {
				err = fmt.Errorf("found %d", len(found))
			}
			return err
		}, 1, 50 * int64(len(small[3].Whole(0).Data))},
		"what is held, leases, space": {func() error {
			_, err := store.Numbers(t.Context(), indexes)
			_, failed := store.Leases(t.Context(), large.Index)
			_, also := store.Space(t.Context())
			lease := share.Lease{Owner: "alice", Expires: time.Now().Add(2 * time.Hour)}
			return errors.Join(err, failed, also, store.Renew(t.Context(), indexes, lease))
		}, 0, 0},
	} {
		before := store.Stats()
		if err := test.do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		after := store.Stats()
		requests, received := after.Get.Requests-before.Get.Requests, after.Get.Received-before.Get.Received
		if others := after.Put.Requests + after.Head.Requests + after.List.Requests - before.Put.Requests - before.Head.Requests - before.List.Requests; others != 0 {
			t.Errorf("%s: %d other requests", what, others)
		}
		if requests != test.requests || received != test.bytes {
			t.Errorf("%s: %d requests, %d bytes, want %d and %d", what, requests, received, test.requests, test.bytes)
		}
	}
}

// TestListsRarely opens a store of many objects again and again, and uses it.
func TestListsRarely(t *testing.T) {
	k := newKit(t, nil)
	c := k.config(t)
	store := open(t, c)
	held := fill(t, store)
	held.want(t, store)
	if _, err := store.CollectDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The prefix, its two kinds of objects, its names, and unfinished uploads; twice the two prefixes above it, and once what is below.
	if n := store.Stats().List.Requests; n != 10 {
		t.Errorf("a new store listed %d times, want 10", n)
	}
	store.Close()
	store = open(t, c)
	held.want(t, store)
	if s := store.Stats(); s.List.Requests != 3 || s.Head.Requests != 0 {
		t.Errorf("a store that was opened again listed %d times, want 3: %+v", s.List.Requests, s)
	}
}

// TestSumsAndConditions looks at every request that stores something: it has the SHA-256 sum of its body, which is signed, and those of
// heads and of the lock have a condition.
func TestSumsAndConditions(t *testing.T) {
	var checked, conditions atomic.Int64
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	k := newKit(t, func(c s3.Config) s3.Config {
		return c.WithPart(5 << 20).WithTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				data, err := io.ReadAll(r.Body)
				if err != nil {
					return nil, err
				}
				sum := sha256.Sum256(data)
				if got := r.Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) || !strings.Contains(r.Header.Get("Authorization"), "x-amz-content-sha256") {
					t.Errorf("%s: sum %q, want %x and that it is signed", r.URL.Path, got, sum)
				}
				checked.Add(1)
				if strings.Contains(r.URL.Path, "/h/") || strings.HasSuffix(r.URL.Path, "/lock") {
					conditions.Add(1)
					if r.Header.Get("If-Match") == "" && r.Header.Get("If-None-Match") != "*" {
						t.Errorf("%s is put without a condition", r.URL.Path)
					}
				}
				copied := r.Clone(r.Context())
				copied.Body = io.NopCloser(bytes.NewReader(data))
				r = copied
			}
			return transport.RoundTrip(r)
		}))
	})
	store := open(t, k.config(t))
	fill(t, store).want(t, store)
	if checked.Load() < 10 || conditions.Load() < 4 {
		t.Errorf("%d requests were checked, %d of them with a condition", checked.Load(), conditions.Load())
	}
}

// TestPartsCorruptOnTheWay changes one part of many, and the end of an upload in parts is cut.
func TestPartsCorruptOnTheWay(t *testing.T) {
	k := newKit(t, func(c s3.Config) s3.Config { return c.WithPart(5 << 20) })
	p := newProxy(t, k.server.Endpoint)
	c := k.config(t)
	c.Endpoint = p.URL
	store := open(t, c)
	var parts atomic.Int64
	p.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.URL.Query().Has("partNumber") && parts.Add(1) == 2 {
			data, _ := io.ReadAll(r.Body)
			data[len(data)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(data))
		}
		return false
	})
	var cut atomic.Bool
	p.change(func(r *http.Response) error {
		if r.Request.Method == http.MethodPost && r.Request.URL.Query().Has("uploadId") && !cut.Swap(true) {
			return errors.New("lost")
		}
		return nil
	})
	f := storetest.NewFile(t, 1, 1, 2, 128<<10, 12<<20)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), store, 0); err != nil {
		t.Error(err)
	}
	if parts.Load() < 4 || !cut.Load() {
		t.Errorf("%d parts were sent, the answer was lost: %v", parts.Load(), cut.Load())
	}
	if left := k.server.Unfinished(); left != 0 {
		t.Errorf("%d unfinished uploads are left", left)
	}
}

// A script answers requests one after the other with a status, and notes when they came.
type script struct {
	mu      sync.Mutex
	answers []answer
	at      []time.Duration
	begun   time.Time
}

type answer struct {
	status int
	code   string
	after  string // Retry-After
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Since(s.begun))
	a := answer{status: http.StatusNotFound, code: "NoSuchKey"}
	if len(s.answers) > 0 {
		a, s.answers = s.answers[0], s.answers[1:]
	}
	if a.status == 0 {
		return nil, errors.New("connection reset by peer")
	}
	body := "<Error><Code>" + a.code + "</Code></Error>"
	h := http.Header{"Content-Type": {"application/xml"}, "Retry-After": {a.after}}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

// TestRepetitions looks at when a request is sent again.
func TestRepetitions(t *testing.T) {
	slow := answer{http.StatusServiceUnavailable, "SlowDown", ""}
	asked := answer{http.StatusServiceUnavailable, "SlowDown", "7"}
	broken := answer{http.StatusInternalServerError, "InternalError", ""}
	for what, test := range map[string]struct {
		answers []answer
		want    []time.Duration // when a request comes at the earliest
		err     error
	}{
		"at once":               {nil, []time.Duration{0}, nil},
		"slow down":             {[]answer{slow, slow, slow}, []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 350 * time.Millisecond}, nil},
		"retry after":           {[]answer{asked, asked}, []time.Duration{0, 7 * time.Second, 14 * time.Second}, nil},
		"errors of many kinds":  {[]answer{broken, {}, slow}, []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 350 * time.Millisecond}, nil},
		"what cannot be mended": {[]answer{{http.StatusForbidden, "AccessDenied", ""}}, []time.Duration{0}, share.ErrDenied},
		"for ever": {[]answer{slow, slow, slow, slow, slow, slow, slow, slow}, []time.Duration{
			0, 50 * time.Millisecond, 150 * time.Millisecond, 350 * time.Millisecond, 750 * time.Millisecond, 1550 * time.Millisecond, 3150 * time.Millisecond,
		}, share.ErrBusy},
		"longer than there is time": {
			[]answer{{http.StatusServiceUnavailable, "SlowDown", "50"}, {http.StatusServiceUnavailable, "SlowDown", "600"}},
			[]time.Duration{0, 50 * time.Second},
			share.ErrBusy,
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: test.answers, begun: time.Now()}
				c := s3.Config{Endpoint: "http://s3.test", Bucket: "bucket", AccessKey: "a", SecretKey: "b", Timeout: time.Minute}
				if err := s3.Remove(t.Context(), c.WithTransport(s), "key"); !errors.Is(err, test.err) {
					t.Errorf("%v, want %v", err, test.err)
				}
				if len(s.at) != len(test.want) {
					t.Fatalf("requests at %v, want as many as in %v", s.at, test.want)
				}
				const client = 200 * time.Millisecond // what the client itself waits at most after a failure
				for i, at := range s.at {
					if latest := 2*test.want[i] + time.Duration(i)*client; at < test.want[i] || at > latest {
						t.Errorf("request %d came after %s, want %s to %s", i, at, test.want[i], latest)
					}
				}
			})
		})
	}
}

// TestJitter has many requests fail together: they do not come again together.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 20
		s := &script{begun: time.Now()}
		for range clients {
			s.answers = append(s.answers, answer{http.StatusServiceUnavailable, "SlowDown", ""})
		}
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				c := s3.Config{Endpoint: "http://s3.test", Bucket: "bucket", AccessKey: "a", SecretKey: "b"}
				if err := s3.Remove(t.Context(), c.WithTransport(s), "key"); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		times := map[time.Duration]bool{}
		for _, at := range s.at[clients:] {
			times[at.Round(time.Millisecond)] = true
		}
		if len(s.at) != 2*clients || len(times) < clients/3 {
			t.Errorf("%d requests at %v", len(s.at), s.at)
		}
	})
}

// TestSecrets has everything go wrong that can, and looks for the secrets in all that is said.
func TestSecrets(t *testing.T) {
	const secret, token = "very-secret-key-7", "very-secret-token-8"
	k := newKit(t, nil)
	p := newProxy(t, k.server.Endpoint)
	var said bytes.Buffer
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&said, format, args...)
	}
	c := k.config(t)
	c.Endpoint = p.URL
	c = c.WithAttempts(3)
	for i, bad := range append([]func(w http.ResponseWriter, r *http.Request) bool{
		func(http.ResponseWriter, *http.Request) bool { return false },
		func(w http.ResponseWriter, _ *http.Request) bool {
			return refuse(w, http.StatusForbidden, "SignatureDoesNotMatch")
		},
		func(w http.ResponseWriter, _ *http.Request) bool {
			return refuse(w, http.StatusInternalServerError, "InternalError")
		},
		func(w http.ResponseWriter, r *http.Request) bool { // says what it was told
			w.WriteHeader(http.StatusForbidden)
			_ = r.Header.Write(w)
			return true
		},
	}, resetting) {
		for _, format := range []func(io.Writer, *slog.HandlerOptions) slog.Handler{
			func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
			func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
		} {
			c := c
			c.Index = t.TempDir()
			c.Logger = slog.New(format(writerFunc(func(p []byte) (int, error) { say("%s", p); return len(p), nil }), &slog.HandlerOptions{Level: slog.LevelDebug}))
			p.answer(bad)
			if i > 0 {
				c.SecretKey, c.SessionToken = secret, token
			}
			store, err := s3.Open(t.Context(), c)
			say("%v %+v %#v %s", err, err, err, s3.Explain(err))
			c.Logger.Info("settings", "config", c, "secret", c.SecretKey, "token", c.SessionToken)
			say("%v %+v %#v %s %q %x", c, c, c, c.SecretKey, c.SecretKey, c.SessionToken)
			_, err = s3.Probe(t.Context(), c)
			say("%v %+v %#v", err, err, err)
			if store != nil {
				say("%v %+v", store.Stats(), store.Close())
			}
		}
	}
	if said.Len() < 1000 {
		t.Errorf("too little was said: %s", said.String())
	}
	for _, secret := range []string{secret, token, s3test.Secret, hex.EncodeToString([]byte(token)), "Signature="} {
		if at := strings.Index(said.String(), secret); at >= 0 {
			t.Errorf("%q is told: …%s…", secret, said.String()[max(0, at-200):at])
		}
	}
}

func resetting(w http.ResponseWriter, r *http.Request) bool {
	misbehaviours[3].do(w, r, nil)
	return true
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestPolicy collects the actions that all requests need, and compares them with those that docs/s3.md asks for.
func TestPolicy(t *testing.T) {
	used := map[string]bool{}
	var mu sync.Mutex
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	k := newKit(t, nil)
	x := &scrubbed{kit: k}
	x.config = k.config(t).WithPart(5 << 20).WithTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		used[actionOf(r)] = true
		mu.Unlock()
		return transport.RoundTrip(r)
	}))
	store := open(t, x.config)
	held := fill(t, store)
	unfinished := storetest.NewFile(t, 60, 1, 2, 128<<10, 12<<20)
	w, err := store.Create(t.Context(), unfinished.Upload(0, "alice"))
	if err == nil {
		err = unfinished.Append(t.Context(), w, 0, 0, unfinished.Segments())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	store.Close()
	store = open(t, x.config) // asks for the parts
	if w, err = store.Create(t.Context(), unfinished.Upload(0, "alice")); err == nil {
		_, err = w.Have(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	x.server.Remove(x.objects("p/")[0])
	_, err = store.Scrub(t.Context(), everything)
	_, also := store.Collect(t.Context(), time.Now().Add(500*day))
	_, failed := s3.Probe(t.Context(), x.config)
	if err = errors.Join(err, also, failed); err != nil {
		t.Fatal(err)
	}
	store.Close()
	x.config.Index = t.TempDir()
	x.config.TakeOver = true
	open(t, x.config) // ends the upload of which the new index knows nothing
	_ = held
	text, err := os.ReadFile("../../docs/s3.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, quoted := range regexp.MustCompile(`"s3:[A-Za-z]+"`).FindAllString(string(text), -1) {
		asked[strings.Trim(quoted, `"`)] = true
	}
	if !maps.Equal(used, asked) {
		t.Errorf("requests need %v, the documentation asks for %v", slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(asked)))
	}
}

// actionOf returns the action that a policy has to allow for a request.
func actionOf(r *http.Request) string {
	query := r.URL.Query()
	switch object := strings.Count(strings.Trim(r.URL.Path, "/"), "/") > 0; {
	case r.Method == http.MethodGet && query.Has("uploads"):
		return "s3:ListBucketMultipartUploads"
	case r.Method == http.MethodGet && query.Has("uploadId"):
		return "s3:ListMultipartUploadParts"
	case r.Method == http.MethodGet && query.Has("list-type"):
		return "s3:ListBucket"
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && object:
		return "s3:GetObject"
	case r.Method == http.MethodDelete && query.Has("uploadId"):
		return "s3:AbortMultipartUpload"
	case r.Method == http.MethodDelete && object:
		return "s3:DeleteObject"
	case (r.Method == http.MethodPut || r.Method == http.MethodPost) && object:
		return "s3:PutObject"
	}
	return r.Method + " " + r.URL.String()
}
