package s3

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/head"
)

func seedPack() []byte {
	var b packBuilder
	b.add(item{index: share.StorageIndex{1}, number: 3, data: []byte("a share with its root"), root: 4, lease: leaseRecord{Owner: "alice", Expires: 1}})
	b.add(item{index: share.StorageIndex{2}, number: 0, data: []byte("another one"), root: 11, upload: uploadName{7}, lease: leaseRecord{Owner: "bob", Expires: 2}})
	return b.finish()
}

// FuzzDirectory reads objects that the owner of a bucket made: what is taken of them lies within them, and is read back as it was.
func FuzzDirectory(f *testing.F) {
	pack := seedPack()
	f.Add(pack)
	f.Add(pack[3:])
	f.Add([]byte("\x00\x00\x00\x00" + packMagic))
	f.Add([]byte("\xff\xff\xff\xff" + packMagic))
	f.Add(directory(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		length, err := readTrailer(data)
		if err == nil && (length < 0 || length > maxDirectory) {
			t.Fatalf("a directory of %d bytes", length)
		}
		members, err := parseDirectory(data, int64(len(data)))
		if err != nil {
			if !errors.Is(err, share.ErrCorrupt) {
				t.Fatalf("%v does not wrap %v", err, share.ErrCorrupt)
			}
			return
		}
		if len(members) > packShares+share.MaxBatchShares {
			t.Fatalf("%d shares in one object", len(members))
		}
		for _, m := range members {
			if m.Offset < 0 || m.Size <= 0 || m.Offset+m.Size > int64(len(data)) || m.Root <= 0 || m.Root > encoding.MaxRootSize || m.Lease.Owner == "" {
				t.Fatalf("member %+v of %d bytes", m, len(data))
			}
			if root := m.rootIn(data); len(root) != m.Root {
				t.Fatalf("a root of %d bytes", len(root))
			}
		}
		again, err := parseDirectory(directory(members), int64(len(data))+maxPack)
		if len(members) <= 1 && (err != nil || len(again) != len(members)) {
			t.Fatalf("read back: %d of %d, %v", len(again), len(members), err)
		}
	})
}

// FuzzName reads the object of a name: every version of what is taken has a signature that verifies.
func FuzzName(f *testing.F) {
	n := nameRecord{Name: share.Name{1}, Lease: leaseRecord{Owner: "alice", Expires: 1}, Versions: []versionRecord{{Record: []byte("x"), Sequence: 1, Owner: "alice"}}}
	sealed := seal(n)
	f.Add(sealed[:len(sealed)-checksumSize])
	f.Add([]byte{})
	f.Add([]byte{0x86})
	f.Fuzz(func(t *testing.T, data []byte) {
		data = appendSum(data) // the checksum is no defence against who knows it
		var n nameRecord
		err := unseal(data, &n)
		if err == nil {
			err = n.check(n.Name)
		}
		if err != nil {
			if !errors.Is(err, share.ErrCorrupt) {
				t.Fatalf("%v does not wrap %v", err, share.ErrCorrupt)
			}
			return
		}
		for i := range n.Versions {
			if _, err := head.Parse(n.Name, n.Versions[i].Record); err != nil {
				t.Fatalf("a version that does not verify: %v", err)
			}
		}
	})
}

// FuzzRecords reads what this machine has written of a bucket.
func FuzzRecords(f *testing.F) {
	for _, record := range []any{
		fileRecord{Root: []byte("r"), Shares: []shareRecord{{Number: 1, Size: 2, Key: "p/x"}}},
		objectRecord{Size: 5},
		scrubRecord{After: "p/x"},
		stateRecord{Object: "s/x", Parts: []part{{Number: 1, Tag: "t", Size: 9}}},
		doneRecord{Committed: []committed{{Number: 1}}},
		monthRecord{Month: 3},
	} {
		sealed := seal(record)
		f.Add(sealed[:len(sealed)-checksumSize])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = appendSum(data)
		for _, record := range []any{&fileRecord{}, &objectRecord{}, &scrubRecord{}, &stateRecord{}, &doneRecord{}, &monthRecord{}} {
			if err := unseal(data, record); err != nil && !errors.Is(err, share.ErrCorrupt) {
				t.Fatalf("%v does not wrap %v", err, share.ErrCorrupt)
			}
		}
	})
}

// FuzzTexts reads the marker, the lock, and what headers say.
func FuzzTexts(f *testing.F) {
	f.Add([]byte(`{"format":"cairn bucket","version":1,"id":"00"}`))
	f.Add([]byte(`{"owner":"a","process":"b"}`))
	f.Add([]byte("bytes 0-9/10"))
	f.Add([]byte("Sun, 22 Nov 2026 10:00:00 GMT"))
	f.Add([]byte("9999999999999999999"))
	s := &Store{bucket: &bucket{}}
	f.Fuzz(func(t *testing.T, data []byte) {
		if id, err := s.readMarker(data); err == nil && (id == "" || !bytes.Contains(data, []byte("cairn bucket"))) {
			t.Fatalf("a marker with id %q", id)
		}
		if l := readLock(data); l.Owner == "" {
			t.Fatal("a lock of nobody")
		}
		if d := retryAfter(string(data), time.Now()); d < 0 {
			t.Fatalf("wait %s", d)
		}
		if n := sizeIn(string(data)); n < -1 {
			t.Fatalf("an object of %d bytes", n)
		}
		if at := timeOf(string(data)); at < 0 {
			t.Fatalf("a key of %d", at)
		}
	})
}

func appendSum(body []byte) []byte {
	sum := checksum(body)
	return append(bytes.Clone(body), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}
