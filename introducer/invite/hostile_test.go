package invite

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/share"
)

// TestSessionsDiffer: what is sealed in one exchange opens in no other one, and between no other peers.
func TestSessionsDiffer(t *testing.T) {
	key := sample(t).key()
	a, b := bytes.Repeat([]byte{1}, nonceSize), bytes.Repeat([]byte{2}, nonceSize)
	one := newSession(key, a, b, peerA, peerB)
	sealed := seal(one.request, []byte("text"))
	if plain, err := open(one.request, sealed); err != nil || string(plain) != "text" {
		t.Fatalf("%q, %v", plain, err)
	}
	for name, other := range map[string]session{
		"joiner's nonce": newSession(key, b, b, peerA, peerB), "issuer's nonce": newSession(key, a, a, peerA, peerB),
		"joiner": newSession(key, a, b, peerB, peerB), "issuer": newSession(key, a, b, peerA, peerA),
		"invitation": newSession(sample(t).key(), a, b, peerA, peerB), "sides": newSession(key, b, a, peerB, peerA),
	} {
		if _, err := open(other.request, sealed); err == nil || bytes.Equal(one.proof, other.proof) {
			t.Errorf("another %s has the same keys", name)
		}
	}
	for _, k := range [][]byte{one.answer, one.third, one.proof} {
		if _, err := open(k, sealed); err == nil {
			t.Error("two keys of a session are the same")
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := open(one.request, changed); err == nil {
			t.Errorf("a change of byte %d goes unnoticed", i)
		}
	}
}

// TestRequestsAreChecked: whoever holds the invitation cannot name somebody else's account.
func TestRequestsAreChecked(t *testing.T) {
	keys := newSession(sample(t).key(), make([]byte, nonceSize), make([]byte, nonceSize), peerA, peerB)
	other := newSession(sample(t).key(), make([]byte, nonceSize), make([]byte, nonceSize), peerA, peerB)
	account := introducer.NewAccount()
	public := account.Key()
	private := ed25519.NewKeyFromSeed(account.Seed())
	good := request{Kind: KindMember, Account: public[:], Proof: ed25519.Sign(private, keys.signed())}
	if got, err := good.verify(keys); err != nil || got != public {
		t.Fatalf("%v, %v", got, err)
	}
	for name, r := range map[string]request{
		"no proof":            {Kind: KindMember, Account: public[:]},
		"of another exchange": {Kind: KindMember, Account: public[:], Proof: ed25519.Sign(private, other.signed())},
		"half an account":     {Kind: KindMember, Account: public[:16], Proof: good.Proof},
		"long nickname":       {Kind: KindMember, Account: public[:], Proof: good.Proof, Nickname: strings.Repeat("x", maxNickname+1)},
		"kind":                {Kind: 3},
		"device with account": {Kind: KindDevice, Account: public[:], Proof: good.Proof},
	} {
		if _, err := r.verify(keys); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestHostileIssuer: a node that holds the invitation answers anything but what it should.
func TestHostileIssuer(t *testing.T) {
	h, g, stranger := newHome(t), newGuest(t, "guest"), newHome(t)
	openGrid, _, err := introducer.Found("open", share.Params{}, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	address := func(d introducer.Descriptor) string {
		a, err := introducer.NewAddress(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a.String()
	}
	inv := h.issue(Terms{})
	for name, c := range map[string]struct {
		answer answer
		raw    *reply
	}{
		"nothing":         {answer: answer{}},
		"not a grid":      {answer: answer{Grid: "cairn-grid:aaaa"}},
		"an open grid":    {answer: answer{Grid: address(openGrid)}},
		"no statements":   {answer: answer{Grid: address(h.roster.Grid())}},
		"not the joiner":  {answer: answer{Grid: address(h.roster.Grid()), Statements: h.roster.Statements()}},
		"garbage":         {answer: answer{Grid: address(h.roster.Grid()), Statements: [][]byte{{1}, {}}}},
		"another grid":    {answer: answer{Grid: address(stranger.roster.Grid()), Statements: stranger.roster.Statements()}},
		"hostile refusal": {answer: answer{Refusal: 99, Text: "\x1b[2J" + strings.Repeat("x", 5000)}},
		"not sealed":      {raw: &reply{Verdict: verdictSealed, Sealed: []byte("plain")}},
		"no verdict":      {raw: &reply{Verdict: 77}},
	} {
		t.Run(name, func(t *testing.T) {
			h.host.HandleStranger(Protocol, func(s p2p.Stream) {
				defer s.Close()
				var hello hail
				var sent envelope
				nonce := random(nonceSize)
				if message.Read(s, &hello, maxSmall) != nil || message.Write(s, ready{Nonce: nonce}, maxSmall) != nil ||
					message.Read(s, &sent, maxSmall) != nil {
					return
				}
				out := c.raw
				if out == nil {
					keys := newSession(inv.key(), hello.Nonce, nonce, share.ServerID(s.Conn().RemotePeer().String()), h.host.ID())
					data, err := message.Marshal(c.answer, maxAnswer)
					if err != nil {
						t.Error(err)
					}
					out = &reply{Verdict: verdictSealed, Sealed: seal(keys.answer, data)}
				}
				message.Write(s, out, maxAnswer+maxSmall)
			})
			m, err := Redeem(t.Context(), g.host, inv, g.me)
			if err == nil {
				t.Errorf("joined %v", m.Grid)
			} else if strings.ContainsRune(err.Error(), '\x1b') || len(err.Error()) > 1000 {
				t.Errorf("the error is %q", err)
			}
		})
	}
}

func FuzzMessages(f *testing.F) {
	for _, v := range []any{
		hail{ID: make([]byte, idSize), Nonce: make([]byte, nonceSize)},
		ready{Nonce: []byte{1}},
		envelope{Sealed: []byte{1}},
		request{Kind: KindMember, Account: make([]byte, 32), Nickname: "x", Proof: make([]byte, 64)},
		reply{Verdict: 1, Sealed: []byte{1}},
		answer{Refusal: 1, Text: "x", Grid: "y", Statements: [][]byte{{1}}, Seed: []byte{1}},
	} {
		data, err := message.Marshal(v, maxAnswer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	keys := newSession(inviteKey{}, nil, nil, peerA, peerB)
	f.Fuzz(func(t *testing.T, data []byte) {
		var h hail
		if message.Unmarshal(data, &h) == nil && h.validate() == nil && len(h.ID) != idSize {
			t.Error("an id of another length passes")
		}
		var r request
		if message.Unmarshal(data, &r) == nil {
			if account, err := r.verify(keys); err == nil && !account.IsZero() {
				t.Errorf("account %s is accepted without a signature", account)
			}
		}
		var a answer
		if message.Unmarshal(data, &a) == nil {
			x := joining{inv: Invitation{Kind: KindDevice}, joiner: peerA, issuer: peerB}
			if _, _, err := x.accept(a); err == nil {
				t.Error("an answer that nobody signed is accepted")
			}
		}
	})
}

func FuzzParseLedger(f *testing.F) {
	data, err := json.Marshal(ledgerFile{Version: ledgerVersion, Grid: "g", Invitations: []*entry{{
		IDText: make([]byte, idSize), KeyText: make([]byte, keySize), Kind: KindMember, Uses: 1, Expires: tomorrow,
		Used: []use{{Node: peerA, Time: tomorrow}},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"grid":"g","invitations":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseLedger(data, "g")
		if err != nil {
			return
		}
		for _, e := range list {
			// Whatever was read can be asked anything.
			e.issued(tomorrow)
			e.find(introducer.AccountKey{}, peerA)
			if e.valid(tomorrow) && !e.Cancelled.IsZero() || e.Uses < 1 {
				t.Errorf("accepted %+v", e)
			}
		}
	})
}
