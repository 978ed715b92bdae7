package disk

import (
	"slices"
	"time"

	"cairn/share"
)

// What the index keeps of names: h + name is the nameRecord, r + storage index says which names want that file, heads
// counts all names.
const (
	namePrefix = 'h'
	wantPrefix = 'r'
)

var headsKey = []byte("heads")

func nameKey(name share.Name) []byte          { return append([]byte{namePrefix}, name[:]...) }
func wantKey(index share.StorageIndex) []byte { return append([]byte{wantPrefix}, index[:]...) }

// A nameRecord is what the index knows of one name.
type nameRecord struct {
	_ struct{} `cbor:",toarray"`
	// Newest is the digest of the newest version's record, Root its file.
	Newest share.Digest
	Root   share.StorageIndex
	// Lease is that of who wrote last. Its owner is charged with all versions.
	Lease leaseRecord
	Keep  retentionRecord
	// Released is the highest sequence of a version of which the leases on what it dropped have ended.
	Released uint64
	Versions []versionRecord // ascending by sequence

	changed bool
}

// A versionRecord says where a version is in the journal.
type versionRecord struct {
	_        struct{} `cbor:",toarray"`
	Sequence uint64
	At       position
	Size     int64 // bytes of the frame
	Charged  int64 // bytes that the owner of the name is charged with
	Taken    int64 // when this store took it, in Unix milliseconds
}

type retentionRecord struct {
	_        struct{} `cbor:",toarray"`
	Versions int
	Age      time.Duration
}

// A headRecord is a version of a name in the journal.
type headRecord struct {
	_      struct{} `cbor:",toarray"`
	Name   share.Name
	Record []byte
	// Sequence and Root are what the record says.
	Sequence uint64
	Root     share.StorageIndex
	// Adds and Drops are storage indexes, one after the other.
	Adds, Drops []byte
	Keep        retentionRecord
	Lease       leaseRecord
	Taken       int64
	// Group is how many bytes before the frame belong to the version: the shares that came with it. The version counts
	// only if all of them are good.
	Group int64
}

// A forgottenRecord says in the journal that nothing is held of a name any more.
type forgottenRecord struct {
	_    struct{} `cbor:",toarray"`
	Name share.Name
}

// headsRecord counts what is held of all names.
type headsRecord struct {
	_     struct{} `cbor:",toarray"`
	Names int64
	Bytes int64 // of their versions in the journal
}

// A wantRecord says which names want a file.
type wantRecord struct {
	_     struct{} `cbor:",toarray"`
	Names []wantedBy
	// Many is set once there were more than maxWanted: no version ends a lease on the file any more.
	Many bool

	known, changed bool
}

type wantedBy struct {
	_        struct{} `cbor:",toarray"`
	Name     share.Name
	Sequence uint64 // of the last version that added the file
}

// maxWanted bounds the names in a wantRecord.
const maxWanted = 64

// freeFiles is how many files a version adds and drops, both together, before its owner is charged with the list.
const freeFiles = 128

// charged returns what the owner of a name is charged with for one version.
func (r *headRecord) charged() int64 {
	list := len(r.Adds) + len(r.Drops) - freeFiles*len(share.StorageIndex{})
	return int64(len(r.Record) + max(0, list))
}

// charge returns what the owner of the name is charged with.
func (r *nameRecord) charge() charge {
	var c charge
	for _, v := range r.Versions {
		c.bytes += v.Charged
	}
	if c.bytes > 0 {
		c.owners = []string{r.Lease.Owner}
	}
	return c
}

// size returns the bytes of all versions in the journal.
func (r *nameRecord) size() int64 {
	var n int64
	for _, v := range r.Versions {
		n += v.Size
	}
	return n
}

// newest returns the sequence of the newest version, 0 when there is none.
func (r *nameRecord) newest() uint64 {
	if len(r.Versions) == 0 {
		return 0
	}
	return r.Versions[len(r.Versions)-1].Sequence
}

func (r *nameRecord) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(r.Versions, sequence, func(v versionRecord, sequence uint64) int {
		switch {
		case v.Sequence < sequence:
			return -1
		case v.Sequence > sequence:
			return 1
		}
		return 0
	})
}

// put adds a version, or replaces the one of the same sequence, which it returns.
func (r *nameRecord) put(v versionRecord) (old versionRecord) {
	i, found := r.find(v.Sequence)
	if found {
		old, r.Versions[i] = r.Versions[i], v
		return old
	}
	r.Versions = slices.Insert(r.Versions, i, v)
	return old
}

// due returns how many of the versions, oldest first, are out of the retention; and whether the version before the first
// that stays is too, so that what that one dropped is to be released. now is asked for by how old a version may become.
func (r *nameRecord) due(now func(time.Duration) time.Time) (retired int, release bool) {
	keep := max(1, min(r.Keep.Versions, share.MaxHistory))
	for i := len(r.Versions) - 1; i >= 0; i-- {
		// Is the version before this one, which this one replaced, still wanted?
		newer := len(r.Versions) - i
		replaced := time.UnixMilli(r.Versions[i].Taken)
		if newer >= share.MaxHistory || newer >= keep && !now(r.Keep.Age).Before(replaced.Add(r.Keep.Age)) {
			return i, r.Versions[i].Sequence > r.Released
		}
	}
	return 0, false
}

func (w *wantRecord) find(name share.Name) int {
	return slices.IndexFunc(w.Names, func(by wantedBy) bool { return by.Name == name })
}

// add notes that a version of a name added the file.
func (w *wantRecord) add(by wantedBy) {
	w.changed = true
	i := w.find(by.Name)
	switch {
	case i >= 0:
		if by.Sequence >= w.Names[i].Sequence {
			w.Names[i] = by
		}
	case len(w.Names) >= maxWanted:
		w.Many = true
	default:
		w.Names = append(w.Names, by)
	}
}

// remove notes that no version of a name wants the file any more.
func (w *wantRecord) remove(name share.Name) {
	if i := w.find(name); i >= 0 {
		w.Names = slices.Delete(w.Names, i, i+1)
		w.changed = true
	}
}

func recordRetention(r share.Retention) retentionRecord {
	return retentionRecord{Versions: max(0, min(r.Versions, share.MaxHistory)), Age: max(0, r.Age)}
}

func joinIndexes(indexes []share.StorageIndex) []byte {
	joined := make([]byte, 0, len(indexes)*len(share.StorageIndex{}))
	for _, index := range indexes {
		joined = append(joined, index[:]...)
	}
	return joined
}

func splitIndexes(joined []byte) []share.StorageIndex {
	var indexes []share.StorageIndex
	for index := range slices.Chunk(joined, len(share.StorageIndex{})) {
		if len(index) == len(share.StorageIndex{}) {
			indexes = append(indexes, share.StorageIndex(index))
		}
	}
	return indexes
}
