package predicate

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// A vocable is a word of expressions that is no operator.
type vocable struct {
	values  int  // that follow it: 0 or 1
	command bool // a command follows it
	read    func(p *parser, value string) (term, error)
}

var words map[string]vocable

func init() { //nolint:gochecknoinits // the words refer to the parser, which refers to them
	matching := func(of func(Thing) string, change func(string) string) vocable {
		return vocable{values: 1, read: func(_ *parser, pattern string) (term, error) { return matched(change(pattern), of, change) }}
	}
	same := func(s string) string { return s }
	name := func(t Thing) string { return t.Name }
	whole := func(t Thing) string { return t.Path }
	words = map[string]vocable{
		"-name": matching(name, same), "-iname": matching(name, strings.ToLower),
		"-path": matching(whole, flat), "-wholename": matching(whole, flat),
		"-ipath": matching(whole, func(s string) string { return flat(strings.ToLower(s)) }),
		"-type":  {values: 1, read: typed}, "-size": {values: 1, read: sized},
		"-mtime": {values: 1, read: aged(24 * time.Hour)}, "-mmin": {values: 1, read: aged(time.Minute)},
		"-newer": {values: 1, read: newer}, "-newermt": {values: 1, read: newer},
		"-empty": {read: func(p *parser, _ string) (term, error) {
			p.x.Empties = true
			return func(r *run) bool { return r.thing.Empty }, nil
		}},
		"-executable": constant(func(r *run) bool { return r.thing.Executable || r.thing.Type == Directory }),
		"-true":       constant(func(*run) bool { return true }),
		"-false":      constant(func(*run) bool { return false }),
		"-maxdepth":   {values: 1, read: depth(func(x *Expression) *int { return &x.MaxDepth })},
		"-mindepth":   {values: 1, read: depth(func(x *Expression) *int { return &x.MinDepth })},
		"-depth": {read: func(p *parser, _ string) (term, error) {
			p.x.Inward = true
			return and(nil), nil
		}},
		"-prune": {read: func(p *parser, _ string) (term, error) {
			p.x.pruned = true
			return func(r *run) bool { r.prune = true; return true }, nil
		}},
		"-quit": {read: func(p *parser, _ string) (term, error) {
			p.acts = true
			return func(r *run) bool { r.quit = true; return true }, nil
		}},
		"-print":  {read: func(p *parser, _ string) (term, error) { p.acts = true; return printed(false), nil }},
		"-print0": {read: func(p *parser, _ string) (term, error) { p.acts = true; return printed(true), nil }},
		"-delete": {read: func(p *parser, _ string) (term, error) {
			p.acts, p.deletes, p.x.Inward, p.x.Changes = true, true, true, true
			return func(r *run) bool { return r.did(r.do.Delete(r.thing)) }, nil
		}},
		"-exec": {command: true, read: executed},
	}
}

func constant(t term) vocable {
	return vocable{read: func(*parser, string) (term, error) { return t, nil }}
}

func printed(zero bool) term {
	return func(r *run) bool { return r.did(true, r.do.Print(r.thing, zero)) }
}

// flat has patterns match across slashes, as find(1) does.
func flat(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

var errPattern = errors.New("is no pattern: a [ has no ] or a \\ stands at its end")

// matched tests a text with a pattern of the shell.
func matched(pattern string, of func(Thing) string, change func(string) string) (term, error) {
	pattern = strings.ReplaceAll(pattern, "[!", "[^")
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, errPattern
	}
	return func(r *run) bool {
		ok, err := path.Match(pattern, change(of(r.thing)))
		return err == nil && ok
	}, nil
}

func typed(_ *parser, value string) (term, error) {
	for letter := range strings.SplitSeq(value, ",") {
		if len(letter) != 1 || !strings.Contains("fdl", letter) {
			return nil, errors.New("is no type: want f, d or l, or several with commas between")
		}
	}
	return func(r *run) bool { return strings.IndexByte(value, byte(r.thing.Type)) >= 0 }, nil
}

// signed takes the sign off a number: 1 for more, -1 for less, 0 for exactly.
func signed(text string) (sign int, rest string) {
	switch {
	case strings.HasPrefix(text, "+"):
		return 1, text[1:]
	case strings.HasPrefix(text, "-"):
		return -1, text[1:]
	}
	return 0, text
}

// compared tests a number against one that was signed.
func compared(sign int, n, than int64) bool {
	return sign == 0 && n == than || sign > 0 && n > than || sign < 0 && n < than
}

func sized(p *parser, value string) (term, error) {
	sign, text := signed(value)
	if bytes, ok := strings.CutSuffix(text, "c"); ok {
		text = bytes
	}
	size, err := p.env.Size(text)
	if err != nil {
		return nil, fmt.Errorf("is no size: %w", err)
	}
	return func(r *run) bool {
		return r.thing.Type == File && r.thing.Size >= 0 && compared(sign, r.thing.Size, size)
	}, nil
}

// aged tests how many units of time ago the contents changed, the begun one left out.
func aged(unit time.Duration) func(*parser, string) (term, error) {
	return func(p *parser, value string) (term, error) {
		sign, text := signed(value)
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, errors.New("is no age: want a whole number, with a + for more or a - for less")
		}
		return func(r *run) bool {
			age := int64(p.env.Now.Sub(r.thing.Modified) / unit)
			return !r.thing.Modified.IsZero() && compared(sign, age, int64(n))
		}, nil
	}
}

func newer(p *parser, value string) (term, error) {
	at, err := p.env.Moment(value)
	if err != nil {
		p.outside = true
		return nil, fmt.Errorf("is no time: %w", err)
	}
	return func(r *run) bool { return r.thing.Modified.After(at) }, nil
}

func depth(of func(*Expression) *int) func(*parser, string) (term, error) {
	return func(p *parser, value string) (term, error) {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return nil, errors.New("is no depth: want a whole number")
		}
		*of(p.x) = int(n)
		return and(nil), nil
	}
}

// executed reads a command up to the word that ends it.
func executed(p *parser, _ string) (term, error) {
	length := commandLength(p.args[p.at:])
	command := p.args[p.at : p.at+length]
	if p.at+length == len(p.args) {
		return nil, errors.New("has no end: it is ';' or '{} +', quoted for the shell")
	}
	end := p.args[p.at+length]
	p.at += length + 1
	p.acts, p.x.Changes = true, true
	if end == "+" {
		command = command[:length-1]
	}
	if len(command) == 0 {
		return nil, errors.New("has no command")
	}
	if end == "+" {
		return func(r *run) bool { return r.did(true, r.do.Gather(r.thing, command)) }, nil
	}
	return func(r *run) bool { return r.did(r.do.Execute(r.thing, command)) }, nil
}
