package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cairn/internal/s3test"
)

// TestSpillScripts tells what a person does with a bucket, before a real S3 server.
func TestSpillScripts(t *testing.T) {
	server := s3test.Start(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/s3",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, noExitSleep, "CAIRN_NETWORK_MDNS=false", "CAIRN_STORAGE_RESERVE=0")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("S3", server.Endpoint)
			env.Setenv("BUCKET", s3test.Bucket)
			env.Setenv("ACCESS", s3test.Access)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "mode": scriptMode, "capture": scriptCapture, "random": scriptRandom, "cleanup": scriptCleanup,
			"s3-kill":    func(*testscript.TestScript, bool, []string) { server.Kill() },
			"s3-restart": func(*testscript.TestScript, bool, []string) { server.Restart() },
		},
	})
}
