package spelling_test

import (
	"testing"

	"pgregory.net/rapid"

	"cairn/internal/spelling"
)

func TestDistance(t *testing.T) {
	for _, try := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"same", "same", 0},
		{"ofer", "offer", 1},
		{"offer", "ofer", 1},
		{"fiel", "file", 1},
		{"kitten", "sitting", 3},
		{"ca", "abc", 3},
		{"ab", "xy", 2},
	} {
		if got := spelling.Distance(try.a, try.b); got != try.want {
			t.Errorf("from %q to %q: %d, want %d", try.a, try.b, got, try.want)
		}
	}
}

func TestDistanceIsTheSameBothWays(t *testing.T) {
	word := rapid.StringMatching(`[a-c]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if there, back := spelling.Distance(a, b), spelling.Distance(b, a); there != back || (there == 0) != (a == b) || there > max(len(a), len(b)) {
			t.Errorf("from %q to %q: %d, back %d", a, b, there, back)
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"OFFER", "RESERVE", "OFFERS"}
	for typed, want := range map[string]string{"OFER": "OFFER", "OFFERS": "OFFERS", "RESREVE": "RESERVE"} {
		if got, d := spelling.Nearest(typed, known); got != want || d > 1 {
			t.Errorf("%q: %q at %d, want %q", typed, got, d, want)
		}
	}
	if got, d := spelling.Nearest("abc", nil); got != "" || d != 3 {
		t.Errorf("among nothing: %q at %d", got, d)
	}
}
