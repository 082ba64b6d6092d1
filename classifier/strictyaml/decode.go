package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxNodes bounds the values of one file after aliases are followed,
// so that a small file can't stand for a huge one.
const maxNodes = 100_000

// Decode fills v, a pointer to a struct, from the one YAML document in data and
// records what is wrong in the Source that it returns; file is the name in
// problems. It goes on after a problem. v keeps what the file does not give; lists
// and maps are replaced as a whole. lookupEnv finds the variables of ${NAME}; with nil, text stays as it is.
func Decode(file string, data []byte, v any, lookupEnv func(string) (string, bool)) *Source {
	s := NewSource(file)
	root, ok := parseTree(s, data)
	s.unparsed = !ok
	if root != nil {
		d := &decoder{
			src:       s,
			lookupEnv: lookupEnv,
			anchors:   make(map[string]ast.Node),
			open:      make(map[string]bool),
		}
		d.value(root, reflect.ValueOf(v).Elem(), "", nil)
	}
	return s
}

// decoder fills a value from a YAML tree, strictly, and goes on after a
// problem. The depth of its recursion is that of the Go types.
type decoder struct {
	src       *Source
	lookupEnv func(string) (string, bool)
	// anchors are those passed so far, open those that are being decoded.
	anchors map[string]ast.Node
	open    map[string]bool
	nodes   int
}

// value decodes n into v. key is where the name of the value is, if it has one.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, key *token.Position) {
	d.nodes++
	if d.nodes == maxNodes {
		d.fail(n, path, fmt.Sprintf("more than %d values, counting what aliases repeat", maxNodes), "")
	}
	if d.nodes >= maxNodes {
		return
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		d.anchors[name] = n.Value
		d.enter(name, n.Value, v, path, key)
		return
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := d.anchors[name]
		switch {
		case !ok:
			d.fail(n, path, fmt.Sprintf("no anchor &%s before this alias", name), Suggest(name, anchorNames(d.anchors)))
		case d.open[name]:
			d.fail(n, path, fmt.Sprintf("the alias *%s is inside of what it stands for", name), "")
		default:
			d.enter(name, target, v, path, key)
		}
		return
	case *ast.TagNode:
		d.fail(n, path, fmt.Sprintf("tags such as %s are not supported", n.GetToken().Value), "remove it")
		return
	}
	at := startOf(n)
	_, isNull := n.(*ast.NullNode)
	_, isScalar := n.(ast.ScalarNode)
	if key != nil && (isNull || !isScalar) {
		at = key // a part is named where it is introduced
	}
	d.src.places[path] = d.place(at)
	if isNull {
		d.null(n, v, path)
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	switch k := v.Kind(); {
	case isText(v), isShort(n, v):
		d.scalar(n, v, path)
	case k == reflect.Struct:
		d.object(n, v, path)
	case k == reflect.Map:
		d.table(n, v, path)
	case k == reflect.Slice:
		d.list(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// enter decodes the value of an anchor, guarded against aliases inside of it.
func (d *decoder) enter(name string, n ast.Node, v reflect.Value, path string, key *token.Position) {
	d.open[name] = true
	d.value(n, v, path, key)
	delete(d.open, name)
}

// null leaves out a part that is present but empty; a single value can't be.
func (d *decoder) null(n ast.Node, v reflect.Value, path string) {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	isPart := t.Kind() == reflect.Map || t.Kind() == reflect.Slice || t.Kind() == reflect.Struct
	if !isPart || isText(reflect.New(t).Elem()) {
		d.fail(n, path, "has no value", "leave the key out for the default")
	}
}

// object decodes a mapping into a struct.
func (d *decoder) object(n ast.Node, v reflect.Value, path string) {
	fields, names := Fields(v.Type())
	d.entries(n, path, v, func(key string, node ast.MapKeyNode, value ast.Node) {
		i, known := fields[key]
		if !known {
			near := Nearest(key, names)
			d.src.report(Join(path, key), d.place(startOf(node)), "unknown key", unknownKeyHint(near, names))
			// What is below a misspelled key is looked at under its right name, if only one can be.
			if len(near) != 1 || d.src.Given(Join(path, near[0])) || hasKey(n, near[0]) {
				return
			}
			key = near[0]
			i = fields[key]
		}
		d.value(value, v.Field(i), Join(path, key), startOf(node))
	})
}

func unknownKeyHint(near, names []string) string {
	if len(near) > 0 {
		return fmt.Sprintf("did you mean %q?", near[0])
	}
	return "known here: " + strings.Join(names, ", ")
}

// table decodes a mapping into a map.
func (d *decoder) table(n ast.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.entries(n, path, v, func(key string, node ast.MapKeyNode, value ast.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element, Join(path, key), startOf(node))
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
	})
}

// list decodes a sequence into a slice.
func (d *decoder) list(n ast.Node, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		hint := "write a list: [first, second], or a line with - for each"
		if text, isScalar := scalarText(n); isScalar && wanted(reflect.New(v.Type().Elem()).Elem()) != "a mapping" {
			hint = fmt.Sprintf("write [%s]", strconv.Quote(text))
		}
		d.fail(n, path, "is "+kindOf(n)+", want "+wanted(v), hint)
		return
	}
	v.SetZero()
	for i, element := range seq.Values {
		if d.nodes >= maxNodes {
			return
		}
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		d.value(element, v.Index(i), Item(path, i), nil)
	}
}

// longForm is how to write what people take for the plain value n.
func longForm(n ast.Node, v reflect.Value) string {
	text, plain := scalarText(n)
	if v.Kind() == reflect.Map && v.Type().Elem().Kind() == reflect.String {
		return `write {name: "value"}`
	}
	if !plain || strings.ContainsAny(text, "\n\"\\$") {
		return ""
	}
	if former, ok := v.Addr().Interface().(LongFormer); ok {
		return former.LongForm(WithoutPassword(text))
	}
	return ""
}

// entries calls yield for each entry of a mapping, once per key.
func (d *decoder) entries(n ast.Node, path string, v reflect.Value, yield func(string, ast.MapKeyNode, ast.Node)) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.fail(n, path, "is "+kindOf(n)+", want "+wanted(v), longForm(n, v))
		return
	}
	lines := make(map[string]int, len(m.Values))
	for _, entry := range m.Values {
		if d.nodes >= maxNodes {
			return
		}
		at := d.place(startOf(entry.Key))
		text, plain := scalarText(entry.Key)
		if entry.Key.IsMergeKey() {
			d.src.breaks(path, at, "merge keys (<<) are not supported", "write the keys out, or use an alias for a whole value")
			continue
		}
		if !plain {
			d.src.report(path, at, "keys must be plain text", "")
			continue
		}
		if line, twice := lines[text]; twice {
			d.src.report(Join(path, text), at, fmt.Sprintf("is given twice, first on line %d", line), "keep one of them")
			continue
		}
		lines[text] = at.line
		yield(text, entry.Key, entry.Value)
	}
}

// scalar decodes a single value into v.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	text, ok := scalarText(n)
	if !ok {
		d.fail(n, path, "is "+kindOf(n)+", want "+wanted(v), "write one value, without [ ] or { }")
		return
	}
	written := text
	var mistakes []Mistake
	if d.lookupEnv != nil {
		text, mistakes = expand(text, d.lookupEnv)
	}
	for _, m := range mistakes {
		d.fail(n, path, m.What, m.Hint)
	}
	if len(mistakes) > 0 {
		return
	}
	fromEnv := text != written
	if fromEnv {
		d.src.written[path] = written
	}
	_, isString := n.(*ast.StringNode)
	_, isBlock := n.(*ast.LiteralNode)
	quoted := (isBlock || isString && n.GetToken().Type != token.StringType) && !fromEnv
	err := setScalar(v, text, quoted, isString || isBlock)
	if m, ok := errors.AsType[Mistake](err); ok {
		if fromEnv {
			m.Hint = "" // it may quote the value
		}
		d.fail(n, path, fmt.Sprintf("%q %s", d.src.Shown(path, written), m.What), m.Hint)
	} else if err != nil {
		d.fail(n, path, fmt.Sprintf("%q is not %s", written, wanted(v)), "")
	}
}

func (d *decoder) fail(n ast.Node, path, text, hint string) {
	d.src.breaks(path, d.place(startOf(n)), text, hint)
}

func (d *decoder) place(p *token.Position) place {
	return place{file: d.src.file, line: p.Line, column: max(p.Column, 1)}
}
