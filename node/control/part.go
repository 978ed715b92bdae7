package control

import (
	"io"
	"os"
	"syscall"
)

// A part is the next bytes of an open file, however long the file becomes meanwhile. The system can send it without copying.
type part struct {
	file *os.File
	end  int64 // where it ends in the file
}

var _ syscall.Conn = (*part)(nil)

// partOf returns the next size bytes of a file.
func partOf(file *os.File, size int64) (*part, error) {
	at, err := file.Seek(0, io.SeekCurrent)
	return &part{file, at + size}, err
}

// Read reads from where the file stands: the system may have sent some of it.
func (p *part) Read(b []byte) (int, error) {
	at, err := p.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if at >= p.end {
		return 0, io.EOF
	}
	return p.file.Read(b[:min(int64(len(b)), p.end-at)])
}

// SyscallConn returns the file's. Whoever sends from it does not send more than the part has.
func (p *part) SyscallConn() (syscall.RawConn, error) { return p.file.SyscallConn() }

// Close leaves the file open, which belongs to somebody else.
func (p *part) Close() error { return nil }
