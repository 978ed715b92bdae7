package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// bucketScheme begins the address of a bucket.
const bucketScheme = "s3://"

// Bucket reports whether shares are kept in a bucket instead of a folder.
func (s Storage) Bucket() bool { return strings.HasPrefix(s.Path, bucketScheme) }

func (s Storage) bucketProblems(spill Spill) []error {
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, fmt.Errorf("storage.%s: %w", key, fmt.Errorf(format, args...)))
	}
	switch {
	case !s.Bucket():
		if strings.Contains(s.Path, "://") {
			problem("path", "want a folder, or a bucket as s3://BUCKET/PREFIX")
		}
		for _, f := range []struct {
			key string
			set bool
		}{{"endpoint", s.Endpoint != ""}, {"region", s.Region != ""}, {"path_style", s.PathStyle}, {"virtual_host", s.VirtualHost}, {"ca", s.CA != ""}} {
			if f.set {
				problem(f.key, "is set, but storage.path names no bucket")
			}
		}
		return problems
	case strings.Contains(s.Path, "@"):
		problem("path", "want s3://BUCKET/PREFIX, without keys")
	}
	if s.PathStyle && s.VirtualHost {
		problem("virtual_host", "and storage.path_style exclude each other: the name of the bucket goes into the path or before the host name")
	}
	if err := checkEndpoint(s.Endpoint); err != nil {
		problem("endpoint", "%w", err)
	}
	if spill.Bucket != "" {
		problems = append(problems, errors.New("spill.bucket: is for what a disk cannot take, but storage.path is a bucket itself"))
	}
	return problems
}

// checkEndpoint returns what is wrong with the address of a server. It does not repeat it, because it may hold a secret.
func checkEndpoint(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("want https://HOST or http://HOST:PORT")
	case u.User != nil:
		return errors.New("want an address without credentials")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("want only a host and a port: the bucket and the prefix are in the s3:// address")
	}
	return nil
}
