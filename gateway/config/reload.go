package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"overtake/classifier/strictyaml"
)

// reloadable are the parts that a running process takes over from a changed file,
// with all that they contain; [] is any index. Everything else needs a restart.
var reloadable = []string{
	"admin_token", "admin_hosts",
	"classes[].objective", "classes[].overload", "classes[].reserve", "classes[].floor", "classes[].max_waiting",
	"classes[].max_waiting_bytes", "classes[].max_wait", "classes[].deadline",
	"listeners[].trust", "listeners[].tls", "listeners[].proxy_protocol", "listeners[].proxy_protocol_from",
	"listeners[].abort_on_close", "listeners[].limits", "default_class", "flow", "rules", "routes", "upstreams", "tracing.sample", "tracing.propagate", "tracing.query", "access_log.sample",
	"expose", "dry_run", "drain_timeout",
	"relays", // which are for another process
}

// Reloadable returns what a process that runs by c would have to be restarted for
// to run by next, as [Problems] at the places of next; nil for nothing.
func (c *Config) Reloadable(next *Config) error {
	var problems strictyaml.Problems
	differences(reflect.ValueOf(*c), reflect.ValueOf(*next), "", func(path string) {
		file, line, column := next.source.Place(path)
		problems = append(problems, strictyaml.Problem{
			File: file, Line: line, Column: column, Path: path,
			Text: "can't change while the process runs", Hint: "restart it to apply this, or set it back",
		})
	})
	if len(problems) == 0 {
		return nil
	}
	problems.Sort()
	return problems
}

var index = regexp.MustCompile(`\[\d+\]`)

// isReloadable reports whether a process takes over what is at path.
func isReloadable(path string) bool {
	path = index.ReplaceAllString(path, "[]")
	return slices.ContainsFunc(reloadable, func(part string) bool {
		rest, ok := strings.CutPrefix(path, part)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// differences calls f with the paths at which a and b differ, as far down as both
// have something, but for what is reloadable.
func differences(a, b reflect.Value, path string, f func(path string)) {
	switch {
	case isReloadable(path) || path != "" && reflect.DeepEqual(a.Interface(), b.Interface()):
	case a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil():
		differences(a.Elem(), b.Elem(), path, f)
	case a.Kind() == reflect.Struct && a.NumField() > 0 && a.Type().Field(0).Tag.Get("yaml") != "": // else it is text
		fields, _ := strictyaml.Fields(a.Type())
		for name, i := range fields {
			differences(a.Field(i), b.Field(i), strictyaml.Join(path, name), f)
		}
	case a.Kind() == reflect.Map:
		keys := keysOf(a)
		maps.Copy(keys, keysOf(b))
		for name := range keys {
			key := reflect.ValueOf(name)
			if was, is := a.MapIndex(key), b.MapIndex(key); was.IsValid() && is.IsValid() {
				differences(was, is, strictyaml.Join(path, name), f)
			} else {
				f(strictyaml.Join(path, name))
			}
		}
	case a.Kind() == reflect.Slice && a.Len() == b.Len():
		for i := range a.Len() {
			differences(a.Index(i), b.Index(i), strictyaml.Item(path, i), f)
		}
	default:
		f(path)
	}
}

func keysOf(v reflect.Value) map[string]bool {
	keys := make(map[string]bool, v.Len())
	for _, k := range v.MapKeys() {
		keys[k.String()] = true
	}
	return keys
}
