// Package share names the things of the storage world and the one interface behind which all shares live.
//
// A file is encrypted by a gateway, cut into segments, and each segment is erasure coded into N blocks of
// which any k give it back. A share is one column of that table: block j of every segment, together with
// the hashes that tie it to the root. Shares live in Stores: a local disk, memory, a peer, a bucket. Nothing
// in this package does I/O; it is the vocabulary that every other package speaks.
package share

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxTotal is the largest number of shares one file can have: GF(2^8) has room for 256 rows.
const MaxTotal = 256

// A Number is a share number: the column of the encoded file that a share holds, 0 to 255. Numbers below k
// hold plain parts of the ciphertext, the others parity.
type Number uint8

// String returns the number in decimal.
func (n Number) String() string { return strconv.Itoa(int(n)) }

// A Digest is a SHA-256 digest.
type Digest [32]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// A ServerID names a storage server: the text form of the libp2p peer id it authenticates with.
type ServerID string

// Short returns the last eight characters, enough to tell peers apart in a message for people. Of a place that belongs to a peer it returns
// those of the peer.
func (id ServerID) Short() string {
	if of, _, ok := strings.Cut(string(id), "/"); ok {
		id = ServerID(of)
	}
	if len(id) <= 8 {
		return string(id)
	}
	return string(id[len(id)-8:])
}

// An UploadID names an upload before its storage index is known, so that an interrupted one can go on where
// it stopped. It is derived from the file's key and tells nothing about it.
type UploadID [16]byte

// String returns the upload id in hexadecimal.
func (id UploadID) String() string { return hex.EncodeToString(id[:]) }

// A Lease says who wants a share kept, and until when.
type Lease struct {
	// Owner is the identity of the account or node that asks; a server replaces it by the identity that
	// the connection authenticated.
	Owner string
	// Expires is when the owner's interest ends unless it is renewed.
	Expires time.Time
}

// MaxLease is the longest time a lease may run from now.
const MaxLease = 400 * 24 * time.Hour

// DefaultLease is how long a lease runs where nothing else is said.
const DefaultLease = 365 * 24 * time.Hour

// Held says which shares of one file a Store holds.
type Held struct {
	Index StorageIndex
	// Numbers are the share numbers held, ascending; empty when the store holds none.
	Numbers []Number
	// Root is the root block of the file where the store holds any share of it. It is a claim like every
	// other answer: the caller checks that its SHA-256 digest is Index.
	Root []byte
}

// An Upload describes a share that is about to be stored. The storage index is not part of it: it is the
// hash of the root, which exists only once the last segment is encoded.
type Upload struct {
	ID        UploadID
	Number    Number
	Needed    int // k
	Total     int // N
	BlockSize int // bytes of a block of a full segment
	// Size is the expected length of the ciphertext in bytes, so that the server can reserve space, or -1
	// for a stream of unknown length.
	Size  int64
	Lease Lease
}

// Progress says how much of one share of an upload a Store has.
type Progress struct {
	Number Number
	// Blocks is how many blocks are on stable storage.
	Blocks int64
	// Index is the storage index under which the share was committed, zero while it is unfinished.
	Index StorageIndex
}

// Space is what a Store offers, in bytes.
type Space struct {
	Offered int64 `json:"offered"` // what the owner lends in total
	Used    int64 `json:"used"`    // what shares occupy
	Free    int64 `json:"free"`    // what can still be taken, after reserve and reservations
}

// A Reader reads one share: the blocks, then the levels of the index, then the root, at the offsets that
// the encoded file's layout gives (docs/formats.md, "Share"). It is safe for concurrent use.
type Reader interface {
	// ReadAt fills p from offset off of the share. It returns an error whenever it fills less than p, and
	// io.ErrUnexpectedEOF when the share ends first. The bytes are a claim: the caller verifies them.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Size returns the length of the share in bytes.
	Size() int64
	Close() error
}

// A Writer streams one share into a Store, segment by segment. It is used from one goroutine.
type Writer interface {
	// Have returns how many blocks an interrupted upload of the same owner, id and number has left on stable
	// storage; the caller continues with that segment. Calling it is optional: a caller that does not
	// starts with segment 0 and replaces what was there.
	Have(ctx context.Context) (int64, error)
	// Append adds the next segment: the N digests of its blocks and this share's block of it. Neither slice
	// is retained. A store answers ErrCorrupt for a block that does not match its digest, ErrNoSpace, or
	// ErrTooLarge; a remote store may report an error of one Append at a later call.
	Append(ctx context.Context, digests []Digest, block []byte) error
	// Commit checks every block and the index against the root and, once all is on stable storage, publishes
	// the share under the root's storage index. Nil means that the share survives a crash. It returns
	// ErrCorrupt when the root does not fit what was appended, and then forgets the upload. Committing a share
	// that the store holds already adds the lease and succeeds.
	Commit(ctx context.Context, root []byte) error
	// Close releases the writer. Without a successful Commit what was appended stays for a later resumption,
	// for as long as the store keeps unfinished uploads.
	Close() error
}

// A BulkWriter is a Writer that takes several segments at once, which costs less than one after the other.
type BulkWriter interface {
	// AppendAll adds segments as so many calls of Append would: rows has the N digests of each, one segment after the other, and
	// blocks this share's blocks of them, all but the last as long as those of a full segment. Neither slice is retained. Where a
	// segment is refused, those before it stay.
	AppendAll(ctx context.Context, rows []Digest, blocks []byte) error
}

// A Store holds shares without understanding them. It is safe for concurrent use. Every error wraps one of
// this package's sentinel errors where one fits.
type Store interface {
	// Numbers says which shares of each storage index are held: one answer per index, in the same order.
	Numbers(ctx context.Context, indexes []StorageIndex) ([]Held, error)
	// Open opens one share for reading. It returns ErrNotFound when the share is not held.
	Open(ctx context.Context, index StorageIndex, number Number) (Reader, error)
	// Create begins or resumes the upload of one share. It returns ErrNoSpace, ErrReadOnly, ErrDenied,
	// ErrBusy or ErrTooLarge when the store does not want it; a remote store may report these at the first
	// call on the Writer.
	Create(ctx context.Context, upload Upload) (Writer, error)
	// Renew extends the owner's lease on every share held under the indexes. It returns ErrNotFound when one
	// of them is not held, after renewing the others.
	Renew(ctx context.Context, indexes []StorageIndex, lease Lease) error
}

// A Resumer is a Store that can say what it has of an upload, so that a repeated or interrupted upload goes to
// the same places and sends nothing twice.
type Resumer interface {
	// Uploads returns the progress of each share of the owner's upload, ascending by number.
	Uploads(ctx context.Context, owner string, id UploadID) ([]Progress, error)
}

// A Spacer is a Store that knows how much it offers.
type Spacer interface {
	Space(ctx context.Context) (Space, error)
}

// A Server is a Store with a name: one place where shares of a file can go. The local disk is a Server too.
type Server struct {
	ID       ServerID
	Nickname string
	Store    Store
	// Free is the number of bytes the server last said it can take.
	Free int64
	// Local is true for the node's own store, which is reached without a network.
	Local bool
	// Down is true for a server that did not answer lately: it is asked last and given nothing new.
	Down bool
	// Refused is true for a server that did not take a share a while ago, because of a quota or for lack of room. It gets new
	// ones only where the others are too few.
	Refused bool
	// Trouble is why the server takes nothing now although it may have room; nil where none is known.
	Trouble error
	// Last is true for a server that gets only what the others cannot take: shares for which no other server is left that
	// has none. It does not count where the number of servers decides something.
	Last bool
}

// String returns the nickname with the short id, or the short id alone.
func (s Server) String() string {
	if s.Nickname == "" {
		return s.ID.Short()
	}
	return fmt.Sprintf("%s (%s)", s.Nickname, s.ID.Short())
}
