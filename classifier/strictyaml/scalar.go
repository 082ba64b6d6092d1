package strictyaml

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
)

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

// setScalar sets v from text. quoted says that the text can only be meant as
// text, isText that YAML does not take it for a number or a truth value.
func setScalar(v reflect.Value, text string, quoted, isText bool) error {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		return assign(p)(ParseDuration(text))
	case *netip.Prefix:
		return assign(p)(parsePrefix(text))
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case ShortFormer:
		return p.UnmarshalShort([]byte(text))
	}
	switch {
	case v.Kind() == reflect.String:
		if !isText {
			return Mistake{"is not text", "write " + strconv.Quote(text)}
		}
		v.SetString(text)
		return nil
	case v.CanInt(), v.CanUint():
		return setInteger(v, text, quoted)
	case v.Kind() == reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if percent, cut := strings.CutSuffix(text, "%"); cut {
			if share, err := strconv.ParseFloat(percent, 64); err == nil {
				return Mistake{"is not a number", "write " + strconv.FormatFloat(share/100, 'g', 6, 64)}
			}
		}
		if err != nil || quoted || f-f != 0 { // f-f is NaN for infinities
			return Mistake{"is not a number", ""}
		}
		v.SetFloat(f)
		return nil
	case v.Kind() == reflect.Bool:
		if quoted && (text == "true" || text == "false") {
			return Mistake{"is text, want a truth value", "write " + text + " without quotes"}
		}
		if text != "true" && text != "false" {
			return Mistake{"is neither true nor false", "write true or false"}
		}
		v.SetBool(text == "true")
		return nil
	}
	panic(fmt.Sprintf("strictyaml: field of type %s has no decoding", v.Type()))
}

// setInteger sets v, which is of any integer type.
func setInteger(v reflect.Value, text string, quoted bool) error {
	var signed int64
	var unsigned uint64
	var err error
	if v.CanInt() {
		signed, err = strconv.ParseInt(text, 10, v.Type().Bits())
	} else {
		unsigned, err = strconv.ParseUint(text, 10, v.Type().Bits())
	}
	switch {
	case err == nil && quoted:
		return Mistake{"is text, want a whole number", "write " + text + " without quotes"}
	case errors.Is(err, strconv.ErrRange):
		return Mistake{"is too large or too small", fmt.Sprintf("want what %d bits can hold", v.Type().Bits())}
	case err != nil && v.CanUint() && isNegative(text):
		return Mistake{"is negative", "want 0 or more"}
	case err != nil:
		return Mistake{"is not a whole number", "write one such as 1000"}
	case v.CanInt():
		v.SetInt(signed)
	default:
		v.SetUint(unsigned)
	}
	return nil
}

func isNegative(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n < 0
}

func assign[T any](p *T) func(T, error) error {
	return func(value T, err error) error {
		if err == nil {
			*p = value
		}
		return err
	}
}
