package doctor

import (
	"fmt"
	"time"
)

// Bucket says whether the bucket behind the disk is in use. The problem is why it is not, empty where it is.
func Bucket(url, problem string, damaged int) Check {
	const name = "bucket"
	switch {
	case problem != "":
		return fail(name, url+" is not in use, or takes nothing: "+problem, "correct it and try it out with \"cairn spill test\"; the node goes on with its disk meanwhile, and tries again by itself")
	case damaged > 0:
		return warn(name, fmt.Sprintf("%s holds %d shares that do not verify", url, damaged), "their owners can repair the files, with \"cairn repair\"")
	}
	return ok(name, url+" is in use")
}

// Serving says whether what is in the bucket of a node that has no disk is served, and new shares are taken. The problem is why not, empty
// where they are.
func Serving(url, problem string) Check {
	const name = "bucket in use"
	if problem != "" {
		return fail(name, url+": "+problem, "the node tries again by itself; where something is to be corrected, \"cairn storage test\" tries it out")
	}
	return ok(name, url)
}

// Tried judges how long it took to write, read, compare and delete a small object in the bucket in which a node keeps its shares, or why that did not
// succeed.
func Tried(url string, took time.Duration, err error) Check {
	const name = "bucket"
	if err != nil {
		return fail(name, url+": "+line(err), "if the server is away, wait until it is there; otherwise correct it: settings with \"cairn config set storage...\", keys with \"cairn storage keys\"")
	}
	return ok(name, fmt.Sprintf("%s: a small object is written, read and deleted in %.0f ms", url, float64(took.Microseconds())/1000))
}
