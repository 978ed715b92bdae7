package node

import (
	"errors"
	"strings"
	"testing"

	"cairn/node/control"
)

// TestAmbiguousVersions: of two versions with one number none is taken for the other.
func TestAmbiguousVersions(t *testing.T) {
	versions := []control.Version{
		{Version: 5, Record: "eeeeeeee"}, {Version: 4, Record: "dddddddd"}, {Version: 4, Record: "cccccccc", Refused: true}, {Version: 3, Record: "bbbbbbbb"},
	}
	for _, request := range []control.RestoreRequest{{Version: 3}, {Version: 5}, {Version: 9}, {Version: 4, Record: "cccccccc"}} {
		if err := ambiguous("home:x", versions, request); err != nil {
			t.Errorf("%+v: %v", request, err)
		}
	}
	err := ambiguous("home:x", versions, control.RestoreRequest{Version: 4})
	told, ok := errors.AsType[*control.Error](err)
	if !ok || told.Code != control.CodeMalformed || !strings.Contains(told.Message, "4@dddddddd") || !strings.Contains(told.Message, "4@cccccccc") ||
		!strings.Contains(told.Hint, "cairn restore home:x 4@dddddddd") {
		t.Errorf("%+v", err)
	}
}
