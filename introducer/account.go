package introducer

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// AccountPrefix starts the text form of an account's secret.
const AccountPrefix = "cairn-account:"

// An AccountKey is the Ed25519 public key of a person's account. The zero AccountKey stands for the grid's key
// wherever an issuer is named, and for no account elsewhere.
type AccountKey [ed25519.PublicKeySize]byte

// String returns the key in base32, lower case, without padding: 52 characters.
func (k AccountKey) String() string { return text32.EncodeToString(k[:]) }

// Short returns the first eight characters, enough to tell accounts apart in a message for people.
func (k AccountKey) Short() string { return k.String()[:8] }

// IsZero reports whether this is no account.
func (k AccountKey) IsZero() bool { return k == AccountKey{} }

// MarshalText returns the text form, and nothing for the zero key.
func (k AccountKey) MarshalText() ([]byte, error) {
	if k.IsZero() {
		return nil, nil
	}
	return []byte(k.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (k *AccountKey) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*k = AccountKey{}
		return nil
	}
	key, err := ParseAccountKey(string(text))
	if err != nil {
		return err
	}
	*k = key
	return nil
}

// ParseAccountKey reads the text form of an account key. It accepts exactly what String prints.
func ParseAccountKey(text string) (AccountKey, error) {
	var k AccountKey
	data, err := text32.DecodeString(text)
	if err != nil || len(data) != len(k) || text32.EncodeToString(data) != text {
		return AccountKey{}, fmt.Errorf("%.60q is not an account key: want 52 characters of base32", text)
	}
	copy(k[:], data)
	if k.IsZero() {
		return AccountKey{}, errors.New("the account key is zero")
	}
	return k, nil
}

// An Account is the secret of one person's account. It prints as a label; Reveal returns the text to keep. The zero
// Account is none.
type Account struct{ seed [ed25519.SeedSize]byte }

// NewAccount returns an account with a random key.
func NewAccount() Account {
	var a Account
	rand.Read(a.seed[:]) // never fails: crypto/rand ends the program instead
	return a
}

// AccountFromSeed returns the account of a seed of 32 bytes.
func AccountFromSeed(seed []byte) (Account, error) {
	var a Account
	if len(seed) != len(a.seed) {
		return Account{}, fmt.Errorf("the seed of an account has %d bytes: want %d", len(seed), len(a.seed))
	}
	copy(a.seed[:], seed)
	if a.IsZero() {
		return Account{}, errors.New("the seed of the account is zero")
	}
	return a, nil
}

// ParseAccount reads the text that Reveal returned. Its errors say nothing about the text.
func ParseAccount(text string) (Account, error) {
	body, ok := strings.CutPrefix(text, AccountPrefix)
	if !ok {
		return Account{}, fmt.Errorf("the text does not start with %s", AccountPrefix)
	}
	seed, err := text32.DecodeString(body)
	if err != nil || text32.EncodeToString(seed) != body {
		return Account{}, fmt.Errorf("the text behind %s is not base32, perhaps cut off or mistyped", AccountPrefix)
	}
	return AccountFromSeed(seed)
}

// IsZero reports whether this is no account.
func (a Account) IsZero() bool { return a == Account{} }

// Key returns the public key, by which others know the account.
func (a Account) Key() AccountKey {
	return publicOf(a.private())
}

// Seed returns a copy of the secret.
func (a Account) Seed() []byte { return append([]byte(nil), a.seed[:]...) }

// Reveal returns the secret as text: whoever has it is this person.
func (a Account) Reveal() string { return AccountPrefix + text32.EncodeToString(a.seed[:]) }

func publicOf(private ed25519.PrivateKey) AccountKey {
	return AccountKey(private.Public().(ed25519.PublicKey))
}

func (a Account) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(a.seed[:]) }

const secretLabel = "[account secret]"

func (Account) String() string       { return secretLabel }
func (Account) GoString() string     { return secretLabel }
func (Account) LogValue() slog.Value { return slog.StringValue(secretLabel) }

// MarshalText returns the label, so that no encoder writes the secret by accident.
func (Account) MarshalText() ([]byte, error) { return []byte(secretLabel), nil }
