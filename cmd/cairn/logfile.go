package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"cairn/node/config"
)

// A logFile is a log that starts anew when it has become too large. The files before it are kept beside it, the latest as
// NAME.1, up to a number of them. It is safe for concurrent use.
type logFile struct {
	path    string
	maxSize int64 // 0: never start anew
	keep    int   // how many files before this one are kept

	mu   sync.Mutex // guards what follows
	file *os.File
	size int64
}

var _ io.WriteCloser = (*logFile)(nil)

// openLogFile opens a log at its end. Only the owner can read a new one: it says who the peers are.
func openLogFile(path string, maxSize int64, keep int) (*logFile, error) {
	l := &logFile{path: path, maxSize: maxSize, keep: keep}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	return l, nil
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write appends one record. A log that cannot start anew goes on in the old file: too long is better than lost.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0, fs.ErrClosed
	}
	if l.maxSize > 0 && l.size > 0 && l.size+int64(len(p)) > l.maxSize {
		if err := l.rotate(); err != nil {
			fmt.Fprintf(l.file, "level=WARN msg=\"the log could not start anew\" error=%q\n", err)
			l.maxSize = 0
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// rotate moves every file to the next number and opens a new one.
func (l *logFile) rotate() error {
	name := func(i int) string {
		if i == 0 {
			return l.path
		}
		return l.path + "." + strconv.Itoa(i)
	}
	// Windows renames no open file, so it is closed first, and opened again whatever comes of it.
	err := l.file.Close()
	if l.keep == 0 {
		err = errors.Join(err, os.Remove(l.path))
	}
	for i := l.keep; i > 0; i-- {
		if moved := os.Rename(name(i-1), name(i)); moved != nil && !errors.Is(moved, fs.ErrNotExist) {
			err = errors.Join(err, moved)
		}
	}
	if opened := l.open(); opened != nil {
		l.file = os.Stderr
		return errors.Join(err, opened)
	}
	return err
}

// Close ends the log.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.file == os.Stderr {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}

// nopCloser is a writer that somebody else closes.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// openLog returns where the running node logs to: the file that is configured, or standard error.
func (a *app) openLog(c config.Log) (io.WriteCloser, error) {
	if c.File == "" {
		return nopCloser{a.err}, nil
	}
	return openLogFile(a.logPath(c), int64(c.MaxSize), c.Keep)
}

// logPath returns the path of the log file that is configured.
func (a *app) logPath(c config.Log) string {
	if filepath.IsAbs(c.File) {
		return c.File
	}
	return filepath.Join(a.dir, c.File)
}
