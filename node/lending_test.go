package node_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
)

// open runs a node with a configuration until the test ends, and returns a client of it.
func open(t *testing.T, dir *node.Dir, c config.Config) (*node.Node, *control.Client) {
	t.Helper()
	n, err := node.Open(t.Context(), dir.Path(), c, node.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	client, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return n, client
}

// TestStatusAfterPut: what is said of the space is true the moment after something was stored.
func TestStatusAfterPut(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "alone", Open: true}); err != nil {
		t.Fatal(err)
	}
	_, client := open(t, dir, testConfig())
	for last, i := int64(0), 0; i < 3; i++ {
		if err := putStream(t.Context(), client, 100_000); err != nil {
			t.Fatal(err)
		}
		status, err := client.Status(t.Context())
		if err != nil || len(status.Storage.Owners) != 1 {
			t.Fatalf("%+v, %v", status, err)
		}
		if used := status.Storage.Used; used <= last || used < status.Storage.Owners[0].Used {
			t.Errorf("%d bytes are used after %d, and %d by the owner", used, last, status.Storage.Owners[0].Used)
		}
		last = status.Storage.Used
	}
}

// TestLending has two nodes, of which one limits what it stores for the other: the other sees what it uses, hits its limit with
// an error that says so, and keeps what it has; the first sees who uses its disk.
func TestLending(t *testing.T) {
	lender, user := newDir(t), newDir(t)
	if _, err := lender.Found(node.Founding{Name: "lending", Params: share.Params{}, Open: true}); err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Nickname, c.Storage.Limits = "lender", []string{"*=1MB"}
	n, lending := open(t, lender, c)
	grid, err := lending.Grid(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, err := introducer.ParseAddress(grid.Address)
	if err != nil {
		t.Fatal(err)
	}
	if err := user.Join(address); err != nil {
		t.Fatal(err)
	}
	c = testConfig()
	c.Nickname, c.Storage.Enabled = "user", false // so that all goes to the lender
	_, using := open(t, user, c)
	eventually(t, "the nodes know each other", func() bool {
		peers, err := using.Peers(t.Context())
		return err == nil && len(peers) == 1 && peers[0].Answers && peers[0].Storage && len(n.Host().Peers()) == 1
	})

	put := func(size int) error {
		data := make([]byte, size)
		rand.Read(data)
		_, err := using.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(size)}, nil)
		return err
	}
	used := func() int64 {
		s, err := using.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Usage.Used
	}
	if before := used(); before != 0 {
		t.Errorf("%d bytes are used before anything is stored", before)
	}
	if err := put(600_000); err != nil {
		t.Fatal(err)
	}
	if after := used(); after < 600_000 {
		t.Errorf("%d bytes are used right after 600000 were stored", after)
	}
	for name, err := range map[string]error{
		"a second file": put(600_000),
		"a stream":      putStream(t.Context(), using, 2_000_000),
	} {
		e, ok := errors.AsType[*control.Error](err)
		if !ok || e.Code != control.CodeRefused || !strings.Contains(e.Message, "quota reached: you use") || !strings.Contains(e.Message, "1.0 MB") {
			t.Errorf("%s beyond the limit: %v", name, err)
		}
	}
	if err := put(300_000); err != nil {
		t.Errorf("a file that fits: %v", err)
	}
	eventually(t, "the lender tells who uses its disk, and nothing of what was refused", func() bool {
		s, err := lending.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o := s.Storage.Owners
		return len(o) == 1 && o[0].ID == string(user.ID()) && o[0].Nickname == "user" && !o[0].Own && o[0].Limit == 1_000_000 &&
			o[0].Used > 900_000 && o[0].Used < 1_000_000 && s.Storage.Used == o[0].Used
	})
	eventually(t, "the user sees what it uses", func() bool {
		s, err := using.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u := s.Usage
		return u.Used > 900_000 && u.Used < 1_000_000 && u.Limit == share.NoLimit && u.Servers == 1 && u.Asked == 1 && u.Answered == 1
	})
}

func putStream(ctx context.Context, client *control.Client, size int) error {
	data := make([]byte, size)
	rand.Read(data)
	_, err := client.Put(ctx, bytes.NewReader(data), control.PutRequest{Size: -1}, nil)
	return err
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	waittest.Eventually(t, what, holds)
}
