package charts

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schema is a part of values.schema.json.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        any                `json:"type"`
	Description string             `json:"description"`
	Properties  map[string]*schema `json:"properties"`
	Additional  any                `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	Definitions map[string]*schema `json:"definitions"`
	Required    []string           `json:"required"`
	Minimum     *float64           `json:"minimum"`
	Maximum     *float64           `json:"maximum"`
	AnyOf       []*schema          `json:"anyOf"`
}

// readSchema returns the schema with its references resolved.
func readSchema(t *testing.T) *schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart(), "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	var resolve func(of *schema)
	resolve = func(of *schema) {
		if name, ok := strings.CutPrefix(of.Ref, "#/definitions/"); ok {
			description := of.Description
			*of = *s.Definitions[name]
			of.Description = description
		}
		for _, property := range of.Properties {
			resolve(property)
		}
	}
	resolve(s)
	return s
}

// Typing errors fail everywhere: each object of the schema is closed, or is one that
// Kubernetes or the program knows.
func TestSchemaIsClosed(t *testing.T) {
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		if path != "" && s.Description == "" {
			t.Errorf("%s has no description", path)
		}
		switch {
		case len(s.Properties) > 0 && s.Additional != false:
			t.Errorf("%s takes any other key", path)
		case s.Type == "object" && len(s.Properties) == 0 && s.Additional == nil:
			t.Errorf("%s does not say whether it takes any key", path)
		}
		for name, property := range s.Properties {
			walk(strings.TrimPrefix(path+"."+name, "."), property)
		}
		if s.Items != nil && len(s.Items.Properties) > 0 {
			s.Items.Description = "in " + path
			walk(path+"[]", s.Items)
		}
	}
	walk("", readSchema(t))
}

// Helm drops a key that is set to null. So the schema requires each key that has a
// default, but for requests and the limit of processors, without which pods can do, and
// how fast an autoscaler scales, which it knows itself.
func TestSchemaRequiresDefaults(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart(), "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := yaml.Unmarshal(text, &defaults); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, values map[string]any, s *schema)
	walk = func(path string, values map[string]any, s *schema) {
		for name, value := range values {
			at := strings.TrimPrefix(path+"."+name, ".")
			of := s.Properties[name]
			if of == nil || value == nil { // a key of Kubernetes or the program, or null by default
				continue
			}
			optional := strings.Contains(at, "resources.requests") || strings.HasSuffix(at, "resources.limits.cpu") || at == "autoscaling.behavior"
			if slices.Contains(s.Required, name) == optional {
				t.Errorf("values.schema.json: %s is optional: %v, want %v", at, !optional, optional)
			}
			if below, ok := value.(map[string]any); ok {
				walk(at, below, of)
			}
		}
	}
	walk("", defaults, readSchema(t))
}

// Kubernetes has no whole number above that of 32 bits.
func TestSchemaBoundsNumbers(t *testing.T) {
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		if kind := fmt.Sprint(s.Type); strings.Contains(kind, "integer") && (s.Minimum == nil || s.Maximum == nil || *s.Maximum > math.MaxInt32) {
			t.Errorf("%s takes whole numbers without bounds", path)
		}
		for name, property := range s.Properties {
			walk(path+"/"+name, property)
		}
		if s.Items != nil {
			walk(path+"/0", s.Items)
		}
		for _, choice := range s.AnyOf {
			walk(path, choice)
		}
	}
	walk("", readSchema(t))
}

// programKeys are the keys that a part of the program's file has.
func programKeys(t *testing.T, part string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "gateway/config/config.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != part {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			if field.Tag == nil {
				continue
			}
			tag, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			if key, _, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ","); key != "-" {
				keys[key] = true
			}
		}
		return false
	})
	if len(keys) == 0 {
		t.Fatalf("the program has no %s", part)
	}
	return keys
}

// The keys of config are those of the program's file, but for those that other values
// set.
func TestConfigKeys(t *testing.T) {
	want := programKeys(t, "Config")
	sections := map[string]*schema{"config": readSchema(t).Properties["config"], "sidecar.config": readSchema(t).Properties["sidecar"].Properties["config"]}
	for _, key := range []string{"listeners", "admin", "drain_timeout", "admin_token"} {
		if !want[key] {
			t.Errorf("the program does not know %s", key)
		}
		delete(want, key)
		for name, of := range sections {
			if _, refused, _ := strings.Cut(of.Description, "Not here: "); !regexp.MustCompile(`\b` + key + `\b`).MatchString(refused) {
				t.Errorf("the description of %s does not say that it has no %s: %s", name, key, of.Description)
			}
		}
	}
	for _, of := range sections {
		got := slices.Sorted(maps.Keys(of.Properties))
		if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("values.schema.json has\n%v\nand the program\n%v", got, slices.Sorted(maps.Keys(want)))
		}
	}
}

// row is a line of the table.
type row struct{ path, value, means string }

// rows walks values.yaml, in its order, beside the schema. A comment above a key must
// be the description in the schema.
func rows(t *testing.T) (all []row) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart(), "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, values *yaml.Node, s *schema)
	walk = func(path string, values *yaml.Node, s *schema) {
		seen := map[string]bool{"global": true} // which helm makes
		for i := 0; i < len(values.Content); i += 2 {
			key, value := values.Content[i], values.Content[i+1]
			at := strings.TrimPrefix(path+"."+key.Value, ".")
			of := s.Properties[key.Value]
			if of == nil {
				t.Errorf("values.yaml:%d: %s is not in values.schema.json", key.Line, at)
				continue
			}
			seen[key.Value] = true
			comments := strings.Split(key.HeadComment, "\n\n") // the file's own comes first
			if comment := strings.ReplaceAll(strings.TrimPrefix(comments[len(comments)-1], "# "), "\n# ", " "); comment != of.Description {
				t.Errorf("values.yaml:%d: %s is described as\n%s\nand in values.schema.json as\n%s", key.Line, at, comment, of.Description)
			}
			if isSection(value, of) {
				all = append(all, row{"**" + at + "**", "", of.Description})
				walk(at, value, of)
			} else {
				all = append(all, row{"`" + at + "`", "`" + flow(t, value) + "`", of.Description})
			}
		}
		for name := range s.Properties {
			if !seen[name] {
				t.Errorf("%s.%s is in values.schema.json and not in values.yaml", path, name)
			}
		}
	}
	walk("", document.Content[0], readSchema(t))
	return all
}

// isSection reports whether a value has parts that are described one by one.
func isSection(value *yaml.Node, s *schema) bool {
	return value.Kind == yaml.MappingNode && len(s.Properties) > 0 && value.Style&yaml.FlowStyle == 0 && s.Properties["requests"] == nil
}

// flow is a value on one line.
func flow(t *testing.T, value *yaml.Node) string {
	t.Helper()
	var any any
	if err := value.Decode(&any); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(any)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text))
}

// VALUES.md has a table of all values, as values.yaml and the schema have them.
func TestValuesTable(t *testing.T) {
	var page strings.Builder
	page.WriteString("# Values of the chart\n\n" +
		"What each value means, from `values.yaml`, which has the defaults, in its order; sections are bold. What they are for is in [README.md](README.md).\n\n" +
		"| value | default | means |\n| --- | --- | --- |\n")
	for _, r := range rows(t) {
		fmt.Fprintf(&page, "| %s | %s | %s |\n", r.path, r.value, strings.ReplaceAll(r.means, "|", `\|`))
	}
	path := filepath.Join(chart(), "VALUES.md")
	text, err := os.ReadFile(path)
	if err == nil && string(text) == page.String() {
		return
	}
	if !*rewrite {
		t.Fatalf("%s is not what values.yaml says (%v); write it anew with: go test -run TestValuesTable -rewrite", path, err)
	}
	if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
