package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/classifier/strictyaml"
)

const referenceFile = "../../docs/reference.md"

// TestReference holds docs/reference.md to the comments of the structs that it is
// made from. With -rewrite, it is written anew.
func TestReference(t *testing.T) {
	want := newReference(t).text()
	if *rewrite {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/reference.md is stale: go test ./gateway/config -run Reference -rewrite")
	}
}

// Every key that the strict decoder takes is in the reference, with what it is, and
// with its default or that it is required.
func TestReferenceIsComplete(t *testing.T) {
	r := newReference(t)
	text := r.text()
	for _, s := range r.sections {
		_, keys := strictyaml.Fields(s.of)
		for _, key := range keys {
			name := s.paths[0] + "." + key
			i := slices.IndexFunc(s.keys, func(k referenceKey) bool { return k.name == key })
			switch {
			case i < 0:
				t.Errorf("%s is not in the reference", name)
			case s.keys[i].about == "":
				t.Errorf("%s: its comment says nothing about it", name)
			case s.keys[i].value == "":
				t.Errorf("%s: its comment has no sentence that begins with Default: or Required", name)
			case !strings.Contains(text, "| `"+key+"` |"):
				t.Errorf("%s is not in the text", name)
			}
		}
		if len(keys) != len(s.keys) {
			t.Errorf("%s: %d keys are in the reference and %d are taken", s.paths[0], len(s.keys), len(keys))
		}
	}
}

// reference is the configuration's reference in the making.
type reference struct {
	structs  map[string]*ast.TypeSpec
	sections []*referenceSection
}

// referenceSection is a struct, wherever it is in the file.
type referenceSection struct {
	of    reflect.Type
	paths []string // "" is the file
	about string
	keys  []referenceKey
}

// referenceKey is a field.
type referenceKey struct {
	name, kind, value, about string
	restart                  bool
}

// newReference reads the comments of this package.
func newReference(t *testing.T) *reference {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	r := &reference{structs: map[string]*ast.TypeSpec{}}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, spec := range g.Specs {
					s := spec.(*ast.TypeSpec)
					if s.Doc == nil {
						s.Doc = g.Doc
					}
					r.structs[s.Name.Name] = s
				}
			}
		}
	}
	r.add(reflect.TypeFor[Config](), "")
	return r
}

// add adds a struct that is at path, and those in it.
func (r *reference) add(of reflect.Type, path string) {
	i := slices.IndexFunc(r.sections, func(s *referenceSection) bool { return s.of == of })
	if i >= 0 {
		r.sections[i].paths = append(r.sections[i].paths, path)
	} else {
		r.sections = append(r.sections, r.section(of, path))
	}
	for field := range of.Fields() {
		if key := keyOf(field); key != "" {
			if nested, suffix := nestedIn(field.Type); nested != nil {
				r.add(nested, strictyaml.Join(path, key)+suffix)
			}
		}
	}
}

// keyOf is how a field is called in the file, "" if it is not there.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return strings.TrimPrefix(name, "-")
}

// nestedIn returns the struct that values of a type are made of, if it has keys.
func nestedIn(of reflect.Type) (nested reflect.Type, suffix string) {
	switch of.Kind() {
	case reflect.Pointer:
		return nestedIn(of.Elem())
	case reflect.Slice:
		nested, suffix = nestedIn(of.Elem())
		return nested, "[]" + suffix
	case reflect.Map:
		nested, suffix = nestedIn(of.Elem())
		return nested, ".NAME" + suffix
	case reflect.Struct:
		if of.NumField() > 0 && keyOf(of.Field(0)) != "" {
			return of, ""
		}
	}
	return nil, ""
}

// section makes the section of a struct from its comments.
func (r *reference) section(of reflect.Type, path string) *referenceSection {
	spec := r.structs[of.Name()]
	names := map[string]string{}
	for field := range of.Fields() {
		if key := keyOf(field); key != "" {
			names[field.Name] = key
		}
	}
	s := &referenceSection{of: of, paths: []string{path}, about: upper(strings.Replace(inYAML(spec.Doc.Text(), names), of.Name(), words(of), 1))}
	fields := spec.Type.(*ast.StructType).Fields.List
	for _, f := range fields {
		field, ok := of.FieldByName(f.Names[0].Name)
		if key := keyOf(field); ok && key != "" {
			k := referenceKey{name: key, kind: r.kind(field.Type)}
			k.about, k.value = apart(inYAML(f.Doc.Text(), names))
			k.restart = !isReloadable(strings.ReplaceAll(strictyaml.Join(path, key), ".NAME", ""))
			s.keys = append(s.keys, k)
		}
	}
	return s
}

var (
	word     = regexp.MustCompile(`\b[A-Z][A-Za-z]*\b`)
	docLink  = regexp.MustCompile(`, see \[[\w.]+\]`)
	defaults = regexp.MustCompile(`(?:^| )(Default(?:,[^:]*)?: .*?|Required.*?)\.(?: |$)`)
)

// inYAML is a comment in the words of the file: names of fields as keys.
func inYAML(comment string, names map[string]string) string {
	text := docLink.ReplaceAllString(strings.Join(strings.Fields(comment), " "), "")
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if key, ok := names[w]; ok {
			return "`" + key + "`"
		}
		return w
	})
}

// apart takes the sentence about the default out of a comment.
func apart(comment string) (about, value string) {
	at := defaults.FindStringSubmatchIndex(comment)
	if at == nil {
		return comment, ""
	}
	value = comment[at[2]:at[3]]
	about = strings.TrimSpace(comment[:at[0]] + " " + comment[at[1]:])
	value = strings.TrimPrefix(value, "Default: ")
	if rest, ok := strings.CutPrefix(value, "Default, "); ok {
		value = rest
	}
	return about, strings.Replace(value, "Required", "required", 1)
}

// kinds are how values are written, by their type.
var kinds = map[reflect.Type]string{
	reflect.TypeFor[time.Duration]():      "duration",
	reflect.TypeFor[strictyaml.Size]():    "size",
	reflect.TypeFor[strictyaml.Percent](): "percentage",
	reflect.TypeFor[netip.Prefix]():       "network",
	reflect.TypeFor[Secret]():             "secret",
	reflect.TypeFor[Status]():             "status",
	reflect.TypeFor[Reserve]():            "reserve",
	reflect.TypeFor[CodePoint]():          "name of a DSCP",
	reflect.TypeFor[Mark]():               "mark",
	reflect.TypeFor[Rate]():               "rate",
}

// kind describes how a value of a type is written.
func (r *reference) kind(of reflect.Type) string {
	if name, ok := kinds[of]; ok {
		return name
	}
	switch of.Kind() {
	case reflect.Pointer:
		return r.kind(of.Elem())
	case reflect.Slice:
		return "list: " + r.kind(of.Elem())
	case reflect.Map:
		return "by name: " + r.kind(of.Elem())
	case reflect.Struct:
		return fmt.Sprintf("[%s](#%s)", words(of), strings.ToLower(strings.ReplaceAll(words(of), " ", "-")))
	case reflect.Bool:
		return "`true`, `false`"
	case reflect.Int, reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	return of.String()
}

var capital = regexp.MustCompile(`([a-z])([A-Z])`)

// words is the name of a struct as a heading.
func words(of reflect.Type) string {
	if of == reflect.TypeFor[Config]() {
		return "the file"
	}
	if name := of.Name(); name == strings.ToUpper(name) {
		return name
	}
	return strings.ToLower(capital.ReplaceAllString(of.Name(), "$1 $2"))
}

const referenceHead = `# Reference of the configuration

<!-- Made from the comments of gateway/config: go test ./gateway/config -run Reference -rewrite -->

Every key of the file for ` + "`overtake gateway`, `overtake sidecar` and `overtake relay`" + `, with its default. The
[guide](configuration.md) says how the parts work together; ` + "`overtake check -c FILE`" + ` finds every mistake at once.

**Change**: *reload* is taken over by a running process from a changed file ([how](operating.md)), *restart* is not.

| written as | is | such as |
| --- | --- | --- |
| duration | a number with a unit: ` + "`us`, `ms`, `s`, `m`, `h`" + ` | ` + "`250ms`, `1m30s`, `0s`" + ` |
| size | bytes, with a unit: ` + "`B`, `KiB`, `MiB`, `GiB`" + ` | ` + "`64KiB`, `1GiB`" + ` |
| percentage | a share, with at most two decimals | ` + "`10%`, `0.5%`" + ` |
| network | an address and the length of its prefix, IPv4 or IPv6 | ` + "`10.0.0.0/8`, `::1/128`" + ` |
| secret | text that is never shown; ` + "`${NAME}`" + ` keeps it out of the file, as it does with every text | ` + "`\"${TOKEN}\"`" + ` |
| status | a status of HTTP, or a class of them | ` + "`501`, `4xx`" + ` |
| reserve | ` + "`auto`" + `, a number of slots, or a share of the limit | ` + "`auto`, `4`, `10%`" + ` |
| mark | a number, decimal or hexadecimal | ` + "`16`, `0x10`" + ` |
| rate | bits per second, with a unit: ` + "`kbit`, `mbit`, `gbit`, `tbit`" + ` | ` + "`50mbit`" + ` |
| list | one or more values | ` + "`[a, b]`" + ` |
| by name | a mapping: names of your choice, each with a value | ` + "`{app: ...}`" + ` |
`

// text is the page.
func (r *reference) text() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, s := range r.sections {
		title := words(s.of)
		fmt.Fprintf(&b, "\n## %s\n\n", title)
		if s.paths[0] != "" {
			fmt.Fprintf(&b, "At `%s`. %s\n\n", strings.Join(s.paths, "`, `"), s.about)
		}
		fmt.Fprintf(&b, "| key | written as | default | change | is |\n| --- | --- | --- | --- | --- |\n")
		for _, k := range s.keys {
			change := "reload"
			if k.restart {
				change = "restart"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.name, k.kind, cell(k.value), change, cell(k.about))
		}
	}
	return b.String()
}

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// cell is text in a table that Markdown reads as nothing but text.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`).Replace(text)
}

// Where a comment gives a plain value as the default, the value is that in effect.
func TestReferenceDefaults(t *testing.T) {
	cfg, err := Parse("all.yaml", []byte(`
listeners: [{address: ":8080"}]
upstreams: {name: {servers: ["http://127.0.0.1:9000"], health: {}, retry: {}}}
brokers: {name: {type: nats, embedded: true}}
queues: {name: {deliver: {}}}
relays: [{from: {stream: ORDERS}}]
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, s := range newReference(t).sections {
		v, ok := at(reflect.ValueOf(*cfg), s.paths[0])
		if !ok {
			continue // the file above has none
		}
		index, _ := strictyaml.Fields(s.of)
		for _, k := range s.keys {
			field := reflect.Indirect(v.Field(index[k.name]))
			want, _, _ := strings.Cut(k.value, ", ")
			if !plain.MatchString(want) || !field.IsValid() || slices.Contains(others, k.name) {
				continue
			}
			got := fmt.Sprint(field.Interface())
			if d, ok := field.Interface().(time.Duration); ok {
				if given, err := strictyaml.ParseDuration(want); err == nil && given == d {
					want = got
				}
			}
			if compared++; got != want && !(want == "0" && field.IsZero()) {
				t.Errorf("%s.%s: the default is %s, and its comment says %s", s.paths[0], k.name, got, want)
			}
		}
	}
	if compared < 30 {
		t.Errorf("%d defaults were compared, want most of them", compared)
	}
}

// others are keys that the file of the test gives, or that are for another broker.
var others = []string{"embedded", "replicas", "lane_bytes", "group"}

// plain are defaults that are written as in a file, and not words about it.
var plain = regexp.MustCompile(`^(true|false|[\d./].*\w|\d|json|ingress|lanes|interval|trusted|overtake|newest_first)$`)

// at returns what is at a path of the configuration: the first of a list, and what
// is called name in a mapping, NAME in the path.
func at(v reflect.Value, path string) (reflect.Value, bool) {
	if path == "" {
		return v, true
	}
	for part := range strings.SplitSeq(path, ".") {
		key, list := strings.CutSuffix(part, "[]")
		if v = reflect.Indirect(v); !v.IsValid() {
			return v, false
		}
		if v.Kind() == reflect.Map {
			v = v.MapIndex(reflect.ValueOf(strings.ToLower(key)))
		} else {
			index, _ := strictyaml.Fields(v.Type())
			v = v.Field(index[key])
		}
		if list {
			if v.Len() == 0 {
				return v, false
			}
			v = v.Index(0)
		}
	}
	v = reflect.Indirect(v)
	return v, v.IsValid()
}
