package vfs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/xts"
)

const (
	// sectorSize is how many bytes are encrypted as one. It is that of a page of memory, so that a process which is killed has
	// written a sector or has not.
	sectorSize = 4 << 10
	// chunkSectors is how many sectors are read or written at a time.
	chunkSectors = 64

	infoData    = "cairn/v1/spool/data/"
	infoRecords = "cairn/v1/spool/records"
)

// sectors is a file of the spool on disk, encrypted with AES-256-XTS under a key of its own. What lies between what was written
// reads as anything. It does not notice changes by others: who can write here can as well remove the file.
type sectors struct {
	file   *os.File
	cipher *xts.Cipher
}

func newSectors(f *os.File, key [32]byte, id string) (*sectors, error) {
	own, err := hkdf.Key(sha256.New, key[:], nil, infoData+id, 64)
	if err != nil {
		return nil, err
	}
	c, err := xts.NewCipher(aes.NewCipher, own)
	if err != nil {
		return nil, err
	}
	return &sectors{f, c}, nil
}

// recordSeal returns what seals the records of a spool.
func recordSeal(key [32]byte) (cipher.AEAD, error) {
	own, err := hkdf.Key(sha256.New, key[:], nil, infoRecords, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// load fills whole sectors from the first one on. Where the file ends before, they are zeros.
func (s *sectors) load(p []byte, first int64) error {
	n, err := s.file.ReadAt(p, first*sectorSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	whole := n / sectorSize * sectorSize
	for at := 0; at < whole; at += sectorSize {
		s.cipher.Decrypt(p[at:at+sectorSize], p[at:at+sectorSize], uint64(first)+uint64(at/sectorSize))
	}
	clear(p[whole:])
	return nil
}

// chunk returns the part of n bytes from off on that is read or written at a time: the first of its sectors, how many there
// are, where in them it begins, and its length.
func chunk(off, n int64) (first, count, from, length int64) {
	first, from = off/sectorSize, off%sectorSize
	length = min(n, chunkSectors*sectorSize-from)
	return first, (from + length + sectorSize - 1) / sectorSize, from, length
}

// ReadAt implements io.ReaderAt for bytes that were written.
func (s *sectors) ReadAt(p []byte, off int64) (int, error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	short := off+int64(len(p)) > info.Size()
	if short {
		p = p[:max(0, info.Size()-off)]
	}
	done := 0
	for done < len(p) {
		first, count, from, length := chunk(off+int64(done), int64(len(p)-done))
		buffer := make([]byte, count*sectorSize)
		if err := s.load(buffer, first); err != nil {
			return done, err
		}
		done += copy(p[done:], buffer[from:from+length])
	}
	if short {
		return done, io.EOF
	}
	return done, nil
}

// WriteAt implements io.WriterAt.
func (s *sectors) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		first, count, from, length := chunk(off+int64(done), int64(len(p)-done))
		buffer := make([]byte, count*sectorSize)
		if from > 0 {
			if err := s.load(buffer[:sectorSize], first); err != nil {
				return done, err
			}
		}
		if end := from + length; end%sectorSize > 0 && (count > 1 || from == 0) {
			if err := s.load(buffer[(count-1)*sectorSize:], first+count-1); err != nil {
				return done, err
			}
		}
		copy(buffer[from:], p[done:done+int(length)])
		for at := int64(0); at < count; at++ {
			sector := buffer[at*sectorSize : (at+1)*sectorSize]
			s.cipher.Encrypt(sector, sector, uint64(first+at))
		}
		if _, err := s.file.WriteAt(buffer, first*sectorSize); err != nil {
			return done, err
		}
		done += int(length)
	}
	return done, nil
}

// cut frees what lies behind size on the disk, as far as whole sectors do.
func (s *sectors) cut(size int64) error {
	end := (size + sectorSize - 1) / sectorSize * sectorSize
	info, err := s.file.Stat()
	if err != nil || info.Size() <= end {
		return err
	}
	return s.file.Truncate(end)
}

// copyFrom copies a part of another file.
func (s *sectors) copyFrom(other *sectors, x extent) error {
	n, err := io.CopyBuffer(struct{ io.Writer }{io.NewOffsetWriter(s, x.From)}, struct{ io.Reader }{io.NewSectionReader(other, x.From, x.To-x.From)},
		make([]byte, chunkSectors*sectorSize))
	if err == nil && n < x.To-x.From {
		err = fmt.Errorf("copy in the spool: %w", io.ErrUnexpectedEOF)
	}
	return err
}

func (s *sectors) Close() error { return s.file.Close() }
