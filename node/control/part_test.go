package control

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
)

// A sendingConn notes how much of what is sent the system could take from a file by itself.
type sendingConn struct {
	*net.TCPConn
	direct *atomic.Int64
}

func (c sendingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	if limited, ok := r.(*io.LimitedReader); ok {
		if _, ok := limited.R.(syscall.Conn); ok {
			c.direct.Add(n)
		}
	}
	return n, err
}

// TestFileIsSentWithoutCopying sends a part of a file, which the client passes on as what the system can send itself.
func TestFileIsSentWithoutCopying(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, append(want, "what was appended since"...), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const skipped = 5
	if _, err := file.Seek(skipped, io.SeekStart); err != nil {
		t.Fatal(err)
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, want[skipped:]) {
			t.Errorf("%d bytes came: %v", len(got), err)
		}
		io.WriteString(w, `{"result":{"capability":"it"}}`+"\n")
	}))
	defer server.Close()
	client := NewClient(Endpoint{Address: server.Listener.Addr().String()})
	defer client.Close()
	var direct atomic.Int64
	client.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return sendingConn{conn.(*net.TCPConn), &direct}, nil
	}
	result, err := client.Put(t.Context(), file, PutRequest{Size: int64(len(want) - skipped)}, nil)
	if err != nil || result.Capability != "it" {
		t.Fatalf("%+v: %v", result, err)
	}
	if direct.Load() < int64(len(want)-2*bufferSize) {
		t.Errorf("%d of %d bytes went past the program", direct.Load(), len(want))
	}
	if _, err := file.Stat(); err != nil {
		t.Errorf("the file was closed: %v", err)
	}
}
