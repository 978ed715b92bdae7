package invite

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"cairn/share"
)

const (
	idSize    = 16
	keySize   = 32
	nonceSize = 32
	// proofContext separates an account's signature here from every other use of its key.
	proofContext = "cairn/v1/join\x00"
)

// An invitationID names an invitation where its secret is not to be seen.
type invitationID [idSize]byte

// String returns the first eight hexadecimal digits, by which people cancel it.
func (id invitationID) String() string { return hex.EncodeToString(id[:4]) }

// An inviteKey is what the issuing node keeps of the secret: enough to seal and open, not enough to print the text again.
type inviteKey [keySize]byte

// derive expands a secret for one use.
func derive(secret, salt []byte, info string, size int) []byte {
	key, err := hkdf.Key(sha256.New, secret, salt, info, size)
	if err != nil {
		panic("invite: " + err.Error()) // the sizes are constants
	}
	return key
}

// ID returns what Issuer.List calls the invitation.
func (i Invitation) ID() string { return i.id().String() }

func (i Invitation) id() (id invitationID) {
	copy(id[:], derive(i.secret[:], nil, "cairn/v1/invite/id", idSize))
	return id
}

func (i Invitation) key() (key inviteKey) {
	copy(key[:], derive(i.secret[:], nil, "cairn/v1/invite/key", keySize))
	return key
}

// A session holds the keys of one exchange: both sides' nonces and peer ids are in them, so that nothing of one exchange is good
// for another one, or between other peers.
type session struct {
	proof                  []byte // what the joiner's account signs
	request, answer, third []byte
}

func newSession(key inviteKey, joinerNonce, issuerNonce []byte, joiner, issuer share.ServerID) session {
	salt := append(append([]byte(nil), joinerNonce...), issuerNonce...)
	info := fmt.Sprintf("cairn/v1/invite/session\x00%d:%s%d:%s", len(joiner), joiner, len(issuer), issuer)
	keys := derive(key[:], salt, info, 4*keySize)
	return session{
		proof: keys[:keySize], request: keys[keySize : 2*keySize], answer: keys[2*keySize : 3*keySize], third: keys[3*keySize:],
	}
}

// signed returns what the joiner's account signs.
func (s session) signed() []byte { return append([]byte(proofContext), s.proof...) }

func aead(key []byte) cipher.AEAD {
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic("invite: " + err.Error()) // the key has its size
	}
	return a
}

// seal encrypts the one message that this key is for.
func seal(key, plain []byte) []byte {
	return aead(key).Seal(nil, make([]byte, chacha20poly1305.NonceSizeX), plain, nil)
}

// open decrypts it and checks that it was made with the same key.
func open(key, sealed []byte) ([]byte, error) {
	plain, err := aead(key).Open(nil, make([]byte, chacha20poly1305.NonceSizeX), sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it was not sealed with this invitation", share.ErrCorrupt)
	}
	return plain, nil
}

func random(size int) []byte {
	b := make([]byte, size)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}
