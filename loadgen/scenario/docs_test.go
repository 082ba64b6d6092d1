package scenario

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/classifier/strictyaml"
	"overtake/loadgen/distribution"
)

// keysOf adds the keys of a struct and of what it contains, as the docs write them.
func keysOf(t reflect.Type, path string, keys map[string]bool) {
	index, names := strictyaml.Fields(t)
	for _, name := range names {
		key := strictyaml.Join(path, name)
		field := t.Field(index[name]).Type
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		keys[key] = true
		switch {
		case field == reflect.TypeFor[distribution.Size](): // its own table
		case field.Kind() == reflect.Struct:
			keysOf(field, key, keys)
		case field.Kind() == reflect.Slice && field.Elem().Kind() == reflect.Struct:
			keysOf(field.Elem(), key+"[]", keys)
		case field.Kind() == reflect.Map && field.Elem().Kind() == reflect.Struct:
			keysOf(field.Elem(), key+".*", keys)
		}
	}
}

// docs/scenarios.md has a row for each key, and none for what is no key; and a row
// for each distribution and built-in scenario.
func TestDocsHaveEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), "## Keys of the file")
	part, after, _ := strings.Cut(part, "## When requests are due")
	documented := make(map[string]bool)
	for line := range strings.Lines(part) {
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			cell, _, _ := strings.Cut("`"+row, " |")
			for key := range strings.SplitSeq(cell, ", ") {
				documented[strings.Trim(key, "`")] = true
			}
		}
	}
	keys := make(map[string]bool)
	keysOf(reflect.TypeFor[file](), "", keys)
	for key := range keys {
		if !documented[key] {
			t.Errorf("no row for %s", key)
		}
	}
	for key := range documented {
		if !keys[key] {
			t.Errorf("a row for %s, which is no key", key)
		}
	}
	_, kinds := strictyaml.Fields(reflect.TypeFor[distribution.Size]())
	for _, kind := range kinds {
		if !strings.Contains(after, "`{"+kind+": ") {
			t.Errorf("no row for the distribution %s", kind)
		}
	}
	for _, name := range Names() {
		if !strings.Contains(after, "\n| `"+name+"` |") {
			t.Errorf("no row for the scenario %s", name)
		}
	}
}

// What the docs show as scenarios is right, and what they say about templates is, too.
func TestDocsExamples(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d examples, want 2", len(blocks))
	}
	recordings["access.log"] = `{"time":"2026-01-02T09:00:00Z","method":"GET","target":"/","class":"batch","total_ms":1}
{"time":"2026-01-02T09:00:00Z","method":"GET","target":"/","class":"interactive","total_ms":1}`
	defer delete(recordings, "access.log")
	for _, block := range blocks {
		if _, problems := read("docs.yaml", block[1], Changes{}, lookup, openRecording); len(problems) > 0 {
			t.Errorf("%s\n%v", block[1], problems)
		}
	}
	var functions []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)[^`]*` \\|.*`(\\{\\{[^`]+\\}\\})` \\|$").FindAllSubmatch(text, -1) {
		functions = append(functions, string(m[1]))
		scenario := "classes: [{name: a, rate: 1/s, path: '/" + string(m[2]) + "'}]"
		if _, problems := read("docs.yaml", []byte(scenario), Changes{}, lookup, openRecording); len(problems) > 0 {
			t.Errorf("%v", problems)
		}
	}
	if want := []string{"int", "pick", "zipf", "hex", "seq", "uuid"}; !slices.Equal(functions, want) {
		t.Errorf("functions %q, want %q", functions, want)
	}
}
