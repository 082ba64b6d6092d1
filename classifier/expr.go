package classifier

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// exprCostLimit bounds one evaluation, in CEL's units of about one operation or
// ten characters of a string. It leaves room for a regular expression over a
// long header, and stops nested loops within a few milliseconds.
const exprCostLimit = 10_000

// exprRemedy goes with every error of the checker, whose words for what fieldsType
// can't do are not always helpful.
const exprRemedy = `request has method, host, path, size, source, headers["name"] and query["name"]; ` +
	`presence is "name" in request.headers`

// expr is a compiled CEL expression over a request.
type expr struct{ program cel.Program }

// fieldsType is the type of request.headers and request.query. It is not a map,
// as the names are not enumerated: it has an index and "in", and the checker
// refuses the rest (size, all, exists) when the configuration is read.
var fieldsType = cel.ObjectType("fields", traits.IndexerType, traits.ContainerType)

// exprEnv is what expressions are checked against. The parts of request are
// variables with a dot in their names: so each is resolved on its own, only
// when the evaluation comes to it.
var exprEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("request.method", cel.StringType),
		cel.Variable("request.host", cel.StringType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.size", cel.IntType),
		cel.Variable("request.source", cel.StringType),
		cel.Variable("request.headers", fieldsType),
		cel.Variable("request.query", fieldsType),
		cel.Function(operators.Index, cel.Overload("index_fields",
			[]*cel.Type{fieldsType, cel.StringType}, cel.StringType)),
		cel.Function(operators.In, cel.Overload("in_fields",
			[]*cel.Type{cel.StringType, fieldsType}, cel.BoolType)),
	)
})

func compileExpr(text string) (*expr, error) {
	env, err := exprEnv()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, issuesError(issues)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, &mistake{fmt.Sprintf("gives %s, want bool", checked.OutputType()), "compare it with something: request.size > 1000"}
	}
	if err := constantPatterns(checked.NativeRep()); err != nil {
		return nil, err
	}
	// OptOptimize compiles the regular expressions now, and finds the wrong ones.
	program, err := env.Program(checked, cel.CostLimit(exprCostLimit), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, &mistake{err.Error(), exprRemedy}
	}
	return &expr{program: program}, nil
}

// constantPatterns refuses regular expressions that are not written out: what it
// takes to compile one is not in the cost of an evaluation, and a client could
// choose one that takes a second.
func constantPatterns(checked *ast.AST) error {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(checked), ast.FunctionMatcher(overloads.Matches)) {
		args := call.AsCall().Args() // without what is before the dot
		if args[len(args)-1].Kind() != ast.LiteralKind {
			at := checked.SourceInfo().GetStartLocation(call.ID())
			return &mistake{
				fmt.Sprintf("column %d: the regular expression of matches is not constant", at.Column()+1),
				`write it out: request.path.matches("^/a"); contains and startsWith take any text`,
			}
		}
	}
	return nil
}

// issuesError puts what the checker found into one line.
func issuesError(issues *cel.Issues) error {
	var found []string
	for _, issue := range issues.Errors() {
		found = append(found, fmt.Sprintf("column %d: %s", issue.Location.Column()+1, issue.Message))
	}
	return &mistake{strings.Join(found, "; "), exprRemedy}
}

// eval reports whether the expression is true of r. When it could not be evaluated, it
// is not.
func (e *expr) eval(r *Request) (bool, error) {
	// A copy, so that only requests that meet an expression go to the heap.
	value, _, err := e.program.Eval(&activation{request: *r})
	if err != nil {
		return false, err
	}
	return value == types.True, nil
}

// activation gives the evaluation the parts of the request it asks for.
type activation struct {
	request Request
}

func (*activation) Parent() cel.Activation { return nil }

func (a *activation) ResolveName(name string) (any, bool) {
	r := &a.request
	switch name {
	case "request.method":
		return types.String(r.Method), true
	case "request.host":
		return types.String(lowerASCII(canonicalHost(r.Host))), true
	case "request.path":
		return types.String(r.Path), true
	case "request.size":
		return types.Int(r.BodySize), true
	case "request.source":
		if !r.Source.IsValid() {
			return types.String(""), true
		}
		return types.String(r.source().String()), true
	case "request.headers":
		return fields{r.header}, true
	case "request.query":
		return fields{r.query}, true
	}
	return nil, false
}

// fields is request.headers or request.query as a CEL value.
type fields struct {
	lookup func(name string) (string, bool)
}

var (
	_ traits.Indexer   = fields{}
	_ traits.Container = fields{}
)

var errNotConvertible = errors.New("headers and query have no value of their own")

// Get returns the value of the named field, or "" when it is missing.
func (f fields) Get(name ref.Val) ref.Val {
	key, ok := name.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(name)
	}
	value, _ := f.lookup(string(key))
	return types.String(value)
}

// Contains says whether the named field is there.
func (f fields) Contains(name ref.Val) ref.Val {
	key, ok := name.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(name)
	}
	_, found := f.lookup(string(key))
	return types.Bool(found)
}

func (f fields) Type() ref.Type { return fieldsType }

func (f fields) Value() any { return f.lookup }

func (f fields) ConvertToNative(reflect.Type) (any, error) { return nil, errNotConvertible }

func (f fields) ConvertToType(ref.Type) ref.Val { return types.WrapErr(errNotConvertible) }

func (f fields) Equal(ref.Val) ref.Val { return types.WrapErr(errNotConvertible) }
