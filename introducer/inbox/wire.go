package inbox

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"cairn/share"
)

var (
	encoder = must(cbor.CoreDetEncOptions().EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		TagsMd:            cbor.TagsForbidden,
		MaxArrayElements:  MaxNotes,
		MaxMapPairs:       16,
		MaxNestedLevels:   5,
	}.DecMode())
)

func must[T any](value T, err error) T {
	if err != nil {
		panic("inbox: " + err.Error()) // the options are constants
	}
	return value
}

func encode(value any) []byte {
	data, err := encoder.Marshal(value)
	if err != nil {
		panic("inbox: encoding: " + err.Error()) // structs of plain fields always encode
	}
	return data
}

// decode reads the one encoding that a value has.
func decode[T any](data []byte, into *T) error {
	if err := decoder.Unmarshal(data, into); err != nil {
		return fmt.Errorf("inbox: %w: %v", share.ErrCorrupt, err)
	}
	if !bytes.Equal(encode(*into), data) {
		return fmt.Errorf("inbox: %w: not in canonical form", share.ErrCorrupt)
	}
	return nil
}
