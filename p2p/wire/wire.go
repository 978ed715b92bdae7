// Package wire holds the messages of the storage protocol: their encoding, their limits and their errors.
//
// It is pure: it does no input or output beyond the io.Reader and io.Writer it is given, and starts nothing. What the
// messages mean, and who sends which when, is docs/protocol.md; p2p/storage speaks it.
//
// Everything a peer sends is one frame after another: a kind (1 byte), the length of the payload (4 bytes, big endian),
// the payload. Control payloads are deterministic CBOR maps with small integers as keys; data payloads are raw. A decoder
// accepts exactly the bytes that the encoder writes. It answers share.ErrTooLarge for what exceeds a limit,
// share.ErrVersion for a kind, a field or a code that this version does not know, and share.ErrCorrupt for the rest.
package wire

// Limits of the protocol. Every frame and message that is accepted keeps them.
const (
	// HeaderSize is the length of a frame header in bytes.
	HeaderSize = 5
	// MaxControl bounds the payload of a control frame in bytes.
	MaxControl = 64 << 10
	// MaxData bounds the payload of a data frame in bytes.
	MaxData = 256 << 10
	// MaxBatch bounds how many storage indexes one message may name.
	MaxBatch = 256
	// MaxBlock bounds one block of a share in bytes.
	MaxBlock = 1 << 20
	// MaxRead bounds the bytes one read may ask for.
	MaxRead = 1 << 20
	// MaxRoot bounds a root block in bytes.
	MaxRoot = 512
	// MaxText bounds the text of an error in bytes.
	MaxText = 256
)
