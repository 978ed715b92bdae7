package s3_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cairn/internal/s3test"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestStyles has the bucket's name in the path, and in the name of the host.
func TestStyles(t *testing.T) {
	server := s3test.Start(t, "--virtual-domain", "s3.test")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.Endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		change func(*s3.Config)
		host   string
		path   string
	}{
		"path":            {func(c *s3.Config) { c.PathStyle = true }, "s3.test", "/" + s3test.Bucket + "/some/"},
		"virtual host":    {func(c *s3.Config) { c.VirtualHost = true }, s3test.Bucket + ".s3.test", "/some/"},
		"nothing is said": {func(*s3.Config) {}, "s3.test", "/" + s3test.Bucket + "/some/"},
	} {
		t.Run(what, func(t *testing.T) {
			var asked []string
			transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(server.Endpoint, "http://"))
			}}
			defer transport.CloseIdleConnections()
			c := s3.Config{
				Endpoint: "http://s3.test:" + port, Bucket: s3test.Bucket, Prefix: "some/" + strings.ReplaceAll(what, " ", "-"),
				AccessKey: s3test.Access, SecretKey: s3test.Secret, Index: t.TempDir(),
			}
			test.change(&c)
			store := open(t, c.WithTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/cairn") {
					asked = append(asked, r.URL.Hostname()+r.URL.Path)
				}
				return transport.RoundTrip(r)
			})))
			f := storetest.NewFile(t, 1, 1, 2, 4<<10, 100)
			if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
				t.Fatal(err)
			}
			if err := f.Check(t.Context(), store, 0); err != nil {
				t.Error(err)
			}
			if len(asked) != 1 || !strings.HasPrefix(asked[0], test.host+test.path) {
				t.Errorf("asked %q, want %s", asked, test.host+test.path)
			}
		})
	}
	_, err = s3.Open(t.Context(), s3.Config{Bucket: s3test.Bucket, PathStyle: true, VirtualHost: true, Index: t.TempDir()})
	wantWords(t, "both styles", err, "both are asked for")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func wantWords(t *testing.T, what string, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %v, want words %q", what, err, words)
	}
}

// TestCertificates speaks TLS with a certificate of an authority that nobody knows.
func TestCertificates(t *testing.T) {
	k := newKit(t, nil)
	to, err := url.Parse(k.server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}})
	defer front.Close()
	c := k.config(t)
	c.Endpoint = front.URL
	_, err = s3.Open(t.Context(), c)
	wantError(t, "an authority that is not known", err, share.ErrUnavailable, "name its file as the CA")
	c.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	_, err = s3.Open(t.Context(), c)
	wantWords(t, "no such file", err, "ca.pem")
	if err := os.WriteFile(c.CAFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s3.Open(t.Context(), c)
	wantWords(t, "no certificate", err, "no certificate in PEM")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(c.CAFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	f := storetest.NewFile(t, 1, 1, 2, 64<<10, 300<<10)
	store := open(t, c)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), store, 0); err != nil {
		t.Error(err)
	}
	c.Endpoint = strings.Replace(front.URL, "127.0.0.1", "localhost", 1)
	_, err = s3.Open(t.Context(), c)
	wantError(t, "another name", err, share.ErrUnavailable, "for another name")
}
