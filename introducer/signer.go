package introducer

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/share"
)

// A Signer signs statements about one grid, with the grid's key or with the key of an account. Whether others heed what
// it signs depends on the roster: see Roster.Vouch, Roster.Revoke and Roster.Configure, which check that first. It prints
// as a label.
type Signer struct {
	grid   [ed25519.PublicKeySize]byte
	issuer AccountKey
	key    ed25519.PrivateKey
}

// GridSigner signs with the grid's key.
func GridSigner(grid Descriptor, key ed25519.PrivateKey) (Signer, error) {
	if len(key) != ed25519.PrivateKeySize || !grid.Key().Equal(key.Public()) {
		return Signer{}, fmt.Errorf("the key is not that of grid %s", grid)
	}
	return Signer{grid: grid.key, key: key}, nil
}

// Signer signs with the account's key.
func (a Account) Signer(grid Descriptor) Signer {
	key := a.private()
	return Signer{grid: grid.key, issuer: publicOf(key), key: key}
}

// Issuer returns the account that signs, zero for the grid's key.
func (s Signer) Issuer() AccountKey { return s.issuer }

func (Signer) String() string       { return "[signer]" }
func (Signer) GoString() string     { return "[signer]" }
func (Signer) LogValue() slog.Value { return slog.StringValue("[signer]") }

// SignGrant signs a grant. Times are cut to seconds; where Seq is 0 it is the milliseconds of Issued since 1970.
func (s Signer) SignGrant(g Grant) ([]byte, error) {
	if g.Seq == 0 {
		g.Seq = uint64(max(g.Issued.UnixMilli(), 0))
	}
	g.Issued, g.Expires = seconds(g.Issued), seconds(g.Expires)
	if err := g.validate(s.issuer); err != nil {
		return nil, fmt.Errorf("sign grant: %w", err)
	}
	return s.sign(KindGrant, g.encoded(s.grid[:], issuerBytes(s.issuer)), nil)
}

// SignRevocation signs a revocation. Its time is cut to seconds.
func (s Signer) SignRevocation(r Revocation) ([]byte, error) {
	r.Issued = seconds(r.Issued)
	if err := r.validate(s.issuer); err != nil {
		return nil, fmt.Errorf("sign revocation: %w", err)
	}
	return s.sign(KindRevocation, r.encoded(s.grid[:], issuerBytes(s.issuer)), nil)
}

// SignSettings signs settings. Their time is cut to seconds; where Seq is 0 it is the milliseconds of Issued since 1970.
func (s Signer) SignSettings(settings Settings) ([]byte, error) {
	if settings.Seq == 0 {
		settings.Seq = uint64(max(settings.Issued.UnixMilli(), 0))
	}
	settings.Issued = seconds(settings.Issued)
	if err := settings.validate(); err != nil {
		return nil, fmt.Errorf("sign settings: %w", err)
	}
	return s.sign(KindSettings, settings.encoded(s.grid[:], issuerBytes(s.issuer)), nil)
}

var errNodeKey = errors.New("sign device: the node's key is not Ed25519")

// SignDevice signs that a node belongs to an account, with the keys of both. It fills in the account and the node's id.
// Times are cut to seconds; where Seq is 0 it is the milliseconds of Issued since 1970.
func SignDevice(grid Descriptor, account Account, node crypto.PrivKey, d Device) ([]byte, error) {
	if node == nil || node.Type() != crypto.Ed25519 {
		return nil, errNodeKey
	}
	public, err := node.GetPublic().Raw()
	if err != nil {
		return nil, fmt.Errorf("sign device: %w", err)
	}
	d.Removed = false
	return signDevice(grid, account, d, public, node)
}

// SignRemoval signs that the node d.ID belongs to the account no longer. Times and Seq are as for SignDevice.
func SignRemoval(grid Descriptor, account Account, d Device) ([]byte, error) {
	public, err := nodeKey(d.ID)
	if err != nil {
		return nil, fmt.Errorf("sign removal: %w", err)
	}
	d.Removed = true
	return signDevice(grid, account, d, public, nil)
}

func signDevice(grid Descriptor, account Account, d Device, public []byte, node crypto.PrivKey) ([]byte, error) {
	if d.Seq == 0 {
		d.Seq = uint64(max(d.Issued.UnixMilli(), 0))
	}
	signer := account.Signer(grid)
	d.Account, d.Issued, d.Expires = signer.issuer, seconds(d.Issued), seconds(d.Expires)
	if err := d.validate(); err != nil {
		return nil, fmt.Errorf("sign device: %w", err)
	}
	body := d.encoded(grid.key[:], public)
	var signature []byte
	if node != nil {
		var err error
		if signature, err = node.Sign(append([]byte(nodeContext), body...)); err != nil {
			return nil, fmt.Errorf("sign device: %w", err)
		}
	}
	return signer.sign(KindDevice, body, signature)
}

func (s Signer) sign(kind Kind, body, nodeSignature []byte) ([]byte, error) {
	if len(s.key) == 0 {
		return nil, fmt.Errorf("sign %s: no key", kind)
	}
	signature := ed25519.Sign(s.key, append(kind.context(), body...))
	data := encode(wireStatement{Kind: uint8(kind), Body: body, Signature: signature, NodeSignature: nodeSignature})
	if len(data) > MaxStatement {
		return nil, fmt.Errorf("sign %s: %d bytes: %w", kind, len(data), share.ErrTooLarge)
	}
	return data, nil
}
