package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// openDirect opens a file a second time, for writing past the page cache.
const openDirect = os.O_WRONLY | unix.O_DIRECT
