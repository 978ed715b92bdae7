package predicate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Environment gives meaning to what is written in an expression.
type Environment struct {
	Now time.Time
	// Size reads a size in bytes.
	Size func(text string) (int64, error)
	// Moment reads a time, or that of a file.
	Moment func(text string) (time.Time, error)
}

// maxNesting bounds how deep parentheses stand in each other.
const maxNesting = 1000

// word returns a word of an expression with one dash, however many it is written with, and reports whether it is one.
func word(text string) (name, value string, valued, known bool) {
	name = text
	if strings.HasPrefix(text, "--") {
		name = text[1:]
	}
	name, value, valued = strings.Cut(name, "=")
	p, isWord := words[name]
	if !isWord || valued && p.values == 0 {
		return text, "", false, slices.Contains(operators, text)
	}
	return name, value, valued, true
}

var operators = []string{"(", ")", "!", ",", "-not", "-a", "-and", "-o", "-or"}

// Separate takes an expression out of the words of a command line: the words that find(1) knows with their values, and what begins
// with one dash and is longer than a flag. What is left are places and flags of the program; what stands behind -- is left too.
func Separate(args []string) (expression, rest []string) {
	for i := 0; i < len(args); i++ {
		name, _, valued, known := word(args[i])
		p := words[name]
		switch {
		case args[i] == "--":
			return expression, append(rest, args[i:]...)
		case !known && strings.HasPrefix(args[i], "-") && !strings.HasPrefix(args[i], "--") && len(args[i]) > 2:
			expression = append(expression, args[i]) // so that it is told that there is no such test
		case !known:
			rest = append(rest, args[i])
		case p.command:
			end := i + 1 + commandLength(args[i+1:])
			expression = append(expression, args[i:min(end+1, len(args))]...)
			i = end
		default:
			end := i + 1
			if !valued {
				end = min(end+p.values, len(args))
			}
			expression = append(expression, args[i:end]...)
			i = end - 1
		}
	}
	return expression, rest
}

// commandLength returns how many words there are before the one that ends a command.
func commandLength(args []string) int {
	for i, arg := range args {
		if arg == ";" || arg == "+" && i > 0 && args[i-1] == "{}" {
			return i
		}
	}
	return len(args)
}

// A SyntaxError says what is wrong in an expression.
type SyntaxError struct{ Err error }

func (e *SyntaxError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Parse reads an expression. An empty one prints everything, as one does that has no action. The error is a *SyntaxError, unless the
// environment knows no time for what may be one.
func Parse(args []string, env Environment) (*Expression, error) {
	p := &parser{args: args, env: env, x: &Expression{MaxDepth: -1}}
	root, err := p.list()
	if err == nil && p.at < len(p.args) {
		err = fmt.Errorf("%s: there is no ( for it", p.args[p.at])
	}
	if err != nil && p.outside {
		return nil, err
	}
	if err != nil {
		return nil, &SyntaxError{err}
	}
	if !p.acts {
		root = and([]term{root, printed(false)})
	}
	if p.deletes && p.x.pruned {
		return nil, &SyntaxError{errPruneDelete}
	}
	p.x.root = root
	return p.x, nil
}

var errPruneDelete = errors.New("-prune leaves out nothing where -delete is, which goes into directories first")

// A parser reads one expression.
type parser struct {
	args    []string
	at      int
	nested  int
	env     Environment
	x       *Expression
	acts    bool
	deletes bool
	outside bool // the error is not one of the expression
}

// peek returns the next word, empty at the end.
func (p *parser) peek() string {
	if p.at == len(p.args) {
		return ""
	}
	return p.args[p.at]
}

// skip steps over the next word if it is one of these.
func (p *parser) skip(names ...string) bool {
	if p.at < len(p.args) && slices.Contains(names, p.args[p.at]) {
		p.at++
		return true
	}
	return false
}

// joined reads terms between operators.
func (p *parser) joined(read func() (term, error), join func([]term) term, operators ...string) (term, error) {
	var all []term
	for {
		t, err := read()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		if !p.skip(operators...) {
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return join(all), nil
}

func (p *parser) list() (term, error) {
	if len(p.args) == 0 {
		return and(nil), nil
	}
	return p.joined(p.or, list, ",")
}

func (p *parser) or() (term, error) { return p.joined(p.and, or, "-o", "-or") }

func (p *parser) and() (term, error) {
	var all []term
	for {
		t, err := p.not()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		joined := p.skip("-a", "-and")
		if next := p.peek(); !joined && (p.at == len(p.args) || slices.Contains([]string{")", ",", "-o", "-or"}, next)) {
			return and(all), nil
		}
	}
}

func (p *parser) not() (term, error) {
	negative := false
	for p.skip("!", "-not") {
		negative = !negative
	}
	t, err := p.primary()
	if err == nil && negative {
		t = not(t)
	}
	return t, err
}

func (p *parser) primary() (term, error) {
	if p.at == len(p.args) {
		if p.at == 0 {
			return nil, fmt.Errorf("a test is missing")
		}
		return nil, fmt.Errorf("behind %s a test is missing", p.args[p.at-1])
	}
	text := p.args[p.at]
	p.at++
	if text == "(" {
		return p.group()
	}
	name, value, valued, known := word(text)
	if !known {
		return nil, fmt.Errorf("there is no test %s", strconv.Quote(text))
	}
	w, isWord := words[name]
	switch {
	case !isWord:
		return nil, fmt.Errorf("before %s a test is missing", text)
	case w.values == 1 && !valued && p.at == len(p.args):
		return nil, fmt.Errorf("%s: its value is missing", name)
	case w.values == 1 && !valued:
		value = p.args[p.at]
		p.at++
	}
	t, err := w.read(p, value)
	if err != nil {
		return nil, fmt.Errorf("%s %w", strings.TrimSpace(name+" "+value), err)
	}
	return t, nil
}

// group reads what is in parentheses.
func (p *parser) group() (term, error) {
	if p.nested++; p.nested > maxNesting {
		return nil, fmt.Errorf("(: more than %d stand in each other", maxNesting)
	}
	if p.peek() == ")" {
		return nil, fmt.Errorf("(): there is nothing in it")
	}
	t, err := p.list()
	p.nested--
	if err == nil && !p.skip(")") {
		err = fmt.Errorf("(: there is no ) for it")
	}
	return t, err
}
