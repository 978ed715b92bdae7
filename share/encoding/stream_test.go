package encoding_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

func twoOfThree(t *testing.T, size int64) encoding.Options {
	t.Helper()
	code, err := erasure.New(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	return encoding.Options{Code: code, BlockSize: encoding.MinBlockSize, Size: size, Buffers: 3}
}

// TestBrokenStreamIsNotAShortFile: a connection that breaks off gives io.ErrUnexpectedEOF. What came until then must not
// become a file.
func TestBrokenStreamIsNotAShortFile(t *testing.T) {
	for _, before := range []int{0, 1, 8191, 8192, 8193, 100000} {
		for _, size := range []int64{-1, int64(before), 1 << 20} {
			r := io.MultiReader(bytes.NewReader(plaintext(before)), iotest.ErrReader(io.ErrUnexpectedEOF))
			root, err := rootOf(t, r, twoOfThree(t, size))
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a stream that broke after %d bytes, %d announced: a file of %d bytes, %v", before, size, root.Size, err)
			}
		}
	}
}

// idle yields nothing, for ever.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestIdleReaderIsAnError(t *testing.T) {
	if _, err := rootOf(t, idle{}, twoOfThree(t, -1)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

// TestHangingReadEndsWithItsUse: a stream that yields nothing more does not keep an encoder that has been cancelled, or
// whose segments nobody wants.
func TestHangingReadEndsWithItsUse(t *testing.T) {
	stop := errors.New("stop")
	for what, c := range map[string]struct {
		emit error
		want error
	}{
		"cancelled": {nil, context.Canceled},
		"refused":   {stop, stop},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r, w := io.Pipe()
				defer w.Close() // lets go of the Read that hangs
				go w.Write(plaintext(2*2*encoding.MinBlockSize + 5))
				if c.emit == nil {
					time.AfterFunc(time.Minute, cancel)
				}
				start := time.Now()
				_, err := encoding.Encode(ctx, r, keys.ReadKey{}.File(nil), twoOfThree(t, -1), func(s *encoding.Segment) error {
					s.Release()
					return c.emit
				})
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				late := time.Since(start)
				if c.emit == nil {
					late -= time.Minute
				}
				if late > 2*time.Second {
					t.Errorf("it took %v to notice", late)
				}
			})
		})
	}
}
