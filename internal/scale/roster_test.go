package scale_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/internal/hosttest"
	"cairn/introducer"
	"cairn/share"
)

// A club is a private grid with everybody's keys.
type club struct {
	grid       introducer.Descriptor
	founder    introducer.Signer
	statements [][]byte
	ids        []share.ServerID
	keys       []crypto.PrivKey
}

// newClub founds a grid of n members with one device each.
func newClub(b testing.TB, n int) *club {
	b.Helper()
	grid, key, err := introducer.Found("scale", share.Params{}, false, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	c := &club{grid: grid}
	if c.founder, err = introducer.GridSigner(grid, key); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		c.join(b, fmt.Sprintf("member %d", i))
	}
	return c
}

// join makes a grant and a device, and returns both.
func (c *club) join(b testing.TB, name string) [][]byte {
	b.Helper()
	account, now := introducer.NewAccount(), time.Now()
	grant, err := c.founder.SignGrant(introducer.Grant{Account: account.Key(), Nickname: name, Issued: now, Seq: 1})
	if err != nil {
		b.Fatal(err)
	}
	node := hosttest.Key(b)
	device, err := introducer.SignDevice(c.grid, account, node, introducer.Device{Account: account.Key(), Name: "laptop", Issued: now, Seq: 1})
	if err != nil {
		b.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(node)
	if err != nil {
		b.Fatal(err)
	}
	c.ids, c.keys = append(c.ids, share.ServerID(id.String())), append(c.keys, node)
	c.statements = append(c.statements, grant, device)
	return [][]byte{grant, device}
}

// BenchmarkRoster measures a roster of a thousand and of ten thousand members: its bytes, the memory and the time it takes to read
// it first, and the time of one more member and of one question whether somebody is a member.
func BenchmarkRoster(b *testing.B) {
	for _, n := range []int{1000, introducer.MaxAccounts - 1} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			for b.Loop() {
				measureRoster(b, newClub(b, n))
			}
		})
	}
}

func measureRoster(b *testing.B, c *club) {
	n, size := len(c.ids), 0
	for _, s := range c.statements {
		size += len(s)
	}
	before, begin := heap(), time.Now()
	r := introducer.NewRoster(c.grid)
	if _, err := r.Add(c.statements...); err != nil {
		b.Fatal(err)
	}
	r.Digest()
	b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/first")
	b.ReportMetric(float64(heap()-before)/float64(n), "heap-B/member")
	b.ReportMetric(float64(size)/float64(n), "B/member")

	begin = time.Now()
	const questions = 1000
	for i := range questions {
		if err := r.Admit(c.ids[i%n]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(begin).Nanoseconds())/questions, "ns/question")
	begin = time.Now()
	if _, err := r.Add(c.join(b, "one more")...); err != nil {
		b.Fatal(err)
	}
	r.Digest()
	b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/change")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(r)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
