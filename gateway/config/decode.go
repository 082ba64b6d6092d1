package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxNodes bounds the values of one configuration after aliases are followed,
// so that a small file can't stand for a huge one.
const maxNodes = 100_000

// decoder fills a value from a YAML tree, strictly, and goes on after a
// problem. The depth of its recursion is that of the Go types.
type decoder struct {
	src       *source
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
			d.fail(n, path, fmt.Sprintf("no anchor &%s before this alias", name), suggest(name, anchorNames(d.anchors)))
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
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch k := v.Kind(); {
	case isText(v):
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
	fields, names := fieldsOf(v.Type())
	d.entries(n, path, v, func(key string, node ast.MapKeyNode, value ast.Node) {
		i, known := fields[key]
		if !known {
			near := nearest(key, names)
			d.src.report(join(path, key), d.place(startOf(node)), "unknown key", unknownKeyHint(near, names))
			// What is below a misspelled key is looked at under its right name.
			if i, known = fields[near]; !known || d.src.given(join(path, near)) || hasKey(n, near) {
				return
			}
			key = near
		}
		d.value(value, v.Field(i), join(path, key), startOf(node))
	})
}

func unknownKeyHint(near string, names []string) string {
	if near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known here: " + strings.Join(names, ", ")
}

// table decodes a mapping into a map.
func (d *decoder) table(n ast.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.entries(n, path, v, func(key string, node ast.MapKeyNode, value ast.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element, join(path, key), startOf(node))
		v.SetMapIndex(reflect.ValueOf(key), element)
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
	for i, element := range seq.Values {
		if d.nodes >= maxNodes {
			return
		}
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		d.value(element, v.Index(i), item(path, i), nil)
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
	text = withoutPassword(text)
	switch v.Addr().Interface().(type) {
	case *Limit:
		if _, err := strconv.ParseUint(text, 10, 16); err != nil {
			text = "8"
		}
		return "write {max: " + text + "}"
	case *Flow:
		return "write {header: " + text + "}"
	case *Class:
		return "write {name: " + text + "}"
	case *Listener:
		return "write {address: " + strconv.Quote(text) + "}"
	case *Rule:
		return "write {class: " + text + "}"
	case *SizeRange:
		return "write {min: " + text + "} or {max: " + text + "}"
	case *Upstream:
		return "write {servers: [" + strconv.Quote(text) + "]}"
	case *Broker:
		return "write {type: nats, url: " + strconv.Quote(text) + "}"
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
			d.src.report(join(path, text), at, fmt.Sprintf("is given twice, first on line %d", line), "keep one of them")
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
	text, mistakes := expand(text, d.lookupEnv)
	for _, m := range mistakes {
		d.fail(n, path, m.what, m.hint)
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
	if w, ok := errors.AsType[wrong](err); ok {
		if fromEnv {
			w.hint = "" // it may quote the value
		}
		d.fail(n, path, fmt.Sprintf("%q %s", d.src.shown(path, written), w.what), w.hint)
	} else if err != nil {
		d.fail(n, path, fmt.Sprintf("%q is not %s", written, wanted(v)), "")
	}
}

// setScalar sets v from text. quoted says that the text can only be meant as
// text, isText that YAML does not take it for a number or a truth value.
func setScalar(v reflect.Value, text string, quoted, isText bool) error {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		return assign(p)(parseDuration(text))
	case *netip.Prefix:
		return assign(p)(parsePrefix(text))
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case *string:
		if !isText {
			return wrong{"is not text", "write " + strconv.Quote(text)}
		}
		*p = text
		return nil
	case *int:
		n, err := strconv.Atoi(text)
		if err == nil && quoted {
			return wrong{"is text, want a whole number", "write " + text + " without quotes"}
		}
		if err != nil {
			return wrong{"is not a whole number", "write one such as 1000"}
		}
		*p = n
		return nil
	case *float64:
		f, err := strconv.ParseFloat(text, 64)
		if percent, cut := strings.CutSuffix(text, "%"); cut {
			if share, err := strconv.ParseFloat(percent, 64); err == nil {
				return wrong{"is not a number", "write " + strconv.FormatFloat(share/100, 'g', 6, 64)}
			}
		}
		if err != nil || quoted || f-f != 0 { // f-f is NaN for infinities
			return wrong{"is not a number", ""}
		}
		*p = f
		return nil
	case *bool:
		if quoted && (text == "true" || text == "false") {
			return wrong{"is text, want a truth value", "write " + text + " without quotes"}
		}
		if text != "true" && text != "false" {
			return wrong{"is neither true nor false", "write true or false"}
		}
		*p = text == "true"
		return nil
	}
	panic(fmt.Sprintf("config: field of type %s has no decoding", v.Type()))
}

func assign[T any](p *T) func(T, error) error {
	return func(value T, err error) error {
		if err == nil {
			*p = value
		}
		return err
	}
}

func (d *decoder) fail(n ast.Node, path, text, hint string) {
	d.src.breaks(path, d.place(startOf(n)), text, hint)
}

func (d *decoder) place(p *token.Position) place {
	return place{file: d.src.file, line: p.Line, column: max(p.Column, 1)}
}

// scalarText returns the text of a single value as it stands in the file,
// without quotes.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}
