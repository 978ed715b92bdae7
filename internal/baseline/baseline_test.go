package baseline_test

import (
	"bytes"
	"io"
	"testing"

	"cairn/internal/baseline"
	"cairn/share"
)

func TestCodecAndTransportMeasure(t *testing.T) {
	const size = 8 << 20
	codec, err := baseline.Codec(t.Context(), share.Params{Needed: 3, Happy: 7, Total: 10}, size)
	if err != nil || codec.Bytes != size || codec.Took <= 0 {
		t.Errorf("codec: %+v, %v", codec, err)
	}
	transport, err := baseline.Transport(t.Context(), 2, size)
	if err != nil || transport.Bytes != size || transport.Took <= 0 {
		t.Errorf("transport: %+v, %v", transport, err)
	}
}

func TestPatternDoesNotRepeat(t *testing.T) {
	data, err := io.ReadAll(baseline.Pattern(3<<20 + 5))
	if err != nil || len(data) != 3<<20+5 {
		t.Fatalf("%d bytes, error %v", len(data), err)
	}
	if bytes.Equal(data[:1<<20], data[1<<20:2<<20]) {
		t.Error("two stretches are the same")
	}
}
