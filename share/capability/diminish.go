package capability

import "fmt"

// Read returns the capability that only reads the same thing. A literal and a read capability return themselves. It
// returns ErrAuthority for what cannot read.
func (c Capability) Read() (Capability, error) {
	read := c.kind.shape().read
	if read == KindUnknown {
		return Capability{}, fmt.Errorf("read capability of %s: %w", c.what(), ErrAuthority)
	}
	key, _ := c.ReadKey()
	return Capability{kind: read, index: c.index, name: c.name, key: key, text: c.text}, nil
}

// Verify returns the capability that only finds, checks and repairs the same thing. It returns ErrAuthority for a
// literal, which is stored nowhere and so has nothing to verify, and for an unknown kind.
func (c Capability) Verify() (Capability, error) {
	verify := c.kind.shape().verify
	if verify == KindUnknown {
		return Capability{}, fmt.Errorf("verify capability of %s: %w", c.what(), ErrAuthority)
	}
	return Capability{kind: verify, index: c.index, name: c.name}, nil
}

func (c Capability) what() string {
	if c.kind == KindLiteral {
		return "a literal, which holds its data itself and is stored nowhere"
	}
	return c.kind.Noun()
}
