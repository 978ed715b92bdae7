package share_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"pgregory.net/rapid"

	"cairn/share"
)

func TestStorageIndexIsTheCIDOfTheRoot(t *testing.T) {
	root := []byte("root")
	index := share.IndexOf(root)
	// What any IPFS tool computes for the block.
	want, err := cid.Prefix{Version: 1, Codec: cid.DagCBOR, MhType: multihash.SHA2_256, MhLength: 32}.Sum(root)
	if err != nil {
		t.Fatal(err)
	}
	if index.String() != want.String() || !index.CID().Equals(want) || index != share.StorageIndex(sha256.Sum256(root)) {
		t.Errorf("got %v, want %v", index, want)
	}
	if index.IsZero() || !(share.StorageIndex{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestStorageIndexRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var index share.StorageIndex
		copy(index[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "index"))
		got, err := share.ParseStorageIndex(index.String())
		if err != nil || got != index {
			t.Fatalf("%v came back as %v: %v", index, got, err)
		}
		if got, err = share.StorageIndexOf(index.CID()); err != nil || got != index {
			t.Fatalf("%v came back as %v: %v", index.CID(), got, err)
		}
	})
}

// otherForms returns texts that are CIDs, but not of a root or not as roots' CIDs are written.
func otherForms(t testing.TB) map[string]string {
	t.Helper()
	index := share.IndexOf([]byte("root"))
	hash := index.CID().Hash()
	sha512, err := multihash.Sum([]byte("root"), multihash.SHA2_512, -1)
	if err != nil {
		t.Fatal(err)
	}
	short, err := multihash.Sum([]byte("root"), multihash.SHA2_256, 20)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := multihash.Sum(make([]byte, 32), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	base36, err := index.CID().StringOfBase('k')
	if err != nil {
		t.Fatal(err)
	}
	text := index.String()
	return map[string]string{
		"version 0":      cid.NewCidV0(hash).String(),
		"raw":            cid.NewCidV1(cid.Raw, hash).String(),
		"sha2-512":       cid.NewCidV1(cid.DagCBOR, sha512).String(),
		"a short digest": cid.NewCidV1(cid.DagCBOR, short).String(),
		"identity":       cid.NewCidV1(cid.DagCBOR, identity).String(),
		"base36":         base36,
		"upper case":     strings.ToUpper(text),
		"a space":        text + " ",
		"a line end":     text + "\n",
		"cut":            text[:58],
		"longer":         text + "a",
		"other bits":     text[:58] + "z",
		"empty":          "",
		"a path":         "/ipfs/" + text,
	}
}

func TestParseStorageIndexRefuses(t *testing.T) {
	for about, text := range otherForms(t) {
		index, err := share.ParseStorageIndex(text)
		if err == nil || !index.IsZero() {
			t.Errorf("%s: %q is accepted as %v", about, text, index)
		}
	}
}

// FuzzParseStorageIndex looks for a text that panics, or that is accepted and printed differently.
func FuzzParseStorageIndex(f *testing.F) {
	f.Add(share.IndexOf(nil).String())
	for _, text := range otherForms(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		index, err := share.ParseStorageIndex(text)
		if err == nil && index.String() != text {
			t.Fatalf("%q is read as %v", text, index)
		}
	})
}

func TestParams(t *testing.T) {
	for _, p := range []share.Params{{1, 1, 1}, {3, 7, 10}, {1, 256, 256}, {256, 256, 256}, {3, 3, 10}, {2, 3, 3}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
	for _, p := range []share.Params{{}, {0, 1, 1}, {-1, 1, 1}, {4, 4, 3}, {3, 2, 10}, {3, 11, 10}, {3, 7, 257}, {257, 257, 257}} {
		if err := p.Validate(); err == nil {
			t.Errorf("%v is accepted", p)
		}
	}
	if got := (share.Params{Needed: 3, Happy: 7, Total: 10}).String(); got != "3-of-10, happy 7" {
		t.Errorf("printed as %q", got)
	}
}

// TestDefaultParams: whatever the number of servers, the default is valid and fits; from two servers on an upload that
// succeeded survives the loss of one server.
func TestDefaultParams(t *testing.T) {
	for servers := range 1000 {
		p := share.DefaultParams(servers)
		if err := p.Validate(); err != nil || p.IsZero() {
			t.Fatalf("%d servers: %v: %v", servers, p, err)
		}
		if p.Total > max(servers, 1) {
			t.Errorf("%d servers: %v wants more of them", servers, p)
		}
		if servers >= 2 && p.Happy <= p.Needed {
			t.Errorf("%d servers: %v does not survive the loss of one", servers, p)
		}
	}
	if got := share.DefaultParams(10); got != (share.Params{Needed: 3, Happy: 7, Total: 10}) {
		t.Errorf("ten servers: %v", got)
	}
}

func TestErrorsCanBeRecognised(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		want error
		says []string
	}{
		{&share.UnhappyError{Happiness: 3, Happy: 7, Servers: 5, Causes: []error{cause}}, cause, []string{"on 3 servers", "7 are needed", "5 servers known", "cause"}},
		{&share.NotEnoughSharesError{Found: 2, Needed: 3, Answered: 4, Asked: 10, Causes: []error{cause}}, cause, []string{"2 of the 3", "4 of 10", "cause"}},
		{&share.NotEnoughSharesError{Answered: 0, Asked: 3, Causes: []error{cause, cause}}, cause, []string{"no share was found (0 of 3", "cause; cause"}},
		{&share.CorruptShareError{Server: "12D3KooWabcdefgh", Number: 4, Segment: 9, Reason: "bad"}, share.ErrCorrupt, []string{"share 4", "abcdefgh", "segment 9", "bad"}},
		{&share.RollbackError{Seen: 4}, share.ErrRollback, []string{"none of the servers that answer has it", "version 4", "off line"}},
		{&share.RollbackError{Found: 3, Seen: 4}, share.ErrRollback, []string{"version 3 is older than", "version 4"}},
		{&share.CorruptShareError{Segment: -1, Reason: "bad"}, share.ErrCorrupt, []string{"index"}},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%v does not wrap %v", c.err, c.want)
		}
		for _, says := range c.says {
			if !strings.Contains(c.err.Error(), says) {
				t.Errorf("%q does not say %q", c.err, says)
			}
		}
	}
}

func TestNamesForPeople(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{share.ServerID("12D3KooWabcdefgh").Short(), "abcdefgh"},
		{share.ServerID("abc").Short(), "abc"},
		{share.Server{ID: "12D3KooWabcdefgh"}.String(), "abcdefgh"},
		{share.Server{ID: "12D3KooWabcdefgh", Nickname: "attic"}.String(), "attic (abcdefgh)"},
		{share.Number(7).String(), "7"},
		{share.UploadID{0xab}.String(), "ab" + strings.Repeat("00", 15)},
		{share.Digest{0xab}.String(), "ab" + strings.Repeat("00", 31)},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
