package disk

import (
	"errors"
	"fmt"
	"unsafe"
)

// spoolBuffer is how many bytes gather in memory before they are written.
const spoolBuffer = 64 << 10

// writebackBytes is how many bytes are written to the file before the kernel is asked to begin moving them to the disk,
// so that the disk works while the upload goes on and not only when it is synced.
const writebackBytes = 1 << 20

// The system keeps in memory what it writes, in case that it is read again. Of a large share it keeps the first cacheBytes only:
// more would push out of memory what is read more often, and on a virtual machine that gets its memory page by page from
// its host it costs more than the writing. What was written last is still on its way to the disk: lagBytes of it.
const (
	cacheBytes = 8 << 20
	lagBytes   = 2 << 20
)

// Of a share that is known to be larger than cacheBytes, pieces of directBytes go to the disk past the page cache, which saves the copy
// and the pages. Where they begin, in memory and in the file, and how long they are has to be a multiple of directAlign.
const (
	directBytes = 512 << 10
	directAlign = 4 << 10
)

// A spool is a growing byte string that starts in memory and goes on in a file. It is used from one goroutine at a
// time. After an error what it holds is what load finds.
type spool struct {
	files files
	name  string
	large bool   // more than cacheBytes are expected
	file  file   // nil while all is in memory
	past  file   // the same one, past the page cache; nil while nothing was written there
	flat  int64  // bytes in the file
	begun int64  // bytes that the kernel was asked to begin writing
	buf   []byte // bytes behind them
}

func (s *spool) size() int64 { return s.flat + int64(len(s.buf)) }

// add appends bytes; large pieces go to the file without being copied.
func (s *spool) add(p []byte) error {
	if len(s.buf)+len(p) <= spoolBuffer {
		s.buf = append(s.buf, p...)
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	if len(p) < spoolBuffer {
		s.buf = append(s.buf, p...)
		return nil
	}
	return s.writeOut(p)
}

// flush moves everything into the file.
func (s *spool) flush() error {
	if err := s.open(); err != nil || len(s.buf) == 0 {
		return err
	}
	err := s.writeOut(s.buf)
	s.buf = s.buf[:0]
	return err
}

func (s *spool) open() error {
	if s.file != nil {
		return nil
	}
	f, err := s.files.Open(s.name, openCreate)
	if err == nil {
		s.file = f
		err = f.Truncate(s.flat)
	}
	return fail(err)
}

func (s *spool) writeOut(p []byte) error {
	if done := s.writePast(p); done > 0 {
		s.flat += int64(done)
		s.begun = s.flat
		if p = p[done:]; len(p) == 0 {
			return nil
		}
	}
	n, err := s.file.WriteAt(p, s.flat)
	s.flat += int64(n)
	if pending := s.flat - s.begun; err == nil && pending >= writebackBytes {
		startWriteback(s.file, s.begun, pending)
		if written := s.begun - lagBytes; written > cacheBytes {
			dropCache(s.file, cacheBytes, written-cacheBytes)
		}
		s.begun = s.flat
	}
	return fail(err)
}

// writePast writes the front of p past the page cache, if it can, and returns how much that was. Not every file system can, nor
// every disk with this alignment: what fails here is written the other way, which tells the reason if there is one.
func (s *spool) writePast(p []byte) int {
	n := len(p) &^ (directAlign - 1)
	if !s.large || openDirect == 0 || n < directBytes || s.flat%directAlign != 0 || uintptr(unsafe.Pointer(&p[0]))%directAlign != 0 {
		return 0
	}
	if s.past == nil {
		past, err := s.files.Open(s.name, openDirect)
		if err != nil {
			s.large = false
			return 0
		}
		s.past = past
	}
	if _, err := s.past.WriteAt(p[:n], s.flat); err != nil {
		s.large = false
		return 0
	}
	return n
}

// sync makes everything stable.
func (s *spool) sync() error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return fail(err)
	}
	if s.flat > cacheBytes {
		dropCache(s.file, cacheBytes, 0)
	}
	return nil
}

// load opens what an earlier process, or a failed write, left in the file; there may be none.
func (s *spool) load() error {
	if s.file == nil {
		f, err := s.files.Open(s.name, openCreate)
		if err != nil {
			return fail(err)
		}
		s.file = f
	}
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("size of an upload: %w", err)
	}
	s.flat, s.begun, s.buf = info.Size(), info.Size(), nil
	return nil
}

// truncate keeps the first n bytes.
func (s *spool) truncate(n int64) error {
	if n >= s.flat {
		s.buf = s.buf[:min(n-s.flat, int64(len(s.buf)))]
		return nil
	}
	s.flat, s.begun, s.buf = n, min(n, s.begun), s.buf[:0]
	if s.file == nil {
		return nil
	}
	return fail(s.file.Truncate(n))
}

// close closes the file and frees the buffer, whose bytes are lost unless flush came before.
func (s *spool) close() error {
	s.buf = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	if s.past != nil {
		err = errors.Join(err, s.past.Close())
		s.past = nil
	}
	return err
}

// remove closes and removes the file.
func (s *spool) remove() error {
	err := s.close()
	s.flat, s.begun = 0, 0
	return errors.Join(err, removeAll(s.files, s.name))
}
