package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cairn/internal/s3test"
)

// serverKey is the key of a story's S3 server among the values of its environment.
type serverKey struct{}

// TestSpillScripts tells what a person does with a bucket, each story before a real S3 server of its own.
func TestSpillScripts(t *testing.T) {
	server := func(ts *testscript.TestScript) *s3test.Server { return ts.Value(serverKey{}).(*s3test.Server) }
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/s3",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			server := s3test.Start(env.T().(testing.TB))
			env.Values[serverKey{}] = server
			endNodes(env)
			env.Vars = append(env.Vars, noExitSleep, "CAIRN_NETWORK_MDNS=false", "CAIRN_STORAGE_RESERVE=0")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("S3", server.Endpoint)
			env.Setenv("BUCKET", s3test.Bucket)
			env.Setenv("ACCESS", s3test.Access)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "mode": scriptMode, "capture": scriptCapture, "random": scriptRandom,
			"s3-kill":      func(ts *testscript.TestScript, _ bool, _ []string) { server(ts).Kill() },
			"capture-json": scriptCaptureJSON, "phrasefile": scriptPhraseFile, "met": scriptMet, "kill9": scriptKill,
			"s3-stub": scriptStub,
			"s3-put":  scriptPutObject,
			"s3-rot":  scriptRot,
			"s3-new": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(os.Mkdir(filepath.Join(server(ts).Dir, s3test.Bucket), 0o755))
			},
			"s3-drop":    func(ts *testscript.TestScript, _ bool, _ []string) { moveBucket(ts, s3test.Bucket, "dropped") },
			"s3-away":    func(ts *testscript.TestScript, _ bool, _ []string) { moveBucket(ts, s3test.Bucket, "away") },
			"s3-back":    func(ts *testscript.TestScript, _ bool, _ []string) { moveBucket(ts, "away", s3test.Bucket) },
			"s3-restart": func(ts *testscript.TestScript, _ bool, _ []string) { server(ts).Restart() },
		},
	})
}

// moveBucket renames a bucket of the story's server.
func moveBucket(ts *testscript.TestScript, from, to string) {
	dir := ts.Value(serverKey{}).(*s3test.Server).Dir
	ts.Check(os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
}
