package node

import (
	"fmt"
	"strings"
	"time"

	"cairn/node/control"
)

// ambiguous returns an error that names them when several versions have the number that alone is to say which one is wanted.
func ambiguous(path string, versions []control.Version, request control.RestoreRequest) error {
	if request.Record != "" {
		return nil
	}
	var names, told []string
	for _, v := range versions {
		if v.Version == request.Version {
			name := control.VersionText(v.Version, v.Record)
			names = append(names, name)
			told = append(told, fmt.Sprintf("%s of %s", name, v.Written.Local().Format(time.DateTime)))
		}
	}
	if len(names) < 2 {
		return nil
	}
	return &control.Error{
		Code:    control.CodeMalformed,
		Message: fmt.Sprintf("%s: %d versions have the number %d: %s", strings.TrimSuffix(path, ":"), len(names), request.Version, strings.Join(told, ", ")),
		Hint:    fmt.Sprintf("name one of them: \"cairn restore %s %s\"", path, names[0]),
	}
}
