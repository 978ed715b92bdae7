package head_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipns"

	"cairn/share"
	"cairn/share/head"
	"cairn/share/keys"
)

var update = flag.Bool("update", false, "rewrite the golden vectors in docs/vectors")

const vectorFile = "../../docs/vectors/heads.json"

// vectors is docs/vectors/heads.json.
type vectors struct {
	Heads   []headVector    `json:"heads"`
	Refused []refusedVector `json:"refused"`
}

type headVector struct {
	WriteKey string   `json:"write_key"`
	Name     string   `json:"name"`
	Sequence uint64   `json:"sequence"`
	Root     string   `json:"root"`
	Parents  []string `json:"parents"`
	// Ties are those to the parents, empty where the record does not say.
	Ties    []int `json:"ties"`
	Written int64 `json:"written"`
	// Versions and Age, in milliseconds, are what is kept, 0 where the record does not say.
	Versions int    `json:"keep_versions"`
	Age      int64  `json:"keep_ms"`
	Ended    bool   `json:"ended"`
	Record   string `json:"record"`
	Digest   string `json:"digest"`
}

type refusedVector struct {
	About  string `json:"about"`
	Name   string `json:"name"`
	Record string `json:"record"`
	Error  string `json:"error"`
}

// describe is how a record stands in the vectors.
func describe(t *testing.T, key keys.WriteKey, name share.Name, record []byte) headVector {
	t.Helper()
	h, err := head.Parse(name, record)
	if err != nil {
		t.Fatal(err)
	}
	v := headVector{
		WriteKey: hex.EncodeToString(key[:]), Name: name.String(), Sequence: h.Sequence, Root: h.Root.String(), Parents: []string{}, Ties: []int{},
		Written: h.Written.UnixMilli(), Versions: h.Keep.Versions, Age: h.Keep.Age.Milliseconds(), Ended: h.Ended, Record: hex.EncodeToString(record), Digest: h.Digest.String(),
	}
	for _, parent := range h.Parents {
		v.Parents = append(v.Parents, parent.String())
	}
	for _, tie := range h.Ties {
		v.Ties = append(v.Ties, int(tie))
	}
	return v
}

// TestVectors: the golden records are what their fields give, and say what stands beside them.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	raw, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var golden vectors
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	for _, v := range golden.Heads {
		record := sign(t, v.key(t).Signer(), v.head(t))
		if hex.EncodeToString(record) != v.Record {
			t.Errorf("version %d is signed as %x, want %s", v.Sequence, record, v.Record)
		}
		name, err := share.ParseName(v.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(t, v.key(t), name, record); got.Digest != v.Digest || got.Root != v.Root || !slices.Equal(got.Ties, v.Ties) || len(got.Parents) != len(v.Parents) {
			t.Errorf("version %d is read as %+v, want %+v", v.Sequence, got, v)
		}
	}
	kinds := map[string]error{"corrupt": share.ErrCorrupt, "version": share.ErrVersion}
	for _, v := range golden.Refused {
		name, err := share.ParseName(v.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := head.Parse(name, unhex(t, v.Record)); !errors.Is(err, kinds[v.Error]) {
			t.Errorf("%s: %v, want %s", v.About, err, v.Error)
		}
	}
	if len(golden.Heads) < 4 || len(golden.Refused) < 8 {
		t.Errorf("%d heads and %d refused", len(golden.Heads), len(golden.Refused))
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (v headVector) key(t *testing.T) keys.WriteKey { return keys.WriteKey(unhex(t, v.WriteKey)) }

// head returns what was signed.
func (v headVector) head(t *testing.T) head.Head {
	t.Helper()
	root, err := share.ParseStorageIndex(v.Root)
	if err != nil {
		t.Fatal(err)
	}
	h := head.Head{Sequence: v.Sequence, Root: root, Written: time.UnixMilli(v.Written), Ended: v.Ended}
	h.Keep = share.Retention{Versions: v.Versions, Age: time.Duration(v.Age) * time.Millisecond}
	for _, parent := range v.Parents {
		h.Parents = append(h.Parents, share.Digest(unhex(t, parent)))
	}
	for _, tie := range v.Ties {
		h.Ties = append(h.Ties, head.Tie(tie))
	}
	return h
}

func writeVectors(t *testing.T) {
	t.Helper()
	var v vectors
	key := keys.WriteKey(unhex(t, "000102030405060708090a0b0c0d0e0f"))
	name := share.Name(key.Signer().Public().(ed25519.PublicKey))
	first := head.Head{Sequence: 1, Root: share.StorageIndex(digest("cairn vector root 1")), Written: time.UnixMilli(0)}
	records := [][]byte{sign(t, key.Signer(), first)}
	second := head.Head{
		Sequence: 2, Root: share.StorageIndex(digest("cairn vector root 2")), Written: time.UnixMilli(1_790_000_000_123),
		Parents: []share.Digest{sha256.Sum256(records[0])},
	}
	records = append(records, sign(t, key.Signer(), second))
	merged := second
	merged.Sequence, merged.Parents = 300, []share.Digest{sha256.Sum256(records[1]), sha256.Sum256(records[0])}
	last := head.Head{Sequence: head.MaxSequence, Root: first.Root, Written: time.UnixMilli(253_402_300_799_000)}
	for i := range head.MaxParents {
		last.Parents = append(last.Parents, share.Digest{byte(i + 1)})
	}
	kept := second
	kept.Sequence, kept.Keep = 3, share.Retention{Versions: 50, Age: 90 * 24 * time.Hour}
	ended := kept
	ended.Sequence, ended.Ended = 4, true
	tied := merged
	tied.Sequence, tied.Ties = 5, []head.Tie{head.Remade, head.Left}
	records = append(records, sign(t, key.Signer(), tied), sign(t, key.Signer(), merged), sign(t, key.Signer(), last), sign(t, key.Signer(), kept), sign(t, key.Signer(), ended))
	for _, record := range records {
		v.Heads = append(v.Heads, describe(t, key, name, record))
	}
	v.Refused = refusedRecords(t, records[1])
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// refusedRecords are records that are not heads of the name that stands beside them.
func refusedRecords(t *testing.T, good []byte) []refusedVector {
	t.Helper()
	_, name := signer(1)
	wrote := keys.WriteKey(unhex(t, "000102030405060708090a0b0c0d0e0f"))
	owner := share.Name(wrote.Signer().Public().(ed25519.PublicKey))
	changed := func(at int) []byte {
		c := bytes.Clone(good)
		c[(at+len(c))%len(c)] ^= 1
		return c
	}
	value := "/ipfs/" + some().Root.String()
	v2, bare := ipns.WithV1Compatibility(false), ipns.WithPublicKey(false)
	with := func(metadata map[string]any) ipns.Option { return ipns.WithMetadata(metadata) }
	usual := map[string]any{"_cairn": []byte{}, "_written": int64(5)}
	more := func(key string, more any) ipns.Option {
		return with(map[string]any{"_cairn": []byte{}, "_written": int64(5), key: more})
	}
	tied := func(parents int, ties []byte) ipns.Option {
		var list []byte
		for i := range parents {
			list = append(list, bytes.Repeat([]byte{byte(i + 1)}, 32)...)
		}
		return with(map[string]any{"_cairn": list, "_written": int64(5), "_ties": ties})
	}
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	list := []struct {
		about, kind string
		name        share.Name
		record      []byte
	}{
		{"the record of another name", "corrupt", name, good},
		{"a bit of the signature changed", "corrupt", owner, changed(10)},
		{"a bit of the data changed", "corrupt", owner, changed(-1)},
		{"a byte behind it", "corrupt", owner, append(bytes.Clone(good), 0)},
		{"the last byte missing", "corrupt", owner, good[:len(good)-1]},
		{"without the fields of this program", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare)},
		{"with the fields of version 1", "corrupt", name, forged(t, value, 3, end, time.Minute, bare, with(usual))},
		{"with its key", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, ipns.WithPublicKey(true), with(usual))},
		{"another end", "corrupt", name, forged(t, value, 3, end.Add(-time.Hour), time.Minute, v2, bare, with(usual))},
		{"another TTL", "corrupt", name, forged(t, value, 3, end, time.Hour, v2, bare, with(usual))},
		{"sequence 0", "corrupt", name, forged(t, value, 0, end, time.Minute, v2, bare, with(usual))},
		{"half a parent", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, with(map[string]any{"_cairn": make([]byte, 16), "_written": int64(5)}))},
		{"a zero parent", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, with(map[string]any{"_cairn": make([]byte, 32), "_written": int64(5)}))},
		{"a path below the root", "corrupt", name, forged(t, value+"/x", 3, end, time.Minute, v2, bare, with(usual))},
		{"a retention that needs no saying", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, more("_keep", []byte{0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0x0c, 0x84, 0}))},
		{"a retention of no version", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, more("_keep", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0x24, 0x0c, 0x84, 0}))},
		{"a retention of a minute", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, more("_keep", []byte{0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0xea, 0x60}))},
		{"ended that says no", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, more("_ended", false))},
		{"ties that need no saying", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, tied(2, []byte{0, 0}))},
		{"the first parent left", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, tied(2, []byte{2, 0}))},
		{"more ties than parents", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, tied(2, []byte{0, 1, 1}))},
		{"a tie that there is not", "corrupt", name, forged(t, value, 3, end, time.Minute, v2, bare, tied(2, []byte{0, 3}))},
		{"a field of a later version", "version", name, forged(t, value, 3, end, time.Minute, v2, bare, with(map[string]any{"_cairn": []byte{}, "_later": int64(1), "_written": int64(5)}))},
	}
	var out []refusedVector
	for _, c := range list {
		out = append(out, refusedVector{About: c.about, Name: c.name.String(), Record: hex.EncodeToString(c.record), Error: c.kind})
	}
	return out
}

// TestIndependentReader runs docs/check_vectors.py, which knows the formats from docs/formats.md alone, on the heads.
func TestIndependentReader(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	out, err := exec.CommandContext(t.Context(), python, "-B", "../../docs/check_vectors.py", "--heads").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
