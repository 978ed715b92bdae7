package config

import (
	"errors"
	"fmt"
	"strings"
)

func (s Spill) problems() []error {
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, fmt.Errorf("spill.%s: %w", key, fmt.Errorf(format, args...)))
	}
	if s.Bucket == "" {
		if s.KeepCopy {
			problem("keep_copy", "is set, but no bucket is: name one with \"cairn spill set s3://BUCKET/PREFIX\"")
		}
		if s.Endpoint != "" || s.CA != "" {
			problem("bucket", "is empty, but an endpoint or certificates are set: name the bucket with \"cairn spill set s3://BUCKET/PREFIX\", or switch it off with \"cairn spill off\"")
		}
	} else {
		if !strings.HasPrefix(s.Bucket, "s3://") || strings.Contains(s.Bucket, "@") {
			problems = append(problems, errors.New("spill.bucket: want s3://BUCKET/PREFIX, without keys"))
		}
	}
	if err := checkEndpoint(s.Endpoint); err != nil {
		problem("endpoint", "%w", err)
	}
	if s.PathStyle && s.VirtualHost {
		problem("virtual_host", "and spill.path_style exclude each other: the name of the bucket goes into the path or before the host name")
	}
	if s.Offer < 0 {
		problem("offer", "%d is negative", int64(s.Offer))
	}
	if s.Rate < 0 {
		problem("rate", "%d is negative", int64(s.Rate))
	}
	if s.High < 1 || s.High > 100 {
		problem("high", "%d: want 1 to 100 percent", s.High)
	}
	if s.Low < 0 || s.Low > s.High {
		problem("low", "%d: want 0 percent to spill.high, which is %d", s.Low, s.High)
	}
	return problems
}
