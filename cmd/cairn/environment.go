package main

import (
	"os"
	"slices"
	"strings"

	"cairn/internal/spelling"
	"cairn/node/config"
)

const (
	// variablePrefix begins the names of all environment variables that are for this program.
	variablePrefix = "CAIRN_"
	// dirVariable names the directory of the node.
	dirVariable = variablePrefix + "DIR"
	// slackVariable marks a process that was begun anew, so that it is not begun anew for ever.
	slackVariable = variablePrefix + "SLACK"
)

// testVariables are for the tests of this program; what begins with the last one is too.
var testVariables = []string{variablePrefix + "S3_SERVER", variablePrefix + "BENCH_IDLE", variablePrefix + "P2P_TEST_CHILD", variablePrefix + "TEST_"}

// knownVariables returns the names of all environment variables that a person sets for this program.
func knownVariables() []string {
	known := []string{dirVariable, passphraseVariable}
	for _, f := range config.Fields() {
		known = append(known, f.Env)
	}
	return known
}

// unknownVariables returns the names in an environment that look as if they were for this program and are not, sorted. Those without
// a value count for nothing, as those of settings.
func unknownVariables(environment []string) []string {
	known := append(knownVariables(), leashVariable, slackVariable)
	var unknown []string
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		last := testVariables[len(testVariables)-1]
		if strings.HasPrefix(name, variablePrefix) && value != "" && !slices.Contains(known, name) &&
			!slices.Contains(testVariables, name) && !strings.HasPrefix(name, last) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// warnOfVariables says which variables of the environment are ignored because nothing has their name, and what was meant. It takes them
// out, so that a process that this one starts or becomes does not say it again.
func (a *app) warnOfVariables() {
	for _, name := range unknownVariables(os.Environ()) {
		a.note("warning: the environment variable %s is ignored: %s", name, meantVariable(name))
		_ = os.Unsetenv(name) // fails for names that no environment has
	}
}

// meantVariable says which variable was meant by the name of none.
func meantVariable(name string) string {
	typed := strings.TrimPrefix(name, variablePrefix)
	var known []string
	for _, k := range knownVariables() {
		known = append(known, strings.TrimPrefix(k, variablePrefix))
	}
	if nearest, distance := spelling.Nearest(typed, known); distance <= max(1, len(typed)/3) {
		return "did you mean " + variablePrefix + nearest + "?"
	}
	return "\"cairn help config\" lists the settings, of which each has one"
}
