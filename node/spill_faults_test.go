package node_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"cairn/internal/s3test"
	"cairn/node"
	"cairn/node/control"
	"cairn/share/capability"
)

// A moody server stands before an S3 server and answers requests in its place as long as it has a mood.
type moody struct {
	*httptest.Server
	mood atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

func newMoody(t *testing.T, target string) *moody {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
	m := &moody{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mood := m.mood.Load(); mood == nil || !(*mood)(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(m.Close)
	return m
}

func refuse(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	return true
}

func writes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// TestSpillInTrouble has the bucket behind the disk refuse in every way. The disk goes on, what was acknowledged is there, errors say what is wrong, and
// afterwards all is as before.
func TestSpillInTrouble(t *testing.T) {
	server := s3test.Start(t)
	m := newMoody(t, server.Endpoint)
	c := testConfig()
	c.Storage.Offer = 1e6
	c.Spill.Bucket, c.Spill.Endpoint = "s3://"+s3test.Bucket+"/node", m.URL
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "alone", Open: true}); err != nil {
		t.Fatal(err)
	}
	if err := dir.SetBucketKeys(node.BucketKeys{AccessKey: s3test.Access, SecretKey: s3test.Secret}); err != nil {
		t.Fatal(err)
	}
	startWith(t, dir, c)
	api := client(t, dir)
	put := func(size int) (string, []byte, error) {
		data := make([]byte, size)
		_, _ = rand.Read(data)
		result, err := api.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(size)}, nil)
		return result.Capability, data, err
	}
	get := func(what, text string, want []byte) {
		t.Helper()
		parsed, err := capability.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		d, err := api.Get(t.Context(), parsed, 0, -1)
		if err == nil {
			_, err = d.WriteTo(&got)
			d.Close()
		}
		if err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d of %d bytes, %v", what, got.Len(), len(want), err)
		}
	}
	big, bigData, err := put(2e6)
	if err != nil {
		t.Fatal(err)
	}
	slowed := atomic.Int64{}
	for _, trouble := range []struct {
		name, says string
		mood       func(w http.ResponseWriter, r *http.Request) bool
		passes     bool // it only takes longer
		noReads    bool
	}{
		{"full", "quota", func(w http.ResponseWriter, r *http.Request) bool {
			return writes(r) && refuse(w, http.StatusInsufficientStorage, "QuotaExceeded")
		}, false, false},
		{"slow down", "", func(w http.ResponseWriter, r *http.Request) bool {
			if slowed.Add(1)%2 == 0 {
				return false
			}
			w.Header().Set("Retry-After", "0")
			return refuse(w, http.StatusServiceUnavailable, "SlowDown")
		}, true, false},
		{"read only", "policy", func(w http.ResponseWriter, r *http.Request) bool {
			return writes(r) && refuse(w, http.StatusForbidden, "AccessDenied")
		}, false, false},
		{"rotated keys", "key", func(w http.ResponseWriter, r *http.Request) bool {
			return refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
		}, false, true},
	} {
		m.mood.Store(&trouble.mood)
		small, smallData, err := put(50_000)
		if err != nil {
			t.Errorf("%s: the disk takes nothing either: %v", trouble.name, err)
		} else {
			get(trouble.name+": what is on the disk", small, smallData)
		}
		_, _, err = put(1_500_000)
		if (err == nil) != trouble.passes {
			t.Errorf("%s: put: %v", trouble.name, err)
		}
		if e, ok := errors.AsType[*control.Error](err); ok {
			err = fmt.Errorf("%w: %v", err, e.Causes)
		}
		if err != nil && !strings.Contains(err.Error(), trouble.says) {
			t.Errorf("%s: the error does not say %q: %v", trouble.name, trouble.says, err)
		}
		t.Logf("%s: %v", trouble.name, err)
		if !trouble.noReads {
			get(trouble.name+": what is in the bucket", big, bigData)
		}
		status, err := api.Spill(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (status.Problem == "") != trouble.passes {
			t.Errorf("%s: spill status tells of %q", trouble.name, status.Problem)
		}
		t.Logf("%s: %q", trouble.name, status.Problem)
		m.mood.Store(nil)
		get(trouble.name+": afterwards", big, bigData)
	}
}
