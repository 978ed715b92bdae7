package wire

import "cairn/share"

// Forgo ends the peer's own lease on every share of the indexes. The answer is Done. A server of an older version does not know the
// question: it answers with the error for an unsupported version and ends the stream.
type Forgo struct {
	Indexes []share.StorageIndex `cbor:"1,keyasint"`
}

// Kind returns KindForgo.
func (Forgo) Kind() Kind { return KindForgo }

func (m Forgo) validate() error { return validateBatch(m.Indexes) }
