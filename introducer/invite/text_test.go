package invite

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cairn/share"
)

const (
	peerA = "12D3KooWFqS4tfw2nbXWsVTUeGqJB9MEVWXuGQRKcnjBVUFuqhDv"
	peerB = "12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2"
)

var tomorrow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func sample(t testing.TB) Invitation {
	t.Helper()
	inv, err := newInvitation(KindMember, tomorrow, []string{
		"/ip4/192.0.2.1/tcp/4001/p2p/" + peerA, "/ip4/192.0.2.1/udp/4001/quic-v1/p2p/" + peerA,
		"/ip4/192.0.2.9/tcp/1/p2p/" + peerB + "/p2p-circuit/p2p/" + peerA, "/dns4/example.org/tcp/4001/p2p/" + peerB,
	})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestTextRoundTrip(t *testing.T) {
	inv := sample(t)
	text := inv.Reveal()
	t.Logf("%d characters: %s", len(text), text)
	for name, typed := range map[string]string{
		"as printed": text, "capitals": strings.ToUpper(text), "no groups": Prefix + strings.ReplaceAll(text[len(Prefix):], "-", ""),
		"line breaks": Prefix + strings.ReplaceAll(text[len(Prefix):], "-", "-\n  "), "spaces around": "  " + text + "\r\n",
	} {
		got, err := Parse(typed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(inv, got, cmp.AllowUnexported(Invitation{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	if peers := inv.peers(); len(peers) != 2 || len(peers[0]) != 3 || len(peers[1]) != 1 {
		t.Errorf("addresses by node: %v", peers)
	}
}

// groupOf returns the number of the group in which the i-th character of the text stands.
func groupOf(text string, i int) int {
	before := strings.ReplaceAll(text[len(Prefix):i], "-", "")
	return len(before)/groupSize + 1
}

// TestMistypedSaysWhere changes every character into every other one.
func TestMistypedSaysWhere(t *testing.T) {
	text := sample(t).Reveal()
	for i := len(Prefix); i < len(text); i++ {
		if text[i] == '-' {
			continue
		}
		for _, c := range alphabet {
			if byte(c) == text[i] {
				continue
			}
			_, err := Parse(text[:i] + string(c) + text[i+1:])
			where, ok := errors.AsType[*TextError](err)
			if !ok || !errors.Is(err, ErrMalformed) || where.Group != groupOf(text, i) {
				t.Fatalf("character %d as %c: %v, want group %d", i, c, err, groupOf(text, i))
			}
		}
	}
}

func TestSwappedCharactersAreNoticed(t *testing.T) {
	text := sample(t).Reveal()
	for i := len(Prefix); i+1 < len(text); i++ {
		a, b := text[i], text[i+1]
		if a == b || a == '-' || b == '-' {
			continue
		}
		_, err := Parse(text[:i] + string(b) + string(a) + text[i+2:])
		if where, ok := errors.AsType[*TextError](err); !ok || where.Group != groupOf(text, i) {
			t.Errorf("characters %d and %d swapped: %v, want group %d", i, i+1, err, groupOf(text, i))
		}
	}
}

func TestSwappedGroupsAreNoticed(t *testing.T) {
	groups := strings.Split(sample(t).Reveal()[len(Prefix):], "-")
	groups[3], groups[4] = groups[4], groups[3]
	_, err := Parse(Prefix + strings.Join(groups, "-"))
	if where, ok := errors.AsType[*TextError](err); !ok || where.Group != 4 {
		t.Errorf("groups 4 and 5 swapped: %v", err)
	}
}

func TestMissingAndDoubledCharacters(t *testing.T) {
	text := sample(t).Reveal()
	for i := len(Prefix) + groupSize + 1; i < len(text)-3*groupSize; i++ {
		if text[i] == '-' || text[i] == text[i+1] || text[i] == text[i-1] {
			continue
		}
		for what, typed := range map[string]string{"missing": text[:i] + text[i+1:], "doubled": text[:i] + text[i:i+1] + text[i:]} {
			_, err := Parse(typed)
			where, ok := errors.AsType[*TextError](err)
			// The check is one of 32, so that now and then the error shows a group later.
			if !ok || where.Group < groupOf(text, i) || where.Group > groupOf(text, i)+2 {
				t.Errorf("character %d %s: %v, want group %d", i, what, err, groupOf(text, i))
			}
		}
	}
}

func TestTruncatedSaysSo(t *testing.T) {
	text := sample(t).Reveal()
	for n := range len(text) {
		_, err := Parse(text[:n])
		if !errors.Is(err, ErrMalformed) {
			t.Fatalf("the first %d characters: %v", n, err)
		}
		if n >= len(Prefix) && !strings.Contains(err.Error(), "cut off") {
			t.Errorf("the first %d of %d characters: %v, want that it is cut off", n, len(text), err)
		}
	}
}

func TestOtherTexts(t *testing.T) {
	text := sample(t).Reveal()
	for name, c := range map[string]struct{ text, want string }{
		"empty":      {"", "does not start with"},
		"grid":       {"cairn-grid:abc", "does not start with"},
		"longer":     {text + "abcd", "follow its end"},
		"zero":       {text[:len(text)-5] + "0" + text[len(text)-4:], "perhaps it is o"},
		"umlaut":     {text[:20] + "ä" + text[21:], "which no invitation has"},
		"huge":       {Prefix + strings.Repeat("a", 1<<20), "too many"},
		"no content": {Prefix, "cut off"},
	} {
		if _, err := Parse(c.text); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	data, err := sample(t).encode()
	if err != nil {
		t.Fatal(err)
	}
	data[0] = version + 1
	if _, err := Parse(Prefix + formatGroups(data)); !errors.Is(err, share.ErrVersion) {
		t.Errorf("a later version: %v, want ErrVersion", err)
	}
}

func TestInvitationRefuses(t *testing.T) {
	good := "/ip4/192.0.2.1/tcp/4001/p2p/" + peerA
	var many []string
	for i := range MaxAddresses + 1 {
		many = append(many, fmt.Sprintf("/ip4/192.0.2.%d/tcp/1/p2p/%s", i, peerA))
	}
	for name, c := range map[string]struct {
		kind      Kind
		expires   time.Time
		addresses []string
	}{
		"no address": {KindMember, tomorrow, nil}, "no peer": {KindMember, tomorrow, []string{"/ip4/192.0.2.1/tcp/1"}},
		"kind": {7, tomorrow, []string{good}}, "time": {KindMember, time.Time{}, []string{good}}, "many": {KindMember, tomorrow, many},
	} {
		if _, err := newInvitation(c.kind, c.expires, c.addresses); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPrintingHidesTheSecret(t *testing.T) {
	inv := sample(t)
	for _, text := range []string{inv.String(), fmt.Sprint(inv), fmt.Sprintf("%#v", inv), inv.LogValue().String()} {
		if text != secretLabel {
			t.Errorf("an invitation prints as %q", text)
		}
	}
}

// TestFieldIsOne: the multiplication is that of a field, which the check relies on.
func TestFieldIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.ByteRange(1, 31).Draw(t, "a"), rapid.ByteRange(1, 31).Draw(t, "b"), rapid.ByteRange(0, 31).Draw(t, "c")
		if times(a, b) == 0 || times(a, b) > 31 || times(a, b^c) != times(a, b)^times(a, c) || times(a, b) != times(b, a) || times(1, a) != a {
			t.Fatalf("%d times %d is %d", a, b, times(a, b))
		}
	})
	order, power := 1, byte(2)
	for power != 1 {
		power, order = times(power, 2), order+1
	}
	if order != 31 {
		t.Errorf("α has the order %d, want 31", order)
	}
}

func FuzzParse(f *testing.F) {
	text := sample(f).Reveal()
	f.Add(text)
	f.Add(text[:60])
	f.Add(Prefix)
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(inv.Reveal())
		if err != nil || !cmp.Equal(inv, again, cmp.AllowUnexported(Invitation{})) {
			t.Errorf("%q is printed as %q, which is %v, %v", text, inv.Reveal(), again, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	data, err := sample(f).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:len(data)-sumSize])
	f.Fuzz(func(t *testing.T, body []byte) {
		inv, err := decode(append(body[:len(body):len(body)], checksum(body)...))
		if err != nil {
			return
		}
		if again, err := inv.encode(); err != nil || string(again[:len(body)]) != string(body) {
			t.Errorf("%x is written as %x, %v", body, again, err)
		}
	})
}

// TestGoldenText: the example in docs/formats.md.
func TestGoldenText(t *testing.T) {
	inv := Invitation{
		Kind: KindMember, Expires: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		Addresses: []string{"/ip4/192.0.2.1/tcp/4001/p2p/" + peerA, "/ip4/192.0.2.1/udp/4001/quic-v1/p2p/" + peerA},
	}
	for i := range inv.secret {
		inv.secret[i] = byte(i)
	}
	doc, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	if text := inv.Reveal(); !strings.Contains(string(doc), text) {
		t.Errorf("docs/formats.md does not have %s", text)
	}
	id, key := inv.id(), inv.key()
	for what, value := range map[string]string{"id": hex.EncodeToString(id[:]), "key": hex.EncodeToString(key[:])} {
		if !strings.Contains(string(doc), value) {
			t.Errorf("docs/formats.md does not have the %s %s", what, value)
		}
	}
}
