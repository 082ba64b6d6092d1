package content

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"text/template/parse"
)

// The bounds of what templates draw.
const (
	maxHex  = 4096
	maxInt  = 1_000_000_000_000_000
	maxZipf = 1_000_000_000_000
)

// template is a compiled template: parts that are put together.
type template []part

// part is text, or if draw is set what it appends.
type part struct {
	text string
	open func(random *rand.Rand, n *uint64) draw
	// texts are all that open can lead to, where it is not numbers or letters alone.
	texts []string
}

// draw appends something drawn.
type draw func(to []byte) []byte

// drawing is a template that is being drawn from.
type drawing struct {
	fixed string // the text before, between and after the draws; all of it without any
	parts []drawnPart
}

type drawnPart struct {
	text string
	draw draw
}

// wrong is a mistake in a template: what, and the remedy.
type wrong struct{ what, hint string }

// compile parses a template. escape is applied to its text and to what pick draws.
func compile(text string, escape func(string) string) (template, *wrong) {
	if !strings.Contains(text, "{{") {
		return template{{text: escape(text)}}, nil
	}
	tree := parse.New("t")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(text, "", "", map[string]*parse.Tree{}); err != nil {
		return nil, syntax(err)
	}
	var t template
	for _, node := range tree.Root.Nodes {
		switch node := node.(type) {
		case *parse.TextNode:
			t = append(t, part{text: escape(string(node.Text))})
		case *parse.ActionNode:
			p, w := action(node, escape)
			if w != nil {
				return nil, w
			}
			t = append(t, p)
		default:
			word, _, _ := strings.Cut(strings.Trim(node.String(), "{} "), " ")
			return nil, &wrong{fmt.Sprintf("%q is not known in templates", strings.TrimRight(word, "}")), "want a function: " + functionNames}
		}
	}
	return t, nil
}

// atLine is what text/template/parse puts before its errors.
var atLine = regexp.MustCompile(`^template: [^:]*:\d+: `)

func syntax(err error) *wrong {
	text := atLine.ReplaceAllString(err.Error(), "")
	return &wrong{text, `write a function as in {{int 1 20}}, and {{"{{"}} as {{pick "{{"}}`}
}

// action compiles {{function arguments}}.
func action(node *parse.ActionNode, escape func(string) string) (part, *wrong) {
	pipe := node.Pipe
	if len(pipe.Decl) > 0 {
		return part{}, &wrong{fmt.Sprintf("%s sets a variable, and templates have none", node), "want a function: " + functionNames}
	}
	if len(pipe.Cmds) != 1 {
		return part{}, &wrong{fmt.Sprintf("%s has a pipe, and templates have none", node), "want one function: " + functionNames}
	}
	args := pipe.Cmds[0].Args
	name, ok := args[0].(*parse.IdentifierNode)
	if !ok {
		return part{}, &wrong{fmt.Sprintf("%s is not a function", node), "want " + functionNames}
	}
	f, ok := functions[name.Ident]
	if !ok {
		return part{}, &wrong{fmt.Sprintf("%q is not a function of templates", name.Ident), "want " + functionNames}
	}
	for _, arg := range args[1:] {
		switch arg.(type) {
		case *parse.NumberNode, *parse.StringNode:
		default:
			return part{}, &wrong{fmt.Sprintf("%s: %s is neither a number nor text in quotes", node, arg), "write " + f.usage}
		}
	}
	p, err := f.compile(args[1:], escape)
	if err != nil {
		return part{}, &wrong{fmt.Sprintf("%s: %v", node, err), "write " + f.usage}
	}
	return p, nil
}

// function is one that templates may call.
type function struct {
	usage   string
	compile func(args []parse.Node, escape func(string) string) (part, error)
}

const functionNames = "int, pick, zipf, hex, seq or uuid"

var functions = map[string]function{
	"int":  {"{{int 1 20}}", compileInt},
	"pick": {`{{pick "a" "b"}}`, compilePick},
	"zipf": {"{{zipf 1.1 500}}", compileZipf},
	"hex":  {"{{hex 16}}", compileHex},
	"seq":  {"{{seq}}", compileSeq},
	"uuid": {"{{uuid}}", compileUUID},
}

// whole is a whole number between the bounds.
func whole(arg parse.Node, low, high int64) (int64, error) {
	n, ok := arg.(*parse.NumberNode)
	if !ok || !n.IsInt || n.Int64 < low || n.Int64 > high {
		return 0, fmt.Errorf("%s is not a whole number from %d to %d", arg, low, high)
	}
	return n.Int64, nil
}

func arguments(args []parse.Node, n int) error {
	if len(args) != n {
		return fmt.Errorf("has %d arguments, want %d", len(args), n)
	}
	return nil
}

func compileInt(args []parse.Node, _ func(string) string) (part, error) {
	if err := arguments(args, 2); err != nil {
		return part{}, err
	}
	low, err := whole(args[0], -maxInt, maxInt)
	if err != nil {
		return part{}, err
	}
	high, err := whole(args[1], -maxInt, maxInt)
	if err != nil {
		return part{}, err
	}
	if high < low {
		return part{}, errors.New("the first number is above the second")
	}
	return part{open: func(random *rand.Rand, _ *uint64) draw {
		return func(to []byte) []byte { return strconv.AppendInt(to, low+random.Int64N(high-low+1), 10) }
	}}, nil
}

func compilePick(args []parse.Node, escape func(string) string) (part, error) {
	if len(args) == 0 {
		return part{}, errors.New("nothing to pick from")
	}
	texts := make([]string, len(args))
	for i, arg := range args {
		texts[i] = arg.String() // of a number, as it is written
		if s, ok := arg.(*parse.StringNode); ok {
			texts[i] = s.Text
		}
		texts[i] = escape(texts[i])
	}
	return part{texts: texts, open: func(random *rand.Rand, _ *uint64) draw {
		return func(to []byte) []byte { return append(to, texts[random.IntN(len(texts))]...) }
	}}, nil
}

func compileZipf(args []parse.Node, _ func(string) string) (part, error) {
	if err := arguments(args, 2); err != nil {
		return part{}, err
	}
	s, ok := args[0].(*parse.NumberNode)
	if !ok || !s.IsFloat || !(s.Float64 > 1 && s.Float64 <= 10) {
		return part{}, fmt.Errorf("%s is not a number above 1 and up to 10", args[0])
	}
	n, err := whole(args[1], 1, maxZipf)
	if err != nil {
		return part{}, err
	}
	exponent := s.Float64
	return part{open: func(random *rand.Rand, _ *uint64) draw {
		zipf := rand.NewZipf(random, exponent, 1, uint64(n-1))
		return func(to []byte) []byte { return strconv.AppendUint(to, zipf.Uint64()+1, 10) }
	}}, nil
}

func compileHex(args []parse.Node, _ func(string) string) (part, error) {
	if err := arguments(args, 1); err != nil {
		return part{}, err
	}
	n, err := whole(args[0], 1, maxHex)
	if err != nil {
		return part{}, err
	}
	return part{open: func(random *rand.Rand, _ *uint64) draw {
		return func(to []byte) []byte { return appendHex(to, random, int(n)) }
	}}, nil
}

func appendHex(to []byte, random *rand.Rand, n int) []byte {
	const digits = "0123456789abcdef"
	var bits uint64
	for i := range n {
		if i%16 == 0 {
			bits = random.Uint64()
		}
		to = append(to, digits[bits&15])
		bits >>= 4
	}
	return to
}

func compileSeq(args []parse.Node, _ func(string) string) (part, error) {
	return part{open: func(_ *rand.Rand, n *uint64) draw {
		return func(to []byte) []byte { return strconv.AppendUint(to, *n, 10) }
	}}, arguments(args, 0)
}

func compileUUID(args []parse.Node, _ func(string) string) (part, error) {
	return part{open: func(random *rand.Rand, _ *uint64) draw {
		return func(to []byte) []byte {
			begin := len(to)
			for i, n := range [...]int{8, 4, 4, 4, 12} {
				if i > 0 {
					to = append(to, '-')
				}
				to = appendHex(to, random, n)
			}
			to[begin+14] = '4'                       // version
			to[begin+19] = "89ab"[random.Uint64()&3] // variant
			return to
		}
	}}, arguments(args, 0)
}

// open starts drawing from the template.
func (t template) open(random *rand.Rand, n *uint64) drawing {
	var d drawing
	for _, p := range t {
		if p.open == nil {
			d.fixed += p.text
			d.parts = append(d.parts, drawnPart{text: p.text})
		} else {
			d.parts = append(d.parts, drawnPart{draw: p.open(random, n)})
		}
	}
	return d
}

// varies says whether not every draw gives the same.
func (d *drawing) varies() bool {
	for _, p := range d.parts {
		if p.draw != nil {
			return true
		}
	}
	return false
}

func (d *drawing) append(to []byte) []byte {
	for _, p := range d.parts {
		if p.draw != nil {
			to = p.draw(to)
		} else {
			to = append(to, p.text...)
		}
	}
	return to
}

// randomOf returns the random numbers of one template of a class.
func randomOf(seed uint64, name, place string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name + "\x00" + place)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
