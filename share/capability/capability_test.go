package capability_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// anyKnown draws a capability of any known kind.
var anyKnown = rapid.Custom(func(t *rapid.T) capability.Capability {
	var index share.StorageIndex
	var key [keys.Size]byte
	copy(index[:], rapid.SliceOfN(rapid.Byte(), len(index), len(index)).Draw(t, "index"))
	copy(key[:], rapid.SliceOfN(rapid.Byte(), len(key), len(key)).Draw(t, "key"))
	literal, err := capability.Literal(rapid.SliceOfN(rapid.Byte(), 0, capability.MaxLiteral).Draw(t, "data"))
	if err != nil {
		t.Fatal(err)
	}
	c := rapid.SampledFrom([]capability.Capability{
		capability.File(index, key), capability.FileVerify(index), literal, capability.Mutable(key),
		capability.Directory(key), capability.ImmutableDirectory(index, key),
	}).Draw(t, "capability")
	for range rapid.IntRange(0, 2).Draw(t, "diminished") {
		weaker := c.Read
		if rapid.Bool().Draw(t, "verify") {
			weaker = c.Verify
		}
		if w, err := weaker(); err == nil {
			c = w
		}
	}
	return c
})

// examples returns one capability of each known kind, the same ones every time.
func examples(t testing.TB) []capability.Capability {
	t.Helper()
	index := share.IndexOf([]byte("root"))
	key := [keys.Size]byte([]byte("0123456789abcdef"))
	literal, err := capability.Literal([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	out := []capability.Capability{literal}
	for _, c := range []capability.Capability{
		capability.File(index, key), capability.Mutable(key), capability.Directory(key), capability.ImmutableDirectory(index, key),
	} {
		out = append(out, c)
		if c.Authority() == capability.AuthorityWrite {
			read, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, read)
		}
		verify, err := c.Verify()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, verify)
	}
	if len(out) != len(capability.Kinds()) {
		t.Fatalf("%d examples for %d kinds", len(out), len(capability.Kinds()))
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyKnown.Draw(t, "c")
		got, err := capability.Parse(c.Text())
		if err != nil {
			t.Fatalf("parse what was printed: %v", err)
		}
		if !got.Equal(c) || !c.Equal(got) || got.Text() != c.Text() || got.Kind() != c.Kind() {
			t.Fatalf("parsed a different capability")
		}
	})
}

func TestEqualMeansSameText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyKnown.Draw(t, "a"), anyKnown.Draw(t, "b")
		if a.Equal(b) != (a.Text() == b.Text()) {
			t.Fatalf("Equal is %v for the texts %q and %q", a.Equal(b), a.Text(), b.Text())
		}
	})
}

// TestNoSecondSpelling changes single characters of a valid text: whatever is accepted prints as it was read, and
// is another capability.
func TestNoSecondSpelling(t *testing.T) {
	for _, c := range examples(t) {
		text := c.Text()
		for i := range text {
			for _, with := range []string{"", "a", "A", "7", "=", ":", " ", "\n", "0", "\x00", "é", text[i:i+1] + text[i:i+1], strings.ToUpper(text[i : i+1])} {
				changed := text[:i] + with + text[i+1:]
				got, err := capability.Parse(changed)
				if err == nil && (got.Text() != changed || got.Equal(c) != (changed == text)) {
					t.Errorf("%q was read from %q", got.Text(), changed)
				}
			}
		}
	}
}

// TestTruncation cuts a valid text everywhere: no part of it but another literal is a capability.
func TestTruncation(t *testing.T) {
	for _, c := range examples(t) {
		text := c.Text()
		for i := range text {
			got, err := capability.Parse(text[:i])
			switch {
			case err == nil && got.Kind() != capability.KindLiteral:
				t.Errorf("%q is accepted as %v", text[:i], got.Kind())
			case err != nil && !errors.Is(err, capability.ErrMalformed):
				t.Errorf("%q: %v does not wrap ErrMalformed", text[:i], err)
			}
		}
	}
}

// TestAttenuation: diminishing gives at most the authority asked for, never adds any, never leaves the thing, and a
// weaker capability holds no stronger key.
func TestAttenuation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyKnown.Draw(t, "c")
		for limit, diminish := range map[capability.Authority]func() (capability.Capability, error){
			capability.AuthorityRead: c.Read, capability.AuthorityVerify: c.Verify,
		} {
			weaker, err := diminish()
			if err != nil {
				exists := c.Authority() >= limit && c.Kind() != capability.KindLiteral
				if exists || !errors.Is(err, capability.ErrAuthority) || !weaker.IsZero() {
					t.Fatalf("%v to %v: %v", c.Kind(), limit, err)
				}
				continue
			}
			if weaker.Authority() != limit || weaker.Authority() > c.Authority() {
				t.Fatalf("%v to %v gave %v", c.Kind(), limit, weaker.Authority())
			}
			checkSameThing(t, c, weaker)
		}
	})
}

func checkSameThing(t *rapid.T, c, weaker capability.Capability) {
	wantIndex, _ := c.StorageIndex()
	gotIndex, _ := weaker.StorageIndex()
	wantName, _ := c.Name()
	gotName, _ := weaker.Name()
	if gotIndex != wantIndex || gotName != wantName {
		t.Fatalf("diminishing %v led to another thing", c.Kind())
	}
	if _, ok := weaker.WriteKey(); ok && weaker.Authority() < capability.AuthorityWrite {
		t.Fatalf("%v has a write key", weaker.Kind())
	}
	if _, ok := weaker.ReadKey(); ok && weaker.Authority() < capability.AuthorityRead {
		t.Fatalf("%v has a read key", weaker.Kind())
	}
	if key, ok := c.WriteKey(); ok && weaker.Authority() < capability.AuthorityWrite {
		secret := strings.TrimPrefix(c.Text(), "cairn:"+c.Kind().String()+":"+gotName.String()+":")
		if strings.Contains(weaker.Text(), secret) {
			t.Fatalf("%v shows the write key %v", weaker.Kind(), key)
		}
	}
	if want, ok := c.ReadKey(); ok && weaker.Authority() == capability.AuthorityRead {
		if got, _ := weaker.ReadKey(); got != want {
			t.Fatalf("the read capability has another read key")
		}
	}
}

// secrets returns the fields of the capability that nobody but its holder may see.
func secrets(c capability.Capability) []string {
	var out []string
	fields := strings.Split(c.Text(), ":")
	if _, ok := c.ReadKey(); ok {
		out = append(out, fields[len(fields)-1])
	}
	if data, ok := c.Data(); ok && len(data) > 2 {
		out = append(out, fields[len(fields)-1], string(data))
	}
	return out
}

func TestPrintingHidesSecrets(t *testing.T) {
	for _, c := range append(examples(t), parse(t, "cairn:blob:secretsecret")) {
		hidden := secrets(c)
		if c.Kind() == capability.KindUnknown {
			hidden = []string{"secretsecret"}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "c", c, "struct", struct{ C capability.Capability }{c})
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "c", c, "struct", struct{ C capability.Capability }{c})
		asJSON, err := json.Marshal(map[string]any{"c": c, "d": c.Describe()})
		if err != nil {
			t.Fatal(err)
		}
		for _, printed := range []string{
			c.String(), c.GoString(), log.String(), string(asJSON), fmt.Sprint(c), fmt.Sprintf("%+v %#v %x %d %q %s", c, c, c, c, c, c),
			fmt.Sprintf("%+v %#v", struct{ C capability.Capability }{c}, &c),
		} {
			for _, secret := range hidden {
				if strings.Contains(printed, secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) {
					t.Errorf("%v shows its secret in %s", c.Kind(), printed)
				}
			}
		}
	}
}

func parse(t *testing.T, text string) capability.Capability {
	t.Helper()
	c, err := capability.Parse(text)
	if err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	return c
}

// TestErrorsHideSecrets damages texts in every place and looks for what is left of the key in the error.
func TestErrorsHideSecrets(t *testing.T) {
	for _, c := range examples(t) {
		text := c.Text()
		for _, secret := range secrets(c) {
			for i := range text {
				for _, changed := range []string{text[:i] + "!" + text[i+1:], text[:i] + text[i+1:], text[:i] + ":" + text[i:], text[i:], text + ":x"} {
					_, err := capability.ParseKind(changed, capability.KindDirVerify)
					if err != nil && sharesRun(err.Error(), secret, 6) {
						t.Fatalf("the error shows the secret: %v", err)
					}
				}
			}
		}
	}
}

// sharesRun reports whether n characters of secret stand in text.
func sharesRun(text, secret string, n int) bool {
	for i := 0; i+n <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+n]) {
			return true
		}
	}
	return false
}

func TestLiteral(t *testing.T) {
	for _, n := range []int{0, 1, 54, 55} {
		want := bytes.Repeat([]byte{0xa5}, n)
		c, err := capability.Literal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parse(t, c.Text()).Data()
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %d", n, len(got))
		}
		if n > 0 {
			got[0] ^= 1
			if again, _ := c.Data(); !bytes.Equal(again, want) {
				t.Error("a capability was changed from outside")
			}
		}
	}
	if _, err := capability.Literal(make([]byte, 56)); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("56 bytes: %v", err)
	}
}

func TestUnknownKindsAreCarried(t *testing.T) {
	for _, text := range []string{"cairn:blob:anything/at+all:here", "cairn:file2:x", "cairn:a-b-3::::"} {
		c := parse(t, text)
		if c.Kind() != capability.KindUnknown || c.Text() != text || c.Authority() != capability.AuthorityNone || c.IsZero() {
			t.Errorf("%q was not carried", text)
		}
		if _, err := c.Read(); !errors.Is(err, capability.ErrAuthority) {
			t.Errorf("%q gives a read capability: %v", text, err)
		}
		if _, err := c.Verify(); !errors.Is(err, capability.ErrAuthority) {
			t.Errorf("%q gives a verify capability: %v", text, err)
		}
		if err := c.Want(capability.KindUnknown); err == nil {
			t.Errorf("%q satisfies a wish for unknown kinds", text)
		}
		if d := c.Describe(); !strings.HasPrefix(text, "cairn:"+d.Kind+":") || len(d.Can) == 0 {
			t.Errorf("%q is described as %+v", text, d)
		}
	}
}

func TestWant(t *testing.T) {
	for _, c := range examples(t) {
		for _, k := range capability.Kinds() {
			_, err := capability.ParseKind(c.Text(), k)
			if (err == nil) != (k == c.Kind()) {
				t.Errorf("%v given, %v wanted: %v", c.Kind(), k, err)
			}
			if err != nil && (!errors.Is(err, capability.ErrMalformed) ||
				!strings.Contains(err.Error(), c.Kind().Noun()) || !strings.Contains(err.Error(), k.Noun())) {
				t.Errorf("%v given, %v wanted: unclear error %v", c.Kind(), k, err)
			}
		}
	}
	_, err := capability.ParseKind("cairn:fiel:x:y", capability.KindFile)
	if err == nil || !strings.Contains(err.Error(), "did you mean cairn:file:?") {
		t.Errorf("a mistyped kind: %v", err)
	}
}

func TestZeroValueOpensNothing(t *testing.T) {
	var c capability.Capability
	_, index := c.StorageIndex()
	_, name := c.Name()
	_, read := c.ReadKey()
	_, data := c.Data()
	if !c.IsZero() || index || name || read || data || c.Authority() != capability.AuthorityNone || c.String() != "[no capability]" {
		t.Errorf("the zero value is %v", c)
	}
	if _, err := capability.Parse(c.Text()); err == nil {
		t.Error("the zero value's text is accepted")
	}
}

func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n share.Name
		copy(n[:], rapid.SliceOfN(rapid.Byte(), len(n), len(n)).Draw(t, "name"))
		got, err := share.ParseName(n.String())
		if err != nil || got != n || !strings.HasPrefix(n.String(), "k51") {
			t.Fatalf("%v came back as %v: %v", n, got, err)
		}
	})
}
