package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A table prints rows with aligned columns.
type table struct{ w *tabwriter.Writer }

// newTable returns a table with these headings; without any it has none. The caller ends it.
func newTable(w io.Writer, headings ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(headings) > 0 {
		t.row(headings...)
	}
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

// end prints the table.
func (t table) end() { t.w.Flush() }
