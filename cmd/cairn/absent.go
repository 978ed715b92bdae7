package main

// absent are flags that people know from the tools of the shell and that the verbs of the same names do not have on purpose, by verb and
// flag, and what is there in their place. docs/cli.md has them too.
var absent = map[string]string{
	"cp -u":      "with -r what is unchanged is not copied anyway, and -n leaves what is there",
	"cp -l":      "a copy of an immutable file on the grid is another name for it anyway; \"cairn ln\" makes one of anything",
	"cp -s":      "on the grid nothing follows symbolic links; \"cairn ln\" gives a thing another name",
	"cp -L":      "a link in a folder is never followed; one that is named is, without -r or with a slash behind it",
	"cp -b":      "what is replaced stays in the directory's history (\"cairn history\")",
	"cp -x":      "name the folders that are to be copied",
	"mv -u":      "-n leaves what is there, and -i asks",
	"mv -b":      "what is replaced stays in the directory's history (\"cairn history\")",
	"ln -s":      "a name on the grid leads to the thing itself, wherever that is moved",
	"ln -n":      "on the grid nothing follows symbolic links",
	"mkdir -m":   "who has a directory's capability can use it, and nobody else",
	"ls -i":      "\"cairn stat\" shows the storage index",
	"ls -n":      "nothing on the grid has an owner",
	"ls --color": "names are never told apart by their colour; -F puts a slash behind directories",
	"ls -C":      "there is one name on a line",
	"ls -x":      "there is one name on a line",
	"du -k":      "sizes are in bytes, and with -h as people write them",
	"du -m":      "sizes are in bytes, and with -h as people write them",
	"stat -f":    "\"cairn status\" shows the node's storage",
	"cat -n":     "pipe it into nl",
	"find -L":    "on the grid nothing follows symbolic links",
}

// instead says what is there in place of a flag that is absent on purpose.
func instead(verb, flag string) string {
	if reason, ok := absent[verb+" "+flag]; ok {
		return ": " + reason
	}
	return ""
}
