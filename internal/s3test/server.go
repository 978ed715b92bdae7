// Package s3test starts a real S3 server on this machine for tests: versitygw, which `make .build/versitygw` builds.
package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"cairn/internal/porttest"
	"cairn/internal/waittest"
)

// Credentials of the server's owner, and the name of the bucket that Start makes.
const (
	Access = "cairntest"
	Secret = "cairntest-secret"
	Bucket = "cairn-test"
)

// A Server is a running server with one bucket. Its objects survive Kill and Restart.
type Server struct {
	// Endpoint is its address, http://127.0.0.1:port.
	Endpoint string
	// Dir is the folder in which the buckets are.
	Dir string

	t       testing.TB
	program string
	args    []string
	command *exec.Cmd
	done    chan struct{}
}

// Start starts a server, which ends with the test. Without the program the test is skipped, and says so.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	program := find()
	if program == "" {
		t.Skip("no S3 server: `make .build/versitygw` has not been run, or could not install it")
	}
	s := &Server{t: t, program: program, Dir: t.TempDir(), args: args}
	s.Endpoint = fmt.Sprintf("http://127.0.0.1:%d", porttest.Free(t))
	if err := os.Mkdir(filepath.Join(s.Dir, Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// find returns the program's path, empty when it is not there.
func find() string {
	if path := os.Getenv("CAIRN_S3_SERVER"); path != "" {
		return path
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		path := filepath.Join(dir, ".build", "versitygw")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		up := filepath.Dir(dir)
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || up == dir {
			return ""
		}
		dir = up
	}
}

// Kill ends the server as a power cut would.
func (s *Server) Kill() {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Kill()
	<-s.done
	s.command = nil
}

// Restart starts a server that was killed, on the same objects and address, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	address := strings.TrimPrefix(s.Endpoint, "http://")
	args := append([]string{"--port", address, "--access", Access, "--secret", Secret, "--quiet", "--keep-alive"}, s.args...)
	command := exec.Command(s.program, append(args, "posix", s.Dir)...)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		s.t.Fatalf("start the S3 server: %v", err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = command.Wait() }()
	s.command, s.done = command, done
	ctx, cancel := context.WithTimeout(context.Background(), waittest.Patience)
	defer cancel()
	if err := s.wait(ctx); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) wait(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint, nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(r); err == nil {
			return answer.Body.Close()
		}
		select {
		case <-tick.C:
		case <-s.done:
			return errors.New("the S3 server ended")
		case <-ctx.Done():
			return errors.New("the S3 server does not answer")
		}
	}
}

// Client returns a plain client of the server.
func (s *Server) Client() *minio.Client {
	s.t.Helper()
	c, err := minio.New(strings.TrimPrefix(s.Endpoint, "http://"), &minio.Options{Creds: credentials.NewStaticV4(Access, Secret, ""), Region: "us-east-1"})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Objects returns the keys and sizes of all objects of the bucket.
func (s *Server) Objects() map[string]int64 {
	s.t.Helper()
	found := map[string]int64{}
	for o := range s.Client().ListObjects(s.t.Context(), Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			s.t.Fatal(o.Err)
		}
		found[o.Key] = o.Size
	}
	return found
}

// Unfinished returns how many uploads in parts the bucket has.
func (s *Server) Unfinished() int {
	s.t.Helper()
	n := 0
	for u := range s.Client().ListIncompleteUploads(s.t.Context(), Bucket, "", true) {
		if u.Err != nil {
			s.t.Fatal(u.Err)
		}
		n++
	}
	return n
}

// File returns where the bytes of an object are, which a test may change as the owner of the server can.
func (s *Server) File(key string) string {
	return filepath.Join(s.Dir, Bucket, filepath.FromSlash(key))
}

// Remove deletes an object.
func (s *Server) Remove(key string) {
	s.t.Helper()
	if err := s.Client().RemoveObject(s.t.Context(), Bucket, key, minio.RemoveObjectOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// Get returns an object's bytes.
func (s *Server) Get(key string) []byte {
	s.t.Helper()
	o, err := s.Client().GetObject(s.t.Context(), Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer o.Close()
	data, err := io.ReadAll(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// Put stores an object.
func (s *Server) Put(key string, data []byte) {
	s.t.Helper()
	if _, err := s.Client().PutObject(s.t.Context(), Bucket, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{}); err != nil {
		s.t.Fatal(err)
	}
}
