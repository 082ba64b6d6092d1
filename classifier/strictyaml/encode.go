package strictyaml

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Encode is the reverse of [Decode] with variables: it returns v, a struct, as YAML. A value that
// was made from variables appears as it is written in the file, and passwords in
// URLs are replaced. Zeros of fields with omitempty are left out.
func (s *Source) Encode(v any) ([]byte, error) {
	text, err := yaml.Marshal(s.encode(reflect.ValueOf(v), ""))
	if err != nil {
		return nil, fmt.Errorf("strictyaml: encode: %w", err)
	}
	return text, nil
}

// encode turns v into what goccy/go-yaml knows without looking at our types.
func (s *Source) encode(v reflect.Value, path string) any {
	if written, ok := s.written[path]; ok {
		return oneLine(written)
	}
	switch x := v.Interface().(type) {
	case encoding.TextMarshaler: // netip.Prefix
		text, _ := x.MarshalText()
		return string(text)
	case fmt.Stringer: // time.Duration, Size, Percent
		return x.String()
	case string:
		return oneLine(strings.ReplaceAll(WithoutPassword(x), "${", "$${"))
	}
	switch v.Kind() {
	case reflect.Pointer:
		return s.encode(v.Elem(), path)
	case reflect.Struct:
		return s.encodeStruct(v, path)
	case reflect.Map:
		out := yaml.MapSlice{}
		byName := func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), byName) {
			out = append(out, yaml.MapItem{Key: key.String(), Value: s.encode(v.MapIndex(key), Join(path, key.String()))})
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = s.encode(v.Index(i), Item(path, i))
		}
		return out
	}
	return v.Interface()
}

// oneLine returns a text as it is to be encoded. As a block of lines, which is how the
// library writes it, one of several lines would lose blanks at the beginning of a line.
func oneLine(text string) any {
	if strings.ContainsAny(text, "\n\r") {
		return quoted(text)
	}
	return text
}

// quoted is a text that is written in double quotes.
type quoted string

// MarshalYAML implements yaml.BytesMarshaler.
func (q quoted) MarshalYAML() ([]byte, error) {
	return json.Marshal(string(q)) // which YAML contains: YAML 1.2, section 1.3
}

// encodeStruct leaves out zeros that are as good as left out.
func (s *Source) encodeStruct(v reflect.Value, path string) yaml.MapSlice {
	out := yaml.MapSlice{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" || options == "omitempty" && isEmpty(v.Field(i)) {
			continue
		}
		out = append(out, yaml.MapItem{Key: name, Value: s.encode(v.Field(i), Join(path, name))})
	}
	return out
}

func isEmpty(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Map || k == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

// userPart is what stands where a URL has user and password, whatever is wrong with
// the rest. Without a scheme there is a password only where there is a colon.
var userPart = regexp.MustCompile(`^(\s*[^/\s]*//)(?s:.*)@|^()[^/\s"'(]*:\S*@`)

// WithoutPassword replaces the password of a URL, and a user name that stands
// alone, which may be a token. Of text that is no URL, it replaces all before the
// last @ if that may be one written wrong. Other text is returned as it is.
func WithoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.Count(text, "://") > 1 { // also a list of URLs
		return userPart.ReplaceAllString(text, "${1}xxxxx@")
	}
	if u.User == nil {
		return text
	}
	if _, has := u.User.Password(); !has {
		u.User = url.User("xxxxx")
	}
	return u.Redacted()
}
