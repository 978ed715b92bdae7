package page

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// Overhead is how many bytes sealing adds: the nonce before and the tag behind.
const Overhead = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// A Sealer turns capabilities into what stands in the entries of one directory, and back. Only writers of the directory
// have one. It is safe for concurrent use.
type Sealer struct {
	dir   share.Name
	aead  cipher.AEAD
	nonce [32]byte
}

// NewSealer returns the sealer of the directory with this write key.
func NewSealer(key keys.WriteKey) *Sealer {
	links := key.Links()
	aead, err := chacha20poly1305.NewX(links.Seal[:])
	if err != nil {
		panic("page: " + err.Error()) // 32 bytes are always a key
	}
	return &Sealer{dir: capability.NameOf(key), aead: aead, nonce: links.Nonce}
}

// Seal sets the entry's Capability and Sealed from a capability. What the capability gives beyond reading is sealed
// for writers of the directory and bound to the entry's name and the directory. The same input gives the same output.
func (s *Sealer) Seal(e *Entry, c capability.Capability) {
	e.Capability, e.Sealed = "", nil
	if Weak(c) {
		e.Capability = c.Text()
		return
	}
	secret := []byte(c.Text())
	if key, ok := c.WriteKey(); ok {
		read, err := c.Read()
		if err != nil {
			panic("page: " + err.Error()) // who writes can read
		}
		e.Capability, secret = read.Text(), key[:]
	}
	bound := s.bound(*e)
	mac := hmac.New(sha256.New, s.nonce[:])
	mac.Write(bound)
	mac.Write([]byte{0})
	mac.Write(secret)
	nonce := mac.Sum(nil)[:chacha20poly1305.NonceSizeX]
	e.Sealed = s.aead.Seal(nonce, nonce, secret, bound)
}

// bound returns what a sealed capability belongs to.
func (s *Sealer) bound(e Entry) []byte {
	return append([]byte(string(s.dir[:])+e.Name+"\x00"), e.Capability...)
}

// Open returns the strongest capability of an entry. It returns ErrCorrupt when what is sealed was sealed for another
// name or directory, or does not belong to the read capability beside it.
func (s *Sealer) Open(e Entry) (capability.Capability, error) {
	if len(e.Sealed) == 0 {
		return Open(e)
	}
	if len(e.Sealed) < Overhead {
		return capability.Capability{}, badSeal(e)
	}
	nonce, box := e.Sealed[:chacha20poly1305.NonceSizeX], e.Sealed[chacha20poly1305.NonceSizeX:]
	secret, err := s.aead.Open(nil, nonce, box, s.bound(e))
	if err != nil {
		return capability.Capability{}, badSeal(e)
	}
	c, ok := unsealed(e, secret)
	if !ok {
		return capability.Capability{}, badSeal(e)
	}
	return c, nil
}

func badSeal(e Entry) error {
	return fmt.Errorf("entry %.300q: %w: its sealed capability does not belong to it", e.Name, share.ErrCorrupt)
}

// unsealed makes the capability of what was sealed.
func unsealed(e Entry, secret []byte) (capability.Capability, bool) {
	if e.Capability == "" {
		c, err := capability.Parse(string(secret))
		return c, err == nil && !Weak(c) && c.Kind() == capability.KindUnknown
	}
	read, err := capability.Parse(e.Capability)
	if err != nil || len(secret) != keys.Size {
		return capability.Capability{}, false
	}
	c := capability.Mutable(keys.WriteKey(secret))
	if read.Kind() == capability.KindDirRead {
		c = capability.Directory(keys.WriteKey(secret))
	}
	back, err := c.Read()
	return c, err == nil && back.Equal(read)
}

// Open returns what readers of the directory may have of an entry: the zero Capability where that is nothing.
func Open(e Entry) (capability.Capability, error) {
	if e.Capability == "" {
		return capability.Capability{}, nil
	}
	return capability.Parse(e.Capability)
}
