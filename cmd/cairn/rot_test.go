package main

import (
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"cairn/internal/s3test"
)

// scriptRot turns a bit of every large object of the story's bucket.
func scriptRot(ts *testscript.TestScript, _ bool, _ []string) {
	server := ts.Value(serverKey{}).(*s3test.Server)
	rotten := 0
	for key := range server.Objects() {
		if !strings.Contains(key, "/s/") {
			continue
		}
		file, err := os.OpenFile(server.File(key), os.O_RDWR, 0)
		ts.Check(err)
		at := []byte{0}
		_, err = file.ReadAt(at, 400_000)
		ts.Check(err)
		at[0] ^= 4
		_, err = file.WriteAt(at, 400_000)
		ts.Check(err)
		ts.Check(file.Close())
		rotten++
	}
	if rotten == 0 {
		ts.Fatalf("the bucket has no large object")
	}
}
