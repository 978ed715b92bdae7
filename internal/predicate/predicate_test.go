package predicate_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cairn/internal/predicate"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var environment = predicate.Environment{
	Now:  now,
	Size: func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) },
	Moment: func(text string) (time.Time, error) {
		return time.Parse(time.DateOnly, text)
	},
}

var things = []predicate.Thing{
	{Path: "t", Name: "t", Type: predicate.Directory, Modified: now},
	{Path: "t/a", Name: "a", Type: predicate.Directory, Modified: now},
	{Path: "t/a/big.JPG", Name: "big.JPG", Type: predicate.File, Size: 5000, Modified: now.Add(-49 * time.Hour)},
	{Path: "t/a/e", Name: "e", Type: predicate.Directory, Modified: now, Empty: true},
	{Path: "t/f", Name: "f", Type: predicate.File, Size: 0, Empty: true, Modified: now.Add(-10 * time.Minute)},
	{Path: "t/l", Name: "l", Type: predicate.Link, Size: 4},
	{Path: "t/x.sh", Name: "x.sh", Type: predicate.File, Size: 10, Executable: true, Modified: now.AddDate(-1, 0, 0)},
	{Path: "t/?", Name: "?", Type: predicate.Other, Size: -1},
}

// A record notes what is done.
type record struct{ did []string }

func (r *record) note(what string, t predicate.Thing) {
	r.did = append(r.did, what+strings.TrimPrefix(t.Path, "t"))
}

func (r *record) Print(t predicate.Thing, zero bool) error {
	what := ""
	if zero {
		what = "0:"
	}
	r.note(what, t)
	return nil
}

func (r *record) Delete(t predicate.Thing) (bool, error) {
	r.note("rm:", t)
	return t.Name != "a", nil
}

func (r *record) Execute(t predicate.Thing, command []string) (bool, error) {
	if command[0] == "broken" {
		return false, errBroken
	}
	r.note(strings.Join(command, "_")+":", t)
	return command[0] == "yes", nil
}

func (r *record) Gather(t predicate.Thing, command []string) error {
	r.note("+"+strings.Join(command, "_")+":", t)
	return nil
}

var errBroken = errors.New("broken")

// did applies an expression to all things, as find does.
func did(t *testing.T, text string) []string {
	t.Helper()
	x, err := predicate.Parse(strings.Fields(text), environment)
	if err != nil {
		t.Errorf("%s: %v", text, err)
		return nil
	}
	r, pruned := &record{}, "-"
	for _, thing := range things {
		if strings.HasPrefix(thing.Path, pruned) {
			continue
		}
		o, err := x.Apply(thing, r)
		if err != nil || o.Quit {
			r.did = append(r.did, "end")
			break
		}
		if o.Prune {
			pruned = thing.Path + "/"
		}
	}
	return r.did
}

func TestExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    " /a /a/big.JPG /a/e /f /l /x.sh /?",
		"-type d":                             " /a /a/e",
		"-type d,l":                           " /a /a/e /l",
		"! -type d -type f":                   "/a/big.JPG /f /x.sh",
		"-not ( -type d -o -type f )":         "/l /?",
		"! ! -name f":                         "/f",
		"-name f -o -name l -name x":          "/f",
		"-name f -o -name l -a -name l":       "/f /l",
		"-name f -print -o -name l":           "/f",
		"-name f -print , -name l -print0":    "/f 0:/l",
		"-name *.JPG":                         "/a/big.JPG",
		"--name=*.JPG":                        "/a/big.JPG",
		"--iname *.jpg":                       "/a/big.JPG",
		"-name [!a-z]*":                       "/?",
		"-path t/a*":                          "/a /a/big.JPG /a/e",
		"-ipath T/A/*":                        "/a/big.JPG /a/e",
		"-wholename t/?":                      "/a /f /l /?",
		"-empty":                              "/a/e /f",
		"-size 10":                            "/x.sh",
		"-size +9c -size -5000":               "/x.sh",
		"-size -1":                            "/f",
		"-mtime 2":                            "/a/big.JPG",
		"-mtime +2":                           "/x.sh",
		"-mmin -11 -type f":                   "/f",
		"-newer 2026-11-21 -type f":           "/f",
		"-newermt 2026-11-01 -type f":         "/a/big.JPG /f",
		"-executable -type f":                 "/x.sh",
		"-name a -prune -o -print":            " /f /l /x.sh /?",
		"-true -o -false":                     " /a /a/big.JPG /a/e /f /l /x.sh /?",
		"-name f -print -quit -o -name e":     "/f end",
		"-quit -print":                        "end",
		"-type f -exec yes {} ; -print":       "yes_{}:/a/big.JPG /a/big.JPG yes_{}:/f /f yes_{}:/x.sh /x.sh",
		"-name f -exec no -q {} ; -o -name f": "no_-q_{}:/f",
		"-name f -exec no ; -o -print":        " /a /a/big.JPG /a/e no:/f /f /l /x.sh /?",
		"-type l -exec cat {} +":              "+cat:/l",
		"-name f -exec broken ; -print":       "end",
		"-type d -delete -print":              "rm:  rm:/a rm:/a/e /a/e",
	} {
		if got := strings.Join(did(t, text), " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	x, err := predicate.Parse(strings.Fields("-maxdepth 3 -mindepth 1 -empty -delete"), environment)
	if err != nil || x.MaxDepth != 3 || x.MinDepth != 1 || !x.Inward || !x.Changes || !x.Empties {
		t.Errorf("%+v, %v", x, err)
	}
	if x, err = predicate.Parse(nil, environment); err != nil || x.MaxDepth >= 0 || x.Inward || x.Changes || x.Empties {
		t.Errorf("nothing: %+v, %v", x, err)
	}
}

func TestWrongExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"-name":                              "-name: its value is missing",
		"-nosuch":                            `there is no test "-nosuch"`,
		"x":                                  `there is no test "x"`,
		"(":                                  "behind ( a test is missing",
		"( )":                                "(): there is nothing in it",
		"( -name f":                          "(: there is no ) for it",
		"-name f )":                          "): there is no ( for it",
		")":                                  "before ) a test is missing",
		"-o -name f":                         "before -o a test is missing",
		"-name f -o":                         "behind -o a test is missing",
		"-name f -a":                         "behind -a a test is missing",
		"!":                                  "behind ! a test is missing",
		"-name f ,":                          "behind , a test is missing",
		"-type x":                            "-type x is no type: want f, d or l",
		"-type f,":                           "-type f, is no type",
		"-size x":                            "-size x is no size",
		"-mtime x":                           "-mtime x is no age",
		"-mtime 1.5":                         "-mtime 1.5 is no age",
		"-maxdepth -1":                       "-maxdepth -1 is no depth",
		"-name [":                            "-name [ is no pattern",
		"-exec echo {}":                      "-exec has no end",
		"-exec ;":                            "-exec has no command",
		"-exec {} +":                         "-exec has no command",
		"-delete -prune":                     "-prune leaves out nothing where -delete is",
		"-print=x":                           `there is no test "-print=x"`,
		strings.Repeat("( ", 2000) + "-true": "more than 1000 stand in each other",
	} {
		_, err := predicate.Parse(strings.Fields(text), environment)
		if _, syntax := errors.AsType[*predicate.SyntaxError](err); !syntax || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
	_, err := predicate.Parse([]string{"-newer", "nosuch"}, environment)
	if _, syntax := errors.AsType[*predicate.SyntaxError](err); err == nil || syntax {
		t.Errorf("a time that is none: %v, want an error that is not one of syntax", err)
	}
}

func TestSeparate(t *testing.T) {
	for text, want := range map[string][2]string{
		"home:docs -name x":                    {"-name x", "home:docs"},
		"-name x home:docs -q --json":          {"-name x", "home:docs -q --json"},
		"home: -size -10 ! ( -empty )":         {"-size -10 ! ( -empty )", "home:"},
		"home: -exec grep -q x {} ; -print":    {"-exec grep -q x {} ; -print", "home:"},
		"home: -exec cairn rm {} + --dir node": {"-exec cairn rm {} +", "home: --dir node"},
		"home: -exec echo {}":                  {"-exec echo {}", "home:"},
		"--name=x home: --maxdepth 1":          {"--name=x --maxdepth 1", "home:"},
		"home: -foo -l --bar":                  {"-foo", "home: -l --bar"},
		"-name x -- -name":                     {"-name x", "-- -name"},
		"home: -name":                          {"-name", "home:"},
	} {
		expression, rest := predicate.Separate(strings.Fields(text))
		if strings.Join(expression, " ") != want[0] || strings.Join(rest, " ") != want[1] {
			t.Errorf("%s: %q and %q, want %q", text, expression, rest, want)
		}
	}
}

// FuzzParse reads any words, and applies what they say.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "-name\nx\n-o\n(\n!\n-type\nf\n)\n,\n-print", "-exec\na\n{}\n+", "-exec\na\n;", "-size\n+1c\n-prune\n-quit", "((((", "-maxdepth\n1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		expression, rest := predicate.Separate(args)
		if len(expression)+len(rest) != len(args) {
			t.Errorf("of %q %d words and %d are left", args, len(expression), len(rest))
		}
		x, err := predicate.Parse(slices.Clone(expression), environment)
		if err != nil {
			return
		}
		for _, thing := range things {
			o, err := x.Apply(thing, &record{})
			if err != nil && !errors.Is(err, errBroken) || o.Prune && x.Inward {
				t.Errorf("%q: %+v, %v", expression, o, err)
			}
		}
	})
}
