package placement_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cairn/grid/placement"
	"cairn/share"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// TestScenarios runs the scenarios in testdata: paragraphs of a comment, commands and, behind "=>", the result.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, paragraph := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				got = append(got, runScenario(t, paragraph))
			}
			result := strings.Join(got, "\n\n") + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(result), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if result != string(text) {
				t.Errorf("got:\n%s", result)
			}
		})
	}
}

// runScenario executes one paragraph and returns it with the result it had.
func runScenario(t *testing.T, paragraph string) string {
	var (
		out     []string
		servers []placement.Server
	)
	for line := range strings.Lines(paragraph) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "=>") {
			continue
		}
		out = append(out, line)
		command, rest, _ := strings.Cut(line, " ")
		args := arguments(t, rest)
		switch command {
		case "#":
		case "server":
			servers = append(servers, parseServers(t, args)...)
		case "new":
			params := share.Params{Needed: args.int("needed"), Happy: args.int("happy"), Total: args.int("total")}
			plan, err := placement.New([]byte("seed"), params, int64(args.int("size")), servers)
			out = append(out, describe(plan, err)...)
		case "replace":
			id, ok := placement.Replace([]byte("seed"), int64(args.int("size")), servers, share.Number(args.int("number")))
			if !ok {
				id = "nowhere"
			}
			out = append(out, "=> "+string(id))
		case "happiness":
			holders := map[share.ServerID][]share.Number{}
			for _, s := range servers {
				holders[s.ID] = s.Holds
			}
			out = append(out, fmt.Sprintf("=> %d", placement.Happiness(holders)))
		default:
			t.Fatalf("unknown command %q", line)
		}
	}
	return strings.Join(out, "\n")
}

type argList map[string]string

func arguments(t *testing.T, text string) argList {
	args := argList{}
	for i, field := range strings.Fields(text) {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			key, value = "arg"+strconv.Itoa(i), field
		}
		args[key] = value
	}
	return args
}

func (a argList) int(key string) int {
	n, err := strconv.Atoi(a[key])
	if err != nil && a[key] != "" {
		panic(fmt.Sprintf("%s=%s: %v", key, a[key], err))
	}
	return n
}

// parseServers reads "NAME free=N holds=0,1,2 full last refused"; NAME may be a range such as a-f.
func parseServers(t *testing.T, args argList) []placement.Server {
	first, last, _ := strings.Cut(args["arg0"], "-")
	if last == "" {
		last = first
	}
	var servers []placement.Server
	for name := first[0]; name <= last[0]; name++ {
		s := placement.Server{ID: share.ServerID(name), Free: int64(args.int("free"))}
		for _, value := range args {
			s.Full = s.Full || value == "full"
			s.Last = s.Last || value == "last"
			s.Refused = s.Refused || value == "refused"
		}
		if args["holds"] != "" {
			for number := range strings.SplitSeq(args["holds"], ",") {
				n, err := strconv.Atoi(number)
				if err != nil {
					t.Fatal(err)
				}
				s.Holds = append(s.Holds, share.Number(n))
			}
		}
		servers = append(servers, s)
	}
	return servers
}

func describe(plan placement.Plan, err error) []string {
	numbers := map[share.ServerID][]share.Number{}
	for _, number := range slices.Sorted(maps.Keys(plan.Assign)) {
		numbers[plan.Assign[number]] = append(numbers[plan.Assign[number]], number)
	}
	out := []string{fmt.Sprintf("=> happiness %d", plan.Happiness)}
	for _, id := range slices.Sorted(maps.Keys(numbers)) {
		out = append(out, fmt.Sprintf("=> %s %v", id, numbers[id]))
	}
	if err != nil {
		out = append(out, "=> "+err.Error())
	}
	return out
}

func TestWrongParams(t *testing.T) {
	_, err := placement.New(nil, share.Params{Needed: 3, Happy: 2, Total: 10}, 1, nil)
	var unhappy *share.UnhappyError
	if err == nil || errors.As(err, &unhappy) {
		t.Errorf("got %v, want an error about the parameters", err)
	}
}
