package wire

import (
	"fmt"

	"cairn/share"
)

// Open asks for the length of a share. The answer is Opened.
type Open struct {
	Index  share.StorageIndex `cbor:"1,keyasint"`
	Number share.Number       `cbor:"2,keyasint"`
}

// Kind returns KindOpen.
func (Open) Kind() Kind { return KindOpen }

func (Open) validate() error { return nil }

// Opened answers Open.
type Opened struct {
	Size int64 `cbor:"1,keyasint"` // bytes
}

// Kind returns KindOpened.
func (Opened) Kind() Kind { return KindOpened }

func (m Opened) validate() error {
	if m.Size < 0 {
		return fmt.Errorf("%w: share of %d bytes", share.ErrCorrupt, m.Size)
	}
	return nil
}

// Read asks for bytes of a share. The answer is KindData frames, each full but the last, with Length bytes together,
// or an Error in the place of what is missing.
type Read struct {
	Index  share.StorageIndex `cbor:"1,keyasint"`
	Number share.Number       `cbor:"2,keyasint"`
	Offset int64              `cbor:"3,keyasint"`
	Length int                `cbor:"4,keyasint"`
}

// Kind returns KindRead.
func (Read) Kind() Kind { return KindRead }

func (m Read) validate() error {
	switch {
	case m.Offset < 0:
		return fmt.Errorf("%w: read at offset %d", share.ErrCorrupt, m.Offset)
	case m.Length < 1 || m.Length > MaxRead:
		return fmt.Errorf("%w: read of %d bytes, want 1 to %d", share.ErrTooLarge, m.Length, MaxRead)
	}
	return nil
}
