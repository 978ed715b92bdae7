package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"cairn/internal/wholefile"
)

// maxFile is the largest configuration file that is read, in bytes.
const maxFile = 1 << 20

// Origins says for each key where its value comes from: "default", "file", the name of an environment variable, or
// "flag".
type Origins map[string]string

// Load reads the file, the environment and flags over the defaults, and validates the result. The environment is
// asked through getenv; flags maps keys to values. A missing file counts as empty. Errors name file, line and key.
func Load(path string, getenv func(string) string, flags map[string]string) (Config, Origins, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil, fmt.Errorf("configuration: %w", err)
	}
	c, set, err := parse(data)
	if err != nil {
		return Config{}, nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	origins := Origins{}
	for _, f := range Fields() {
		origins[f.Key] = "default"
		if set[f.Key] {
			origins[f.Key] = "file"
		}
		if text := getenv(f.Env); text != "" {
			if err := f.Set(&c, text); err != nil {
				return Config{}, nil, fmt.Errorf("environment variable %s: %w", f.Env, err)
			}
			origins[f.Key] = f.Env
		}
		if text, ok := flags[f.Key]; ok {
			if err := f.Set(&c, text); err != nil {
				return Config{}, nil, fmt.Errorf("flag: %w", err)
			}
			origins[f.Key] = "flag"
		}
	}
	if err := c.Validate(); err != nil {
		return Config{}, nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, origins, nil
}

// Parse reads a configuration file's text over the defaults. It does not validate the values.
func Parse(data []byte) (Config, error) {
	c, _, err := parse(data)
	return c, err
}

// parse returns the configuration and the keys that the text sets.
func parse(data []byte) (Config, map[string]bool, error) {
	if len(data) > maxFile {
		return Config{}, nil, fmt.Errorf("%d bytes: want at most %d", len(data), maxFile)
	}
	c := Default()
	listen := c.Network.Listen
	c.Network.Listen = nil // a list in the file replaces the default instead of being written over it
	decoder := toml.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Config{}, nil, explain(err)
	}
	set := map[string]bool{}
	var raw map[string]any
	if err := toml.Unmarshal(data, &raw); err != nil {
		return Config{}, nil, explain(err)
	}
	collect(set, raw, "")
	if !set["network.listen"] {
		c.Network.Listen = listen
	}
	return c, set, nil
}

func collect(set map[string]bool, table map[string]any, prefix string) {
	for key, value := range table {
		if sub, ok := value.(map[string]any); ok {
			collect(set, sub, prefix+key+".")
			continue
		}
		set[prefix+key] = true
	}
}

// explain turns the TOML library's errors into one line for each problem, with line and key.
func explain(err error) error {
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		var all []error
		for _, e := range strict.Errors {
			line, _ := e.Position()
			all = append(all, fmt.Errorf("line %d: %s is not a setting", line, strings.Join(e.Key(), ".")))
		}
		return errors.Join(all...)
	}
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := e.Position()
		text := strings.TrimPrefix(e.Error(), "toml: ")
		if key := strings.Join(e.Key(), "."); key != "" {
			return fmt.Errorf("line %d, column %d: %s: %s", line, column, key, text)
		}
		return fmt.Errorf("line %d, column %d: %s", line, column, text)
	}
	return err
}

// Render returns the text of a configuration file that says all of c, with the documentation of each key. Keys that
// have their default value are commented out.
func Render(c Config) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Configuration of a Cairn node. \"cairn config show --origin\" tells what holds and why.\n")
	fmt.Fprintf(&b, "# Lines that are commented out show the defaults.\n\n")
	section := ""
	for _, f := range Fields() {
		table, name := split(f.Key)
		if table != section {
			section = table
			top, _ := reflect.TypeFor[Config]().FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, table) })
			fmt.Fprintf(&b, "\n# %s\n[%s]\n", top.Tag.Get("doc"), table)
		}
		mark := ""
		if reflect.DeepEqual(f.Value(c), f.Value(Default())) {
			mark = "# "
		}
		fmt.Fprintf(&b, "# %s\n%s%s = %s\n", f.Doc, mark, name, literal(f.Value(c)))
	}
	return b.Bytes()
}

func split(key string) (table, name string) {
	table, name, ok := strings.Cut(key, ".")
	if !ok {
		return "", key
	}
	return table, name
}

// literal returns a value in TOML.
func literal(value any) string {
	switch v := value.(type) {
	case []string:
		var quoted []string
		for _, s := range v {
			quoted = append(quoted, quote(s))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case Size:
		return quote(v.String())
	case Duration:
		return quote(v.String())
	case string:
		return quote(v)
	default:
		return fmt.Sprint(v)
	}
}

// quote returns a TOML basic string.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Edit returns the text of a configuration file with keys set to values, everything else as it was, comments included. The
// values are checked together with the rest of the file.
func Edit(data []byte, values map[string]string) ([]byte, error) {
	want, err := Parse(data)
	if err != nil {
		return nil, err
	}
	var fields []Field
	for _, key := range slices.Sorted(maps.Keys(values)) {
		f, err := Lookup(key)
		if err == nil {
			err = f.Set(&want, values[key])
		}
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	if err := want.Validate(); err != nil {
		return nil, err
	}
	edited := string(data)
	for _, f := range fields {
		table, name := split(f.Key)
		edited = replaceLine(strings.Split(edited, "\n"), table, name, name+" = "+literal(f.Value(want)))
		got, err := Parse([]byte(edited))
		if err != nil || !reflect.DeepEqual(f.Value(got), f.Value(want)) {
			return nil, fmt.Errorf("%s: the file is written in a way that cannot be changed line by line; use \"cairn config edit\"", f.Key)
		}
	}
	return []byte(edited), nil
}

// replaceLine puts line in the place of the key's assignment in its table, of its commented-out default where the
// key is not assigned, or at the end of the table.
func replaceLine(lines []string, table, name, line string) string {
	current, assigned, commented, end := "", -1, -1, -1
	if table == "" {
		end = 0
	}
	for i, text := range lines {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") && strings.Contains(text, "]") && !strings.Contains(text, "=") {
			current = strings.TrimSpace(text[1:strings.Index(text, "]")])
		}
		if current != table {
			continue
		}
		if text != "" {
			end = i + 1
		}
		if assigns(text, name) {
			assigned = i
		}
		if strings.HasPrefix(text, "#") && assigns(strings.TrimSpace(text[1:]), name) {
			commented = i
		}
	}
	switch {
	case assigned >= 0:
		lines[assigned] = line
	case commented >= 0:
		lines[commented] = line
	case end >= 0:
		lines = slices.Insert(lines, end, line)
	default:
		lines = append(lines, "["+table+"]", line, "")
	}
	return strings.Join(lines, "\n")
}

func assigns(text, name string) bool {
	left, _, ok := strings.Cut(text, "=")
	left = strings.TrimSpace(left)
	if unquoted, err := strconv.Unquote(left); err == nil {
		left = unquoted
	}
	return ok && left == name
}

// Write replaces the file in one step; a crash leaves the old or the new text.
func Write(path string, data []byte) error {
	if err := wholefile.Write(path, data, 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}
