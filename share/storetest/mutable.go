package storetest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"cairn/share"
	"cairn/share/head"
	"cairn/share/keys"
)

// A Mutable writes the versions of one mutable name.
type Mutable struct {
	Key  keys.WriteKey
	Name share.Name
	// Head and Record are the newest version that Advance was called for, zero before the first.
	Head   head.Head
	Record []byte
	// Keep is signed into what Next returns.
	Keep share.Retention
}

// NewMutable returns the name of a seed, without any version. The same seed gives the same name.
func NewMutable(seed uint64) *Mutable {
	m := &Mutable{}
	binary.BigEndian.PutUint64(m.Key[:], seed)
	m.Name = share.Name(m.Key.Signer().Public().(ed25519.PublicKey))
	return m
}

// Next returns an update that makes the file with this storage index the next version, for the owner and for a day. It adds the file,
// drops that of the version before, and keeps no past version.
func (m *Mutable) Next(root share.StorageIndex, owner string) share.HeadUpdate {
	h := head.Head{Sequence: m.Head.Sequence + 1, Root: root, Keep: m.Keep}
	u := share.HeadUpdate{
		Name: m.Name, Replaces: m.Head.Digest, Adds: []share.StorageIndex{root},
		Lease: share.Lease{Owner: owner, Expires: time.Now().Add(24 * time.Hour)},
	}
	if m.Record != nil {
		h.Parents = []share.Digest{m.Head.Digest}
		u.Drops = []share.StorageIndex{m.Head.Root}
	}
	u.Record = m.Sign(h)
	return u
}

// Sign signs a head with the name's key. One without a time gets some.
func (m *Mutable) Sign(h head.Head) []byte {
	if h.Written.IsZero() {
		h.Written = time.UnixMilli(1_790_000_000_000)
	}
	record, err := head.Sign(m.Key.Signer(), h)
	if err != nil {
		panic("storetest: " + err.Error())
	}
	return record
}

// Advance makes the update the newest version.
func (m *Mutable) Advance(u share.HeadUpdate) {
	h, err := head.Parse(m.Name, u.Record)
	if err != nil {
		panic("storetest: " + err.Error())
	}
	m.Head, m.Record = h, u.Record
}

// Whole returns one share of the file as it travels at once.
func (f *File) Whole(n share.Number) share.WholeShare {
	return share.WholeShare{Index: f.Index, Number: n, Data: f.Share(n)}
}

// digestOf returns the digest of a record.
func digestOf(record []byte) share.Digest { return sha256.Sum256(record) }
