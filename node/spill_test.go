package node_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"cairn/internal/s3test"
	"cairn/introducer"
	"cairn/node"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// TestBucketWithoutDisk has a gateway that lends nothing keep in its bucket what is left over: other members read it through the gateway, and
// put nothing there.
func TestBucketWithoutDisk(t *testing.T) {
	server := s3test.Start(t)
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "river", Open: true, Params: share.Params{Needed: 2, Happy: 3, Total: 5}}); err != nil {
		t.Fatal(err)
	}
	if err := dir.SetBucketKeys(node.BucketKeys{AccessKey: s3test.Access, SecretKey: s3test.Secret}); err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Storage.Enabled = false
	c.Spill.Bucket, c.Spill.Endpoint = "s3://"+s3test.Bucket+"/gateway", server.Endpoint
	startWith(t, dir, c)
	gateway := client(t, dir)
	shown, err := gateway.Grid(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, err := introducer.ParseAddress(shown.Address)
	if err != nil {
		t.Fatal(err)
	}
	var peers []*control.Client
	var stops []func()
	for range 2 {
		peer := newDir(t)
		if err := peer.Join(address); err != nil {
			t.Fatal(err)
		}
		_, stop := start(t, peer)
		peers, stops = append(peers, client(t, peer)), append(stops, stop)
	}
	comesTrue(t, "all know each other", func() bool {
		return storing(t, gateway) == 2 && answering(t, peers[0]) == 2 && answering(t, peers[1]) == 2
	})
	if status, err := gateway.Status(t.Context()); err != nil || status.Storage.Enabled || status.Storage.Offered != 0 || status.Spill == nil || !status.Spill.NoDisk {
		t.Errorf("the gateway says %+v, %v", status, err)
	}

	data := make([]byte, 300_000)
	_, _ = rand.Read(data)
	result, err := gateway.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data))}, nil)
	if err != nil || result.Happiness != 3 {
		t.Fatalf("put: %+v, %v", result, err)
	}
	file, err := capability.Parse(result.Capability)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*control.Client{"gateway": gateway, "member": peers[0]} {
		comesTrue(t, "the file is whole for the "+name, func() bool { // the put returned when there was enough of it
			report, err := c.Check(t.Context(), file, true, nil)
			return err == nil && report.Healthy && report.Happiness == 3 && len(report.Holders[dir.ID()]) == 3
		})
	}
	if _, err := gateway.Mkdir(t.Context(), control.MkdirRequest{Target: "home:docs"}); err != nil {
		t.Errorf("a directory: %v", err)
	}
	stops[1]()
	comesTrue(t, "the member misses the other one", func() bool { return storing(t, peers[0]) == 0 })
	var got bytes.Buffer
	d, err := peers[0].Get(t.Context(), file, 0, -1)
	if err == nil {
		_, err = d.WriteTo(&got)
		d.Close()
	}
	if err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("a member reads %d of %d bytes, %v", got.Len(), len(data), err)
	}

	// What the member stores is its own business.
	one := share.Params{Needed: 1, Happy: 1, Total: 2}
	other, err := peers[0].Put(t.Context(), bytes.NewReader(data[:200_000]), control.PutRequest{Size: 200_000, Params: one}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if file, err = capability.Parse(other.Capability); err != nil {
		t.Fatal(err)
	}
	report, err := peers[0].Check(t.Context(), file, false, nil)
	if err != nil || len(report.Holders) != 1 || len(report.Holders[dir.ID()]) > 0 {
		t.Errorf("a member's file is on %v, %v", report.Holders, err)
	}
}
