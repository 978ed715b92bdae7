package s3_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"cairn/share/s3"
	"cairn/share/storetest"
)

// versioned returns a kit whose bucket keeps versions, made by a function that may change it further.
func versioned(t *testing.T, make func(*minio.Client, string) error) *kit {
	t.Helper()
	t.Setenv("VGW_VERSIONING_DIR", t.TempDir())
	k := newKit(t, nil)
	k.base.Bucket = "kept"
	if err := make(k.server.Client(), k.base.Bucket); err != nil {
		t.Fatal(err)
	}
	return k
}

// older returns how many versions a bucket keeps of what was deleted or replaced.
func (k *kit) older(t *testing.T) (n int) {
	t.Helper()
	for o := range k.server.Client().ListObjects(t.Context(), k.base.Bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if !o.IsLatest && !o.IsDeleteMarker {
			n++
		}
	}
	return n
}

// TestVersionedBucket keeps shares in a bucket that keeps versions: everything works, what is deleted stays as a version, and a probe tells.
func TestVersionedBucket(t *testing.T) {
	k := versioned(t, func(c *minio.Client, name string) error {
		if err := c.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
			return err
		}
		return c.EnableVersioning(t.Context(), name)
	})
	k.keepsAndCollects(t)
	found, err := s3.Probe(t.Context(), k.config(t))
	if err != nil || !found.Versions || !found.Conditions || !found.Retained.IsZero() {
		t.Errorf("probe: %+v, %v", found, err)
	}
	if notes := strings.Join(found.Notes(), "\n"); !strings.Contains(notes, "noncurrent versions") {
		t.Errorf("the probe tells %q", notes)
	}
}

// TestRetainingBucket keeps shares in a bucket that locks each object for a day.
func TestRetainingBucket(t *testing.T) {
	k := versioned(t, func(c *minio.Client, name string) error {
		if err := c.MakeBucket(t.Context(), name, minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
			return err
		}
		mode, days, unit := minio.Compliance, uint(1), minio.Days
		return c.SetObjectLockConfig(t.Context(), name, &mode, &days, &unit)
	})
	k.keepsAndCollects(t)
}

// TestRetentionIsTold has a server tell until when an object is locked, as Amazon's and others do: a probe tells it too.
func TestRetentionIsTold(t *testing.T) {
	p, c := behind(t)
	until := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	p.change(func(r *http.Response) error {
		if r.Request.Method == http.MethodHead {
			r.Header.Set("X-Amz-Object-Lock-Retain-Until-Date", until.Format(time.RFC3339))
		}
		return nil
	})
	found, err := s3.Probe(t.Context(), c)
	if err != nil || !found.Retained.Equal(until) {
		t.Errorf("probe: %+v, %v", found, err)
	}
	if notes := strings.Join(found.Notes(), "\n"); !strings.Contains(notes, "the bucket locks each object") {
		t.Errorf("the probe tells %q", notes)
	}
}

// keepsAndCollects stores something, loses the index, reads everything, and removes it.
func (k *kit) keepsAndCollects(t *testing.T) {
	t.Helper()
	c := k.config(t)
	c.Owner = "node"
	store := open(t, c)
	held := fill(t, store)
	store.Close()
	c.Index = t.TempDir()
	store = open(t, c)
	held.want(t, store)
	before := k.older(t)
	report, err := store.Collect(t.Context(), time.Now().Add(500*day))
	if err != nil || report.Objects == 0 || store.Stats().Objects != 0 {
		t.Errorf("collected %+v, %v", report, err)
	}
	if now := k.older(t); int64(now-before) < report.Objects {
		t.Errorf("%d objects were removed, and the bucket keeps %d versions more", report.Objects, now-before)
	}
	store.Close()
	c.Index = t.TempDir() // what is deleted does not come back
	if again := open(t, c); again.Stats().Objects != 0 {
		t.Errorf("%d objects after a loss of the index, want none", again.Stats().Objects)
	}
}

// TestSumsOnDemand has a server refuse what comes without an MD5 sum, as Amazon's does where objects are locked for a time: it is sent again with
// the sum, and from then on everything is.
func TestSumsOnDemand(t *testing.T) {
	p, c := behind(t)
	c = c.WithPart(5 << 20).WithPack(1)
	var refused atomic.Int64
	p.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.Header.Get("Content-Md5") != "" {
			return false
		}
		refused.Add(1)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object " +
			"requests with Object Lock parameters</Message></Error>"))
		return true
	})
	store := open(t, c)
	for i, size := range []int{100, 12 << 20} {
		f := storetest.NewFile(t, uint64(i), 1, 2, 128<<10, size)
		if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
			t.Fatal(err)
		}
		if err := f.Check(t.Context(), store, 0); err != nil {
			t.Error(err)
		}
	}
	if n := refused.Load(); n != 1 {
		t.Errorf("%d requests came without a sum, want one", n)
	}
}
