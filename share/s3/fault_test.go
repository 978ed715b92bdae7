package s3_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// A proxy stands between a store and the server and does what it is told to requests and answers. It passes the Host header on, so that
// signatures hold.
type proxy struct {
	*httptest.Server
	before atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool] // true: answered
	after  atomic.Pointer[func(*http.Response) error]
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if f := p.after.Load(); f != nil {
				return (*f)(r)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := p.before.Load(); f != nil && (*f)(w, r) {
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) answer(f func(w http.ResponseWriter, r *http.Request) bool) { p.before.Store(&f) }
func (p *proxy) change(f func(*http.Response) error)                        { p.after.Store(&f) }

// refuse answers as an S3 server does.
func refuse(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>no</Message></Error>`)
	return true
}

// behind returns settings that go through a proxy.
func behind(t *testing.T) (*proxy, s3.Config) {
	t.Helper()
	k := newKit(t, nil)
	p := newProxy(t, k.server.Endpoint)
	c := k.config(t)
	c.Endpoint = p.URL
	return p, c.WithAttempts(4)
}

// TestThrottled has the server ask for fewer requests some times.
func TestThrottled(t *testing.T) {
	p, c := behind(t)
	store := open(t, c)
	var refused atomic.Int64
	p.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		if refused.Add(1) > 2 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		return refuse(w, http.StatusServiceUnavailable, "SlowDown")
	})
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 100)
	begun := time.Now()
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatalf("put: %v", err)
	}
	if d := time.Since(begun); d < 2*time.Second {
		t.Errorf("stored after %s although the server asked for two seconds", d)
	}
	if stats := store.Stats(); stats.Repeated != 2 || stats.Put.Failed < 2 {
		t.Errorf("stats: %+v", stats)
	}
	refused.Store(-1 << 40)
	err := f.Put(t.Context(), store, 1, "alice")
	wantError(t, "throttled for long", err, share.ErrBusy, "fewer requests")
}

// TestBadAnswers has a proxy cut and corrupt what the server says.
func TestBadAnswers(t *testing.T) {
	p, c := behind(t)
	c = c.WithPack(100 << 10)
	store := open(t, c)
	small, large := storetest.NewFile(t, 1, 1, 2, 4<<10, 5000), storetest.NewFile(t, 2, 1, 2, 64<<10, 500<<10)
	for _, f := range []*storetest.File{small, large} {
		if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	var bad atomic.Int64
	body := func(edit func([]byte) []byte) {
		p.change(func(r *http.Response) error {
			if r.Request.Method != http.MethodGet || bad.Add(-1) < 0 {
				return nil
			}
			data, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(edit(data)))
			return err
		})
	}
	body(func(p []byte) []byte { return p[:len(p)/2] })
	bad.Store(2)
	for _, f := range []*storetest.File{small, large} {
		if err := f.Check(t.Context(), store, 0); err != nil {
			t.Errorf("answers that are cut once: %v", err)
		}
	}
	flip := func(p []byte) []byte { p[len(p)/3] ^= 1; return p }
	body(flip)
	bad.Store(1)
	if err := small.Check(t.Context(), store, 0); err != nil {
		t.Errorf("an answer that is wrong once: %v", err)
	}
	bad.Store(1 << 40)
	if err := small.Check(t.Context(), store, 0); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("answers that are always wrong: %v", err)
	}
	if err := large.Check(t.Context(), store, 0); err == nil {
		t.Error("wrong bytes of a large share are not noticed by who checks them")
	}
	found, err := store.Fetch(t.Context(), []share.StorageIndex{small.Index})
	if err != nil || len(found[0]) != 0 {
		t.Errorf("a corrupt share in a batch: %d shares, %v; want it left out", len(found[0]), err)
	}
}

// TestCorruptOnTheWay changes what is sent: the server must refuse it, and nothing may be acknowledged.
func TestCorruptOnTheWay(t *testing.T) {
	p, c := behind(t)
	store := open(t, c)
	p.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			data, _ := io.ReadAll(r.Body)
			if len(data) > 0 {
				data[len(data)/2] ^= 1
			}
			r.Body = io.NopCloser(bytes.NewReader(data))
		}
		return false
	})
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 5000)
	if err := f.Put(t.Context(), store, 0, "alice"); err == nil {
		t.Fatal("a share that was changed on its way is acknowledged")
	}
	p.answer(func(http.ResponseWriter, *http.Request) bool { return false })
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), store, 0); err != nil {
		t.Error(err)
	}
}

// TestLostAnswers has requests arrive whose answers do not.
func TestLostAnswers(t *testing.T) {
	p, c := behind(t)
	store := open(t, c)
	var lose atomic.Int64
	p.change(func(r *http.Response) error {
		if r.Request.Method == http.MethodPut && lose.Add(-1) >= 0 {
			return errors.New("lost")
		}
		return nil
	})
	m := storetest.NewMutable(1)
	for i := range 3 {
		lose.Store(1)
		u := m.Next(share.StorageIndex{byte(i + 1)}, "alice")
		u.Retention = share.Retention{Versions: 9}
		if err := store.SetHead(t.Context(), u); err != nil {
			t.Fatalf("version %d: %v", i+1, err)
		}
		m.Advance(u)
	}
	if records, err := store.History(t.Context(), m.Name, 0); err != nil || len(records) != 3 {
		t.Errorf("history: %d records, %v", len(records), err)
	}
	lose.Store(1)
	if err := store.Refresh(t.Context()); err != nil {
		t.Errorf("refresh: %v", err)
	}
}

// TestRefusals looks at what a person is told.
func TestRefusals(t *testing.T) {
	p, good := behind(t)
	open(t, good).Close()
	html := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>It works!</html>")
		return true
	}
	code := func(status int, code string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, status, code) }
	}
	pass := func(http.ResponseWriter, *http.Request) bool { return false }
	garbage := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, "<?xml version='1.0'?><Nam\x01e>")
		return true
	}
	garbageOf := func(query string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool { return r.URL.Query().Has(query) && garbage(w, r) }
	}
	for what, test := range map[string]struct {
		change func(*s3.Config)
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   error
		words  string
	}{
		"a wrong access key": {func(c *s3.Config) { c.AccessKey = "nobody" }, pass, share.ErrDenied, "access key"},
		"a wrong secret":     {func(c *s3.Config) { c.SecretKey = "wrong" }, pass, share.ErrDenied, "secret key"},
		"no such bucket":     {func(c *s3.Config) { c.Bucket = "no-such-bucket" }, pass, share.ErrUnavailable, "no such bucket"},
		"a wrong clock":      {nil, code(http.StatusForbidden, "RequestTimeTooSkewed"), share.ErrDenied, "clock"},
		"a web server":       {nil, html, share.ErrUnavailable, "not as an S3 server"},
		"changed answers":    {nil, garbage, share.ErrUnavailable, "cannot be understood"},
		"changed listings":   {nil, garbageOf("list-type"), share.ErrUnavailable, "cannot be understood"},
		"nobody":             {func(c *s3.Config) { c.Endpoint = "http://127.0.0.1:1" }, pass, share.ErrUnavailable, "cannot be reached"},
		"TLS":                {func(c *s3.Config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }, pass, share.ErrUnavailable, "TLS"},
	} {
		t.Run(what, func(t *testing.T) {
			c := good
			if test.change != nil {
				test.change(&c)
			}
			p.answer(test.answer)
			_, err := s3.Open(t.Context(), c)
			wantError(t, what, err, test.want, test.words)
			if err != nil && strings.Contains(err.Error(), string(good.SecretKey)) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

// TestFullAndReadOnly has a bucket that takes nothing, in ways that servers have.
func TestFullAndReadOnly(t *testing.T) {
	p, c := behind(t)
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 5000)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	writes := func(status int, code string) {
		p.answer(func(w http.ResponseWriter, r *http.Request) bool {
			return (r.Method == http.MethodPut || r.Method == http.MethodPost) && refuse(w, status, code)
		})
	}
	writes(http.StatusForbidden, "QuotaExceeded")
	wantError(t, "a quota", f.Put(t.Context(), store, 1, "alice"), share.ErrNoSpace, "quota")
	writes(http.StatusInsufficientStorage, "XMinioStorageFull")
	wantError(t, "full disks", f.Put(t.Context(), store, 1, "alice"), share.ErrNoSpace, "full")
	writes(http.StatusForbidden, "AccessDenied")
	wantError(t, "no permission", f.Put(t.Context(), store, 1, "alice"), share.ErrDenied, "policy")
	store.Close()
	store = open(t, c)
	if err := f.Check(t.Context(), store, 0); err != nil {
		t.Errorf("read from a bucket that takes nothing: %v", err)
	}
	if err := f.Put(t.Context(), store, 1, "alice"); !errors.Is(err, share.ErrReadOnly) {
		t.Errorf("put into a bucket that takes nothing: %v", err)
	}
	if space, err := store.Space(t.Context()); err != nil || space.Free != 0 {
		t.Errorf("space: %+v, %v", space, err)
	}
}

// TestRefusedForGood has a server refuse what it does not know: it is asked once, or once with a condition and once without, and its words are told.
func TestRefusedForGood(t *testing.T) {
	p, c := behind(t)
	for code, test := range map[string]struct {
		status int
		asked  int64
	}{"NotImplemented": {http.StatusNotImplemented, 2}, "InvalidArgument": {http.StatusBadRequest, 1}, "InvalidRequest": {http.StatusBadRequest, 1}} {
		var asked atomic.Int64
		p.answer(func(w http.ResponseWriter, _ *http.Request) bool {
			asked.Add(1)
			return refuse(w, test.status, code)
		})
		_, err := s3.Probe(t.Context(), c)
		wantError(t, code, err, share.ErrDenied, "the server does not take this request: no")
		if n := asked.Load(); n != test.asked {
			t.Errorf("%s: asked %d times, want %d", code, n, test.asked)
		}
	}
}

// TestGoodSharesBehindABadProxy has a proxy change all that is longer than what the bucket is known by. What is good in the bucket stays held.
func TestGoodSharesBehindABadProxy(t *testing.T) {
	p, c := behind(t)
	store := open(t, c.WithPack(100<<10))
	small, large := storetest.NewFile(t, 1, 1, 2, 4<<10, 5000), storetest.NewFile(t, 2, 1, 2, 64<<10, 500<<10)
	for _, f := range []*storetest.File{small, large} {
		if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	p.change(func(r *http.Response) error {
		if r.Request.Method != http.MethodGet || r.ContentLength < 500 {
			return nil
		}
		data, err := io.ReadAll(r.Body)
		data[len(data)/3] ^= 1
		r.Body = io.NopCloser(bytes.NewReader(data))
		return err
	})
	for name, f := range map[string]*storetest.File{"small": small, "large": large} {
		if err := f.Check(t.Context(), store, 0); err == nil {
			t.Errorf("%s: wrong bytes are not noticed", name)
		}
		for _, segment := range []int64{share.NoSegment, 0} {
			if _, err := store.Recheck(t.Context(), f.Index, 0, segment); !errors.Is(err, share.ErrUnavailable) || errors.Is(err, share.ErrCorrupt) {
				t.Errorf("%s: segment %d is looked at: %v", name, segment, err)
			}
		}
	}
	if report, err := store.Scrub(t.Context(), everything); err == nil || report.Bad != 0 {
		t.Errorf("scrubbed: %+v, %v", report, err)
	}
	p.change(func(*http.Response) error { return nil })
	for name, f := range map[string]*storetest.File{"small": small, "large": large} {
		if err := f.Check(t.Context(), store, 0); err != nil {
			t.Errorf("%s: behind a proxy that changes nothing: %v", name, err)
		}
	}
}
