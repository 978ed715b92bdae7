package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func TestParseTarget(t *testing.T) {
	c := capability.Directory(keys.WriteKey{1}).Text()
	for text, want := range map[string]struct{ alias, path string }{
		"home:": {"home", ""}, "home:a/b": {"home", "a/b"}, "home:/a:b/": {"home", "/a:b/"}, "my-dir_2.x:é": {"my-dir_2.x", "é"},
		c: {"", ""}, c + "/a b": {"", "a b"}, c + "/": {"", ""},
	} {
		got, err := control.ParseTarget(text)
		if err != nil || got.Alias != want.alias || got.Path != want.path || want.alias == "" && got.Capability.Text() != c {
			t.Errorf("%q is %v, %v", text, got, err)
		}
		if want.path != "" && got.Text() != text {
			t.Errorf("%q is printed as %q", text, got.Text())
		}
		if !control.OnGrid(text) || strings.Contains(got.String(), c) {
			t.Errorf("%q: on the grid %v, shown as %q", text, control.OnGrid(text), got)
		}
	}
	for _, text := range []string{
		"", "a", "a/b", "/home:x", "./home:x", "x:y", ":x", "-x:y", "a b:c", "cairn:", "cairn:dir:x/y", c + "x", "home:\xff", "home:" + strings.Repeat("x", 20000),
		strings.Repeat("a", 65) + ":x",
	} {
		_, err := control.ParseTarget(text)
		var e *control.Error
		if !errors.As(err, &e) || e.Code != control.CodeMalformed {
			t.Errorf("%.40q: %v, want one that is malformed", text, err)
		}
	}
	for _, text := range []string{"file", "./a:b", "/tmp/a:b", "C:\\x", "dir/home:x", "-"} {
		if control.OnGrid(text) {
			t.Errorf("%q is taken for a place on the grid", text)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"home:a/b", "cairn:dir:x/y", "a", ":", "home:", "cairn:literal:/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := control.ParseTarget(text)
		if err != nil {
			return
		}
		again, err := control.ParseTarget(target.Text())
		if err != nil || again.Alias != target.Alias || again.Path != target.Path || !again.Capability.Equal(target.Capability) {
			t.Errorf("%q is read as %q and then as %q, %v", text, target.Text(), again.Text(), err)
		}
	})
}

// A treeFake tells what it was asked, and answers something.
type treeFake struct {
	*fake
	asked any
	fail  error
	put   control.PutRequest
}

func (f *treeFake) Lookup(_ context.Context, r control.LookupRequest) (control.Entry, error) {
	f.asked = r
	return control.Entry{Path: r.Target, Size: 5}, f.fail
}

func (f *treeFake) OpenAt(_ context.Context, target string) (control.File, control.Entry, error) {
	f.asked = target
	return fakeFile{bytes.NewReader([]byte("contents")), 0}, control.Entry{Path: target, Name: "é\n", Executable: true, Modified: time.Unix(7, 0).UTC()}, f.fail
}

func (f *treeFake) PutAt(_ context.Context, r io.Reader, request control.PutRequest, _ func(control.Progress)) (control.PutResult, error) {
	f.put = request
	data, err := io.ReadAll(r)
	return control.PutResult{Size: int64(len(data)), Path: request.Target, Version: 3}, errors.Join(err, f.fail)
}

func (f *treeFake) List(_ context.Context, r control.ListRequest, each func(control.Entry) error) error {
	f.asked = r
	for i := range 1000 {
		if err := each(control.Entry{Name: fmt.Sprint(i)}); err != nil {
			return err
		}
	}
	return f.fail
}

func (f *treeFake) Mkdir(_ context.Context, r control.MkdirRequest, _ func(control.Progress)) (control.Entry, error) {
	f.asked = r
	return control.Entry{Path: r.Target}, f.fail
}

func (f *treeFake) History(_ context.Context, target string) ([]control.Version, error) {
	f.asked = target
	return []control.Version{{Version: 9}}, f.fail
}

func (f *treeFake) Aliases(context.Context) ([]control.Alias, error) {
	return []control.Alias{{Alias: "home"}}, f.fail
}

const strange = "home:ä/100% \"x\"\t+&?#"

func TestTreeRequests(t *testing.T) {
	node := &treeFake{fake: newFake()}
	_, client := serve(t, node)
	ctx := t.Context()
	want := func(what string, request any, err error) {
		t.Helper()
		if diff := cmp.Diff(request, node.asked); err != nil || diff != "" {
			t.Errorf("%s: %v (-sent +received):\n%s", what, err, diff)
		}
	}
	lookup := control.LookupRequest{Target: strange, Capabilities: true}
	e, err := client.Lookup(ctx, lookup)
	want("lookup", lookup, err)
	if e.Path != strange || e.Size != 5 {
		t.Errorf("lookup answers %+v", e)
	}
	list := control.ListRequest{Target: strange, Recursive: true, Depth: 3, After: "x", Limit: 9, Self: true}
	n := 0
	err = client.List(ctx, list, func(e control.Entry) error {
		if e.Name != fmt.Sprint(n) {
			t.Errorf("entry %d is %q", n, e.Name)
		}
		n++
		return nil
	})
	want("list", list, err)
	if n != 1000 {
		t.Errorf("%d entries", n)
	}
	stop := errors.New("stop")
	if err := client.List(ctx, list, func(control.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a listing that is stopped gives %v", err)
	}
	mkdir := control.MkdirRequest{Target: strange, Parents: true}
	_, err = client.Mkdir(ctx, mkdir)
	want("mkdir", mkdir, err)
	versions, err := client.History(ctx, strange)
	want("history", strange, err)
	if len(versions) != 1 || versions[0].Version != 9 {
		t.Errorf("history answers %+v", versions)
	}
	if aliases, err := client.Aliases(ctx); err != nil || len(aliases) != 1 {
		t.Errorf("aliases %+v, %v", aliases, err)
	}
}

func TestPutAndGetByTarget(t *testing.T) {
	node := &treeFake{fake: newFake()}
	_, client := serve(t, node)
	offset := int64(12)
	request := control.PutRequest{
		Size: 5, Target: strange, Name: "ñ%\n", Mutable: true, Keep: true, Patch: &offset,
		Metadata: control.Metadata{Modified: time.Unix(1700000000, 5).UTC(), ContentType: "text/plain", Executable: true, User: map[string]string{"k": "v\n"}},
	}
	result, err := client.Put(t.Context(), strings.NewReader("12345"), request, nil)
	if diff := cmp.Diff(request, node.put); err != nil || diff != "" || result.Version != 3 || result.Path != strange {
		t.Errorf("%+v, %v (-sent +received):\n%s", result, err, diff)
	}
	d, err := client.GetAt(t.Context(), strange, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got bytes.Buffer
	if _, err := d.WriteTo(&got); err != nil || got.String() != "tent" || node.asked != strange {
		t.Errorf("read %q of %v, %v", got.String(), node.asked, err)
	}
	if !d.Entry.Executable || d.Entry.Name != "é\n" || !d.Entry.Modified.Equal(time.Unix(7, 0)) {
		t.Errorf("it is told to be %+v", d.Entry)
	}
}

func TestTreeErrors(t *testing.T) {
	node := &treeFake{fake: newFake()}
	_, client := serve(t, node)
	for _, test := range []struct {
		err  error
		want control.Code
	}{
		{share.ErrNotFound, control.CodeNotFound},
		{share.ErrExists, control.CodeFailed},
		{tree.ErrNotDirectory, control.CodeFailed},
		{capability.ErrAuthority, control.CodeRefused},
		{share.ErrReadOnly, control.CodeRefused},
		{&share.RollbackError{Found: 1, Seen: 2}, control.CodeNotEnough},
		{&share.ConflictError{}, control.CodeFailed},
	} {
		node.fail = fmt.Errorf("home:x: %w", test.err)
		_, lookup := client.Lookup(t.Context(), control.LookupRequest{Target: "home:x"})
		_, mkdir := client.Mkdir(t.Context(), control.MkdirRequest{Target: "home:x"})
		_, get := client.GetAt(t.Context(), "home:x", 0, -1)
		list := client.List(t.Context(), control.ListRequest{Target: "home:x"}, func(control.Entry) error { return nil })
		for what, err := range map[string]error{"lookup": lookup, "mkdir": mkdir, "get": get, "list": list} {
			var e *control.Error
			if !errors.As(err, &e) || e.Code != test.want || !strings.HasPrefix(e.Message, "home:x: ") {
				t.Errorf("%s: %v arrives as %+v, want %s", what, test.err, err, test.want)
			}
		}
	}
	if _, _, err := tree.Split("a/../b"); control.ErrorOf(err).Code != control.CodeMalformed {
		t.Errorf("%v is not malformed", err)
	}
}
