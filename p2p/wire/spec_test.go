package wire_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cairn/p2p/wire"
)

// TestSpecification compares the tables of docs/protocol.md with what the package does.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[int]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| `0x([0-9a-f]{2})` \\|.*\\| ([0-9]+)( KiB)? \\|$").FindAllStringSubmatch(string(text), -1) {
		kind, _ := strconv.ParseUint(row[1], 16, 8)
		limit, _ := strconv.Atoi(row[2])
		if row[3] != "" {
			limit <<= 10
		}
		kinds[int(kind)] = limit
	}
	for kind := range 256 {
		limit, known := kinds[kind]
		_, _, err := wire.ParseHeader(wire.AppendHeader(nil, wire.Kind(kind), limit))
		if known != (err == nil) {
			t.Errorf("kind %#02x: %v", kind, err)
		}
		if _, _, err := wire.ParseHeader(wire.AppendHeader(nil, wire.Kind(kind), limit+1)); err == nil {
			t.Errorf("kind %#02x may have more than %d bytes", kind, limit)
		}
	}
	for code := range 256 {
		_, err := wire.Append(nil, wire.Error{Code: wire.Code(code)})
		if known := strings.Contains(string(text), fmt.Sprintf("\n| %d | ", code)); known != (err == nil) {
			t.Errorf("error code %d: %v", code, err)
		}
	}
}
