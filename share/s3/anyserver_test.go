package s3_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"cairn/share"
	"cairn/share/s3"
)

// anyServer returns a kit for the bucket that the environment names: CAIRN_S3_ENDPOINT (http://host:port), CAIRN_S3_BUCKET, which exists, the
// keys CAIRN_S3_ACCESS_KEY and CAIRN_S3_SECRET_KEY, and where they are not the usual ones, CAIRN_S3_REGION and CAIRN_S3_STYLE ("path" or
// "virtual-host"). What is stored is below a prefix of its own, and deleted at the end.
func anyServer(t *testing.T) *kit {
	t.Helper()
	endpoint := os.Getenv("CAIRN_S3_ENDPOINT")
	if endpoint == "" {
		t.Skip("no other S3 server: CAIRN_S3_ENDPOINT and its relatives name none")
	}
	c := s3.Config{
		Endpoint: endpoint, Bucket: cmp.Or(os.Getenv("CAIRN_S3_BUCKET"), "cairn-test"), Prefix: "conformance-" + strings.ToLower(rand.Text()[:8]),
		Region: os.Getenv("CAIRN_S3_REGION"), AccessKey: os.Getenv("CAIRN_S3_ACCESS_KEY"), SecretKey: s3.Secret(os.Getenv("CAIRN_S3_SECRET_KEY")),
	}
	switch style := os.Getenv("CAIRN_S3_STYLE"); style {
	case "":
	case "path":
		c.PathStyle = true
	case "virtual-host":
		c.VirtualHost = true
	default:
		t.Fatalf("CAIRN_S3_STYLE is %q: want path or virtual-host", style)
	}
	t.Cleanup(func() { empty(t, c) })
	return &kit{base: c, configs: map[share.Store]s3.Config{}}
}

// empty deletes what is below a prefix.
func empty(t *testing.T, c s3.Config) {
	t.Helper()
	_, host, _ := strings.Cut(c.Endpoint, "://")
	lookup := minio.BucketLookupPath
	if c.VirtualHost {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.New(host, &minio.Options{
		Creds:  credentials.NewStaticV4(c.AccessKey, os.Getenv("CAIRN_S3_SECRET_KEY"), ""),
		Secure: strings.HasPrefix(c.Endpoint, "https:"), Region: cmp.Or(c.Region, "us-east-1"), BucketLookup: lookup,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context()) // the test is over
	for o := range client.ListObjects(ctx, c.Bucket, minio.ListObjectsOptions{Prefix: c.Prefix + "/", Recursive: true}) {
		if o.Err == nil {
			o.Err = client.RemoveObject(ctx, c.Bucket, o.Key, minio.RemoveObjectOptions{})
		}
		if o.Err != nil {
			t.Errorf("empty %s: %v", c.Prefix, o.Err)
			return
		}
	}
}

// TestAnyServer runs what shows whether a server is good for a store against the one that the environment names.
func TestAnyServer(t *testing.T) {
	k := anyServer(t)
	suite := k.suite()
	suite.Damage = nil // whose files are not ours
	t.Run("probe", func(t *testing.T) {
		found, err := s3.Probe(t.Context(), k.config(t))
		if err != nil {
			t.Fatalf("%s (%v)", s3.Explain(err), err)
		}
		t.Logf("%+v", found)
	})
	t.Run("packs", suite.Run)
	t.Run("two nodes", func(t *testing.T) { twoNodes(t, k) })
	k.change = func(c s3.Config) s3.Config { return c.WithPack(1).WithPart(5 << 20) }
	t.Run("objects", suite.Run)
	t.Run("index lost", func(t *testing.T) { indexLost(t, k) })
}
