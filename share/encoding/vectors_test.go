package encoding_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/keys"
)

var update = flag.Bool("update", false, "rewrite the golden vectors in docs/vectors")

const vectorDir = "../../docs/vectors"

// A vector is one line of docs/vectors/encoded.json: a file and everything that must come of it.
type vector struct {
	Name         string   `json:"name"`
	Needed       int      `json:"k"`
	Total        int      `json:"n"`
	BlockSize    int      `json:"block"`
	Size         int      `json:"size"`
	Convergence  string   `json:"convergence,omitempty"` // secret, for a convergent key
	Salt         string   `json:"salt,omitempty"`
	Plaintext    string   `json:"plaintext_sha256"`
	Key          string   `json:"key"`
	UploadID     string   `json:"upload_id"`
	Root         string   `json:"root"`
	StorageIndex string   `json:"storage_index"`
	Capability   string   `json:"capability,omitempty"`
	Verify       string   `json:"verify_capability"`
	ShareSize    int64    `json:"share_size"`
	Shares       []string `json:"shares_sha256"`
	Stored       []int    `json:"stored,omitempty"` // shares that lie in docs/vectors/shares/NAME/
}

// goldenFiles are the files of which docs/vectors holds the outcome.
func goldenFiles() []vector {
	var out []vector
	add := func(k, n, block int, sizes ...int) {
		for _, size := range sizes {
			out = append(out, vector{
				Name:   fmt.Sprintf("%d-of-%d-block-%d-size-%d", k, n, block, size),
				Needed: k, Total: n, BlockSize: block, Size: size,
			})
		}
	}
	const block = encoding.MinBlockSize
	add(3, 10, block, 0, 1, 55, 56, block-1, block, block+1, 3*block-1, 3*block, 3*block+1, 10*3*block+17)
	add(1, 1, block, 0, 1, 55, 56, block-1, block, block+1, 256*block, 256*block+1)
	add(1, 2, block, 100)
	add(2, 3, block, 2*block-1, 2*block, 2*block+1, 257*2*block+1)
	add(10, 16, block, 9, 10*block, 10*block+1, 100000)
	add(20, 30, block, 20*block-7)
	add(128, 256, block, 1000)
	add(256, 256, block, 70000)
	add(3, 10, 1<<14, 3<<14, 3<<14+1)
	add(3, 10, 1<<17, 56, 400000)
	add(1, 1, 1<<20, 1<<20)
	salted := vector{Name: "salted", Needed: 2, Total: 3, BlockSize: block, Size: 3 * block, Salt: "53414c54" + "00ff", Key: "6b657920666f7220612076657273696f"}
	random := vector{Name: "random-key", Needed: 2, Total: 3, BlockSize: block, Size: 1000, Key: "000102030405060708090a0b0c0d0eff"}
	return append(out, salted, random)
}

// stored says of which files some shares are kept whole, so that a reader can be tried without an encoder.
var stored = map[string][]int{
	"1-of-1-block-4096-size-0":      {0},
	"3-of-10-block-4096-size-56":    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
	"3-of-10-block-4096-size-12289": {0, 2, 5, 8, 9},
	"2-of-3-block-4096-size-8193":   {0, 1, 2},
	"10-of-16-block-4096-size-9":    {1, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15},
	"salted":                        {1, 2},
}

// compute fills in what follows from the shape of a vector.
func (v *vector) compute(t *testing.T) built {
	t.Helper()
	data := plaintext(v.Size)
	digest := sha256.Sum256(data)
	v.Plaintext = hex.EncodeToString(digest[:])
	var key keys.ReadKey
	if v.Key != "" {
		key = keys.ReadKey(unhex(t, v.Key))
	} else {
		var secret keys.ConvergenceSecret
		for i := range secret {
			secret[i] = byte(i)
		}
		v.Convergence = hex.EncodeToString(secret[:])
		key = secret.Convergent(digest, v.Needed, v.Total, v.BlockSize)
		v.Key = hex.EncodeToString(key[:])
	}
	b := build(t, v.Needed, v.Total, v.BlockSize, key, unhex(t, v.Salt), data)
	index := b.root.StorageIndex()
	v.UploadID = key.UploadID().String()
	v.Root = hex.EncodeToString(b.root.Marshal())
	v.StorageIndex = index.String()
	if v.Salt == "" {
		v.Capability = capability.File(index, key).Text()
	}
	v.Verify = capability.FileVerify(index).Text()
	v.ShareSize = b.shares[0].Size()
	v.Shares = nil
	for _, s := range b.shares {
		sum := sha256.Sum256(s.data)
		v.Shares = append(v.Shares, hex.EncodeToString(sum[:]))
	}
	v.Stored = stored[v.Name]
	return b
}

// TestEncodedVectors: this version still writes every golden file byte for byte, and reads the stored shares.
func TestEncodedVectors(t *testing.T) {
	if *update {
		updateEncoded(t)
	}
	var golden []vector
	readJSON(t, "encoded.json", &golden)
	if len(golden) != len(goldenFiles()) {
		t.Fatalf("%d vectors, want %d: run go test with -update", len(golden), len(goldenFiles()))
	}
	for _, want := range golden {
		t.Run(want.Name, func(t *testing.T) {
			got := vector{Name: want.Name, Needed: want.Needed, Total: want.Total, BlockSize: want.BlockSize, Size: want.Size, Salt: want.Salt}
			if want.Convergence == "" {
				got.Key = want.Key
			}
			b := got.compute(t)
			if gotJSON, wantJSON := line(t, got), line(t, want); !bytes.Equal(gotJSON, wantJSON) {
				t.Errorf("got  %s\nwant %s", gotJSON, wantJSON)
			}
			numbers := lastOf(want.Total, want.Needed)
			if len(want.Stored) > 0 {
				numbers = want.Stored[len(want.Stored)-want.Needed:]
				b = loadShares(t, want, b)
			}
			data, err := read(b.root.StorageIndex(), unhex(t, want.Root), b.key, b.take(numbers...))
			if err != nil || !bytes.Equal(data, plaintext(want.Size)) {
				t.Errorf("reading shares %v: %d bytes: %v", numbers, len(data), err)
			}
		})
	}
}

// loadShares replaces the shares just made by the stored ones.
func loadShares(t *testing.T, v vector, b built) built {
	t.Helper()
	for _, j := range v.Stored {
		data, err := os.ReadFile(sharePath(v.Name, j))
		if err != nil {
			t.Fatal(err)
		}
		b.shares[j] = reader{data}
		if err := encoding.Verify(t.Context(), b.shares[j], b.root.StorageIndex(), share.Number(j), unhex(t, v.Root)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func lastOf(total, needed int) []int {
	var out []int
	for j := total - needed; j < total; j++ {
		out = append(out, j)
	}
	return out
}

func sharePath(name string, number int) string {
	return filepath.Join(vectorDir, "shares", name, fmt.Sprintf("%d.share", number))
}

func updateEncoded(t *testing.T) {
	t.Helper()
	vectors := goldenFiles()
	for i := range vectors {
		b := vectors[i].compute(t)
		for _, j := range vectors[i].Stored {
			path := sharePath(vectors[i].Name, j)
			err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b.shares[j].data, 0o644))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	writeJSON(t, "encoded.json", vectors)
}

// TestIndependentReader runs docs/check_vectors.py, which knows the formats from docs/formats.md alone.
func TestIndependentReader(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: the vectors are not checked by an independent reader")
	}
	out, err := exec.CommandContext(t.Context(), python, "-B", "../../docs/check_vectors.py", "--quick").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// A rootVector is one line of docs/vectors/roots.json: a block that is no root, and what is wrong.
type rootVector struct {
	About string `json:"about"`
	Block string `json:"block"`
	Error string `json:"error"` // corrupt, version or too large
}

// TestMalformedRootVectors: the file for other implementations says what TestMalformedRoots tests.
func TestMalformedRootVectors(t *testing.T) {
	var want []rootVector
	for _, m := range malformedRoots(t) {
		want = append(want, rootVector{m.about, hex.EncodeToString(m.block), m.name})
	}
	if *update {
		writeJSON(t, "roots.json", want)
	}
	var golden []rootVector
	readJSON(t, "roots.json", &golden)
	if got, want := line(t, golden), line(t, want); !bytes.Equal(got, want) {
		t.Errorf("docs/vectors/roots.json differs from the cases tested here: run go test with -update")
	}
}

func line(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// writeJSON writes one vector a line.
func writeJSON[V any](t *testing.T, name string, vectors []V) {
	t.Helper()
	out := []byte("[")
	for i, v := range vectors {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, '\n'), line(t, v)...)
	}
	if err := os.WriteFile(filepath.Join(vectorDir, name), append(out, "\n]\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
