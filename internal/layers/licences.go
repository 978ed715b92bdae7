package layers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Licence names the licence of a module from the text of its licence files, or returns an error that says why
// it could not.
func Licence(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var seen []string
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if entry.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", err
		}
		if licence := Classify(string(text)); licence != "" {
			return licence, nil
		}
		seen = append(seen, entry.Name())
	}
	if len(seen) == 0 {
		return "", fmt.Errorf("no licence file")
	}
	return "", fmt.Errorf("%s: not a licence that is known to fit", strings.Join(seen, ", "))
}

// licences pairs the name of each licence that dependencies may have with words that only its text has.
var licences = []struct{ name, words string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"MIT", "permission is hereby granted free of charge to any person obtaining a copy"},
	{"ISC", "permission to use copy modify and/or distribute this software for any purpose with or without fee"},
	{"ISC", "permission to use copy modify and distribute this software for any purpose with or without fee"},
	{"BSD", "redistribution and use in source and binary forms with or without modification are permitted"},
	{"Zlib", "permission is granted to anyone to use this software for any purpose including commercial applications and to alter it and redistribute it freely"},
	{"Unlicense", "this is free and unencumbered software released into the public domain"},
	{"MIT or Apache-2.0", "licensed under the `permissive license stack` meaning either of: - apache-2.0"},
}

// Classify names the licence whose text this is, or returns "" for none that dependencies may have.
func Classify(text string) string {
	plain := strings.Join(strings.Fields(strings.NewReplacer(",", "", "\"", "", ">", "").Replace(strings.ToLower(text))), " ")
	for _, l := range licences {
		if strings.Contains(plain, l.words) {
			return l.name
		}
	}
	return ""
}
