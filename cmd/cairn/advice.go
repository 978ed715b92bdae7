package main

import (
	"regexp"
	"strings"
)

// command returns a command line for this node, to be shown to a person.
func (a *app) command(verb string) string {
	if a.dir == defaultDir() {
		return "cairn " + verb
	}
	return "cairn --dir " + typed(a.dir) + " " + verb
}

// advised finds the commands in a message: in quotes, from the name of the program on.
var advised = regexp.MustCompile(`"cairn ([^"\n]+)"`)

// advice makes a message's commands those for this node: whoever named a directory has to name it again. Every message to a person
// goes through here, so that it may say "cairn VERB" wherever it was written. What is typed elsewhere, or only asks for help, is not
// changed: it stands without quotes, or names a directory, or ends in --help.
func (a *app) advice(text string) string {
	if a.dir == defaultDir() {
		return text
	}
	return advised.ReplaceAllStringFunc(text, func(quoted string) string {
		verb := strings.TrimSuffix(strings.TrimPrefix(quoted, `"cairn `), `"`)
		if strings.HasPrefix(verb, "--dir ") || strings.HasSuffix(verb, "--help") {
			return quoted
		}
		return `"` + a.command(verb) + `"`
	})
}
