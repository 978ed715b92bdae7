package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// A Field is one setting: a key with its documentation.
type Field struct {
	Key string // such as "storage.offer"
	Doc string
	// Env is the environment variable that overrides the file.
	Env string

	index []int
}

// Fields returns every setting in the order of the file.
func Fields() []Field { return fields(reflect.TypeFor[Config](), "", nil) }

func fields(t reflect.Type, prefix string, index []int) []Field {
	var all []Field
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("toml")
		at := append(index[:len(index):len(index)], i)
		if f.Type.Kind() == reflect.Struct {
			all = append(all, fields(f.Type, key+".", at)...)
			continue
		}
		env := "CAIRN_" + strings.ToUpper(strings.NewReplacer(".", "_").Replace(key))
		all = append(all, Field{Key: key, Doc: f.Tag.Get("doc"), Env: env, index: at})
	}
	return all
}

// Lookup returns the setting with that key.
func Lookup(key string) (Field, error) {
	var keys []string
	for _, f := range Fields() {
		if f.Key == key {
			return f, nil
		}
		keys = append(keys, f.Key)
	}
	return Field{}, fmt.Errorf("%q is not a setting: want one of %s", key, strings.Join(keys, ", "))
}

// Get returns the value of a setting as text; the parts of a list are separated by commas.
func (f Field) Get(c Config) string {
	v := reflect.ValueOf(c).FieldByIndex(f.index)
	if list, ok := v.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v.Interface())
}

// Value returns the value of a setting: a string, a number, a bool, a Size, a Duration or a list of strings.
func (f Field) Value(c Config) any { return reflect.ValueOf(c).FieldByIndex(f.index).Interface() }

// Set reads the value of a setting from text, the inverse of Get.
func (f Field) Set(c *Config, text string) error {
	v := reflect.ValueOf(c).Elem().FieldByIndex(f.index)
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return f.wrap(u.UnmarshalText([]byte(text)))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return f.wrap(fmt.Errorf("%q: want true or false", text))
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return f.wrap(fmt.Errorf("%q: want a whole number", text))
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		v.Set(reflect.ValueOf(splitList(text)))
	default:
		panic("config: no text form for " + v.Kind().String())
	}
	return nil
}

func (f Field) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.Key, err)
}

func splitList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}
