package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/rogpeppe/go-internal/testscript"

	"cairn/internal/s3test"
	"cairn/internal/waittest"
	"cairn/node"
)

// scriptStub starts something that is no S3 server, or one that misbehaves, and puts its address into a variable: s3-stub VARIABLE KIND.
func scriptStub(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: s3-stub VARIABLE KIND")
	}
	if args[1] == "ssh" {
		ts.Setenv(args[0], "http://"+listenSSH(ts))
		return
	}
	handler := map[string]http.HandlerFunc{
		"web":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>It works</title>") },
		"web404": http.NotFound,
		"skewed": refuse(http.StatusForbidden, "RequestTimeTooSkewed"),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.invalid/login", http.StatusFound)
		},
		"readonly": readOnlyProxy(ts, http.StatusForbidden, "AccessDenied"),
		"full":     readOnlyProxy(ts, http.StatusForbidden, "QuotaExceeded"),
		"hangs":    func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}[args[1]]
	if handler == nil {
		ts.Fatalf("no such kind: %s", args[1])
	}
	server := httptest.NewServer(handler)
	ts.Defer(func() {
		server.CloseClientConnections() // of who waits for one that hangs
		server.Close()
	})
	ts.Setenv(args[0], server.URL)
}

// refuse answers everything with an error of S3.
func refuse(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}

// readOnlyProxy hands what reads to the story's server, and refuses the rest with an error of S3.
func readOnlyProxy(ts *testscript.TestScript, status int, code string) http.HandlerFunc {
	to, err := url.Parse(ts.Value(serverKey{}).(*s3test.Server).Endpoint)
	ts.Check(err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
		r.Out.Host = r.In.Host // it is signed
	}}
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuse(status, code)(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}
}

// listenSSH answers every connection as an SSH server does.
func listenSSH(ts *testscript.TestScript) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.6\r\n")
			c.Close()
		}
	}()
	ts.Defer(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

// scriptPutObject puts something into the bucket that is not of this program: s3-put KEY.
func scriptPutObject(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: s3-put KEY")
	}
	text := "not a share"
	_, err := ts.Value(serverKey{}).(*s3test.Server).Client().PutObject(context.Background(), s3test.Bucket, args[0], strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	ts.Check(err)
}

// scriptKill ends a node as a power cut would: kill9 DIR.
func scriptKill(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: kill9 DIR")
	}
	dir := ts.MkAbs(args[0])
	pid, running, err := node.Running(dir)
	ts.Check(err)
	if !running || pid == 0 {
		ts.Fatalf("no node runs on %s", dir)
	}
	process, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(process.Kill())
	for deadline := time.Now().Add(waittest.Patience); running && time.Now().Before(deadline); {
		runtime.Gosched()
		_, running, err = node.Running(dir)
		ts.Check(err)
	}
	if running {
		ts.Fatalf("process %d does not end", pid)
	}
}
