//go:build !unix

package wholefile

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }
