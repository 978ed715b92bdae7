package disk

import "encoding/binary"

// wastePrefix begins the keys that say how many bytes of a segment of the journal are not needed any more.
const wastePrefix = 'j'

func wasteKey(segment uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{wastePrefix}, segment)
}

// A wasteRecord counts the bytes of a segment that hold shares and versions which went or were written anew elsewhere.
type wasteRecord struct {
	_     struct{} `cbor:",toarray"`
	Bytes int64
}

func (b *batch) wasteChanges() []change {
	var changes []change
	for segment, more := range b.wasted {
		var r wasteRecord
		if _, err := b.index.get(wasteKey(segment), &r); err != nil {
			r = wasteRecord{} // it is an estimate: counting begins anew
		}
		r.Bytes += more
		changes = append(changes, change{wasteKey(segment), seal(r)})
	}
	return changes
}
