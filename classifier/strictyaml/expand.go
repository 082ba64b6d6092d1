package strictyaml

import (
	"fmt"
	"strings"
)

// expand replaces ${NAME} in text by what lookup knows, and $${ by ${. It
// returns every mistake in text.
func expand(text string, lookup func(string) (string, bool)) (string, []Mistake) {
	var out strings.Builder
	var mistakes []Mistake
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			out.WriteString(text)
			return out.String(), mistakes
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		out.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], "}")
		switch {
		case !closed:
			return "", append(mistakes, Mistake{"${ without }", "write $${ for a literal ${"})
		case !validVariable(name):
			mistakes = append(mistakes, Mistake{fmt.Sprintf("%q is not the name of an environment variable", name), "write $${ for a literal ${"})
		default:
			value, ok := lookup(name)
			if !ok {
				mistakes = append(mistakes, Mistake{fmt.Sprintf("the environment variable %s is not set", name), "set it, or write $${ for a literal ${"})
			}
			out.WriteString(value)
		}
		text = rest
	}
}

func validVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
