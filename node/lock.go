package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// A RunningError says that a process uses the directory.
type RunningError struct {
	Dir string
	PID int // 0 when it is not known
}

func (e *RunningError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("a node runs on %s already", e.Dir)
	}
	return fmt.Sprintf("a node runs on %s already (process %d)", e.Dir, e.PID)
}

// lock takes the directory for this process until the lock is closed or the process ends. It returns a *RunningError
// when another process has it.
func (d *Dir) lock() (io.Closer, error) {
	path := d.file(lockFile)
	lock := flock.New(path, flock.SetPermissions(0o600))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !taken {
		return nil, &RunningError{Dir: d.path, PID: readPID(path)}
	}
	// The number only helps people; the lock itself is the kernel's.
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), lock.Close())
	}
	return lock, nil
}

func readPID(path string) int {
	data, err := os.ReadFile(path)
	if err != nil || len(data) > 32 {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return pid
}

// Running reports whether a process runs the node of the directory, and which one, 0 when that is not known. A directory
// without a node has none.
func Running(path string) (pid int, running bool, err error) {
	lockPath := (&Dir{path: path}).file(lockFile)
	if _, err := os.Stat(lockPath); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, false, nil
		}
		return 0, false, fmt.Errorf("lock: %w", err)
	}
	// A shared lock is refused while a node has the exclusive one.
	lock := flock.New(lockPath, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	if err != nil {
		return 0, false, fmt.Errorf("lock %s: %w", lockPath, err)
	}
	if !free {
		return readPID(lockPath), true, nil
	}
	return 0, false, lock.Close()
}
