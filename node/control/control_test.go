package control_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"

	"cairn/grid/health"
	"cairn/internal/waittest"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// fake is a node that keeps files in memory, and fails as it is told.
type fake struct {
	control.Membership // none of it is asked for
	control.Tree       // nor of it
	control.Batches    // nor of it
	control.Sharing    // nor of it
	control.Spiller    // nor of it

	mu      sync.Mutex
	files   map[string][]byte
	request control.PutRequest
	fail    error         // every operation returns it
	breakAt int64         // downloads fail there, when positive
	entered chan struct{} // receives when an upload begins
	stopped chan struct{}
}

func newFake() *fake {
	return &fake{files: map[string][]byte{}, entered: make(chan struct{}, 16), stopped: make(chan struct{})}
}

func (f *fake) Status(context.Context) (control.Status, error) {
	return control.Status{Node: "12D3abc", Nickname: "fake", Peers: 3}, f.fail
}

func (f *fake) Peers(context.Context) ([]control.Peer, error) {
	return []control.Peer{{ID: "12D3def", Path: "direct"}}, f.fail
}

func (f *fake) Served(context.Context) (control.Served, error) {
	return control.Served{Requests: 7, Received: 100, Sent: 20}, f.fail
}

func (f *fake) Grid(context.Context) (control.Grid, error) {
	return control.Grid{Name: "river friends", Params: share.Params{Needed: 3, Happy: 7, Total: 10}}, f.fail
}

func (f *fake) Put(ctx context.Context, r io.Reader, request control.PutRequest, progress func(control.Progress)) (control.PutResult, error) {
	f.entered <- struct{}{}
	if f.fail != nil {
		return control.PutResult{}, f.fail
	}
	progress(control.Progress{Done: 1, Total: request.Size})
	data, err := io.ReadAll(r)
	if err != nil {
		return control.PutResult{}, fmt.Errorf("read: %w", errors.Join(ctx.Err(), err))
	}
	c := capability.File(share.StorageIndex(sha256.Sum256(data)), keys.ReadKey{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[c.Text()], f.request = data, request
	return control.PutResult{Capability: c.Text(), Size: int64(len(data))}, nil
}

type fakeFile struct {
	*bytes.Reader
	breakAt int64
}

func (f fakeFile) WriteTo(_ context.Context, w io.Writer, off, n int64) (int64, error) {
	if f.breakAt > 0 {
		m, _ := io.Copy(w, io.NewSectionReader(f.Reader, off, f.breakAt))
		return m, &share.NotEnoughSharesError{Needed: 3, Found: 2, Answered: 2, Asked: 4}
	}
	return io.Copy(w, io.NewSectionReader(f.Reader, off, n))
}

func (f fakeFile) Close() error { return nil }

func (f *fake) Open(_ context.Context, c capability.Capability) (control.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.files[c.Text()]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", c, share.ErrNotFound)
	}
	return fakeFile{bytes.NewReader(data), f.breakAt}, nil
}

func (f *fake) Stat(context.Context, capability.Capability) (control.Stat, error) {
	return control.Stat{Kind: "file", Size: 7}, f.fail
}

func (f *fake) Check(_ context.Context, c capability.Capability, verify bool, progress func(control.Progress)) (control.Report, error) {
	progress(control.Progress{Done: 1, Total: 10})
	return control.Report{Capability: c.Text(), Healthy: true, Verified: verify}, f.fail
}

func (f *fake) Repair(context.Context, capability.Capability, bool, func(control.Progress)) (control.RepairReport, error) {
	return control.RepairReport{Made: []health.Made{{Number: 4, Peer: "12D3"}}}, f.fail
}

func (f *fake) Shutdown() { close(f.stopped) }

func serve(t *testing.T, node control.Node) (*control.Server, *control.Client) {
	t.Helper()
	s, err := control.Listen("127.0.0.1:0", node, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := control.NewClient(s.Endpoint())
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s, c
}

func content(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

func TestQuestions(t *testing.T) {
	_, client := serve(t, newFake())
	ctx := t.Context()
	status, err := client.Status(ctx)
	if err != nil || status.Nickname != "fake" || status.Peers != 3 {
		t.Errorf("status %+v, %v", status, err)
	}
	peers, err := client.Peers(ctx)
	if err != nil || len(peers) != 1 || peers[0].Path != "direct" {
		t.Errorf("peers %+v, %v", peers, err)
	}
	served, err := client.Served(ctx)
	if err != nil || served != (control.Served{Requests: 7, Received: 100, Sent: 20}) {
		t.Errorf("served %+v, %v", served, err)
	}
	grid, err := client.Grid(ctx)
	if err != nil || grid.Name != "river friends" || grid.Total != 10 {
		t.Errorf("grid %+v, %v", grid, err)
	}
	some := capability.File(share.StorageIndex{1}, keys.ReadKey{})
	stat, err := client.Stat(ctx, some)
	if err != nil || stat.Size != 7 {
		t.Errorf("stat %+v, %v", stat, err)
	}
	report, err := client.Check(ctx, some, true, nil)
	if err != nil || !report.Verified || report.Capability != some.Text() {
		t.Errorf("check %+v, %v", report, err)
	}
	repaired, err := client.Repair(ctx, some, false, nil)
	if err != nil || len(repaired.Made) != 1 || repaired.Made[0].Number != 4 {
		t.Errorf("repair %+v, %v", repaired, err)
	}
}

// TestRefusedPuts: a put that is refused before its file was read does not spoil the connection for the next one.
func TestRefusedPuts(t *testing.T) {
	node := newFake()
	node.fail = &share.UnhappyError{Happy: 3, Happiness: 1, Servers: 1}
	node.entered = make(chan struct{}, 1000)
	_, client := serve(t, node)
	data := make([]byte, 300_000)
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() {
			for range 300 {
				_, err := client.Put(t.Context(), io.MultiReader(bytes.NewReader(data)), control.PutRequest{Size: int64(len(data))}, nil)
				if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeNotEnough {
					t.Errorf("refused with %v", err)
					return
				}
			}
		})
	}
	work.Wait()
}

func TestPutAndGet(t *testing.T) {
	node := newFake()
	_, client := serve(t, node)
	data := content(3<<20 + 17)
	digest := share.Digest(sha256.Sum256(data))
	checksum := xxhash.Sum64(data)
	request := control.PutRequest{
		Params: share.Params{Needed: 2, Happy: 3, Total: 4}, BlockSize: 4096, Private: true, Size: int64(len(data)), Digest: &digest,
		Checksum: &checksum,
	}
	for name, size := range map[string]int64{"known size": int64(len(data)), "stream": -1} {
		request.Size = size
		saw := false
		result, err := client.Put(t.Context(), bytes.NewReader(data), request, func(control.Progress) { saw = true })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(request, node.request); diff != "" || !saw {
			t.Errorf("%s: progress %v, request (-sent +received):\n%s", name, saw, diff)
		}
		open, err := capability.Parse(result.Capability)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []struct{ off, n, want int64 }{
			{0, -1, int64(len(data))}, {5, 1000, 1000}, {int64(len(data)) - 3, 100, 3}, {int64(len(data)), -1, 0}, {0, 0, 0},
		} {
			d, err := client.Get(t.Context(), open, part.off, part.n)
			if err != nil {
				t.Fatalf("%s: get %+v: %v", name, part, err)
			}
			var got bytes.Buffer
			n, err := d.WriteTo(&got)
			d.Close()
			if err != nil || n != part.want || d.Size != int64(len(data)) || !bytes.Equal(got.Bytes(), data[part.off:part.off+part.want]) {
				t.Errorf("%s: range %+v gave %d bytes of %d, %v", name, part, n, d.Size, err)
			}
		}
	}
}

func TestEmptyFile(t *testing.T) {
	node := newFake()
	_, client := serve(t, node)
	if result, err := client.Put(t.Context(), strings.NewReader(""), control.PutRequest{Size: 0}, nil); err != nil || result.Size != 0 {
		t.Errorf("put of nothing: %+v, %v", result, err)
	}
}

func TestDownloadThatBreaks(t *testing.T) {
	node := newFake()
	_, client := serve(t, node)
	result, err := client.Put(t.Context(), bytes.NewReader(content(1<<20)), control.PutRequest{Size: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	node.breakAt = 300 << 10
	open, err := capability.Parse(result.Capability)
	if err != nil {
		t.Fatal(err)
	}
	d, err := client.Get(t.Context(), open, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	n, err := d.WriteTo(io.Discard)
	e, ok := errors.AsType[*control.Error](err)
	if !ok || e.Code != control.CodeNotEnough || e.Needed != 3 || n != node.breakAt {
		t.Errorf("a download that broke after %d bytes gave %d and %v", node.breakAt, n, err)
	}
}

// TestFailureWhileSending shows that the client learns of a failure at once, not after it has sent everything.
func TestFailureWhileSending(t *testing.T) {
	node := newFake()
	node.fail = fmt.Errorf("upload: %w", &share.UnhappyError{Happiness: 2, Happy: 7, Servers: 5, Causes: []error{errors.New("n1: full")}})
	_, client := serve(t, node)
	endless, feed := io.Pipe()
	defer feed.Close()
	_, err := client.Put(t.Context(), endless, control.PutRequest{Size: -1}, nil)
	e, ok := errors.AsType[*control.Error](err)
	if !ok || e.Code != control.CodeNotEnough || e.Needed != 7 || e.Answered != 2 || e.Asked != 5 || e.Hint == "" ||
		e.Message != "upload: shares could be placed on 2 servers, 7 are needed (5 servers known)" || len(e.Causes) != 1 {
		t.Errorf("error %+v", err)
	}
}

// TestSharesThatCannotBeRead has everybody answer who has shares of a file, and none of them give one.
func TestSharesThatCannotBeRead(t *testing.T) {
	node := newFake()
	node.fail = &share.NotEnoughSharesError{Needed: 1, Answered: 1, Asked: 1, Causes: []error{share.ErrUnavailable}}
	_, client := serve(t, node)
	_, err := client.Stat(t.Context(), capability.FileVerify(share.StorageIndex{7}))
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeNotEnough || errors.Is(err, share.ErrNotFound) || len(e.Causes) != 1 {
		t.Errorf("got %+v, want code %s with the cause", err, control.CodeNotEnough)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	index := share.StorageIndex{7}
	for name, try := range map[string]struct {
		err  error
		want control.Code
	}{
		"not found":     {fmt.Errorf("open: %w", share.ErrNotFound), control.CodeNotFound},
		"nobody has it": {&share.NotEnoughSharesError{Index: index, Needed: 3, Answered: 9, Asked: 9}, control.CodeNotFound},
		"some silent":   {&share.NotEnoughSharesError{Index: index, Needed: 3, Answered: 2, Asked: 9}, control.CodeNotEnough},
		"too few":       {&share.NotEnoughSharesError{Index: index, Needed: 3, Found: 2, Answered: 9, Asked: 9}, control.CodeNotEnough},
		"unhappy":       {fmt.Errorf("put: %w", &share.UnhappyError{Happiness: 1, Happy: 2}), control.CodeNotEnough},
		"authority":     {fmt.Errorf("get: %w", capability.ErrAuthority), control.CodeRefused},
		"refused":       {fmt.Errorf("put: %w", share.ErrDenied), control.CodeRefused},
		"kind":          {&capability.KindError{}, control.CodeMalformed},
		"other":         {errors.New("odd"), control.CodeFailed},
	} {
		node := newFake()
		node.fail = try.err
		_, client := serve(t, node)
		some := capability.FileVerify(index)
		_, first := client.Stat(t.Context(), some)
		_, second := client.Check(t.Context(), some, false, nil)
		for _, err := range []error{first, second} {
			if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != try.want || !strings.Contains(e.Message, try.err.Error()) {
				t.Errorf("%s: got %+v, want code %s", name, err, try.want)
			}
			if found := errors.Is(err, share.ErrNotFound); found != (try.want == control.CodeNotFound) {
				t.Errorf("%s: is it a share.ErrNotFound: %v", name, found)
			}
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	server, _ := serve(t, newFake())
	at := server.Endpoint()
	for name, try := range map[string]struct {
		header http.Header
		host   string
		want   int
	}{
		"no token":     {http.Header{}, "", http.StatusUnauthorized},
		"wrong token":  {http.Header{"Authorization": {"Bearer " + at.Token[1:]}}, "", http.StatusUnauthorized},
		"not bearer":   {http.Header{"Authorization": {at.Token}}, "", http.StatusUnauthorized},
		"other host":   {http.Header{"Authorization": {"Bearer " + at.Token}}, "evil.example", http.StatusMisdirectedRequest},
		"web page":     {http.Header{"Authorization": {"Bearer " + at.Token}, "Origin": {"http://evil.example"}}, "", http.StatusForbidden},
		"as it should": {http.Header{"Authorization": {"Bearer " + at.Token}}, "", http.StatusOK},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.Address+"/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header, request.Host = try.header, try.host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != try.want || try.want != http.StatusOK && bytes.Contains(body, []byte("12D3abc")) {
			t.Errorf("%s: status %d, want %d: %s", name, response.StatusCode, try.want, body)
		}
		if bytes.Contains(body, []byte(at.Token)) {
			t.Errorf("%s: the answer contains the token", name)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	server, _ := serve(t, newFake())
	at := server.Endpoint()
	good := capability.FileVerify(share.StorageIndex{}).Text()
	for name, try := range map[string]struct {
		method, path string
		header       map[string]string
	}{
		"no capability":   {"GET", "/v1/content", nil},
		"bad capability":  {"GET", "/v1/stat", map[string]string{"Cairn-Capability": "cairn:file:x"}},
		"negative offset": {"GET", "/v1/content", map[string]string{"Cairn-Capability": good, "Cairn-Offset": "-1"}},
		"bad length":      {"GET", "/v1/content", map[string]string{"Cairn-Capability": good, "Cairn-Length": "x"}},
		"bad size":        {"POST", "/v1/files", map[string]string{"Cairn-Size": "-2"}},
		"bad digest":      {"POST", "/v1/files", map[string]string{"Cairn-Digest": "00"}},
		"bad checksum":    {"POST", "/v1/files", map[string]string{"Cairn-Checksum": "no"}},
		"bad params":      {"POST", "/v1/files", map[string]string{"Cairn-Params": "3/2/1"}},
		"params by half":  {"POST", "/v1/files", map[string]string{"Cairn-Params": "3"}},
		"bad block size":  {"POST", "/v1/files", map[string]string{"Cairn-Block-Size": "-4"}},
	} {
		request, err := http.NewRequestWithContext(t.Context(), try.method, "http://"+at.Address+try.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+at.Token)
		for k, v := range try.header {
			request.Header.Set(k, v)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", name, response.StatusCode)
		}
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	node := newFake()
	s, err := control.Listen("127.0.0.1:0", node, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	client := control.NewClient(s.Endpoint())
	defer client.Close()
	endless, feed := io.Pipe()
	defer feed.Close()
	put := make(chan error, 1)
	go func() {
		_, err := client.Put(t.Context(), endless, control.PutRequest{Size: -1}, nil)
		put <- err
	}()
	<-node.entered
	took := waittest.Took(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-put; err == nil || err.Error() != "the node is stopping" {
			t.Errorf("the upload ended with %v", err)
		}
	})
	if took > 10*time.Second {
		t.Errorf("closing took %v", took)
	}
	if _, err := client.Status(t.Context()); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("after closing: %v, want ErrNotRunning", err)
	}
}

func TestShutdown(t *testing.T) {
	node := newFake()
	_, client := serve(t, node)
	if err := client.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-node.stopped
}

func TestListenRefuses(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "nonsense"} {
		if s, err := control.Listen(address, newFake(), slog.New(slog.DiscardHandler)); err == nil {
			s.Close()
			t.Errorf("%s: accepted", address)
		}
	}
}

func TestEndpointFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := control.Dial(dir); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("without a file: %v, want ErrNotRunning", err)
	}
	want := control.Endpoint{Address: "127.0.0.1:1", Token: control.NewToken(), PID: 7, Node: "12D3"}
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, control.EndpointFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}
	got, err := control.ReadEndpoint(dir)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("endpoint %v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", "{}", "{", `{"address":"10.0.0.1:1","token":"x"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := control.ReadEndpoint(dir); err == nil || errors.Is(err, control.ErrNotRunning) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if err := control.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := control.Remove(dir); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestTooManyRequests(t *testing.T) {
	node := newFake()
	_, client := serve(t, node)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	endless, feed := io.Pipe()
	const most = 256
	for range most {
		group.Go(func() {
			client.Put(ctx, endless, control.PutRequest{Size: -1}, nil)
		})
	}
	for range most {
		<-node.entered
	}
	_, err := client.Status(t.Context())
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Code != control.CodeFailed {
		t.Errorf("request %d: %v", most+1, err)
	}
	cancel()
	feed.Close()
	group.Wait()
}

// TestContentIsWhatIsAllowed: --happy cannot be less than the shares needed, so that is not proposed. The node does not know of flags.
func TestContentIsWhatIsAllowed(t *testing.T) {
	for happiness, want := range map[int]bool{0: false, 2: false, 3: true, 6: true} {
		e := control.ErrorOf(&share.UnhappyError{Happiness: happiness, Happy: 7, Needed: 3, Servers: 6})
		if got := e.Content == happiness && happiness > 0; got != want || strings.Contains(e.Hint, "--happy") {
			t.Errorf("happiness %d of 7 with 3 needed: %+v", happiness, *e)
		}
	}
}
