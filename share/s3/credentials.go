package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Limits of finding credentials.
const (
	findKeysWithin = 10 * time.Second // in all places together
	findKeysAgain  = time.Minute      // after a failure, while the old ones still hold
)

// A keySource is a place where credentials may be.
type keySource struct {
	missing  string // what is said when it has none: the errors of the client could tell a line of a file
	provider credentials.Provider
}

// keys are the credentials of requests. They are looked for once for all who wait, and nobody waits longer than their context lasts:
// the client would look for them under a lock. It implements credentials.Provider.
type keys struct {
	sources []keySource

	mu      sync.Mutex // guards what follows
	value   credentials.Value
	found   bool
	renew   time.Time // when they are to be looked for again; zero for never
	changed bool      // since the client took them
	search  *search
}

// A search is one for credentials that goes on.
type search struct {
	done  chan struct{}
	value credentials.Value
	err   error
}

// keys returns what was configured, or what looks in the usual places.
func (c Config) keys() *keys {
	if c.AccessKey != "" {
		value := credentials.Value{AccessKeyID: c.AccessKey, SecretAccessKey: string(c.SecretKey), SessionToken: string(c.SessionToken), SignerType: credentials.SignatureV4}
		return &keys{value: value, found: true, changed: true}
	}
	k := &keys{sources: []keySource{
		{"the environment has none", &credentials.EnvAWS{}},
		{"the files of the AWS tools have none for the profile, or cannot be read", &credentials.FileAWSCredentials{}},
	}}
	if os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		k.sources = append(k.sources, keySource{"the machine has no role, or its metadata service does not answer", role()})
	}
	return k
}

// role returns the credentials of the role that the machine, the container or the service account has.
func role() *credentials.IAM {
	direct := &http.Transport{DisableKeepAlives: true, Proxy: func(r *http.Request) (*url.URL, error) {
		if net.ParseIP(r.URL.Hostname()) != nil {
			return nil, nil // the metadata service, which answers this machine alone
		}
		return http.ProxyFromEnvironment(r)
	}}
	r := &credentials.IAM{Client: &http.Client{Transport: direct}}
	for _, other := range []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		if os.Getenv(other) != "" {
			return r
		}
	}
	r.Endpoint = os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	return r
}

// get returns when there are credentials, or why there are none.
func (k *keys) get(ctx context.Context) error {
	k.mu.Lock()
	if k.good() && (k.renew.IsZero() || time.Now().Before(k.renew)) {
		k.mu.Unlock()
		return nil
	}
	s := k.search
	if s == nil {
		s = &search{done: make(chan struct{})}
		k.search = s
		go k.look(s) // ends by its own limit, or with a program of the person's that it has started
	}
	k.mu.Unlock()
	timer := time.NewTimer(findKeysWithin)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		s = &search{err: errors.New("looking for them takes too long")}
	}
	if s.err == nil || k.hold() {
		return nil
	}
	return fmt.Errorf("%w: %w", errNoCredentials, s.err)
}

// hold reports whether the old credentials are still good although no new ones were found.
func (k *keys) hold() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.good() {
		k.renew = time.Now().Add(findKeysAgain)
	}
	return k.good()
}

// good reports whether there are credentials that have not ended. The mutex is held.
func (k *keys) good() bool {
	return k.found && (k.value.Expiration.IsZero() || time.Now().Before(k.value.Expiration))
}

func (k *keys) look(s *search) {
	s.value, s.err = k.find()
	k.mu.Lock()
	k.search = nil
	if s.err == nil {
		k.changed = k.changed || k.value != s.value
		k.value, k.found, k.renew = s.value, true, time.Time{}
		if end := s.value.Expiration; !end.IsZero() {
			k.renew = time.Now().Add(time.Until(end) * 4 / 5)
		}
	}
	k.mu.Unlock()
	close(s.done)
}

// find looks in all places, one after the other.
func (k *keys) find() (credentials.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), findKeysWithin)
	defer cancel()
	var reasons []string
	for _, source := range k.sources {
		value, err := source.provider.RetrieveWithCredContext(&credentials.CredContext{Context: ctx})
		if err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "" {
			return value, nil
		}
		reasons = append(reasons, source.missing)
	}
	return credentials.Value{}, errors.New(strings.Join(reasons, "; "))
}

// stale has credentials looked for again that the server has refused, and reports whether that makes sense.
func (k *keys) stale(code string) bool {
	switch code {
	case "ExpiredToken", "InvalidToken", "InvalidAccessKeyId":
	default:
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.sources) == 0 || !k.found {
		return false
	}
	k.found = false
	return true
}

// RetrieveWithCredContext returns the credentials that get has found.
func (k *keys) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return k.Retrieve()
}

// Retrieve returns the credentials that get has found.
func (k *keys) Retrieve() (credentials.Value, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.value.AccessKeyID == "" {
		return credentials.Value{}, errNoCredentials
	}
	k.changed = false
	return k.value, nil
}

// IsExpired reports whether others were found since they were retrieved.
func (k *keys) IsExpired() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}
