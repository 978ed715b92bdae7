package disk

// Free returns how many bytes the disk of a directory has for this account, whatever is promised to whom.
func Free(dir string) (int64, error) { return systemFiles{}.Free(dir) }
