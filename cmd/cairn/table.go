package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A table prints rows with aligned columns.
type table struct {
	out   io.Writer
	cells *tabwriter.Writer
	lines bytes.Buffer
	rows  int
	// second is the heading of the second column, below which notes begin; notes are by the number of rows above them.
	second string
	notes  map[int]string
}

// newTable returns a table with these headings; without any it has none. The caller ends it.
func newTable(w io.Writer, headings ...string) *table {
	t := &table{out: w, notes: map[int]string{}}
	t.cells = tabwriter.NewWriter(&t.lines, 0, 0, 2, ' ', 0)
	if len(headings) > 1 {
		t.second = headings[1]
	}
	if len(headings) > 0 {
		t.row(headings...)
	}
	return t
}

func (t *table) row(cells ...string) {
	fmt.Fprintln(t.cells, strings.Join(cells, "\t"))
	t.rows++
}

// note puts a text below the row, which makes no column wider.
func (t *table) note(text string) { t.notes[t.rows] = text }

// end prints the table.
func (t *table) end() {
	t.cells.Flush()
	indent := 0
	for i, line := range strings.SplitAfter(t.lines.String(), "\n") {
		if i == 0 {
			indent = max(0, strings.Index(line, t.second))
		}
		fmt.Fprint(t.out, line)
		if text, ok := t.notes[i+1]; ok {
			fmt.Fprintf(t.out, "%*s%s\n", indent, "", text)
		}
	}
}
