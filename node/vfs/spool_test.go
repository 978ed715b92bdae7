package vfs

import (
	"testing"

	"cairn/share/capability"
)

// TestRenamedOverUnstored: of a file and of the one whose name it got, the spool has the first alone, also where the program ended before the
// other one's record was removed.
func TestRenamedOverUnstored(t *testing.T) {
	folder := t.TempDir()
	s, _, err := openSpool(folder, 1<<20, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, name := range []string{"file", "file.new"} {
		id, f, err := s.create()
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := s.write(record{id: id, Name: name}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := s.rename(ids[1], capability.Capability{}, "file", ids[0]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, records, err := openSpool(folder, 1<<20, [32]byte{1})
		if err != nil || len(records) != 1 || records[0].id != ids[1] || records[0].Name != "file" {
			t.Fatalf("records %+v, %v", records, err)
		}
	}
}

// TestFailedWrite leaves the file as long as it was, and takes no room.
func TestFailedWrite(t *testing.T) {
	s, _, err := openSpool(t.TempDir(), 1<<20, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.overlay(0)
	if err == nil {
		err = s.reserve(t.Context(), 4)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.file.Close() // as good as a full disk
	if n, err := o.write([]byte("data"), 1000, 4); n != 0 || err == nil || o.size != 0 || s.dirty() != 0 {
		t.Errorf("wrote %d bytes, %v: the file has %d, %d are dirty", n, err, o.size, s.dirty())
	}
}
