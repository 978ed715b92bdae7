// Package head signs and reads the heads of mutable names: IPNS records that say which encoded file is the current version.
//
// A head is a claim that anybody can check with the name alone, and only the holder of the name's key can make. Its bytes
// are fixed by its fields and its signature (docs/formats.md, "Heads"), so the digest of a record stands for the head.
package head

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/share"
)

const (
	// MaxParents is how many records one head may follow.
	MaxParents = 8
	// MaxSequence is the last sequence: IPNS writes it as a signed number of 64 bits.
	MaxSequence = math.MaxInt64

	keyParents = "_cairn"
	keyWritten = "_written"
	keyKeep    = "_keep"
	keyEnded   = "_ended"
	keyTies    = "_ties"
	keepSize   = 12
	valueStart = "/ipfs/"
	ttl        = time.Minute
)

// A record of this package does not end: whether a version is the newest is for the reader to find out.
var endOfLife = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// lastWritten is the last time in milliseconds since 1970 that a head can carry.
var lastWritten = endOfLife.UnixMilli()

// A Tie says how a version stands to one that it follows.
type Tie byte

const (
	// Has says that it has the content of that one, as far as its writer left it as it was.
	Has Tie = iota
	// Remade says that it has, and that its writer, who wrote that one too, has made the change of that one once more or given it up.
	Remade
	// Left says that it has nothing of what was changed in that one, which its writer has made once more or given up. The first parent is never left.
	Left
)

// A Head is one version of a mutable name.
type Head struct {
	Name share.Name
	// Sequence counts the versions of a name from 1.
	Sequence uint64
	// Root is the storage index of the version's file.
	Root share.StorageIndex
	// Parents are the digests of the records that this one follows: none for the first version, the record that it
	// replaces for a later one, and behind that those of forks that it brings together again, and of versions that were refused. At most
	// MaxParents, distinct.
	Parents []share.Digest
	// Ties say how the version stands to each of the Parents. They are nil where it has the content of all.
	Ties []Tie
	// Written is the writer's clock, in whole milliseconds.
	Written time.Time
	// Keep is which past versions are wanted from this version on, in whole milliseconds. Zero is share.DefaultRetention, which has no
	// other form.
	Keep share.Retention
	// Ended says that this is the last version under the name: who changes the keys of a thing says so in the old place.
	Ended bool
	// Digest is the SHA-256 digest of the record.
	Digest share.Digest
}

// Newer reports whether a is to be preferred to b, two heads of one name: it has the higher sequence, or the larger digest
// where the sequences are equal. It orders the heads of a name totally, and every reader the same way.
func Newer(a, b Head) bool {
	if a.Sequence != b.Sequence {
		return a.Sequence > b.Sequence
	}
	return bytes.Compare(a.Digest[:], b.Digest[:]) > 0
}

// Retention returns which past versions are wanted from this version on.
func (h Head) Retention() share.Retention {
	if h.Keep == (share.Retention{}) {
		return share.DefaultRetention
	}
	return h.Keep
}

// Sign returns the record of a head. Name and Digest of h are not read: they follow from the key and from the record.
// Written is cut to milliseconds. The same key and head give the same record.
func Sign(key ed25519.PrivateKey, h Head) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	signer, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	record, err := h.record(signer)
	if err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	return record, nil
}

// Parse reads a record of the name and checks its signature. It accepts no other bytes than Sign can have made: it returns
// share.ErrCorrupt for whatever is not a head of this name, and share.ErrVersion for a signed record with fields that this
// version of the program does not know.
func Parse(name share.Name, record []byte) (Head, error) {
	if len(record) > share.MaxHeadRecord {
		return Head{}, fmt.Errorf("head: %w: %d bytes, at most %d", share.ErrCorrupt, len(record), share.MaxHeadRecord)
	}
	parsed, err := ipns.UnmarshalRecord(record)
	if err != nil {
		return Head{}, corrupt(err)
	}
	public, err := crypto.UnmarshalEd25519PublicKey(name[:])
	if err != nil {
		return Head{}, corrupt(err)
	}
	if err := ipns.Validate(parsed, public); err != nil {
		return Head{}, corrupt(err)
	}
	h, err := fields(parsed)
	if err != nil {
		return Head{}, err
	}
	again, err := h.record(replay{public: public, record: record})
	if err != nil {
		return Head{}, corrupt(err)
	}
	if !bytes.Equal(again, record) {
		return Head{}, corrupt(errors.New("not in canonical form"))
	}
	h.Name, h.Digest = name, sha256.Sum256(record)
	return h, nil
}

// Signed returns what a record says of the retention, and whether it says anything, without checking the signature: who takes the record
// does.
func Signed(record []byte) (r share.Retention, says bool) {
	if len(record) > share.MaxHeadRecord {
		return r, false
	}
	parsed, err := ipns.UnmarshalRecord(record)
	if err != nil {
		return r, false
	}
	r, err = keep(parsed)
	return r, err == nil && r != share.Retention{}
}

// fields reads a valid record.
func fields(r *ipns.Record) (Head, error) {
	for key := range r.MetadataEntries() {
		if key != keyParents && key != keyWritten && key != keyKeep && key != keyEnded && key != keyTies {
			return Head{}, fmt.Errorf("head: %w: it has a field %.32q", share.ErrVersion, key)
		}
	}
	var h Head
	var err error
	if h.Root, err = root(r); err != nil {
		return Head{}, corrupt(err)
	}
	if h.Sequence, err = r.Sequence(); err != nil {
		return Head{}, corrupt(err)
	}
	if h.Parents, err = parents(r); err != nil {
		return Head{}, corrupt(err)
	}
	if h.Ties, err = ties(r); err != nil {
		return Head{}, corrupt(err)
	}
	if h.Written, err = written(r); err != nil {
		return Head{}, corrupt(err)
	}
	if h.Keep, err = keep(r); err != nil {
		return Head{}, corrupt(err)
	}
	if h.Ended, err = ended(r); err != nil {
		return Head{}, corrupt(err)
	}
	if err := h.check(); err != nil {
		return Head{}, corrupt(err)
	}
	return h, nil
}

func root(r *ipns.Record) (share.StorageIndex, error) {
	value, err := r.Value()
	if err != nil {
		return share.StorageIndex{}, err
	}
	id, ok := strings.CutPrefix(value.String(), valueStart)
	if !ok {
		return share.StorageIndex{}, errors.New("its value is not in " + valueStart)
	}
	return share.ParseStorageIndex(id)
}

func parents(r *ipns.Record) ([]share.Digest, error) {
	value, err := r.Metadata(keyParents)
	if err != nil {
		return nil, err
	}
	raw, err := value.AsBytes()
	if err != nil {
		return nil, err
	}
	if len(raw)%len(share.Digest{}) != 0 {
		return nil, fmt.Errorf("parents of %d bytes", len(raw))
	}
	var list []share.Digest
	for digest := range slices.Chunk(raw, len(share.Digest{})) {
		list = append(list, share.Digest(digest))
	}
	return list, nil
}

func ties(r *ipns.Record) ([]Tie, error) {
	value, err := r.Metadata(keyTies)
	if errors.Is(err, ipns.ErrMetadataNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := value.AsBytes()
	if err == nil && len(raw) == 0 {
		err = errors.New("no ties")
	}
	list := make([]Tie, len(raw))
	for i, tie := range raw {
		list[i] = Tie(tie)
	}
	return list, err
}

func written(r *ipns.Record) (time.Time, error) {
	value, err := r.Metadata(keyWritten)
	if err != nil {
		return time.Time{}, err
	}
	ms, err := value.AsInt()
	return time.UnixMilli(ms).UTC(), err
}

func keep(r *ipns.Record) (share.Retention, error) {
	value, err := r.Metadata(keyKeep)
	if errors.Is(err, ipns.ErrMetadataNotFound) {
		return share.Retention{}, nil
	}
	var raw []byte
	if err == nil {
		raw, err = value.AsBytes()
	}
	if err == nil && len(raw) != keepSize {
		err = fmt.Errorf("a retention of %d bytes", len(raw))
	}
	if err != nil {
		return share.Retention{}, err
	}
	ms := binary.BigEndian.Uint64(raw[4:])
	if ms > uint64(share.MaxRetentionAge/time.Millisecond) {
		return share.Retention{}, fmt.Errorf("versions kept for %d ms", ms)
	}
	return share.Retention{Versions: int(binary.BigEndian.Uint32(raw)), Age: time.Duration(ms) * time.Millisecond}, nil
}

func ended(r *ipns.Record) (bool, error) {
	value, err := r.Metadata(keyEnded)
	if errors.Is(err, ipns.ErrMetadataNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return value.AsBool() // false has no encoding: the record differs from the one that is made again
}

// checkKeep returns an error for a retention that no head has.
func checkKeep(r share.Retention) error {
	switch {
	case r == share.Retention{}:
		return nil
	case r == share.DefaultRetention:
		return errors.New("a retention that needs no saying")
	case r.Age%time.Millisecond != 0:
		return fmt.Errorf("a retention of %v", r.Age)
	}
	return r.Check()
}

// checkTies returns an error for ties that no head has.
func (h Head) checkTies() error {
	more := func(tie Tie) bool { return tie != Has }
	switch {
	case h.Ties == nil:
		return nil
	case len(h.Ties) != len(h.Parents):
		return fmt.Errorf("%d ties to %d parents", len(h.Ties), len(h.Parents))
	case !slices.ContainsFunc(h.Ties, more):
		return errors.New("ties that need no saying")
	case h.Ties[0] == Left || slices.Max(h.Ties) > Left:
		return fmt.Errorf("ties %d", h.Ties)
	}
	return nil
}

// check returns an error for fields that no head has.
func (h Head) check() error {
	ms := h.Written.UnixMilli()
	switch {
	case h.Sequence == 0 || h.Sequence > MaxSequence:
		return fmt.Errorf("sequence %d", h.Sequence)
	case h.Root.IsZero():
		return errors.New("no root")
	case len(h.Parents) > MaxParents:
		return fmt.Errorf("%d parents, at most %d", len(h.Parents), MaxParents)
	case h.Sequence == 1 && len(h.Parents) > 0:
		return errors.New("a first version with parents")
	case ms < 0 || ms > lastWritten:
		return fmt.Errorf("written at %d ms", ms)
	}
	if err := checkKeep(h.Keep); err != nil {
		return err
	}
	if err := h.checkTies(); err != nil {
		return err
	}
	seen := map[share.Digest]bool{{}: true}
	for _, parent := range h.Parents {
		if seen[parent] {
			return errors.New("a parent that is zero or stands there twice")
		}
		seen[parent] = true
	}
	return nil
}

// record returns the one encoding of a head, with the signature that the key makes.
func (h Head) record(key crypto.PrivKey) ([]byte, error) {
	value, err := path.NewPath(valueStart + h.Root.String())
	if err != nil {
		return nil, err
	}
	raw := []byte{}
	for _, parent := range h.Parents {
		raw = append(raw, parent[:]...)
	}
	metadata := map[string]any{keyParents: raw, keyWritten: h.Written.UnixMilli()}
	if h.Keep != (share.Retention{}) {
		raw := binary.BigEndian.AppendUint32(nil, uint32(h.Keep.Versions))
		metadata[keyKeep] = binary.BigEndian.AppendUint64(raw, uint64(h.Keep.Age/time.Millisecond))
	}
	if h.Ended {
		metadata[keyEnded] = true
	}
	if h.Ties != nil {
		raw := make([]byte, len(h.Ties))
		for i, tie := range h.Ties {
			raw[i] = byte(tie)
		}
		metadata[keyTies] = raw
	}
	r, err := ipns.NewRecord(key, value, h.Sequence, endOfLife, ttl,
		ipns.WithV1Compatibility(false), ipns.WithPublicKey(false), ipns.WithMetadata(metadata))
	if err != nil {
		return nil, err
	}
	return ipns.MarshalRecord(r)
}

func corrupt(err error) error { return fmt.Errorf("head: %w: %w", share.ErrCorrupt, err) }

// A replay is a key that signs with the signature of a record that exists, so that the record can be encoded again.
type replay struct {
	crypto.PrivKey
	public crypto.PubKey
	record []byte
}

// In the one encoding the signature comes first: field 8 of the message, and its length.
const signatureAt = 2

func (k replay) GetPublic() crypto.PubKey { return k.public }

func (k replay) Sign([]byte) ([]byte, error) {
	if len(k.record) < signatureAt+ed25519.SignatureSize {
		return nil, errors.New("no signature")
	}
	return k.record[signatureAt : signatureAt+ed25519.SignatureSize], nil
}
