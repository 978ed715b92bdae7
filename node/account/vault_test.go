package account

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"cairn/share"
)

const secretWord = "correct horse battery"

// cheap keeps tests fast.
var cheap = Cost{Time: 1, Memory: 64, Threads: 1}

func sealed(t *testing.T, secrets map[string][]byte) []byte {
	t.Helper()
	v, err := NewVault(secretWord, Header{Node: "12D3KooWnode", Cost: cheap})
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.Seal(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVault(t *testing.T) {
	secrets := map[string][]byte{"account": []byte("a person"), "identity": {0, 1, 2, 0xff}, "empty": {}}
	data := sealed(t, secrets)
	if bytes.Contains(data, []byte("person")) || bytes.Contains(data, []byte("identity")) {
		t.Error("the vault shows what is in it")
	}
	v, got, err := OpenVault(data, secretWord)
	if err != nil || !maps.EqualFunc(got, secrets, bytes.Equal) {
		t.Fatalf("opened %v, %v", slices.Collect(maps.Keys(got)), err)
	}
	if _, _, err := OpenVault(data, secretWord+"!"); err != ErrPassphrase {
		t.Errorf("another passphrase: %v", err)
	}
	if h, err := ReadHeader(data); err != nil || h.Node != "12D3KooWnode" || h.Keyring {
		t.Errorf("header %+v, %v", h, err)
	}
	again, err := v.Seal(map[string][]byte{"account": []byte("another")})
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err = OpenVault(again, secretWord); err != nil || string(got["account"]) != "another" || len(got) != 1 {
		t.Errorf("sealed again: %d secrets, %v", len(got), err)
	}
	if text := fmt.Sprintf("%v %+v %#v", v, v, v); text != "[secret] [secret] [secret]" {
		t.Errorf("a vault prints as %q", text)
	}
}

// TestPassphrases: the same characters in two encodings are one passphrase; short ones are refused.
func TestPassphrases(t *testing.T) {
	v, err := NewVault("Schl\u00fcsselwort", Header{Node: "n", Keyring: true})
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenVault(data, "Schlu\u0308sselwort"); err != nil {
		t.Errorf("typed on another keyboard: %v", err)
	}
	if h, err := ReadHeader(data); err != nil || !h.Keyring {
		t.Errorf("header %+v, %v", h, err)
	}
	for _, weak := range []string{"", "1234567", "üüüüüüü"} {
		if _, err := NewVault(weak, Header{}); err != ErrWeak {
			t.Errorf("%q: %v", weak, err)
		}
	}
}

// TestDamagedVault: no changed byte and no cut gives other secrets.
func TestDamagedVault(t *testing.T) {
	data := sealed(t, map[string][]byte{"account": []byte("a person")})
	for _, at := range []int{0, 12, 13, 17, 21, 22, 30, 38, 45, 60, 80, len(data) - 1} {
		changed := bytes.Clone(data)
		changed[at] ^= 0x04
		if _, got, err := OpenVault(changed, secretWord); err == nil {
			t.Errorf("byte %d changed: opened, %d secrets", at, len(got))
		}
	}
	for n := range len(data) {
		if n > 100 && n < len(data)-1 {
			continue
		}
		if _, _, err := OpenVault(data[:n], secretWord); err == nil {
			t.Errorf("cut to %d bytes: opened", n)
		}
	}
	later := bytes.Clone(data)
	later[len(vaultMagic)-1] = 2
	if _, err := ReadHeader(later); !errors.Is(err, share.ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
	greedy := bytes.Clone(data)
	greedy[len(vaultMagic)+5] = 0xff // 4 TiB of memory
	if _, err := ReadHeader(greedy); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("a file that wants all memory: %v", err)
	}
}

// TestVaultVector is the one of docs/formats.md.
func TestVaultVector(t *testing.T) {
	data, err := hex.DecodeString(strings.Join(strings.Fields(vaultVector), ""))
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := OpenVault(data, secretWord)
	if err != nil || string(got["account"]) != "a person" || len(got) != 1 {
		t.Errorf("%d secrets, %v", len(got), err)
	}
}

func FuzzVaultHeader(f *testing.F) {
	f.Add([]byte(vaultMagic))
	f.Add(append(Header{Node: "n", Cost: cheap}.encode(), make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, rest, err := parseHeader(data)
		if err != nil {
			return
		}
		if !bytes.Equal(h.encode(), data[:len(data)-len(rest)]) {
			t.Fatal("a second spelling")
		}
	})
}

func FuzzVaultSecrets(f *testing.F) {
	f.Add([]byte("\x01a\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if secrets, err := parseSecrets(data); err == nil && len(data) > 0 && len(secrets) == 0 {
			t.Fatal("bytes that are no secrets")
		}
	})
}
