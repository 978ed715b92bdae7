package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/internal/porttest"
	"cairn/internal/s3test"
	"cairn/internal/waittest"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// A spillGrid is a grid of node processes whose first one has a bucket.
type spillGrid struct {
	*testGrid
	s3     *s3test.Server
	stored map[string][]byte // by capability
}

// newSpillGrid starts a gateway with a bucket, and peers of which each lends what it is given in offers.
func newSpillGrid(t *testing.T, params []string, offers ...string) *spillGrid {
	t.Helper()
	g := &spillGrid{testGrid: emptyGrid(t), s3: s3test.Start(t), stored: map[string][]byte{}}
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.Access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.Secret)
	g.add(t, append([]string{"grid", "create", "spills", "--open"}, params...), offers[0])
	g.must(t, "stop", "--dir", g.dirs[0])
	<-g.nodes[0].Ended()
	g.must(t, "spill", "set", "s3://"+s3test.Bucket+"/gateway", "--endpoint", g.s3.Endpoint, "--dir", g.dirs[0])
	g.nodes[0] = g.up(t, g.dirs[0])
	for _, offer := range offers[1:] {
		g.add(t, nil, offer)
	}
	g.await(t, g.dirs[0], len(offers)-1)
	return g
}

// add makes a node, which founds the grid or joins it, and starts it.
func (g *spillGrid) add(t *testing.T, found []string, offer string) {
	t.Helper()
	name := fmt.Sprintf("node%d", len(g.dirs)+1)
	dir := g.Dir(name)
	g.must(t, "init", "-q", "--dir", dir, "--nickname", name, "--listen", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", porttest.Free(t)), "--offer", offer)
	if found != nil {
		g.must(t, append(found, "--dir", dir)...)
	} else {
		g.must(t, "join", g.address, "--dir", dir)
	}
	g.dirs, g.nodes = append(g.dirs, dir), append(g.nodes, g.up(t, dir))
	if found != nil {
		var shown control.Grid
		if err := json.Unmarshal(g.must(t, "grid", "show", "--json", "--dir", dir), &shown); err != nil {
			t.Fatal(err)
		}
		g.address = shown.Address
	}
}

func (g *spillGrid) client(t *testing.T, node int) *control.Client {
	t.Helper()
	c, err := control.Dial(g.dirs[node])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// try stores bytes through the gateway.
func (g *spillGrid) try(t *testing.T, data []byte) (control.PutResult, error) {
	t.Helper()
	digest := share.Digest(sha256.Sum256(data))
	c, err := control.Dial(g.dirs[0])
	if err != nil {
		return control.PutResult{}, err
	}
	defer c.Close()
	return c.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Digest: &digest}, nil)
}

// put stores random bytes through the gateway.
func (g *spillGrid) put(t *testing.T, size int) string {
	t.Helper()
	data := random(size)
	result, err := g.try(t, data)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	g.stored[result.Capability] = data
	return result.Capability
}

func random(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.Read(data)
	return data
}

// readAll reads everything back through a node.
func (g *spillGrid) readAll(t *testing.T, node int) {
	t.Helper()
	c := g.client(t, node)
	for text, want := range g.stored {
		parsed, err := capability.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		d, err := c.Get(t.Context(), parsed, 0, -1)
		if err == nil {
			_, err = d.WriteTo(&got)
			err = errors.Join(err, d.Close())
		}
		if err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("through node %d: %d of %d bytes came back, %v", node+1, got.Len(), len(want), err)
		}
	}
}

func (g *spillGrid) spill(t *testing.T) control.Spill {
	t.Helper()
	c, err := control.Dial(g.dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Spill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kill ends nodes as a power cut would.
func (g *spillGrid) kill(nodes ...int) {
	for _, i := range nodes {
		g.nodes[i].Kill()
	}
}

// restart starts nodes that were killed, and waits until the gateway has so many peers.
func (g *spillGrid) restart(t *testing.T, peers int, nodes ...int) {
	t.Helper()
	for _, i := range nodes {
		g.nodes[i] = g.up(t, g.dirs[i])
	}
	g.await(t, g.dirs[0], peers)
}

// shareObjects returns how many objects with shares the bucket has.
func (g *spillGrid) shareObjects() int {
	n := 0
	for key := range g.s3.Objects() {
		if strings.Contains(key, "/shares/") || strings.Contains(key, "/packs/") {
			n++
		}
	}
	return n
}

// killedWhile does something over and over until it fails, and has it interrupted once it goes on.
func killedWhile(t *testing.T, goesOn func() bool, interrupt func(), do func(context.Context) error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do(t.Context()) }()
	until(t, "it goes on", goesOn)
	interrupt()
	if err := <-done; err != nil {
		t.Logf("interrupted: %v", err)
	}
}

// TestSpillGrid fills ten nodes with small offers until they spill, reads everything back with half of them dead, adds others and watches the
// bucket drain to nothing; the gateway and the S3 server are killed in the middle of each step.
func TestSpillGrid(t *testing.T) {
	if testing.Short() {
		t.Skip("starts sixteen processes")
	}
	offers := []string{"20MB", "20MB", "20MB", "20MB", "1MB", "1MB", "1MB", "1MB", "1MB", "1MB"}
	g := newSpillGrid(t, []string{"--k", "2", "--happy", "4", "--n", "10"}, offers...)

	began := time.Now()
	step := func(what string) { t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), what) }
	// Fill.
	const size = 400_000
	for range 6 {
		g.put(t, size)
	}
	if s := g.spill(t); s.Used < 10*size/2 {
		t.Fatalf("the peers are full, but only %d bytes are in the bucket", s.Used)
	}
	step("filled")
	large := random(16 << 20)
	sent := g.spill(t).Sent
	killedWhile(t, func() bool { return g.spill(t).Sent > sent }, func() { g.kill(0) }, func(context.Context) error { _, err := g.try(t, large); return err })
	g.restart(t, 9, 0)
	if result, err := g.try(t, large); err != nil {
		t.Fatalf("the same put again: %v", err)
	} else if result.Resumed == 0 {
		t.Error("nothing was resumed")
	} else {
		g.stored[result.Capability] = large
	}
	sent = g.spill(t).Sent
	other := random(12 << 20)
	killedWhile(t, func() bool { return g.spill(t).Sent > sent }, g.s3.Kill, func(context.Context) error { _, err := g.try(t, other); return err })
	g.readFew(t) // what peers have does not need the bucket
	g.s3.Restart()
	if result, err := g.try(t, other); err != nil {
		t.Fatalf("the same put again: %v", err)
	} else {
		g.stored[result.Capability] = other
	}

	step("killed while filling")
	// Half of the nodes are dead.
	dead := []int{1, 2, 4, 5, 6}
	g.kill(dead...)
	g.readAll(t, 0)
	g.readAll(t, 3) // another member, through the gateway
	g.restart(t, 9, dead...)

	step("read with half of them dead")
	// Peers come.
	for range 6 {
		g.add(t, nil, "60MB")
	}
	g.await(t, g.dirs[0], 15)
	step("peers came")
	g.drain(t)
	step("drained")
	g.readAll(t, 0)
	g.readAll(t, 15)
	g.must(t, "spill", "off", "--dir", g.dirs[0])
}

// readFew reads what does not need the bucket: anything, as long as enough peers are there.
func (g *spillGrid) readFew(t *testing.T) {
	t.Helper()
	all := g.stored
	g.stored = map[string][]byte{}
	for text, data := range all {
		g.stored[text] = data
		break
	}
	g.readAll(t, 0)
	g.stored = all
}

// drain empties the bucket while the gateway and the S3 server are killed in the middle.
func (g *spillGrid) drain(t *testing.T) {
	t.Helper()
	used := g.spill(t).Used
	slowly := func(ctx context.Context) error {
		c, err := control.Dial(g.dirs[0])
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.DrainSpill(ctx, control.DrainRequest{Rate: 16e6}, func(control.Progress) {})
		return err
	}
	less := func() bool {
		s := g.spill(t)
		if s.Draining != nil && s.Draining.SpreadBytes > 0 && s.Used < used {
			used = s.Used
			return true
		}
		return false
	}
	killedWhile(t, less, func() { g.kill(0) }, slowly)
	g.restart(t, 15, 0)
	g.readFew(t)
	killedWhile(t, less, func() {
		g.s3.Kill()
		g.readFew(t)
		g.s3.Restart()
	}, slowly)
	c := g.client(t, 0)
	deadline := time.Now().Add(waittest.Patience)
	for {
		r, err := c.DrainSpill(t.Context(), control.DrainRequest{}, func(control.Progress) {})
		t.Logf("drained: %+v, %v", r, err)
		if err == nil && r.Left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not drain to nothing")
		}
	}
	if n := g.shareObjects(); n > 0 {
		t.Errorf("%d objects are left in the bucket: %v", n, slices.Collect(maps.Keys(g.s3.Objects())))
	}
}

// TestKeepCopy reads files and a whole backup from the copies in the bucket while all other nodes are dead and the own disk is empty.
func TestKeepCopy(t *testing.T) {
	g := newSpillGrid(t, []string{"--k", "2", "--happy", "3", "--n", "4"}, "100MB", "100MB", "100MB", "100MB")
	dir := g.dirs[0]
	folder := t.TempDir()
	for name, data := range map[string][]byte{"large": random(3 << 20), "small": random(5000), "other": random(700)} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put := func(args ...string) string {
		return strings.TrimSpace(string(g.must(t, append([]string{"put", "-q", "--dir", dir, filepath.Join(folder, "large")}, args...)...)))
	}
	plain := put()
	if s := g.spill(t); s.Used != 0 {
		t.Errorf("%d bytes are in the bucket although nobody asked for a copy", s.Used)
	}
	text := put("--keep-copy", "s3")
	if text != plain {
		t.Error("with a copy it is another file")
	}
	if s := g.spill(t); s.Used < 3<<20 {
		t.Errorf("%d bytes are in the bucket, want a copy of 3 MiB", s.Used)
	}
	if out := g.must(t, "stat", "--dir", dir, text); !strings.Contains(string(out), "copy           complete") {
		t.Errorf("stat: %s", out)
	}
	if out := g.must(t, "check", "--verify", "--dir", dir, text); !strings.Contains(string(out), "shares 0, 1 on bucket") {
		t.Errorf("check: %s", out)
	}
	sent := g.spill(t).Sent
	put("--keep-copy", "s3")
	if now := g.spill(t).Sent; now > sent+4096 {
		t.Errorf("the copy was sent again: %d bytes", now-sent)
	}
	g.must(t, "backup", "--keep-copy", "s3", "--dir", dir, folder, "home:backups/folder")
	link := strings.TrimSpace(string(g.must(t, "cap", "show", "--dir", dir, "home:backups/folder/Latest")))
	g.must(t, "spill", "drain", "--all", "--dir", dir)
	if s := g.spill(t); s.Kept == 0 || s.Left != 0 || s.Used < 3<<20 {
		t.Errorf("after a drain: %+v", s)
	}

	g.kill(0, 1, 2, 3)
	if err := os.RemoveAll(filepath.Join(dir, "storage")); err != nil {
		t.Fatal(err)
	}
	g.nodes[0] = g.up(t, dir)
	out := filepath.Join(t.TempDir(), "out")
	g.must(t, "get", "--dir", dir, text, "-o", out)
	g.must(t, "cp", "-q", "-r", "--dir", dir, link, out+"s")
	for name, copied := range map[string]string{"large": out, "small": filepath.Join(out+"s", "small"), "other": filepath.Join(out+"s", "other")} {
		want, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d of %d bytes came back, %v", name, len(got), len(want), err)
		}
	}
	if _, err := g.Run(t.Context(), "spill", "off", "--dir", dir); err == nil || strings.Contains(err.Error(), "drain") || !strings.Contains(err.Error(), "--abandon") {
		t.Errorf("the bucket is given up although copies are in it, or what is advised does not bring them back: %v", err)
	}
}
