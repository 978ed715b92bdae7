package wire

import (
	"fmt"

	"cairn/share"
)

// Recheck complains of a share: the server is to verify one segment of it itself, or its index for share.NoSegment. The answer is
// Rechecked. A server of an older version does not know the question: it answers with the error for an unsupported version and
// ends the stream.
type Recheck struct {
	Index   share.StorageIndex `cbor:"1,keyasint"`
	Number  share.Number       `cbor:"2,keyasint"`
	Segment int64              `cbor:"3,keyasint"`
}

// Kind returns KindRecheck.
func (Recheck) Kind() Kind { return KindRecheck }

func (m Recheck) validate() error {
	if m.Segment < share.NoSegment {
		return fmt.Errorf("%w: segment %d", share.ErrCorrupt, m.Segment)
	}
	return nil
}

// Rechecked answers Recheck: whether the share is held.
type Rechecked struct {
	Held bool `cbor:"1,keyasint"`
}

// Kind returns KindRechecked.
func (Rechecked) Kind() Kind { return KindRechecked }

func (Rechecked) validate() error { return nil }
