package strictyaml

import (
	"encoding"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Fields returns the keys of a struct type, with the index of their fields
// and in their order. A field without a key is not part of the file.
func Fields(t reflect.Type) (index map[string]int, names []string) {
	index = make(map[string]int)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		index[name] = i
		names = append(names, name)
	}
	return index, names
}

// Wanter is a type that names the kind of value that it takes, such as "a size":
// problems say so where there is something else.
type Wanter interface{ Wanted() string }

// LongFormer is a struct type that people take for a plain value. LongForm is how
// to write it, given that value without any password; "" for no advice.
type LongFormer interface{ LongForm(text string) string }

// ShortFormer is a struct type that a file may also give as a single value, such
// as 5ms for {fixed: 5ms}. UnmarshalShort reads it; its errors are of type [Mistake].
type ShortFormer interface{ UnmarshalShort(text []byte) error }

// isShort says whether n is a single value for a struct that has a short form.
func isShort(n ast.Node, v reflect.Value) bool {
	_, short := v.Addr().Interface().(ShortFormer)
	_, isScalar := scalarText(n)
	return short && isScalar
}

// isText says whether v is written as a single value though its Go kind is a
// struct.
func isText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

// wanted names the kind of value that v takes.
func wanted(v reflect.Value) string {
	switch x := v.Addr().Interface().(type) {
	case Wanter:
		return x.Wanted()
	case *time.Duration:
		return "a duration"
	case *netip.Prefix:
		return "a network"
	}
	switch k := v.Kind(); {
	case k == reflect.Struct, k == reflect.Map:
		return "a mapping"
	case k == reflect.Slice:
		return "a list"
	case k == reflect.Bool:
		return "true or false"
	case v.CanInt(), v.CanUint():
		return "a whole number"
	case k == reflect.Float64:
		return "a number"
	}
	return "text"
}

// kindOf names the kind of a node as a user would.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	}
	return "something else"
}

func hasKey(n ast.Node, key string) bool {
	m, ok := n.(*ast.MappingNode)
	return ok && slices.ContainsFunc(m.Values, func(entry *ast.MappingValueNode) bool {
		text, _ := scalarText(entry.Key)
		return text == key
	})
}

func anchorNames(anchors map[string]ast.Node) []string {
	return slices.Sorted(maps.Keys(anchors))
}
