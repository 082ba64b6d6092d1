package strictyaml

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// MaxFile is how many bytes a file that [Decode] takes may have. The parser takes quadratic time in the
	// number of keys.
	MaxFile = 256 << 10
	// maxNesting bounds how deep lists and mappings nest. The gateway's
	// configuration needs 6; the parser recurses and builds a path per level.
	maxNesting = 32
)

// parseTree parses the one document of a file. It returns nil for a file
// without one. A problem is recorded in src and ends the work: after a syntax
// error, all else would be guesswork.
func parseTree(src *Source, data []byte) (ast.Node, bool) {
	fail := func(line, column int, text, hint string) (ast.Node, bool) {
		src.report("", place{src.file, line, column}, text, hint)
		return nil, false
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > MaxFile {
		return fail(0, 0, "the file is larger than "+Size(MaxFile).String(), "")
	}
	if i := invalidUTF8(data); i >= 0 {
		line := bytes.Count(data[:i], []byte("\n"))
		column := utf8.RuneCount(data[bytes.LastIndexByte(data[:i], '\n')+1 : i])
		return fail(line+1, column+1, "the text is not UTF-8", "")
	}
	// The lexer counts a comment that ends with CR LF as two lines.
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	tokens := lexer.Tokenize(string(data))
	if t := tooDeep(tokens); t != nil {
		return fail(t.Position.Line, t.Position.Column, "lists and mappings are nested too deep", "")
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, column, text := 0, 0, err.Error()
		if e, ok := errors.AsType[yaml.Error](err); ok {
			text = e.GetMessage()
			if t := e.GetToken(); t != nil && t.Position != nil {
				line, column = t.Position.Line, max(t.Position.Column, 1)
			}
		}
		return fail(line, column, text, syntaxHint(data, line))
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); directive || doc.Body == nil {
			continue
		}
		if root != nil {
			at := startOf(doc.Body)
			return fail(at.Line, at.Column, "a second YAML document begins here", "keep one document per file")
		}
		root = doc.Body
	}
	return root, true
}

// syntaxHint explains the one syntax error that variables provoke: ${NAME}
// without quotes inside { } or [ ].
func syntaxHint(data []byte, line int) string {
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	if text := lines[line-1]; strings.Contains(text, "${") && !strings.Contains(text, `"${`) {
		return `inside { } and [ ] write "${NAME}" with quotes`
	}
	return ""
}

// tooDeep returns the token at which nesting passes maxNesting, or nil. It
// counts opened brackets, and dashes and question marks on one line; other
// block nesting needs two columns a level and is bounded by indentation.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, block, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, block = t.Position.Line, 0
			if t.Position.Column > 4*maxNesting && flow == 0 && t.Type != token.CommentType {
				return t
			}
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType:
			block++
		}
		if flow > maxNesting || block > maxNesting {
			return t
		}
	}
	return nil
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// startOf returns where the text of a node begins; goccy/go-yaml gives block
// mappings the position of their first colon.
func startOf(n ast.Node) *token.Position {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return startOf(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return startOf(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position
	}
	return &token.Position{Line: 1, Column: 1}
}
