package discovery_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/share"
)

// numbered judges values made by number: a number and a digest that stands for a signature. Only the name "list" may be used.
type numbered struct{ judged atomic.Int64 }

func number(n uint64) []byte {
	value := binary.BigEndian.AppendUint64(nil, n)
	sum := sha256.Sum256(append([]byte("signed "), value...))
	return append(value, sum[:]...)
}

func (v *numbered) Validate(name string, value []byte) error {
	v.judged.Add(1)
	if name != "list" {
		return errors.New("no such list")
	}
	if len(value) < 8 || !bytes.Equal(value, number(binary.BigEndian.Uint64(value))) {
		return errors.New("not signed")
	}
	return nil
}

func (v *numbered) Newer(_ string, a, b []byte) bool { return bytes.Compare(a, b) > 0 }

// biased believes everything and prefers one value to every other: what a hostile member runs.
type biased struct{ favourite []byte }

func (biased) Validate(string, []byte) error { return nil }

func (v biased) Newer(_ string, a, b []byte) bool {
	return bytes.Equal(a, v.favourite) && !bytes.Equal(b, v.favourite)
}

func values(v discovery.Validator) func(*p2p.Config, *discovery.Config) {
	return func(_ *p2p.Config, d *discovery.Config) { d.Values = map[string]discovery.Validator{"test": v} }
}

func both(changes ...func(*p2p.Config, *discovery.Config)) func(*p2p.Config, *discovery.Config) {
	return func(c *p2p.Config, d *discovery.Config) {
		for _, change := range changes {
			change(c, d)
		}
	}
}

// startValues starts a first node, and others that join through it and judge values as told.
func startValues(t *testing.T, judges ...discovery.Validator) []node {
	t.Helper()
	nodes := []node{start(t, values(judges[0]))}
	for _, v := range judges[1:] {
		nodes = append(nodes, start(t, both(joining(nodes[0]), values(v))))
	}
	eventually(t, "all are in each other's DHT", func() bool {
		for _, n := range nodes {
			if n.Known() < len(nodes)-1 {
				return false
			}
		}
		return true
	})
	return nodes
}

func wantValue(t *testing.T, n node, want []byte) {
	t.Helper()
	got, err := n.GetValue(t.Context(), "test", "list")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("GetValue: %x, %v; want %x", got, err, want)
	}
}

func TestNewestValueWins(t *testing.T) {
	nodes := startValues(t, &numbered{}, &numbered{}, &numbered{})
	if _, err := nodes[1].GetValue(t.Context(), "test", "list"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("before anything was put: %v, want ErrNotFound", err)
	}
	for i, n := range []uint64{1, 2} {
		if err := nodes[i].PutValue(t.Context(), "test", "list", number(n)); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			wantValue(t, n, number(uint64(i+1)))
		}
	}
	for _, n := range nodes {
		if err := n.PutValue(t.Context(), "test", "list", number(1)); !errors.Is(err, discovery.ErrReplaced) {
			t.Errorf("put an older value: %v, want ErrReplaced", err)
		}
	}
	late := start(t, both(joining(nodes[1]), values(&numbered{}), func(_ *p2p.Config, d *discovery.Config) { d.Serve = false }))
	eventually(t, "the gateway is in the DHT", func() bool { return late.Known() == 3 })
	wantValue(t, late, number(2))
}

func TestBadValuesAreRefused(t *testing.T) {
	n := start(t, values(&numbered{}))
	tests := []struct {
		namespace, name string
		value           []byte
		want            error
	}{
		{"test", "list", []byte("not signed"), share.ErrCorrupt},
		{"test", "other", number(1), share.ErrCorrupt},
		{"test", "list", make([]byte, discovery.MaxValue+1), share.ErrTooLarge},
		{"unknown", "list", number(1), share.ErrNotFound},
		{"test", "list", number(1), share.ErrUnavailable}, // alone in the grid
	}
	for _, test := range tests {
		if err := n.PutValue(t.Context(), test.namespace, test.name, test.value); !errors.Is(err, test.want) {
			t.Errorf("put %d bytes as %s/%s: %v, want %v", len(test.value), test.namespace, test.name, err, test.want)
		}
	}
	if err := n.PutValue(t.Context(), "test", "", number(1)); err == nil {
		t.Error("a value without a name was taken")
	}
	if _, err := n.GetValue(t.Context(), "unknown", "list"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("get from an unknown namespace: %v, want ErrNotFound", err)
	}
	wantValue(t, n, number(1)) // kept until others come
}

func TestNamespacesAreChecked(t *testing.T) {
	h := start(t, nil)
	for _, bad := range []string{"", "With/slash", "UPPER", "0first"} {
		cfg := discovery.Config{Values: map[string]discovery.Validator{bad: &numbered{}}}
		if d, err := discovery.New(h.Host, cfg); err == nil {
			d.Close()
			t.Errorf("namespace %q was taken", bad)
		}
	}
}

// TestHostileHolders has members that keep, serve and send an older value, and one that nobody signed.
func TestHostileHolders(t *testing.T) {
	forged := bytes.Repeat([]byte{0xff}, 40)
	for name, favourite := range map[string][]byte{"older": number(1), "forged": forged} {
		t.Run(name, func(t *testing.T) {
			judge := &numbered{}
			nodes := startValues(t, judge, &numbered{}, &numbered{}, biased{favourite})
			honest, hostile := nodes[:3], nodes[3]
			if err := honest[0].PutValue(t.Context(), "test", "list", number(2)); err != nil {
				t.Fatal(err)
			}
			before := judge.judged.Load()
			if err := hostile.PutValue(t.Context(), "test", "list", favourite); err != nil {
				t.Fatal(err)
			}
			wantValue(t, hostile, favourite) // it serves this one
			if judge.judged.Load() == before {
				t.Error("the hostile member sent nothing")
			}
			for _, n := range honest {
				wantValue(t, n, number(2))
			}
		})
	}
}

func TestForgedValueIsNoValue(t *testing.T) {
	forged := bytes.Repeat([]byte{0xff}, 40)
	nodes := startValues(t, &numbered{}, biased{forged})
	if err := nodes[1].PutValue(t.Context(), "test", "list", forged); err != nil {
		t.Fatal(err)
	}
	if got, err := nodes[0].GetValue(t.Context(), "test", "list"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("GetValue: %x, %v; want ErrNotFound", got, err)
	}
}

func TestValuesArePublishedAgain(t *testing.T) {
	often := func(_ *p2p.Config, d *discovery.Config) { d.RepublishEvery = 100 * time.Millisecond }
	publisher := start(t, both(values(&numbered{}), often))
	err := publisher.PutValue(t.Context(), "test", "list", number(7))
	if !errors.Is(err, share.ErrUnavailable) {
		t.Fatalf("put where nobody is: %v, want ErrUnavailable", err)
	}
	judge := &numbered{}
	late := start(t, both(joining(publisher), values(judge)))
	eventually(t, "a node that came later was sent the value", func() bool { return judge.judged.Load() > 0 })
	publisher.close(t)
	wantValue(t, late, number(7))
	later := start(t, both(joining(late), values(&numbered{})))
	eventually(t, "both met", func() bool { return later.Known() == 1 })
	wantValue(t, later, number(7))
}

func TestPublisherAdoptsNewerValue(t *testing.T) {
	nodes := startValues(t, &numbered{}, &numbered{})
	often := func(_ *p2p.Config, d *discovery.Config) { d.RepublishEvery = 100 * time.Millisecond }
	publisher := start(t, both(joining(nodes[0]), values(&numbered{}), often))
	eventually(t, "all met", func() bool { return publisher.Known() == 2 })
	for i, n := range []node{publisher, nodes[0]} {
		if err := n.PutValue(t.Context(), "test", "list", number(uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the publisher knows of the newer value", func() bool {
		return errors.Is(publisher.PutValue(t.Context(), "test", "list", number(0)), discovery.ErrReplaced)
	})
}

func TestPublishedValuesAreBounded(t *testing.T) {
	n := start(t, values(anything{}))
	for i := range discovery.MaxValues + 1 {
		err := n.PutValue(t.Context(), "test", fmt.Sprint(i), nil)
		if want := i == discovery.MaxValues; errors.Is(err, share.ErrTooLarge) != want {
			t.Fatalf("value %d: %v", i, err)
		}
	}
}

type anything struct{}

func (anything) Validate(string, []byte) error { return nil }

func (anything) Newer(_ string, a, b []byte) bool { return bytes.Compare(a, b) > 0 }
