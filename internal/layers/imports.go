package layers

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// CheckArrows returns every import of a package of this module that the arrows do not allow.
func CheckArrows(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		for _, imported := range f.Imports {
			to, ours := strings.CutPrefix(imported, Module+"/")
			if !ours || to == f.Dir() {
				continue
			}
			if reason := refuseArrow(f, to); reason != "" {
				out = append(out, Finding{Path: f.Path, Reason: fmt.Sprintf("imports %s: %s", to, reason)})
			}
		}
	}
	return sorted(out)
}

func refuseArrow(f *File, to string) string {
	if f.Test {
		return refuseTestArrow(f, to)
	}
	arrow := longest(Arrows, f.Dir(), func(a Arrow) string { return a.From })
	if arrow == nil {
		return "no arrow of docs/architecture.md starts here"
	}
	allowed := slices.ContainsFunc(arrow.To, func(pattern string) bool {
		root, below := strings.CutSuffix(pattern, "/...")
		return to == root || below && within(to, root)
	})
	if allowed {
		return ""
	}
	return arrow.Reason
}

// refuseTestArrow lets tests use support under internal and what is on their own side of the house.
func refuseTestArrow(f *File, to string) string {
	side, toSide := top(f.Dir()), top(to)
	switch {
	case toSide == "internal", side == toSide, side == "internal", side == "cmd", side == "node":
		return ""
	case side == "share":
		return "tests of share may use share and internal only"
	case toSide == "cmd" || toSide == "node":
		return "only cmd, node and internal test against a whole node"
	case side == "grid" && within(to, "p2p"), side == "p2p" && within(to, "grid"):
		return "grid and p2p never import each other, not even in tests: internal/testgrid joins them"
	case side == "p2p" && toSide == "introducer":
		return "p2p takes its Gate through an interface, in tests too"
	}
	return ""
}

func top(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// CheckHomes returns every import of a dependency outside of its home.
func CheckHomes(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		if f.Test || within(f.Dir(), "internal") {
			continue
		}
		for _, imported := range f.Imports {
			home := longest(Homes, imported, func(h Home) string { return h.Import })
			if home == nil || withinAny(f.Dir(), home.In) {
				continue
			}
			where := "nowhere outside of tests"
			if len(home.In) > 0 {
				where = "only in " + strings.Join(home.In, ", ")
			}
			out = append(out, Finding{Path: f.Path, Reason: fmt.Sprintf("imports %s, which is at home %s: %s", imported, where, home.Reason)})
		}
	}
	return sorted(out)
}

// longest returns the rule whose key is the longest prefix of name.
func longest[T any](rules []T, name string, key func(T) string) *T {
	var best *T
	for i := range rules {
		k := key(rules[i])
		if matches(name, k) && (best == nil || len(k) > len(key(*best))) {
			best = &rules[i]
		}
	}
	return best
}

// matches is within, but a standard library package stands for itself alone and a module for all its major versions.
func matches(name, key string) bool {
	if !strings.Contains(key, ".") && (key == "log" || strings.HasPrefix(key, "math/")) {
		return name == key
	}
	return within(name, path.Clean(key))
}
