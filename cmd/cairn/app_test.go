package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/introducer"
	"cairn/node"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

func TestEveryCommandIsDocumented(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Name() == "help" || strings.HasPrefix(path, "cairn completion") {
			return
		}
		if cmd.Short == "" || cmd.Long == "" {
			t.Errorf("%s has no help", path)
		}
		if cmd.HasParent() && !strings.Contains(cmd.Long, "Exit status:") {
			t.Errorf("the help of %s does not tell the exit statuses", path)
		}
		for i, line := range strings.Split(cmd.Long, "\n") {
			if len(line) > 120 {
				t.Errorf("line %d of the help of %s has %d columns", i+1, path, len(line))
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&app{}))
}

// TestNoCommandTakesAFlagOfAll: what every command is told, as where the node is, means the same to each.
func TestNoCommandTakesAFlagOfAll(t *testing.T) {
	root := newRoot(&app{})
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			sub.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
				of := root.PersistentFlags().Lookup(f.Name)
				if of != nil && of != f {
					t.Errorf("%s has a --%s of its own", sub.CommandPath(), f.Name)
				}
			})
			walk(sub)
		}
	}
	walk(root)
}

func TestStatusOf(t *testing.T) {
	for name, try := range map[string]struct {
		err  error
		want int
	}{
		"unhappy":           {fmt.Errorf("put: %w", &share.UnhappyError{}), statusNotEnough},
		"too few shares":    {&share.NotEnoughSharesError{}, statusNotEnough},
		"missing file":      {&fs.PathError{Err: fs.ErrNotExist}, statusNotFound},
		"not on the grid":   {share.ErrNotFound, statusNotFound},
		"no authority":      {fmt.Errorf("get: %w", capability.ErrAuthority), statusRefused},
		"wrong kind":        {&capability.KindError{}, statusUsage},
		"bad capability":    {&capability.ParseError{}, statusUsage},
		"bad grid address":  {introducer.ErrMalformed, statusUsage},
		"interrupted":       {fmt.Errorf("put: %w", context.Canceled), statusInterrupted},
		"not running":       {control.ErrNotRunning, statusFailed},
		"other":             {errors.New("odd"), statusFailed},
		"from the node":     {fmt.Errorf("put: %w", &control.Error{Code: control.CodeNotEnough}), statusNotEnough},
		"with a hint":       {withHint(usagef("no"), "do"), statusUsage},
		"another node runs": {&node.RunningError{}, statusFailed},
	} {
		if got := statusOf(try.err); got != try.want {
			t.Errorf("%s: status %d, want %d", name, got, try.want)
		}
	}
}

func TestDescribeProgress(t *testing.T) {
	for want, try := range map[string]struct {
		state control.Progress
		took  time.Duration
	}{
		"storing  20 MB of 80 MB  25%  10 MB/s  6s left": {control.Progress{Note: "storing", Done: 20e6, Total: 80e6}, 2 * time.Second},
		"5.0 MB  5.0 MB/s":                       {control.Progress{Done: 5e6, Total: -1}, time.Second},
		"reading  80 MB of 80 MB  100%  80 MB/s": {control.Progress{Note: "reading", Done: 80e6, Total: 80e6}, time.Second},
		"0 B of 5 B  0%  0 B/s":                  {control.Progress{Total: 5}, 0},
	} {
		if got := describe(try.state, try.took); got != want {
			t.Errorf("%+v after %v: %q, want %q", try.state, try.took, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	base := share.DefaultParams(10)
	for flags, want := range map[paramsFlags]share.Params{
		{}:                               {},
		{needed: 5, happy: 9, total: 12}: {Needed: 5, Happy: 9, Total: 12},
		{needed: 5}:                      {Needed: 5, Happy: 7, Total: 10},
		{needed: 20}:                     {Needed: 20, Happy: 20, Total: 20},
		{total: 4}:                       {Needed: 3, Happy: 4, Total: 4},
		{total: 2}:                       {Needed: 2, Happy: 2, Total: 2},
		{happy: 4}:                       {Needed: 3, Happy: 4, Total: 10},
		{happy: 12}:                      {Needed: 3, Happy: 12, Total: 12},
	} {
		got, err := flags.params(base)
		if err != nil || got != want {
			t.Errorf("%+v: %v, %v; want %v", flags, got, err, want)
		}
	}
	for _, flags := range []paramsFlags{{needed: 3, total: 2}, {needed: -1}, {total: 300}, {happy: 1, needed: 2}, {total: -1}} {
		if got, err := flags.params(base); statusOf(err) != statusUsage {
			t.Errorf("%+v: %v, %v; want a usage error", flags, got, err)
		}
	}
}

// TestFittingParams completes parameters with those of a small grid: a file of which fewer servers are to have shares is not stored ten times.
func TestFittingParams(t *testing.T) {
	for flags, want := range map[paramsFlags]share.Params{
		{}:                     {},
		{happy: 2}:             {Needed: 2, Happy: 2, Total: 3},
		{needed: 1, happy: 1}:  {Needed: 1, Happy: 1, Total: 3},
		{total: 5}:             {Needed: 2, Happy: 3, Total: 5},
		{happy: 3, total: 100}: {Needed: 2, Happy: 3, Total: 100},
	} {
		got, err := flags.fitting(t.Context(), func(context.Context) (control.Grid, error) { return control.Grid{Params: share.DefaultParams(3)}, nil })
		if err != nil || got != want {
			t.Errorf("%+v: %v, %v; want %v", flags, got, err, want)
		}
	}
}

// fakeNode answers uploads and downloads as it is told.
type fakeNode struct {
	control.Node
	put  func(r io.Reader) (control.PutResult, error)
	open func() (control.File, error)
}

func (f fakeNode) Put(_ context.Context, r io.Reader, _ control.PutRequest, _ func(control.Progress)) (control.PutResult, error) {
	return f.put(r)
}

func (f fakeNode) Open(context.Context, capability.Capability) (control.File, error) { return f.open() }

// brokenFile ends with an error after a while.
type brokenFile struct{}

func (brokenFile) Size() int64  { return 1 << 20 }
func (brokenFile) Close() error { return nil }
func (brokenFile) WriteTo(_ context.Context, w io.Writer, _, _ int64) (int64, error) {
	n, _ := w.Write(make([]byte, 300<<10))
	return int64(n), &share.NotEnoughSharesError{Needed: 3, Found: 2, Answered: 2, Asked: 4}
}

// runWith runs one command line against a fake node and returns its status and what it printed.
func runWith(t *testing.T, f fakeNode, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	server, err := control.Listen("127.0.0.1:0", f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dir := t.TempDir()
	if err := server.Endpoint().Write(dir); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var out, problems bytes.Buffer
	status = execute(t.Context(), append([]string{"--dir", dir}, args...), streams{in: null, out: &out, err: &problems})
	return status, out.String(), problems.String()
}

func TestFileShrinksWhileItIsStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 64<<20), 0o600); err != nil { // more than the buffers on the way hold
		t.Fatal(err)
	}
	node := fakeNode{put: func(r io.Reader) (control.PutResult, error) {
		if err := os.Truncate(path, 1<<20); err != nil {
			t.Error(err)
		}
		_, err := io.Copy(io.Discard, r)
		return control.PutResult{}, err
	}}
	status, stdout, stderr := runWith(t, node, "put", path)
	if status != statusFailed || stdout != "" || !strings.Contains(stderr, control.ErrChanged.Error()) || !strings.Contains(stderr, "next: store it again") {
		t.Errorf("status %d, output %q: %s", status, stdout, stderr)
	}
}

func TestFileGrowsWhileItIsStored(t *testing.T) {
	for _, flags := range [][]string{{"put"}, {"put", "--private"}} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, make([]byte, 64<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		node := fakeNode{put: func(r io.Reader) (control.PutResult, error) {
			if err := os.Truncate(path, 65<<20); err != nil {
				t.Error(err)
			}
			n, err := io.Copy(io.Discard, r)
			if err != nil || n != 64<<20 {
				t.Errorf("sent %d bytes, %v", n, err)
			}
			return control.PutResult{Capability: "stored"}, err
		}}
		status, stdout, stderr := runWith(t, node, append(flags, path)...)
		if status != statusFailed || stdout != "stored\n" || !strings.Contains(stderr, control.ErrChanged.Error()) || !strings.Contains(stderr, "next: store it again") {
			t.Errorf("status %d, output %q: %s", status, stdout, stderr)
		}
	}
}

// TestFileGrowsWhileItIsHashed: the bytes that are hashed are those that were announced, or it is an error.
func TestFileGrowsWhileItIsHashed(t *testing.T) {
	data := strings.Repeat("x", 2*hashBuffer)
	for _, size := range []int{len(data) - 1, len(data) + 1, 1} {
		err := announceHash(t.Context(), strings.NewReader(data), &control.PutRequest{Size: int64(size)}, &progress{})
		if !errors.Is(err, control.ErrChanged) {
			t.Errorf("%d bytes announced, %d there: %v", size, len(data), err)
		}
	}
}

func TestGetLeavesNothingHalfDone(t *testing.T) {
	c := capability.File(share.StorageIndex{1}, [16]byte{2}).Text()
	dir := t.TempDir()
	path := filepath.Join(dir, "copy")
	if err := os.WriteFile(path, []byte("what was there"), 0o640); err != nil {
		t.Fatal(err)
	}
	node := fakeNode{open: func() (control.File, error) { return brokenFile{}, nil }}
	status, stdout, stderr := runWith(t, node, "get", c, "-o", path)
	if status != statusNotEnough || stdout != "" || !strings.Contains(stderr, "2 of the 3 shares needed") {
		t.Errorf("status %d, output %q: %s", status, stdout, stderr)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "what was there" {
		t.Errorf("the file that was there before is %q, %v", data, err)
	}
	// To standard output the bytes have gone already; the status says that they are not all.
	if status, stdout, _ := runWith(t, node, "cat", c); status != statusNotEnough || len(stdout) != 300<<10 {
		t.Errorf("cat: status %d, %d bytes", status, len(stdout))
	}
}

func TestErrorsDoNotShowSecrets(t *testing.T) {
	c := capability.File(share.StorageIndex{1}, [16]byte{2})
	text := c.Text()
	key := text[strings.LastIndex(text, ":")+1:]
	node := fakeNode{open: func() (control.File, error) { return nil, fmt.Errorf("open %s: %w", c, share.ErrNotFound) }}
	for _, args := range [][]string{{"get", text, "-o", "x"}, {"--json", "get", text, "-o", "x"}, {"cat", text}, {"get", text}, {"get", text + "a", "-o", "x"}} {
		_, _, stderr := runWith(t, node, args...)
		if stderr == "" || strings.Contains(stderr, key) {
			t.Errorf("%v: %s", args, stderr)
		}
	}
}
