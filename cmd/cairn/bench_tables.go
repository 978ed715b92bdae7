package main

import (
	"fmt"
	"strconv"
)

// namesTable shows what operations on directories take.
func (r benchReport) namesTable() benchTable {
	t := benchTable{
		title: "Directories",
		text: "What the operation takes when a person does it, by a command that is started for it, and within one process that goes on\n" +
			"asking the node; medians of what was done several times. *Moved* is what went between the gateway and all servers for it, *trips* how many requests\n" +
			"the busiest server got: no more than that many waited for each other. *Never saw it*: through gateways that have nothing of the directory in memory.\n" +
			"Tahoe-LAFS in the same layout, with the faster of its protocols; *faster* compares it with the command.",
		head: []string{"operation", "entries", "a command", "within a process", "moved", "trips", "Tahoe-LAFS", "faster"},
	}
	for _, op := range r.Names {
		t.rows = append(t.rows, append([]string{op.What, op.count(), op.seconds(op.Command), op.seconds(op.Inside)}, op.rest()...))
	}
	return t
}

// treesTable shows what moving trees of small files takes.
func (r benchReport) treesTable() benchTable {
	t := benchTable{
		title: "Trees of small files",
		text: "Files of 500 to 1 500 random bytes, a hundred in a folder; each line is one command. Copies, backups and restic have trees of their own, so that nothing\n" +
			"of them is on the grid before.",
		head: []string{"operation", "files", "time", "files/s", "moved", "trips", "Tahoe-LAFS", "faster"},
	}
	if r.Trees.Restic != "" {
		t.text += " restic " + r.Trees.Restic + " writes to a repository on the same disk: one copy, no network, no other machine, and\n" +
			"nothing that a lost disk leaves; it packs small files together, and about a second of each run is the derivation of its key from the password."
	} else {
		t.text += " restic was not installed, and is left out."
	}
	for _, op := range r.Trees.Operations {
		what := op.What
		if op.Else != "" {
			what = op.Else + ": " + what
		}
		rate := fmt.Sprintf("%.0f", float64(op.Count)/op.Command)
		t.rows = append(t.rows, append([]string{what, op.count(), op.seconds(op.Command), rate}, op.rest()...))
	}
	if d := r.Trees.Disk; d.Size > 0 {
		factor := float64(d.Disk) / float64(d.Size)
		t.rows = append(t.rows, []string{
			"bytes on all servers' disks per byte", strconv.Itoa(d.Files), fmt.Sprintf("%.1f", factor), "", "", "",
			strconv.Itoa(yardstickDisk), times(yardstickDisk / factor),
		})
	}
	return t
}

func (o benchOp) count() string {
	if o.Count == 0 {
		return ""
	}
	return strconv.Itoa(o.Count)
}

// rest returns the cells behind the times.
func (o benchOp) rest() []string {
	cells := []string{"", "", "", ""}
	if o.Else == "" {
		cells[0], cells[1] = kilobytes(o.Moved), fmt.Sprintf("%.0f", o.Trips)
	}
	if o.Yardstick > 0 {
		cells[2], cells[3] = o.seconds(o.Yardstick), times(o.Yardstick/o.Command)
	}
	return cells
}

// seconds writes a time in the unit that fits it; nothing for what was not measured.
func (o benchOp) seconds(s float64) string {
	switch {
	case s == 0:
		return ""
	case s < 0.0995:
		return milliseconds(s)
	}
	return seconds(s)
}

func times(factor float64) string {
	if factor < 9.95 {
		return fmt.Sprintf("%.1f times", factor)
	}
	return fmt.Sprintf("%.0f times", factor)
}

func kilobytes(n float64) string {
	switch {
	case n < 1e6:
		return fmt.Sprintf("%.1f KB", n/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", n/1e6)
	}
	return fmt.Sprintf("%.2f GB", n/1e9)
}
