package account

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/text/unicode/norm"

	"cairn/share"
)

// Errors about passphrases.
var (
	// ErrPassphrase says that a vault was not sealed with this passphrase.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrWeak says that a passphrase is too short to seal anything with.
	ErrWeak = fmt.Errorf("the passphrase is too short: want at least %d characters", MinPassphrase)
)

// MinPassphrase is the shortest passphrase that seals, in characters. Short ones are found by trying.
const MinPassphrase = 8

const (
	vaultMagic   = "cairn vault\x00\x01"
	saltSize     = 16
	flagKeyring  = 1
	maxVault     = 64 << 10
	maxNode      = 255
	maxSecretLen = 32 << 10
	// What a file may ask of its reader.
	maxTime, maxMemory = 64, 1 << 20
)

// A Cost is what trying one passphrase takes, in the words of Argon2id.
type Cost struct {
	Time    uint32
	Memory  uint32 // KiB
	Threads uint8
}

// DefaultCost takes about 0.15 s and 64 MiB on a machine of 2024.
func DefaultCost() Cost { return Cost{Time: 3, Memory: 64 << 10, Threads: 4} }

// A Header is what a vault says to everybody.
type Header struct {
	// Node names the node whose secrets these are; it is public.
	Node string
	// Keyring says that the passphrase may be looked for in the system's keyring.
	Keyring bool
	// Cost is DefaultCost where NewVault is given none.
	Cost Cost

	salt [saltSize]byte
}

// A Vault seals the secrets of a node with a passphrase (Argon2id, XChaCha20-Poly1305; docs/formats.md, "Vault"). It prints as
// a label and is immutable.
type Vault struct {
	header Header
	aead   cipher.AEAD
}

func (*Vault) String() string       { return redacted }
func (*Vault) GoString() string     { return redacted }
func (*Vault) LogValue() slog.Value { return slog.StringValue(redacted) }

// NewVault returns a vault with a passphrase of at least MinPassphrase characters, or ErrWeak.
func NewVault(passphrase string, h Header) (*Vault, error) {
	if len([]rune(passphrase)) < MinPassphrase {
		return nil, ErrWeak
	}
	if len(h.Node) > maxNode {
		return nil, fmt.Errorf("vault: the name of the node has %d bytes: want at most %d", len(h.Node), maxNode)
	}
	if h.Cost == (Cost{}) {
		h.Cost = DefaultCost()
	}
	rand.Read(h.salt[:]) // never fails: crypto/rand ends the program instead
	return h.vault(passphrase), nil
}

// Header says what the vault says to everybody.
func (v *Vault) Header() Header { return v.header }

// Seal returns the bytes of a file with these secrets. It can be called again with others.
func (v *Vault) Seal(secrets map[string][]byte) ([]byte, error) {
	var plain []byte
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if name == "" || len(name) > maxNode || len(secrets[name]) > maxSecretLen {
			return nil, fmt.Errorf("vault: %q with %d bytes: %w", name, len(secrets[name]), share.ErrTooLarge)
		}
		plain = append(append(plain, byte(len(name))), name...)
		plain = append(binary.BigEndian.AppendUint32(plain, uint32(len(secrets[name]))), secrets[name]...)
	}
	data := v.header.encode()
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	data = append(data, nonce...)
	if data = v.aead.Seal(data, nonce, plain, data); len(data) > maxVault {
		return nil, fmt.Errorf("vault: %d bytes: %w", len(data), share.ErrTooLarge)
	}
	return data, nil
}

// OpenVault opens what Seal returned. The error is ErrPassphrase, or wraps share.ErrCorrupt or share.ErrVersion where the file is
// damaged as far as that shows without the passphrase.
func OpenVault(data []byte, passphrase string) (*Vault, map[string][]byte, error) {
	h, rest, err := parseHeader(data)
	if err != nil {
		return nil, nil, err
	}
	v := h.vault(passphrase)
	nonce := rest[:chacha20poly1305.NonceSizeX]
	plain, err := v.aead.Open(nil, nonce, rest[len(nonce):], data[:len(data)-len(rest)+len(nonce)])
	if err != nil {
		return nil, nil, ErrPassphrase
	}
	secrets, err := parseSecrets(plain)
	if err != nil {
		return nil, nil, err
	}
	return v, secrets, nil
}

// ReadHeader returns what a vault says to everybody. Nothing vouches for it before the vault is open.
func ReadHeader(data []byte) (Header, error) {
	h, _, err := parseHeader(data)
	return h, err
}

func (h Header) vault(passphrase string) *Vault {
	// The same characters are the same passphrase, whichever way a keyboard composes them.
	key := argon2.IDKey([]byte(norm.NFC.String(passphrase)), h.salt[:], h.Cost.Time, h.Cost.Memory, h.Cost.Threads, chacha20poly1305.KeySize)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic("account: " + err.Error()) // the key has its size
	}
	return &Vault{header: h, aead: aead}
}

func (h Header) encode() []byte {
	flags := byte(0)
	if h.Keyring {
		flags |= flagKeyring
	}
	data := append([]byte(vaultMagic), flags)
	data = binary.BigEndian.AppendUint32(data, h.Cost.Time)
	data = binary.BigEndian.AppendUint32(data, h.Cost.Memory)
	data = append(append(data, h.Cost.Threads), h.salt[:]...)
	return append(append(data, byte(len(h.Node))), h.Node...)
}

func corrupt(what string) error { return fmt.Errorf("vault: %w: %s", share.ErrCorrupt, what) }

func parseHeader(data []byte) (h Header, rest []byte, err error) {
	const version = len(vaultMagic) - 1
	const fixed = len(vaultMagic) + 1 + 4 + 4 + 1 + saltSize + 1
	switch {
	case len(data) > maxVault:
		return h, nil, corrupt("too long")
	case !bytes.HasPrefix(data, []byte(vaultMagic[:version])):
		return h, nil, corrupt("not a vault")
	case len(data) > version && data[version] != vaultMagic[version]:
		return h, nil, fmt.Errorf("vault of version %d: %w", data[version], share.ErrVersion)
	case len(data) < fixed || len(data) < fixed+int(data[fixed-1])+chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead:
		return h, nil, corrupt("cut off")
	}
	at := data[len(vaultMagic):]
	flags := at[0]
	h.Keyring = flags&flagKeyring != 0
	h.Cost = Cost{Time: binary.BigEndian.Uint32(at[1:]), Memory: binary.BigEndian.Uint32(at[5:]), Threads: at[9]}
	copy(h.salt[:], at[10:])
	end := fixed + int(data[fixed-1])
	h.Node = string(data[fixed:end])
	if flags&^flagKeyring != 0 || !h.Cost.valid() {
		return h, nil, corrupt("its numbers make no sense")
	}
	return h, data[end:], nil
}

// valid reports whether a reader can be asked to pay this.
func (c Cost) valid() bool {
	return c.Time >= 1 && c.Time <= maxTime && c.Threads >= 1 && c.Memory >= 8*uint32(c.Threads) && c.Memory <= maxMemory
}

func parseSecrets(plain []byte) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	last := ""
	for len(plain) > 0 {
		n := int(plain[0])
		if n == 0 || len(plain) < 1+n+4 {
			return nil, corrupt("a name is cut off")
		}
		name := string(plain[1 : 1+n])
		size := binary.BigEndian.Uint32(plain[1+n:])
		plain = plain[1+n+4:]
		if name <= last || uint64(size) > uint64(len(plain)) {
			return nil, corrupt("a secret is cut off or there twice")
		}
		secrets[name], plain, last = bytes.Clone(plain[:size]), plain[size:], name
	}
	return secrets, nil
}
