package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cairn/node/control"
)

// statFormats explains what a format of stat may have.
const statFormats = `With -c a line of a format is printed for each PATH: %n is the path, %N with where a link points, %s the size, %F the
kind, %A what can be done with it as in ls -l, %y when it was modified, %w when made, %z when changed (%Y, %W and %Z in
seconds since 1970), %i what tells it from others, %% a percent sign.
`

// formatted returns a line of a format for an entry.
func formatted(format string, e control.Entry) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		b.WriteString(statField(format[i], e))
	}
	return b.String()
}

// statField returns what a letter behind a percent sign stands for.
func statField(letter byte, e control.Entry) string {
	switch letter {
	case 'n':
		return e.Path
	case 'N':
		if e.Type == control.TypeLink {
			return quotedWord(e.Path) + " -> " + quotedWord(e.Link)
		}
		return quotedWord(e.Path)
	case 's':
		return strconv.FormatInt(e.Size, 10)
	case 'F':
		return map[string]string{control.TypeFile: "regular file", control.TypeDirectory: "directory", control.TypeLink: "symbolic link"}[e.Type]
	case 'A':
		return modeOf(e)
	case 'y', 'w', 'z':
		return statTime(letter, e).Local().Format("2006-01-02 15:04:05.000000000 -0700")
	case 'Y', 'W', 'Z':
		return strconv.FormatInt(max(0, statTime(letter, e).Unix()), 10)
	case 'i':
		return e.ID
	}
	return "%"
}

func statTime(letter byte, e control.Entry) time.Time {
	return map[byte]time.Time{'y': e.Modified, 'w': e.Created, 'z': e.Changed}[letter|0x20]
}

// checkStatFormat refuses what a format cannot have.
func checkStatFormat(format string) error {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		if i++; i == len(format) || !strings.ContainsRune("nNsFAywzYWZi%", rune(format[i])) {
			return usagef("stat: --format: there is no %s; \"cairn stat --help\" has what there is", quotedWord(format[i-1:min(i+1, len(format))]))
		}
	}
	return nil
}

// printFormatted prints a line for each.
func (a *app) printFormatted(format string, all []stat) error {
	values := make([]any, len(all))
	for i, s := range all {
		values[i] = s.value
	}
	return a.result(values, func(w io.Writer) {
		for _, s := range all {
			fmt.Fprintln(w, formatted(format, s.entry))
		}
	})
}
