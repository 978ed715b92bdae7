//go:build linux

package natlab_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"cairn/internal/natlab"
)

// linesVariable chooses the rows that BenchmarkLongLines takes: a regular expression for names such as "20ms 100Mbit 0.1%".
const linesVariable = "NATLAB_LINES"

const (
	// transferLimit is how long one transfer may take: 16 MB at 1 % of 20 Mbit/s would take ten minutes.
	transferLimit = 10 * time.Minute
	// lossy is how many bytes are sent at most over a line with loss by what takes loss for a full line: it leaves most of it unused.
	lossy = 16_000_000
	// busyAbove is the part of the machine's processors that others use above which figures are marked.
	busyAbove = 0.1
)

// A longLine is one row: a line, and the bytes that are sent over it.
type longLine struct {
	natlab.Line
	size int64
}

func (l longLine) name() string {
	return fmt.Sprintf("%dms %dMbit %s", l.Delay.Milliseconds(), l.Rate/1e6, l.loss())
}

func (l longLine) loss() string {
	if l.Loss == 0 {
		return "0"
	}
	return strconv.FormatFloat(l.Loss*100, 'g', -1, 64) + "%"
}

// share returns how much of the line's rate a transfer used, in percent.
func (l longLine) share(size int64, took time.Duration) string {
	return fmt.Sprintf("%.0f %%", 100*float64(size*8)/took.Seconds()/float64(l.Rate))
}

// longLines are the rows, the slow lines first, which a busy machine does not slow down much further.
func longLines() (all []longLine) {
	for _, rate := range []struct{ mbit, size int64 }{{20, 16e6}, {100, 40e6}, {200, 80e6}} {
		for _, loss := range []float64{0, 0.001} {
			for _, delay := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond} {
				all = append(all, longLine{natlab.Line{Delay: delay, Rate: rate.mbit * 1e6, Loss: loss}, rate.size})
			}
		}
	}
	return all
}

// BenchmarkLongLines prints the rows of the table "Long lines" in docs/benchmarks.md: what storing a file and reading it use of a
// line between two nodes, and one plain TCP connection beside it.
func BenchmarkLongLines(b *testing.B) {
	only, err := regexp.Compile(os.Getenv(linesVariable))
	if err != nil {
		b.Fatalf("%s: %v", linesVariable, err)
	}
	natlab.New(b).Line(natlab.Line{Rate: 1e6}) // skips all of it by name where lines cannot be made
	if _, err := program(); err != nil {
		b.Fatal(err)
	}
	heading := "| one way | Mbit/s | loss | raw, cubic | TCP, cubic: put, get | raw, BBR | TCP, BBR: put, get | QUIC: put, get, get anew | busy |\n" +
		"|---|---|---|---|---|---|---|---|---|"
	for _, line := range longLines() {
		if !only.MatchString(line.name()) {
			continue
		}
		b.Run(line.name(), func(b *testing.B) {
			for range b.N {
				cells := longLineCells(b, line)
				if heading != "" {
					fmt.Println(heading)
					heading = ""
				}
				fmt.Printf("| %s |\n", strings.Join(cells, " | "))
			}
		})
	}
}

func longLineCells(b *testing.B, line longLine) []string {
	cells := []string{fmt.Sprintf("%d ms", line.Delay.Milliseconds()), strconv.FormatInt(line.Rate/1e6, 10), strings.Replace(line.loss(), "%", " %", 1)}
	others := othersUse(b)
	for _, congestion := range []string{"cubic", "bbr"} {
		variant := line
		if variant.Congestion = congestion; congestion == "cubic" {
			variant.size = variant.sizeWithLoss()
		}
		took, got := variant.raw(b)
		if got != congestion {
			b.Logf("the kernel has no %s", congestion)
			cells = append(cells, "not taken", "not taken")
			continue
		}
		put, get, _ := variant.transfer(b, "tcp")
		cells = append(cells, variant.share(variant.size, took), variant.share(variant.size, put)+", "+variant.share(variant.size, get))
	}
	line.size = line.sizeWithLoss()
	put, get, anew := line.transfer(b, "quic-v1")
	cells = append(cells, line.share(line.size, put)+", "+line.share(line.size, get)+", "+line.share(line.size, anew))
	others = max(others, othersUse(b))
	if others < busyAbove {
		return append(cells, "")
	}
	return append(cells, fmt.Sprintf("* %.0f %%", 100*others))
}

func (l longLine) sizeWithLoss() int64 {
	if l.Loss > 0 {
		return min(l.size, lossy)
	}
	return l.size
}

// raw sends the bytes over a plain TCP connection.
func (l longLine) raw(b *testing.B) (took time.Duration, congestion string) {
	here, there := natlab.New(b).Line(l.Line)
	return raw(b, here, there, l.size)
}

// transfer stores a file on one node from another one, which keeps nothing itself, and reads it back: over the connection over which it was
// stored, and, once the reader has been started again, over a new one.
func (l longLine) transfer(b *testing.B, transport string) (put, get, anew time.Duration) {
	here, there := natlab.New(b).Line(l.Line)
	listen := func(m *natlab.Machine) string {
		if transport == "tcp" {
			return "/ip4/" + m.IP4 + "/tcp/4001"
		}
		return "/ip4/" + m.IP4 + "/udp/4001/" + transport
	}
	ann := makeNode(b, here, "ann", "--no-storage", "--listen", listen(here))
	ann.run("grid", "create", "line", "--open", "--k", "1", "--happy", "1", "--n", "1")
	ann.up()
	ben := join(b, there, "ben", ann.address(), "--listen", listen(there))
	meet := func() {
		ann.reaches("ben", "direct", patience)
		if got := ann.peers()["ben"].Transport; got != transport {
			b.Fatalf("the nodes talk over %s, want %s", got, transport)
		}
	}
	meet()
	data := make([]byte, l.size)
	rand.Read(data)
	dir := b.TempDir()
	file, copied := filepath.Join(dir, "file"), filepath.Join(dir, "copy")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		b.Fatal(err)
	}
	var capability string
	put = timed(func() { capability = strings.TrimSpace(string(ann.runWithin(transferLimit, "put", "-q", file))) })
	read := func() time.Duration {
		took := timed(func() { ann.runWithin(transferLimit, "get", "-q", capability, "-o", copied) })
		if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, data) {
			b.Fatalf("what was read is not what was stored: %d bytes of %d, %v", len(got), len(data), err)
		}
		os.Remove(copied)
		return took
	}
	get = read()
	if transport != "tcp" {
		ann.kill()
		ann.up()
		meet()
		anew = read()
	}
	ben.kill()
	ann.kill()
	return put, get, anew
}

func timed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// othersUse returns which part of the machine's processors is used while nothing of ours runs.
func othersUse(b *testing.B) float64 {
	const window = 2 * time.Second
	before := idle(b)
	begin := time.Now()
	time.Sleep(window)
	idled := idle(b) - before
	return max(0, 1-idled.Seconds()/time.Since(begin).Seconds()/float64(runtime.NumCPU()))
}

// idle returns for how long the processors have had nothing to do, together.
func idle(b *testing.B) time.Duration {
	const hertz = 100 // of /proc/stat, everywhere
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text))
	ticks, err := strconv.ParseInt(fields[4], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ticks) * time.Second / hertz
}
