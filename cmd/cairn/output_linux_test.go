package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns both ends of a terminal: what a person sees, and where a program writes.
func terminal(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return screen, program
}

// TestNamesOnATerminal: a name that turns the text around, or that shows nothing, is escaped where a person reads it, and is as it is
// where a program does.
func TestNamesOnATerminal(t *testing.T) {
	const name, escaped = "safe\u202egpj.exe\u200b caf\u00e9 \u96ea", `safe\u202egpj.exe\u200b caf` + "\u00e9 \u96ea"
	screen, program := terminal(t)
	print := func(w io.Writer) { fmt.Fprintf(w, "%s\tx\n", name) }
	a := &app{streams: streams{out: program, err: program}}
	if err := a.result([]string{name}, print); err != nil {
		t.Fatal(err)
	}
	a.note("%s is there", name)
	want := escaped + "\tx\r\n" + escaped + " is there\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(screen, got); err != nil || string(got) != want {
		t.Errorf("on a terminal: %q, want %q: %v", got, want, err)
	}

	var file strings.Builder
	if err := (&app{streams: streams{out: &file}}).result([]string{name}, print); err != nil || file.String() != name+"\tx\n" {
		t.Errorf("elsewhere: %q, %v", file.String(), err)
	}
	a.json = true
	if err := a.result([]string{name}, print); err != nil {
		t.Fatal(err)
	}
	want = "[\r\n  \"" + name + "\"\r\n]\r\n"
	got = make([]byte, len(want))
	if _, err := io.ReadFull(screen, got); err != nil || string(got) != want {
		t.Errorf("JSON on a terminal: %q, want %q: %v", got, want, err)
	}
}
