package control

import (
	"net/http"
	"testing"
)

// FuzzHeaders shows that no header makes the server panic or accept what is out of bounds.
func FuzzHeaders(f *testing.F) {
	f.Add("100", "3/7/10", "65536", "00", "5", "10")
	f.Add("-1", "3/7", "x", "", "-5", "")
	f.Add("9223372036854775808", "0/0/0", "-4096", "zz", "9223372036854775807", "9223372036854775807")
	f.Fuzz(func(t *testing.T, size, params, blockSize, digest, offset, length string) {
		h := http.Header{}
		h.Set(headerSize, size)
		h.Set(headerParams, params)
		h.Set(headerBlockSize, blockSize)
		h.Set(headerDigest, digest)
		h.Set(headerOffset, offset)
		h.Set(headerLength, length)
		if r, err := putRequest(h); err == nil {
			if r.Size < -1 || r.BlockSize < 0 || !r.Params.IsZero() && r.Params.Validate() != nil {
				t.Errorf("accepted %+v", r)
			}
		}
		if off, n, err := rangeOf(h); err == nil && (off < 0 || n < 0) {
			t.Errorf("accepted %d bytes from %d", n, off)
		}
	})
}
