package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A story tells the steps of the demo as they happen, or keeps them for one JSON document at the end.
type story struct {
	out    io.Writer
	quiet  bool
	json   bool
	colour bool
	steps  []*step
}

// A step is one thing that the demo does. Its JSON form is part of what `demo --json` prints.
type step struct {
	story   *story
	started time.Time
	stopped bool

	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Seconds float64  `json:"seconds"`
	Rate    float64  `json:"megabytes_per_second,omitempty"`
	Details []string `json:"details,omitempty"`

	bytes int64
}

func newStory(out io.Writer, quiet, asJSON bool) *story {
	file, isFile := out.(*os.File)
	colour := isFile && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
	return &story{out: out, quiet: quiet, json: asJSON, colour: colour}
}

func (t *story) silent() bool { return t.quiet || t.json }

func (t *story) note(format string, args ...any) {
	if !t.silent() {
		fmt.Fprintf(t.out, format+"\n", args...)
	}
}

func (t *story) paint(code, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *story) opening() {
	t.note("%s", t.paint("1", "A grid of ten nodes on this machine"))
	t.note("Every file becomes %d shares, each on another node; any %d of them give it back.\n", demoParams.Total, demoParams.Needed)
}

// tell runs one step and tells how it went.
func (t *story) tell(ctx context.Context, run func(context.Context, *step) error) error {
	s := &step{story: t, started: time.Now()}
	t.steps = append(t.steps, s)
	err := run(ctx, s)
	s.stop()
	if err != nil {
		if ctx.Err() == nil {
			t.note("%s", t.paint("31", "failed"))
		} else {
			t.note("interrupted")
		}
		return err
	}
	s.print()
	return nil
}

// title names the step; it is printed before the step begins.
func (s *step) title(name, format string, args ...any) {
	s.Name, s.Title = name, fmt.Sprintf(format, args...)
	if !s.story.silent() {
		fmt.Fprintf(s.story.out, "%s %-70s ", s.story.paint("1;36", fmt.Sprintf("%d.", len(s.story.steps))), s.Title)
	}
}

// say adds a sentence that is printed when the step is done.
func (s *step) say(format string, args ...any) {
	s.Details = append(s.Details, fmt.Sprintf(format, args...))
}

// rateBytes is how many bytes a rate has to be measured over to say anything: below, the commands' start is what takes time.
const rateBytes = 1_000_000

// rate says how many bytes the step moved, so that a rate is printed beside its time.
func (s *step) rate(bytes int64) { s.bytes = bytes }

// restart measures the step from here.
func (s *step) restart() { s.started = time.Now() }

// stop ends the measurement; what the step does after it does not count.
func (s *step) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	s.Seconds = time.Since(s.started).Seconds()
	if s.bytes > 0 {
		s.Rate = float64(s.bytes) / 1e6 / s.Seconds
	}
}

func (s *step) print() {
	t := s.story
	if t.silent() {
		return
	}
	took := fmt.Sprintf("%6.2f s", s.Seconds)
	if s.bytes >= rateBytes {
		took += fmt.Sprintf("  %.0f MB/s", s.Rate)
	}
	fmt.Fprintln(t.out, t.paint("32", took))
	for _, line := range s.Details {
		fmt.Fprintln(t.out, "   "+t.paint("2", line))
	}
}

// ending says what came of it all.
func (t *story) ending(d *demo) error {
	if t.json {
		encoder := json.NewEncoder(t.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			Survived bool         `json:"survived"`
			Size     int64        `json:"size"`
			SHA256   string       `json:"sha256"`
			Needed   int          `json:"needed"`
			Total    int          `json:"total"`
			Lost     []*localNode `json:"lost"`
			Steps    []*step      `json:"steps"`
		}{true, d.size, fmt.Sprintf("%x", d.digest), demoParams.Needed, demoParams.Total, d.lost, t.steps})
	}
	verdict := fmt.Sprintf("The file survived the loss of %d of its %d nodes, and is whole again.", len(d.lost), demoNodes)
	_, err := fmt.Fprintf(t.out, "%s%s\n", strings.Repeat("\n", map[bool]int{false: 1}[t.quiet]), t.paint("1;32", verdict))
	return err
}

// names lists nodes, and says "node-02 to node-08" for several that follow each other.
func names(nodes []*localNode) string {
	var list []string
	for i := 0; i < len(nodes); {
		end := i + 1
		for end < len(nodes) && nodes[end].number == nodes[end-1].number+1 {
			end++
		}
		switch {
		case end-i > 2:
			list = append(list, nodes[i].Name+" to "+nodes[end-1].Name)
		default:
			for _, node := range nodes[i:end] {
				list = append(list, node.Name)
			}
		}
		i = end
	}
	if last := len(list) - 1; last > 0 {
		return strings.Join(list[:last], ", ") + " and " + list[last]
	}
	return strings.Join(list, "")
}

// shortened shows enough of a capability to recognise it and too little to use it.
func shortened(capability string) string {
	if len(capability) < 40 {
		return capability
	}
	return capability[:22] + "..." + capability[len(capability)-4:]
}
