package report

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
)

// docs/report.md has a table for each type in the two JSON files, with every
// field, in the order of the file, with its type, and no others.
func TestEveryFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := documentedFields(string(text))
	actual := make(map[string][]string)
	for _, v := range []any{loadgen.Report{}, Comparison{}} {
		collectFields(reflect.TypeOf(v), actual)
	}
	for name, fields := range actual {
		if !slices.Equal(documented[name], fields) {
			t.Errorf("%s is documented as\n  %s\nand is\n  %s", name, strings.Join(documented[name], "\n  "), strings.Join(fields, "\n  "))
		}
	}
	for name := range maps.Keys(documented) {
		if actual[name] == nil {
			t.Errorf("%s is documented and does not exist", name)
		}
	}
	if want := fmt.Sprintf("`schema`, now %d.", loadgen.ReportSchema); !strings.Contains(string(text), want) {
		t.Errorf("the document does not say %q", want)
	}
}

// documentedFields returns "name type" of the rows below each heading.
func documentedFields(text string) map[string][]string {
	row := regexp.MustCompile("^\\| (`([a-z0-9_]+)`|\\(counts\\)) \\| ([^|]*?) ?\\| (.*) \\|$")
	fields := make(map[string][]string)
	heading := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "### "); ok {
			heading = name
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil || heading == "" {
			continue
		}
		kind := regexp.MustCompile(`\[(\w+)\]\(#\w+\)`).ReplaceAllString(m[3], "$1")
		if m[2] == "" {
			fields[heading] = append(fields[heading], "Counts")
			continue
		}
		if strings.Contains(m[4], "may be missing") {
			kind += ", may be missing"
		}
		fields[heading] = append(fields[heading], m[2]+" "+kind)
	}
	return fields
}

// collectFields adds the fields of the struct, and of all that it holds.
func collectFields(of reflect.Type, all map[string][]string) {
	if _, ok := all[of.Name()]; ok {
		return
	}
	all[of.Name()] = []string{}
	var fields []string
	for f := range of.Fields() {
		if f.Anonymous {
			fields = append(fields, f.Type.Name())
			collectFields(f.Type, all)
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := kindOf(f.Type, all)
		if option == "omitempty" {
			kind += ", may be missing"
		}
		fields = append(fields, name+" "+kind)
	}
	all[of.Name()] = fields
}

func kindOf(of reflect.Type, all map[string][]string) string {
	switch {
	case of == reflect.TypeFor[time.Time]():
		return "time"
	case of.Kind() == reflect.Slice:
		return "list of " + kindOf(of.Elem(), all)
	case of.Kind() == reflect.Map:
		return "object of " + kindOf(of.Elem(), all) + "s"
	case of.Kind() == reflect.Struct:
		collectFields(of, all)
		return of.Name()
	case of.Kind() == reflect.Float64:
		return "number"
	case of.Kind() == reflect.Bool:
		return "boolean"
	case of.Kind() == reflect.String:
		return "string"
	}
	return "integer"
}
