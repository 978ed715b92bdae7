package s3_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cairn/internal/s3test"
	"cairn/internal/waittest"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// nowhere has no credentials be found anywhere.
func nowhere(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
	} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// role serves the credentials of a machine's role, which last so long, as the metadata service of a cloud does.
func role(t *testing.T, secret func() string, lasts time.Duration) (asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const path = "/latest/meta-data/iam/security-credentials/"
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			fmt.Fprint(w, "token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == path:
			fmt.Fprintln(w, "backups")
		case r.URL.Path == path+"backups":
			asked.Add(1)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": s3test.Access, "SecretAccessKey": secret(), "Expiration": time.Now().Add(lasts),
			})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(service.Close)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.URL)
	return asked
}

func sharedFile(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", path)
}

func good() string { return s3test.Secret }

func goodFile() string {
	return "[backups]\naws_access_key_id = " + s3test.Access + "\naws_secret_access_key = " + s3test.Secret + "\n"
}

// TestCredentials finds credentials in each place, and in the right order.
func TestCredentials(t *testing.T) {
	k := newKit(t, nil)
	setenv := func(secret string) func(*testing.T) {
		return func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", s3test.Access)
			t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
		}
	}
	container := func(t *testing.T) {
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "for the container" {
				_ = json.NewEncoder(w).Encode(map[string]any{"AccessKeyId": s3test.Access, "SecretAccessKey": s3test.Secret, "Expiration": time.Now().Add(time.Hour)})
			}
		}))
		t.Cleanup(service.Close)
		t.Setenv("AWS_EC2_METADATA_DISABLED", "")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.URL)
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "for the container")
	}
	profile := func(text string) func(*testing.T) {
		return func(t *testing.T) {
			sharedFile(t, text)
			t.Setenv("AWS_PROFILE", "backups")
		}
	}
	machine := func(t *testing.T) { role(t, good, time.Hour) }
	for what, test := range map[string]struct {
		places []func(*testing.T)
		words  string // of the refusal; empty for none
	}{
		"environment":                    {[]func(*testing.T){setenv(s3test.Secret)}, ""},
		"shared file":                    {[]func(*testing.T){profile(goodFile())}, ""},
		"role":                           {[]func(*testing.T){machine}, ""},
		"container":                      {[]func(*testing.T){container}, ""},
		"environment before shared file": {[]func(*testing.T){setenv("wrong"), profile(goodFile())}, "secret key"},
		"shared file before role":        {[]func(*testing.T){profile(strings.ReplaceAll(goodFile(), s3test.Secret, "wrong")), machine}, "secret key"},
		"nowhere":                        {nil, "there are no credentials"},
		"a damaged file":                 {[]func(*testing.T){profile("[backups]\naws_secret_access_key " + s3test.Secret)}, "cannot be read"},
		"half in the environment":        {[]func(*testing.T){func(t *testing.T) { t.Setenv("AWS_ACCESS_KEY_ID", "x") }}, "there are no credentials"},
	} {
		t.Run(what, func(t *testing.T) {
			nowhere(t)
			for _, set := range test.places {
				set(t)
			}
			c := k.config(t)
			c.AccessKey, c.SecretKey = "", ""
			if test.words == "" {
				open(t, c).Close()
				return
			}
			_, err := s3.Open(t.Context(), c)
			wantError(t, what, err, share.ErrDenied, test.words)
			if strings.Contains(fmt.Sprint(err), s3test.Secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

// TestCredentialsChange has the credentials of a role change while the store is open: before they end, and because the server refuses them.
func TestCredentialsChange(t *testing.T) {
	nowhere(t)
	k := newKit(t, nil)
	p := newProxy(t, k.server.Endpoint)
	asked := role(t, good, time.Hour)
	c := k.config(t)
	c.Endpoint, c.AccessKey, c.SecretKey = p.URL, "", ""
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 100)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the service was asked %d times, want once", n)
	}
	var refused atomic.Bool
	p.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		return !refused.Swap(true) && refuse(w, http.StatusForbidden, "ExpiredToken")
	})
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Errorf("put after the token has expired: %v", err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the service was asked %d times, want twice", n)
	}
	p.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		return refuse(w, http.StatusForbidden, "ExpiredToken")
	})
	wantError(t, "a token that stays expired", f.Put(t.Context(), store, 2, "alice"), share.ErrDenied, "expired")
}

// TestCredentialsShort has credentials that end soon: they are asked for again, and a service that is silent then is no harm before the end.
func TestCredentialsShort(t *testing.T) {
	nowhere(t)
	k := newKit(t, nil)
	asked := role(t, good, time.Minute)
	c := k.config(t)
	c.AccessKey, c.SecretKey = "", ""
	store := open(t, c)
	f := storetest.NewFile(t, 1, 1, 3, 4<<10, 100)
	store.AgeCredentials(50 * time.Second)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil || asked.Load() != 2 {
		t.Errorf("put with credentials that end soon: %v, the service was asked %d times, want 2", err, asked.Load())
	}
	store.AgeCredentials(50 * time.Second)
	store.LoseCredentials()
	if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
		t.Errorf("put with old credentials while there are no new ones: %v", err)
	}
	store.AgeCredentials(50 * time.Second)
	wantError(t, "credentials that have ended", f.Put(t.Context(), store, 2, "alice"), share.ErrDenied, "there are no credentials")
}

// TestCredentialsStuck has the metadata service not answer: who waits for credentials waits as long as they want to.
func TestCredentialsStuck(t *testing.T) {
	nowhere(t)
	k := newKit(t, nil)
	stop := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { await(r, stop) }))
	defer service.Close()
	defer close(stop)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.URL)
	c := k.config(t)
	c.AccessKey, c.SecretKey = "", ""
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			c := c
			c.Index = t.TempDir()
			var err error
			if took := waittest.Took(func() { _, err = s3.Open(ctx, c) }); !errors.Is(err, context.DeadlineExceeded) || took > patience {
				t.Errorf("open: %v after %s", err, took)
			}
		})
	}
	group.Wait()
}
