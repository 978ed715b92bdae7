package disk

import (
	"bytes"
	"io"
	"testing"

	"cairn/share"
)

// FuzzFooter reads ends of share files: what is accepted is what would be written.
func FuzzFooter(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(footer{}.appendTo(nil))
	f.Add(footer{Lease: leaseRecord{Owner: "alice", Expires: 1 << 31}, Upload: [32]byte{1}, RootLen: 150, Number: 7}.appendTo([]byte("share")))
	f.Fuzz(func(t *testing.T, p []byte) {
		foot, err := parseFooter(p)
		if err != nil {
			return
		}
		if again := foot.appendTo(nil); !bytes.HasSuffix(p, again) || len(again) != foot.size() {
			t.Errorf("footer %+v is written as %x", foot, again)
		}
	})
}

// FuzzFrame reads journal records: an accepted one reads the same when written again.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(nil))
	for _, r := range []journalRecord{{}, {Root: []byte{1}, Size: 5, Data: []byte("data"), Lease: leaseRecord{Owner: "alice", Expires: 9}}} {
		f.Add(appendFrame(nil, kindSmall, must(recordEncoder.Marshal(r))))
		f.Add(appendFrame([]byte{}, kindRemoved, must(recordEncoder.Marshal(r)))[:20])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		k, payload, size, err := parseFrame(p)
		if err == io.ErrShortBuffer && size <= len(p) && len(p) >= frameHeader {
			t.Errorf("a frame of %d bytes does not fit %d", size, len(p))
		}
		if err != nil {
			return
		}
		again := appendFrame(nil, k, payload)
		if k2, payload2, _, err := parseFrame(again); err != nil || k2 != k || !bytes.Equal(payload2, payload) {
			t.Errorf("%x reads as %x, %v", payload, payload2, err)
		}
		for _, record := range []any{&journalRecord{}, &headRecord{}, &forgottenRecord{}} {
			if decodeFrame(payload, record) == nil {
				must(recordEncoder.Marshal(record))
			}
		}
	})
}

// FuzzRecords reads records of the index.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(seal(fileRecord{Root: []byte{1}, Shares: []shareRecord{{Number: 3, Size: 9}}, Leases: []leaseRecord{{Owner: "a"}}}))
	f.Add(seal(uploadRecord{Committed: []committedRecord{{Number: 1}}}))
	f.Add(seal(stateRecord{Shares: 4}))
	f.Add(seal(aboutRecord{Number: 1, Needed: 2}))
	f.Fuzz(func(t *testing.T, p []byte) {
		// With and without a checksum that fits, so that the decoder sees what the checksum would keep out.
		for _, record := range []any{&fileRecord{}, &uploadRecord{}, &stateRecord{}, &aboutRecord{}, &scrubRecord{}, &nameRecord{}, &wantRecord{}, &headsRecord{}, &clockRecord{}, &wasteRecord{}} {
			unseal(p, record)
			if recordDecoder.Unmarshal(p, record) == nil {
				seal(record)
			}
		}
	})
}

// FuzzChecksum reads the checksums in Badger's tables.
func FuzzChecksum(f *testing.F) {
	f.Add([]byte{0x10, 0x05})
	f.Add([]byte{0x08, 0x00, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, p []byte) {
		parseChecksum(p)
		tableChecksum(bytes.NewReader(p), int64(len(p)))
		checkBlock(bytes.NewReader(p), 0, int64(len(p)))
	})
}

// FuzzName reads names of share files.
func FuzzName(f *testing.F) {
	f.Add(share.StorageIndex{1}.String() + ".3")
	f.Add("x.y")
	f.Fuzz(func(t *testing.T, name string) {
		index, n, ok := parseName(name)
		if ok && index.String()+"."+n.String() != name {
			t.Errorf("%q is read as share %d of %s", name, n, index)
		}
	})
}
