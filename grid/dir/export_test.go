package dir

// WithPages returns the directories with pages of another usual length, so that few entries make a high tree.
func (d *Dirs) WithPages(bytes int) *Dirs {
	d.pageBytes = bytes
	return d
}

// MaxApart is how long a change waits for a fork that is out of reach.
const MaxApart = maxApart
