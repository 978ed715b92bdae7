package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid"
	"cairn/internal/s3test"
	"cairn/introducer"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/node/doctor"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/s3"
	"cairn/share/spill"
)

// countingBucket fails its second collection and finds nothing in the third.
type countingBucket struct{ passes []time.Time }

func (c *countingBucket) CollectDue(context.Context) (s3.CollectReport, error) {
	c.passes = append(c.passes, time.Now())
	switch len(c.passes) {
	case 2:
		return s3.CollectReport{}, errors.New("odd")
	case 3:
		return s3.CollectReport{}, nil
	}
	return s3.CollectReport{Files: 3, Objects: 1, Freed: 4000}, nil
}

func TestCollectBucketGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), collectAfter+3*collectEvery+time.Minute)
		defer cancel()
		c := &countingBucket{}
		var told []control.Event
		collectBucket(ctx, c, slog.New(slog.DiscardHandler), func(e control.Event) { told = append(told, e) })
		if len(c.passes) != 4 || c.passes[3].Sub(began) != collectAfter+3*collectEvery {
			t.Fatalf("passes %v, want 4, a failed one included", c.passes)
		}
		if len(told) != 2 || told[0].Kind != control.KindCollected || told[0].Text != "removed the shares of 3 files without a lease, 4.0 kB are free again" {
			t.Errorf("events %v", told)
		}
	})
}

// openBucketNode opens a node of a grid of its own whose shares are in a bucket.
func openBucketNode(t *testing.T, server *s3test.Server) *Node {
	t.Helper()
	c := config.Default()
	c.Nickname, c.Storage.Path, c.Storage.Endpoint = "ann", "s3://"+s3test.Bucket+"/ann", server.Endpoint
	c.Network.MDNS, c.Network.Listen = false, []string{"/ip4/127.0.0.1/tcp/0"}
	dir, err := Init(filepath.Join(t.TempDir(), "node"), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.SetBucketKeys(BucketKeys{AccessKey: s3test.Access, SecretKey: s3test.Secret}); err != nil {
		t.Fatal(err)
	}
	descriptor, _, err := introducer.Found("test", share.Params{}, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	address, err := introducer.NewAddress(descriptor, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Join(address); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), dir.Path(), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestBucketGivesSpaceBack stores a file and a directory on a node with a bucket, and lets all leases on them end.
func TestBucketGivesSpaceBack(t *testing.T) {
	server := s3test.Start(t)
	n := openBucketNode(t, server)
	data := make([]byte, 2_000_000)
	rand.Read(data)
	result, err := n.grid.Put(t.Context(), bytes.NewReader(data), grid.PutOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (api{n}).Mkdir(t.Context(), control.MkdirRequest{Target: "home:docs"}, func(control.Progress) {}); err != nil {
		t.Fatal(err)
	}
	space, err := n.store.Space(t.Context())
	if err != nil || space.Used < int64(len(data)) || bucketBytes(server) < int64(len(data)) {
		t.Fatalf("%+v, %v; %d bytes in the bucket", space, err, bucketBytes(server))
	}
	for range 2 { // a name goes after its file
		if _, err := n.own.bucket.Collect(t.Context(), time.Now().Add(2*share.DefaultLease+365*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	space, err = n.store.Space(t.Context())
	if err != nil || space.Used != 0 || bucketBytes(server) != 0 {
		t.Errorf("after the leases have ended %d bytes are used, %d are in the bucket, %v", space.Used, bucketBytes(server), err)
	}
	if _, err := n.grid.Open(t.Context(), result.Capability); err == nil {
		t.Error("the file can still be opened")
	}
}

// TestBucketOpensLate asks for room in a bucket before it is open and right after that.
func TestBucketOpensLate(t *testing.T) {
	server := s3test.Start(t)
	x := &bucketStore{late: &spill.Late{}, where: s3.Config{
		Endpoint: server.Endpoint, Bucket: s3test.Bucket, Prefix: "ann", AccessKey: s3test.Access, SecretKey: s3test.Secret, Index: t.TempDir(), Offer: 1e9,
	}}
	n := &Node{log: slog.New(slog.DiscardHandler), config: config.Default(), dir: &Dir{}, own: x, store: x.late}
	n.config.Storage.Enabled = true
	if own := n.local(t.Context())[0]; own.Free != 0 || !errors.Is(own.Trouble, errOpening) {
		t.Errorf("before it is open %d bytes are free, in trouble: %v", own.Free, own.Trouble)
	}
	if err := n.tryBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer x.bucket.Close()
	if own := n.local(t.Context())[0]; own.Free != 1e9 || own.Trouble != nil {
		t.Errorf("once it is open %d bytes are free, in trouble: %v", own.Free, own.Trouble)
	}
}

// TestBucketIsExplainedOnce has two of those through whose hands an error goes explain it.
func TestBucketIsExplainedOnce(t *testing.T) {
	n := &Node{own: &bucketStore{where: s3.Config{Bucket: "shares"}}}
	err := n.explainBucket(n.explainBucket(&control.Error{Code: control.CodeNotEnough, Hint: "start more nodes"}))
	if got, want := control.ErrorOf(err).Hint, "start more nodes; the bucket s3://shares takes nothing now: "+errOpening.Error()+"; \"cairn storage test\" tries it out"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// bucketBytes returns how much of shares and heads a bucket has.
func bucketBytes(server *s3test.Server) (total int64) {
	for key, size := range server.Objects() {
		if name := strings.TrimPrefix(key, "ann/"); name != "lock" && name != "cairn" {
			total += size
		}
	}
	return total
}

// TestCommandsNameTheBucket reads and stores while the own bucket, which is all there is, fails: the error says what to do about that, and the status what
// requests met, at once.
func TestCommandsNameTheBucket(t *testing.T) {
	server := s3test.Start(t)
	n := openBucketNode(t, server)
	a := api{n}
	put := func() (control.PutResult, error) {
		data := make([]byte, 300_000)
		rand.Read(data)
		return a.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data))}, func(control.Progress) {})
	}
	stored, err := put()
	if err != nil {
		t.Fatal(err)
	}
	if met := n.bucketStatus().Met; met != "" {
		t.Errorf("while all is well the status tells of %q", met)
	}
	if err := os.Rename(filepath.Join(server.Dir, s3test.Bucket), filepath.Join(server.Dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	c, err := capability.Parse(stored.Capability)
	if err != nil {
		t.Fatal(err)
	}
	get := func() error {
		file, err := a.Open(t.Context(), c)
		if err == nil {
			defer file.Close()
			_, err = file.WriteTo(t.Context(), io.Discard, 0, file.Size())
		}
		return err
	}
	err = get()
	_, putErr := put()
	for what, err := range map[string]error{"gives what is in it": err, "takes nothing now": putErr} {
		told := control.ErrorOf(err)
		hint := "the bucket " + n.own.where.URL() + " " + strings.Replace(what, "gives", "does not give", 1) +
			": there is no such bucket: make it, or check its name and the endpoint; \"cairn storage test\" tries it out; "
		if told.Code != control.CodeNotEnough || !strings.HasPrefix(told.Hint, hint) || strings.Contains(told.Hint, "peers") || strings.Contains(told.Hint, "invite") {
			t.Errorf("%v: next: %s", err, told.Hint)
		}
	}
	if met := n.bucketStatus().Met; !strings.Contains(met, "no such bucket") {
		t.Errorf("the status says that requests met %q", met)
	}
	if err := os.Rename(filepath.Join(server.Dir, "elsewhere"), filepath.Join(server.Dir, s3test.Bucket)); err != nil {
		t.Fatal(err)
	}
	for object := range server.Objects() {
		if strings.Contains(object, "/s/") || strings.Contains(object, "/p/") {
			server.Put(object, make([]byte, len(server.Get(object))))
		}
	}
	if told := control.ErrorOf(get()); told.Code != control.CodeNotEnough || strings.Contains(told.Hint, "no such bucket") {
		t.Errorf("what is read is wrong, and it is said: %v; next: %s", told, told.Hint)
	}
}

// TestDoctorTellsOfAnEmptiedBucket empties the bucket of a node that runs: it takes a probe as before, and what was in it is gone.
func TestDoctorTellsOfAnEmptiedBucket(t *testing.T) {
	server := s3test.Start(t)
	n := openBucketNode(t, server)
	if got := n.diagnoseBucket(t.Context()); len(got) != 1 || got[0].State != doctor.OK {
		t.Fatalf("while all is well: %+v", got)
	}
	for object := range server.Objects() {
		server.Remove(object)
	}
	if got := n.diagnoseBucket(t.Context()); len(got) != 1 || got[0].State != doctor.Fail || !strings.Contains(got[0].Seen, "the bucket has lost the object ann/cairn") {
		t.Errorf("after it was emptied: %+v", got)
	}
}
