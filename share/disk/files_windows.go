package disk

import (
	"os"

	"golang.org/x/sys/windows"
)

const errQuota = windows.ERROR_DISK_QUOTA_EXCEEDED

func freeBytes(name string) (int64, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "free space", Path: name, Err: err}
	}
	return int64(min(free, 1<<62)), nil
}

// syncDir does nothing: NTFS journals names itself, and directories cannot be flushed.
func syncDir(string) error { return nil }
