package config

import (
	"encoding"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Redacted returns the configuration in effect as YAML, with all defaults. A
// value that was made from environment variables appears as it is written in
// the file, and passwords in URLs are replaced. What is left is a valid file.
func (c *Config) Redacted() ([]byte, error) {
	text, err := yaml.Marshal(c.encode(reflect.ValueOf(*c), ""))
	if err != nil {
		return nil, fmt.Errorf("config: encode: %w", err)
	}
	return text, nil
}

// encode is the decoder's reverse: it turns v into what goccy/go-yaml knows
// without looking at our types.
func (c *Config) encode(v reflect.Value, path string) any {
	if written, ok := c.written[path]; ok {
		return written
	}
	switch x := v.Interface().(type) {
	case encoding.TextMarshaler: // netip.Prefix
		text, _ := x.MarshalText()
		return string(text)
	case fmt.Stringer: // time.Duration, Size, Percent, Reserve
		return x.String()
	case string:
		return strings.ReplaceAll(withoutPassword(x), "${", "$${")
	}
	switch v.Kind() {
	case reflect.Pointer:
		return c.encode(v.Elem(), path)
	case reflect.Struct:
		return c.encodeStruct(v, path)
	case reflect.Map:
		out := yaml.MapSlice{}
		for _, name := range slices.Sorted(maps.Keys(keysOf(v))) {
			out = append(out, yaml.MapItem{Key: name, Value: c.encode(v.MapIndex(reflect.ValueOf(name)), join(path, name))})
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = c.encode(v.Index(i), item(path, i))
		}
		return out
	}
	return v.Interface()
}

// encodeStruct leaves out zeros that are as good as left out.
func (c *Config) encodeStruct(v reflect.Value, path string) yaml.MapSlice {
	out := yaml.MapSlice{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" || options == "omitempty" && isEmpty(v.Field(i)) {
			continue
		}
		out = append(out, yaml.MapItem{Key: name, Value: c.encode(v.Field(i), join(path, name))})
	}
	return out
}

func isEmpty(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Map || k == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

func keysOf(v reflect.Value) map[string]bool {
	keys := make(map[string]bool, v.Len())
	for _, k := range v.MapKeys() {
		keys[k.String()] = true
	}
	return keys
}

// withoutPassword replaces the password of a URL, and a user name that stands
// alone, which may be a token. Other text is returned as it is.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil || u.Host == "" {
		return text
	}
	if _, has := u.User.Password(); !has {
		u.User = url.User("xxxxx")
	}
	return u.Redacted()
}
