package doctor

import "fmt"

// Bucket says whether the bucket behind the disk is in use. The problem is why it is not, empty where it is.
func Bucket(url, problem string, damaged int) Check {
	const name = "bucket"
	switch {
	case problem != "":
		return fail(name, url+" is not in use: "+problem, "correct it and try it out with \"cairn spill test\"; what is in it is served once it can be opened")
	case damaged > 0:
		return warn(name, fmt.Sprintf("%s holds %d shares that do not verify", url, damaged), "their owners can repair the files: cairn repair")
	}
	return ok(name, url+" is in use")
}
