package recovery_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"cairn/internal/membertest"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/introducer/message"
	"cairn/introducer/recovery"
	"cairn/p2p"
	"cairn/share"
)

type (
	hail struct {
		Nonce []byte `cbor:"1,keyasint"`
	}
	claim struct {
		Account   []byte `cbor:"1,keyasint"`
		Signature []byte `cbor:"2,keyasint"`
	}
	answer struct {
		Verdict    int      `cbor:"1,keyasint"`
		Text       string   `cbor:"2,keyasint,omitempty"`
		Grid       string   `cbor:"3,keyasint,omitempty"`
		Statements [][]byte `cbor:"4,keyasint,omitempty"`
	}
)

// proof is what the specification says that an account signs.
func proof(account introducer.Account, claimantNonce, memberNonce []byte, claimant, member share.ServerID) []byte {
	var data []byte
	for _, part := range [][]byte{claimantNonce, memberNonce, []byte(claimant), []byte(member)} {
		data = append(binary.BigEndian.AppendUint32(data, uint32(len(part))), part...)
	}
	sum := sha256.Sum256(data)
	return ed25519.Sign(ed25519.NewKeyFromSeed(account.Seed()), append([]byte("cairn/v1/recover\x00"), sum[:]...))
}

// TestOnlyAFreshProofCounts: nothing is answered to who shows no signature, one of another exchange, of another peer, or for
// another member.
func TestOnlyAFreshProofCounts(t *testing.T) {
	w := newTown(t)
	key, id := membertest.Node(t)
	host := membertest.OpenStranger(t, key)
	_, other := membertest.Node(t)
	mine := make([]byte, 32)
	for name, c := range map[string]struct {
		sign func(theirs []byte) []byte
		ok   bool
	}{
		"right":          {func(theirs []byte) []byte { return proof(w.anna, mine, theirs, id, w.host.ID()) }, true},
		"none":           {func([]byte) []byte { return nil }, false},
		"old nonce":      {func([]byte) []byte { return proof(w.anna, mine, mine, id, w.host.ID()) }, false},
		"another peer":   {func(theirs []byte) []byte { return proof(w.anna, mine, theirs, other, w.host.ID()) }, false},
		"another member": {func(theirs []byte) []byte { return proof(w.anna, mine, theirs, id, other) }, false},
		"another key":    {func(theirs []byte) []byte { return proof(introducer.NewAccount(), mine, theirs, id, w.host.ID()) }, false},
	} {
		s, _, err := host.Reach(t.Context(), w.host.Addresses(), recovery.Protocol)
		if err != nil {
			t.Fatal(name, err)
		}
		var theirs hail
		if err := errors.Join(message.Write(s, hail{mine}, 4096), message.Read(s, &theirs, 4096)); err != nil {
			t.Fatal(name, err)
		}
		account := w.anna.Key()
		if err := message.Write(s, claim{account[:], c.sign(theirs.Nonce)}, 4096); err != nil {
			t.Fatal(name, err)
		}
		var a answer
		err = message.Read(s, &a, 1<<20)
		if got := err == nil && a.Verdict == 1 && len(a.Statements) > 0; got != c.ok {
			t.Errorf("%s: answered %t, verdict %d, %v", name, got, a.Verdict, err)
		}
		s.Reset()
	}
}

// TestAnotherAnswers: who answers without belonging to the grid that it names is not believed.
func TestAnotherAnswers(t *testing.T) {
	w := newTown(t)
	key, id := membertest.Node(t)
	liar, err := p2p.Open(t.Context(), p2p.Config{
		Key: key, Grid: w.roster.Grid().ID(), Listen: p2p.LoopbackAddresses(0), Gate: introducer.NewRoster(w.roster.Grid()),
		Present: exchange.Present(w.roster, id), DialTimeout: waittest.Patience, StrangerFor: waittest.Patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { liar.Close() })
	address, err := introducer.NewAddress(w.roster.Grid(), liar.Addresses())
	if err != nil {
		t.Fatal(err)
	}
	liar.HandleStranger(recovery.Protocol, func(s p2p.Stream) {
		defer s.Close()
		s.SetDeadline(time.Now().Add(waittest.Patience))
		var h hail
		var c claim
		if errors.Join(message.Read(s, &h, 4096), message.Write(s, h, 4096), message.Read(s, &c, 4096)) == nil {
			_ = message.Write(s, answer{Verdict: 1, Grid: address.String(), Statements: w.roster.Statements()}, 1<<20)
		}
	})
	if _, _, err := w.back(recovery.Claimant{Account: w.anna}, liar.Addresses()...); !errors.Is(err, share.ErrDenied) {
		t.Errorf("it was believed: %v", err)
	}
}
