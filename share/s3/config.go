// Package s3 keeps shares in a bucket of any S3-compatible server. What is stored is in the bucket alone; a folder of this
// machine holds an index of it, which is computed again from the bucket when it is lost, and uploads that are not finished.
package s3

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cairn/share"
)

// A Secret is a text that is never printed.
type Secret string

const redacted = "(secret)"

// String returns a text that tells nothing.
func (Secret) String() string { return redacted }

// GoString returns a text that tells nothing.
func (Secret) GoString() string { return redacted }

// Format prints a text that tells nothing, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns a text that tells nothing.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a text that tells nothing, so that no encoder writes the secret by accident.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// DefaultGrace is how long a share stays after its last lease has ended where nothing else is said.
const DefaultGrace = 14 * 24 * time.Hour

// A Config says which bucket is used, and how.
type Config struct {
	// Endpoint is the server's address: "https://host", "http://host:port", or "host" for https. Empty means Amazon.
	Endpoint string
	// Region is the bucket's region; empty means us-east-1.
	Region string
	Bucket string
	// Prefix stands before all keys, without slashes at its ends; empty for the whole bucket.
	Prefix string
	// PathStyle puts the bucket's name into the path, VirtualHost before the host's name. Without either, Amazon's and Google's
	// servers get it in the name and all others in the path.
	PathStyle   bool
	VirtualHost bool
	// AccessKey, SecretKey and SessionToken are the credentials. Without them they come from the environment (AWS_ACCESS_KEY_ID and
	// its relatives), from the shared files of the AWS tools, or from the role of the machine, in this order.
	AccessKey    string
	SecretKey    Secret
	SessionToken Secret
	// CAFile names a file of PEM certificates that are trusted besides the system's.
	CAFile string
	// Index is the folder for the local index.
	Index string
	// Owner names the node in the bucket's lock; empty means a random name that is kept in the index folder.
	Owner string
	// Name is what people call the node; the lock tells it to them.
	Name string
	// Use says what the bucket is for; the index keeps it for Peek.
	Use string
	// TakeOver takes a lock that another owner has.
	TakeOver bool
	// Silent is how long that owner must have been silent for TakeOver to take its lock; 0: not at all. A node that runs refreshes its lock
	// every minute.
	Silent time.Duration
	// Offer is how many bytes of shares are taken; 0 means 1 PiB.
	Offer int64
	// Grace is how long a share stays after its last lease has ended; 0 means DefaultGrace.
	Grace time.Duration
	// Timeout bounds one request with all its repetitions, beside the time that its bytes need on a slow line; 0 means two minutes.
	Timeout time.Duration
	// OnBad is told what is found to be wrong in the bucket; nil for nobody. It returns at once.
	OnBad func(Bad)
	// Logger receives warnings; nil discards them.
	Logger *slog.Logger

	pack int64 // 0 for packMax; tests store small shares as objects of their own
	part int64 // 0 for partMin; tests fill one quickly

	condemned int64 // 0 for condemnedMost; tests fill it quickly
	// What tests shorten or replace.
	stall       time.Duration     // 0 for stallAfter
	slowest     int64             // 0 for slowest
	attempts    int               // 0 for attempts
	closeWithin time.Duration     // 0 for closeWithin
	transport   http.RoundTripper // nil for one to the endpoint
}

const (
	defaultOffer   = 1 << 50
	defaultTimeout = 2 * time.Minute
	defaultRegion  = "us-east-1"
	awsHost        = "s3.amazonaws.com"
)

// ParseURL reads "s3://bucket/prefix" into a Config.
func ParseURL(text string) (Config, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Config{}, errors.New("not the address of a bucket: want s3://bucket/prefix")
	case u.Scheme != "s3" || u.Host == "":
		return Config{}, fmt.Errorf("%.80q is not the address of a bucket: want s3://bucket/prefix", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Port() != "":
		return Config{}, fmt.Errorf("%.80q: want only a bucket and a prefix; the endpoint and the credentials are settings of their own", u.Redacted())
	}
	c := Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	return c, c.checkNames()
}

// URL returns the bucket and prefix as ParseURL reads them.
func (c Config) URL() string { return strings.TrimSuffix("s3://"+c.Bucket+"/"+c.Prefix, "/") }

func (c Config) checkNames() error {
	if n := len(c.Bucket); n < 3 || n > 63 || strings.ContainsAny(c.Bucket, "/_ \\") || c.Bucket != strings.ToLower(c.Bucket) {
		return fmt.Errorf("bucket %.80q: want 3 to 63 lower-case letters, digits, dots and dashes", c.Bucket)
	}
	if len(c.Prefix) > 512 {
		return fmt.Errorf("prefix of %d bytes, at most 512", len(c.Prefix))
	}
	for part := range strings.SplitSeq(c.Prefix, "/") {
		if part == "." || part == ".." || part == "" && c.Prefix != "" || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("prefix %.80q: want parts like a file's name between single slashes", c.Prefix)
		}
	}
	return nil
}

// endpoint returns the host with its port, and whether it is reached by TLS.
func (c Config) endpoint() (host string, secure bool, err error) {
	text := c.Endpoint
	if text == "" {
		text = awsHost
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", false, fmt.Errorf("endpoint: want https://host or http://host:port without a path or credentials")
	}
	return u.Host, u.Scheme == "https", nil
}

// Check returns what is wrong with the settings by themselves. It asks no server.
func (c Config) Check() error {
	if err := c.checkNames(); err != nil {
		return err
	}
	if _, _, err := c.endpoint(); err != nil {
		return err
	}
	switch {
	case c.Index == "":
		return errors.New("no folder for the index")
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return errors.New("an access key and its secret key belong together: only one of them is set")
	case c.PathStyle && c.VirtualHost:
		return errors.New("the bucket's name goes either into the path or before the host's name: both are asked for")
	case c.Offer < 0 || c.Grace < 0 || c.Timeout < 0:
		return fmt.Errorf("%w: a negative setting", share.ErrDenied)
	}
	return nil
}
