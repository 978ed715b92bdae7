package config

import (
	"fmt"
	"strings"
)

// Everybody stands for all members that no other limit names.
const Everybody = "*"

// A Limit is how much this node stores for one member at most.
type Limit struct {
	Member string // nickname, id of the account or of a node, or Everybody
	Size   Size
}

// ParseLimit reads a limit: a member, an equals sign and a size, such as "bob=10GB" or "*=1GB".
func ParseLimit(text string) (Limit, error) {
	i := strings.LastIndex(text, "=")
	if i <= 0 {
		return Limit{}, fmt.Errorf("%q: want a member and a size, such as bob=10GB", text)
	}
	size, err := ParseSize(text[i+1:])
	return Limit{Member: strings.TrimSpace(text[:i]), Size: size}, err
}

// MemberLimits returns the limits of storage.limits, which Validate has checked.
func (s Storage) MemberLimits() []Limit {
	var limits []Limit
	for _, text := range s.Limits {
		if l, err := ParseLimit(text); err == nil {
			limits = append(limits, l)
		}
	}
	return limits
}

func (s Storage) problems() []error {
	var problems []error
	seen := map[string]bool{}
	for i, text := range s.Limits {
		l, err := ParseLimit(text)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("storage.limits[%d]: %w", i, err))
		case seen[l.Member]:
			problems = append(problems, fmt.Errorf("storage.limits[%d]: %q has a limit already", i, l.Member))
		}
		seen[l.Member] = true
	}
	for i, member := range s.Deny {
		if member == "" || member == Everybody {
			problems = append(problems, fmt.Errorf("storage.deny[%d]: %q: want a nickname or an id; "+
				"a node that stores for nobody has storage.enabled = false", i, member))
		}
	}
	return problems
}
