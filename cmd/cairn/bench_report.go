package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"cairn/share"
)

// A benchReport is all that `bench` measured. Its JSON form is what `bench --json` prints.
type benchReport struct {
	Machine benchMachine  `json:"machine"`
	Nodes   int           `json:"nodes"`
	Params  share.Params  `json:"params"`
	Large   []benchLarge  `json:"large"`
	Small   []benchSmall  `json:"small"`
	Names   []benchOp     `json:"names"`
	Trees   benchTrees    `json:"trees"`
	Range   benchRange    `json:"range"`
	Times   benchTimes    `json:"times"`
	Bucket  []benchBucket `json:"bucket,omitempty"`
	Idle    float64       `json:"idle_cores"` // cores that all processes together keep busy when nothing happens
}

// A benchMachine is where the figures come from.
type benchMachine struct {
	Date     string `json:"date"`
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	OS       string `json:"os"`
	Go       string `json:"go"`
	Revision string `json:"revision,omitempty"`
	// Load is how many processes wanted a core in the minute before the measurements; zero where the system does not tell.
	Load float64 `json:"load"`
}

func thisMachine() benchMachine {
	return benchMachine{
		Date: time.Now().UTC().Format(time.DateOnly), CPU: cpuName(), Cores: runtime.NumCPU(),
		OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Revision: revision(), Load: load(),
	}
}

// load returns the load average of the last minute on Linux, and zero elsewhere.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	value, _ := strconv.ParseFloat(first, 64) // zero is as good as no answer
	return value
}

// cpuName returns what Linux calls the processor, and nothing elsewhere.
func cpuName() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m benchMachine) String() string {
	text := fmt.Sprintf("%s, %d cores, %s, %s, %s", m.CPU, m.Cores, m.OS, m.Go, m.Date)
	if m.Revision != "" {
		text += ", commit " + m.Revision
	}
	if busy := m.Load / float64(m.Cores); busy > 0.5 {
		text += fmt.Sprintf("; the machine was busy with other work (load %.1f when it began): on an idle one it is faster", m.Load)
	}
	return strings.TrimPrefix(text, ", ")
}

// A benchTable is a piece of the report for people.
type benchTable struct {
	title string
	text  string
	head  []string
	rows  [][]string
}

// tables returns the report as tables.
func (r benchReport) tables() []benchTable {
	return []benchTable{r.largeTable(), r.memoryTable(), r.smallTable(), r.namesTable(), r.treesTable(), r.bucketTable(), r.timesTable()}
}

func (r benchReport) largeTable() benchTable {
	t := benchTable{
		title: "Large files",
		text: "MB/s of plaintext, and CPU seconds per GB of it over all processes, commands included. The bare codec encrypts, codes and\n" +
			"hashes the same bytes into shares that go nowhere; the bare transport moves the bytes that the operation moves over\n" +
			"libp2p connections (TLS over TCP), both ends counted.",
		head: []string{"size", "", "MB/s", "CPU s/GB", "bare codec, MB/s", "CPU s/GB", "bare transport, MB/s", "CPU s/GB"},
	}
	for _, l := range r.Large {
		t.rows = append(t.rows,
			append(append([]string{exactSize(l.Size), "store"}, l.Upload.cells()...), append(l.Codec.cells(), l.UploadWire.cells()...)...),
			append(append([]string{exactSize(l.Size), "read"}, l.Download.cells()...), append([]string{"", ""}, l.DownloadWire.cells()...)...))
	}
	return t
}

func (b benchRate) cells() []string {
	if b.Seconds == 0 {
		return []string{"", ""}
	}
	return []string{fmt.Sprintf("%.0f", b.Rate), fmt.Sprintf("%.1f", b.CPU)}
}

func (r benchReport) memoryTable() benchTable {
	t := benchTable{
		title: "Memory", text: "The largest resident set of one process while it stored or read a file.",
		head: []string{"size", "gateway, storing", "server, storing", "gateway, reading"},
	}
	for _, l := range r.Large {
		t.rows = append(t.rows, []string{exactSize(l.Size), mebibytes(l.PutGateway), mebibytes(l.PutServer), mebibytes(l.GetGateway)})
	}
	return t
}

func (r benchReport) smallTable() benchTable {
	t := benchTable{
		title: "Small files",
		text: fmt.Sprintf("One client of one gateway, %d requests at a time; then one after the other, the median. *Disk* is what a file takes on the\n"+
			"disks of all servers together, everything counted.", benchParallel),
		head: []string{"size", "stored/s", "read/s", "store one", "read one", "disk", "CPU, one store"},
	}
	for _, s := range r.Small {
		t.rows = append(t.rows, []string{
			fmt.Sprintf("%d B", s.Size), fmt.Sprintf("%.0f", s.Puts), fmt.Sprintf("%.0f", s.Gets), milliseconds(s.Put), milliseconds(s.Get),
			fmt.Sprintf("%.1f KB", s.Disk/1000), milliseconds(s.CPU),
		})
	}
	return t
}

func (r benchReport) timesTable() benchTable {
	t := benchTable{title: "Other times", head: []string{"what", "figure"}}
	row := func(format string, args ...any) func(figure string) {
		return func(figure string) { t.rows = append(t.rows, []string{fmt.Sprintf(format, args...), figure}) }
	}
	g, s := r.Range, r.Times
	row("first byte of %s in the middle of %s, through a gateway that never saw the file", exactSize(g.Length), exactSize(g.FileSize))(milliseconds(g.First))
	row("all of it")(milliseconds(g.All))
	row("bytes that the gateway read for it, from sockets and disk, all chatter counted")(kibibytes(g.Read))
	row("another such range of the same file, the median")(milliseconds(g.LaterAll) + ", " + kibibytes(g.LaterRead))
	row("store %d MB, all nodes well", hungSize/1_000_000)(seconds(s.Healthy))
	row("store %d MB right after one node was stopped (SIGSTOP)", hungSize/1_000_000)(seconds(s.Hung))
	row("read %d MB right after that", hungSize/1_000_000)(seconds(s.HungGet))
	row("store %d MB once the others have noticed", hungSize/1_000_000)(seconds(s.Known))
	row("make and start all %d nodes, until each knows all others", r.Nodes)(seconds(s.Start))
	row("a new node joins, starts, and knows all others")(seconds(s.Join))
	row("a stopped node starts and has stored its first file")(seconds(s.Back))
	row("start of the shortest command")(milliseconds(s.Command))
	row("idle: share of one core that all %d nodes use together", r.Nodes)(fmt.Sprintf("%.1f %%", 100*r.Idle))
	return t
}

// exactSize writes a size in the unit in which it is round.
func exactSize(n int64) string {
	if n%(1<<10) == 0 {
		return humanize.IBytes(uint64(n))
	}
	return sizeText(n)
}

func milliseconds(s float64) string { return fmt.Sprintf("%.1f ms", 1000*s) }
func seconds(s float64) string      { return fmt.Sprintf("%.2f s", s) }
func mebibytes(n int64) string      { return fmt.Sprintf("%d MiB", n>>20) }
func kibibytes(n int64) string      { return fmt.Sprintf("%d KiB", n>>10) }

// print writes the tables for a terminal.
func (r benchReport) print(w io.Writer) {
	fmt.Fprintf(w, "%d node processes, %s. %s\n", r.Nodes, r.Params, r.Machine)
	for _, t := range r.tables() {
		fmt.Fprintf(w, "\n%s\n", t.title)
		rows := newTable(w)
		for _, row := range append([][]string{t.head}, t.rows...) {
			rows.row(append([]string{"  " + row[0]}, row[1:]...)...)
		}
		rows.end()
	}
}

// Markers between which `bench --markdown` writes.
const (
	markerBegin = "<!-- cairn bench: begin -->"
	markerEnd   = "<!-- cairn bench: end -->"
)

func (r benchReport) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d node processes, %s, TLS over TCP. %s\n", r.Nodes, r.Params, r.Machine)
	for _, t := range r.tables() {
		fmt.Fprintf(&out, "\n### %s\n\n", t.title)
		if t.text != "" {
			fmt.Fprintf(&out, "%s\n\n", t.text)
		}
		fmt.Fprintf(&out, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
		for _, row := range t.rows {
			fmt.Fprintf(&out, "| %s |\n", strings.Join(row, " | "))
		}
	}
	return out.String()
}

// writeMarkdown puts the tables between the markers of a file and leaves the rest of it alone.
func (r benchReport) writeMarkdown(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begun := bytes.Cut(text, []byte(markerBegin))
	_, after, ended := bytes.Cut(rest, []byte(markerEnd))
	if !begun || !ended {
		return errors.New("it has no lines \"" + markerBegin + "\" and \"" + markerEnd + "\"")
	}
	text = fmt.Appendf(nil, "%s%s\n\n%s\n%s%s", before, markerBegin, r.markdown(), markerEnd, after)
	return os.WriteFile(path, text, 0o644)
}
