//go:build !unix

package main

// toJournal reports whether standard error goes to the systemd journal.
func toJournal() bool { return false }
