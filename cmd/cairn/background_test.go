package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cairn/node/config"
	"cairn/node/control"
	"cairn/node/doctor"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLogFileStartsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "node.log")
	l, err := openLogFile(path, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if n, err := fmt.Fprintf(l, "line %d\n", i); n != 7 || err != nil {
			t.Fatal(n, err)
		}
	}
	fmt.Fprint(l, "longer than the limit\n")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write([]byte("late")); err == nil {
		t.Error("a closed log takes more")
	}
	for name, want := range map[string]string{path: "longer than the limit\n", path + ".1": "line 4\n", path + ".2": "line 3\n"} {
		if got := read(t, name); got != want {
			t.Errorf("%s holds %q, want %q", filepath.Base(name), got, want)
		}
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("three earlier logs are kept, want two")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others can read the log: %v, %v", info.Mode(), err)
	}
}

func TestLogFileGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.log")
	for _, text := range []string{"one\n", "two\n"} {
		l, err := openLogFile(path, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(l, text)
		l.Close()
	}
	if got := read(t, path); got != "one\ntwo\n" {
		t.Errorf("the log holds %q", got)
	}
	// Nothing is kept: the log begins again.
	l, err := openLogFile(path, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Fprint(l, "three\n")
	if got := read(t, path); got != "three\n" {
		t.Errorf("the log holds %q", got)
	}
}

// TestLogFileThatCannotStartAnew keeps what is logged when an earlier log cannot be replaced.
func TestLogFileThatCannotStartAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.log")
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := openLogFile(path, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 3 {
		fmt.Fprintf(l, "line %d\n", i)
	}
	got := read(t, path)
	if !strings.Contains(got, "line 0\n") || !strings.Contains(got, "line 1\nline 2\n") || strings.Count(got, "could not start anew") != 1 {
		t.Errorf("the log holds %q", got)
	}
}

func TestLogFileIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.log")
	l, err := openLogFile(path, 1000, 50)
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 50 {
				fmt.Fprintf(l, "%s\n", strings.Repeat("x", 49))
			}
		})
	}
	writers.Wait()
	l.Close()
	var total int
	files, _ := filepath.Glob(path + "*")
	for _, f := range files {
		text := read(t, f)
		total += strings.Count(text, strings.Repeat("x", 49)+"\n")
		if len(text) > 1000 {
			t.Errorf("%s has %d bytes, want at most 1000", f, len(text))
		}
	}
	if total != 400 {
		t.Errorf("%d of 400 lines are there", total)
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notify("READY=1"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no such sockets here: %v", err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := notify("READY=1\nSTATUS=well"); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	if n, err := socket.Read(buffer); err != nil || string(buffer[:n]) != "READY=1\nSTATUS=well" {
		t.Errorf("the service manager got %q, %v", buffer[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", path+"x")
	if err := notify("READY=1"); err == nil {
		t.Error("a socket that is not there is passed over in silence")
	}
}

func TestTimeIsLeftToTheJournal(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	log.WithGroup("g").Info("m", slog.TimeKey, "kept")
	if got := out.String(); got != "level=INFO msg=m g.time=kept\n" {
		t.Errorf("logged %q", got)
	}
	t.Setenv("JOURNAL_STREAM", "1:2")
	if toJournal() {
		t.Error("a variable that is inherited is taken for the journal, although standard error goes elsewhere")
	}
}

func TestComplaint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.log")
	for text, want := range map[string][2]string{
		"cairn: no disk\nnext: buy one\n":                    {"no disk", "buy one"},
		"level=INFO msg=x\ncairn: start node: a\ncairn: b\n": {"b", "see the end of " + path},
		"panic: odd\n": {"the node ended as soon as it was started", "see the end of " + path},
	} {
		if err := os.WriteFile(path, []byte("cairn: before\nnext: old\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := complaint(path, int64(len("cairn: before\nnext: old\n")))
		if got := [2]string{err.Error(), (&app{}).hintOf(err)}; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if err := complaint(filepath.Join(path, "none"), 0); err == nil {
		t.Error("no log is no error")
	}
}

func TestDiagnosisIsAligned(t *testing.T) {
	var out bytes.Buffer
	printDiagnosis(&out, diagnosis{Checks: []doctor.Check{
		{Name: "clock", State: doctor.OK, Seen: "agrees"}, {Name: "disk space", State: doctor.Fail, Seen: "none", Fix: "buy one"},
	}})
	want := "ok    clock       agrees\nfail  disk space  none\n                  fix: buy one\n2 checks, 0 warnings, 1 failure\n"
	if out.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestEventsToldToPeople(t *testing.T) {
	var out bytes.Buffer
	if err := printEvent(&out, control.Event{Kind: control.KindPeerRefused, Text: "eve is refused", Reason: "revoked"}); err != nil || !strings.HasSuffix(out.String(), "  peer.refused           eve is refused: revoked\n") {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

func TestServiceNames(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if got := serviceName(filepath.Join(home, ".cairn")); got != "cairn" {
		t.Errorf("the default directory's service is %s", got)
	}
	seen := map[string]string{}
	for _, dir := range []string{"/srv/cairn", "/mnt/cairn", "/srv/ä ö", "/", "/srv/-x", "/srv/" + strings.Repeat("long", 30)} {
		name := serviceName(dir)
		if !strings.HasPrefix(name, "cairn-") || len(name) > 60 || strings.ContainsAny(name, " /\\@%ä") || strings.HasPrefix(name, "cairn--") {
			t.Errorf("%s: service %s", dir, name)
		}
		if seen[name] != "" {
			t.Errorf("%s and %s have one service, %s", dir, seen[name], name)
		}
		seen[name] = dir
	}
}

func TestWritable(t *testing.T) {
	c := config.Default()
	for what, try := range map[string]struct {
		storage, log string
		want         string
	}{
		"all in the directory": {"storage", "node.log", ""},
		"named, but in it":     {"/srv/node/shares", "/srv/node/x.log", ""},
		"elsewhere":            {"/mnt/shares", "/var/log/cairn/x.log", "/mnt/shares,/var/log/cairn"},
		"beside it":            {"/srv/node2", "", "/srv/node2"},
	} {
		c.Storage.Path, c.Log.File = try.storage, try.log
		if got := strings.Join(writable(c, "/srv/node"), ","); got != try.want {
			t.Errorf("%s: %s, want %s", what, got, try.want)
		}
	}
}

func TestSilentErrorSaysNothing(t *testing.T) {
	var problems bytes.Buffer
	a := &app{streams: streams{err: &problems}}
	a.report(errUnwell)
	a.report(fmt.Errorf("doctor: %w", errUnwell))
	if problems.Len() != 0 || statusOf(errUnwell) != statusFailed || errors.Is(errUnwell, control.ErrNotRunning) {
		t.Errorf("said %q", problems.String())
	}
}
