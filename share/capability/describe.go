package capability

import "slices"

// A Description explains a capability to a person. It holds no key and no data.
type Description struct {
	Kind         string   `json:"kind"`
	Noun         string   `json:"description"` // "a directory's read capability"
	Authority    string   `json:"authority"`
	StorageIndex string   `json:"storage_index,omitempty"`
	Name         string   `json:"name,omitempty"`
	Size         *int     `json:"size,omitempty"` // bytes of data in a literal
	Can          []string `json:"can"`            // what the holder can do, in words
	Cannot       []string `json:"cannot,omitempty"`
}

// Describe explains the capability: its kind, what it names and what its holder can do.
func (c Capability) Describe() Description {
	d := Description{Kind: c.kind.String(), Noun: c.kind.Noun(), Authority: c.Authority().String()}
	if c.kind == KindUnknown {
		d.Kind, _, _ = split(c.text)
		d.Can = []string{"keep it and pass it on; a newer version of this program may know what it opens"}
		return d
	}
	if c.kind == KindLiteral {
		size := len(c.text)
		d.Size = &size
		d.Can = []string{"read the data, which is in the capability itself and stored nowhere"}
		return d
	}
	if index, ok := c.StorageIndex(); ok {
		d.StorageIndex = index.String()
	}
	if name, ok := c.Name(); ok {
		d.Name = name.String()
	}
	c.abilities(&d)
	return d
}

var directories = []Kind{KindDir, KindDirRead, KindDirVerify, KindIDir, KindIDirVerify}

func (c Capability) abilities(d *Description) {
	const verify = "find its shares, check them and repair them"
	read, write := "read the file", "change the file"
	if slices.Contains(directories, c.kind) {
		read, write = "list the directory and read what is in it", "change the directory and what it holds write capabilities for"
	}
	d.Can = []string{verify}
	if c.Authority() >= AuthorityRead {
		d.Can = append(d.Can, read)
	} else {
		d.Cannot = append(d.Cannot, read)
	}
	switch _, mutable := c.Name(); {
	case c.Authority() == AuthorityWrite:
		d.Can = append(d.Can, write)
	case mutable:
		d.Cannot = append(d.Cannot, write)
	default:
		d.Cannot = append(d.Cannot, "change it: nobody can, it is immutable")
	}
}
