package inbox

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"cairn/introducer"
	"cairn/share"
	"cairn/share/keys"
)

// Info strings of HKDF, one for each use.
const (
	infoSeal = "cairn/v1/account/inbox" // of the account's seed: what others seal to
	infoCard = "cairn/v1/account/card"  // of the account's seed: the write key of its card
	infoBox  = "cairn/v1/inbox/box"     // of what two accounts share: the write key of a box
)

func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.ChaCha20Poly1305() }
func kem() hpke.KEM   { return hpke.MLKEM768X25519() }

// secretOf returns the key that opens what is sealed to an account. It follows from the account, so it comes back with the phrase.
func secretOf(a introducer.Account) (hpke.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, a.Seed(), nil, infoSeal, 32)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	key, err := kem().DeriveKeyPair(seed)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return key, nil
}

// A Card is what an account publishes so that others can seal to it.
type Card struct{ key hpke.PublicKey }

type wireCard struct {
	Version int    `cbor:"1,keyasint"`
	KEM     uint16 `cbor:"2,keyasint"`
	Key     []byte `cbor:"3,keyasint"`
}

// CardOf returns an account's card.
func CardOf(a introducer.Account) (Card, error) {
	key, err := secretOf(a)
	if err != nil {
		return Card{}, err
	}
	return Card{key.PublicKey()}, nil
}

// CardKey returns the write key of the file that holds an account's card in a grid.
func CardKey(a introducer.Account, grid []byte) (keys.WriteKey, error) {
	key, err := hkdf.Key(sha256.New, a.Seed(), grid, infoCard, keys.Size)
	if err != nil {
		return keys.WriteKey{}, fmt.Errorf("inbox: %w", err)
	}
	return keys.WriteKey(key), nil
}

// Encoded returns the bytes of the card.
func (c Card) Encoded() []byte { return encode(wireCard{version, kem().ID(), c.key.Bytes()}) }

// ParseCard reads a card. Errors wrap share.ErrCorrupt, share.ErrTooLarge or share.ErrVersion.
func ParseCard(data []byte) (Card, error) {
	var w wireCard
	if len(data) > MaxCard {
		return Card{}, fmt.Errorf("card: %d bytes: %w", len(data), share.ErrTooLarge)
	}
	if err := decode(data, &w); err != nil {
		return Card{}, err
	}
	if w.Version != version || w.KEM != kem().ID() {
		return Card{}, fmt.Errorf("card: %w %d, key of the kind %#x", share.ErrVersion, w.Version, w.KEM)
	}
	key, err := kem().NewPublicKey(w.Key)
	if err != nil {
		return Card{}, fmt.Errorf("card: %w: %v", share.ErrCorrupt, err)
	}
	return Card{key}, nil
}

// BoxKey returns the write key of a pair's box, given the account of either of the two.
func BoxKey(own introducer.Account, p Pair) (keys.WriteKey, error) {
	other := p.To
	switch own.Key() {
	case p.From:
	case p.To:
		other = p.From
	default:
		return keys.WriteKey{}, errors.New("inbox: the account is neither the sender's nor the receiver's")
	}
	secret, err := shared(own, other)
	if err != nil {
		return keys.WriteKey{}, err
	}
	salt := slices.Concat([]byte(p.Grid), p.From[:], p.To[:])
	key, err := hkdf.Key(sha256.New, secret, salt, infoBox, keys.Size)
	if err != nil {
		return keys.WriteKey{}, fmt.Errorf("inbox: %w", err)
	}
	return keys.WriteKey(key), nil
}

// shared returns what only the holders of two accounts can compute: X25519 of the accounts' keys, which are points of the same curve.
func shared(own introducer.Account, other introducer.AccountKey) ([]byte, error) {
	hash := sha512.Sum512(own.Seed())
	private, err := ecdh.X25519().NewPrivateKey(hash[:32])
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	point, err := montgomery(other)
	if err != nil {
		return nil, err
	}
	public, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	secret, err := private.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("inbox: account %s: %w: %v", other.Short(), share.ErrCorrupt, err)
	}
	return secret, nil
}

// montgomery returns the u coordinate of a public Ed25519 key: (1+y)/(1-y) modulo 2^255-19 (RFC 7748, section 4.1).
func montgomery(key introducer.AccountKey) ([]byte, error) {
	little := key
	little[31] &= 0x7f
	slices.Reverse(little[:])
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	y := new(big.Int).SetBytes(little[:])
	one := big.NewInt(1)
	below := new(big.Int).Mod(new(big.Int).Sub(one, y), p)
	if below.Sign() == 0 || y.Cmp(p) >= 0 {
		return nil, fmt.Errorf("inbox: account %s: %w: no point of the curve", key.Short(), share.ErrCorrupt)
	}
	u := new(big.Int).Mul(new(big.Int).Add(one, y), new(big.Int).ModInverse(below, p))
	out := u.Mod(u, p).FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out, nil
}
