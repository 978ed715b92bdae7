package capability_test

import (
	"errors"
	"testing"

	"cairn/share/capability"
)

// FuzzParse looks for a text that makes Parse panic, that it accepts and prints differently, or that gains authority
// when it is diminished.
func FuzzParse(f *testing.F) {
	for _, c := range examples(f) {
		f.Add(c.Text())
	}
	f.Add("cairn:literal:")
	f.Add("cairn:later:kind:of/thing")
	f.Add("URI:CHK:x:y:3:10:1")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := capability.Parse(text)
		if err != nil {
			if !errors.Is(err, capability.ErrMalformed) || !c.IsZero() {
				t.Fatalf("%q: %v with %v", text, err, c)
			}
			return
		}
		if c.Text() != text {
			t.Fatalf("%q prints as %q", text, c.Text())
		}
		_, _ = c.String(), c.Describe()
		_ = c.Want(capability.KindFile)
		for _, diminish := range []func() (capability.Capability, error){c.Read, c.Verify} {
			weaker, err := diminish()
			if err != nil {
				continue
			}
			again, err := capability.Parse(weaker.Text())
			if err != nil || weaker.Authority() > c.Authority() || !again.Equal(weaker) {
				t.Fatalf("%q diminishes to %q: %v", text, weaker.Text(), err)
			}
		}
	})
}
