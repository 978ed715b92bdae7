package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"cairn/node/control"
)

// progressEvery is how often the progress line is drawn anew.
const progressEvery = 200 * time.Millisecond

// A progress is one line on a terminal that says how far something is. It draws nothing elsewhere.
type progress struct {
	out   io.Writer // nil: draw nothing
	width int

	mu    sync.Mutex // guards what follows
	note  string     // what is being done, since began
	began time.Time
	last  time.Time
	drawn int // columns on the screen
}

// terminal reports whether a person reads standard error on a terminal.
func (a *app) terminal() bool {
	file, ok := a.err.(*os.File)
	return ok && !a.quiet && !a.json && term.IsTerminal(int(file.Fd()))
}

// outTerminal reports whether a person reads standard output on a terminal.
func (a *app) outTerminal() bool {
	file, ok := a.out.(*os.File)
	return ok && !a.json && term.IsTerminal(int(file.Fd()))
}

// progress returns a progress line, which draws only when standard error is a terminal and -q was not given.
func (a *app) progress() *progress {
	p := &progress{began: time.Now()}
	a.bar = p
	file, _ := a.err.(*os.File)
	if !a.terminal() {
		return p
	}
	p.out, p.width = file, 80
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 20 {
		p.width = width
	}
	return p
}

// show draws the state. It may be called often and from any goroutine.
func (p *progress) show(s control.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if s.Note != p.note {
		p.note, p.began = s.Note, now
	}
	if p.out == nil || now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	p.draw(describe(s, now.Sub(p.began)))
}

// say draws a text until there is progress to show. It returns false where the line has been taken away.
func (p *progress) say(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		p.draw(text)
	}
	return p.out != nil
}

// count draws the state of what is counted in things, not in bytes.
func (p *progress) count(s control.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.out == nil || now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	p.draw(fmt.Sprintf("%s  %d", s.Note, s.Done))
}

// done takes the line away.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil && p.drawn > 0 {
		p.draw("")
		fmt.Fprint(p.out, "\r")
		p.out = nil
	}
}

func (p *progress) draw(text string) {
	text = text[:min(len(text), p.width-1)]
	fmt.Fprintf(p.out, "\r%s%s", text, strings.Repeat(" ", max(0, p.drawn-len(text))))
	p.drawn = len(text)
}

// describe says how far something is, in ASCII: "storing  12 MB of 80 MB  15%  9.1 MB/s  7s left".
func describe(s control.Progress, took time.Duration) string {
	var b strings.Builder
	if s.Note != "" {
		b.WriteString(s.Note + "  ")
	}
	b.WriteString(sizeText(s.Done))
	if s.Total > 0 {
		fmt.Fprintf(&b, " of %s  %d%%", sizeText(s.Total), 100*min(s.Done, s.Total)/s.Total)
	}
	rate := float64(s.Done) / max(took.Seconds(), 0.001)
	fmt.Fprintf(&b, "  %s/s", sizeText(int64(rate)))
	if left := s.Total - s.Done; s.Total > 0 && left > 0 && rate > 1 {
		fmt.Fprintf(&b, "  %s left", (time.Duration(float64(left)/rate) * time.Second).Round(time.Second))
	}
	return b.String()
}

// sizeText returns a number of bytes as people write it.
func sizeText(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }
