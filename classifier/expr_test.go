package classifier

import (
	"strings"
	"testing"
)

func TestExpr(t *testing.T) {
	for text, want := range map[string]bool{
		`request.headers["x-plan"] == "Gold" && request.size < 65536`: true,
		`request.headers["x-plan"] == "Gold" && request.size < 10`:    false,
		`request.headers["X-Plan"].matches("^(?i:gold)$")`:            true,
		`request.headers["x-none"] == ""`:                             true,
		`"x-plan" in request.headers`:                                 true,
		`"x-none" in request.headers`:                                 false,
		`"x-empty" in request.headers`:                                true,
		`request.query["page"] == "Two" && !("x" in request.query)`:   true,
		`request.method == "POST"`:                                    true,
		`request.host == "api.example.com"`:                           true,
		`request.path.matches("^/reports/[a-z]+$")`:                   true,
		`request.source == "10.1.2.3"`:                                true,
		`["/a", "/reports"].exists(p, request.path.startsWith(p))`:    true,
		`request.headers["x-" + request.query["page"]] == ""`:         true,
		`true`: true,
	} {
		matcher, err := Compile(Match{Expr: text})
		if err != nil {
			t.Error(err)
			continue
		}
		if at := matcher.miss(sample()); at.field == fieldNone != want || at.err != nil {
			t.Errorf("%s: %v, error %v, want %v", text, !want, at.err, want)
		}
	}
}

// Wrong expressions are found when the configuration is read.
func TestExprCompileErrors(t *testing.T) {
	for text, want := range map[string]string{
		`request.size`:                    "gives int, want bool",
		`dyn(true)`:                       "gives dyn, want bool",
		`request.size <`:                  "column 15",
		`request.sise > 1`:                "request.sise",
		`request.size == "1"`:             "no matching overload",
		`request.path.matches("(")`:       "missing closing )",
		`"a".matches(request.path)`:       "column 12: the regular expression of matches is not constant",
		`matches("a", request.path + "")`: "not constant",
		`["a"].exists(p, "a".matches(p))`: "not constant",
		`"a".matches(dyn("a"))`:           "not constant",
		`has(request.headers.host)`:       `"name" in request.headers`,
		`request.headers.all(h, h == "")`: "range of a comprehension",
		`size(request.headers) > 1`:       "no matching overload",
	} {
		_, err := Compile(Match{Expr: text})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error of several lines: %v", text, err)
		}
	}
}

// An evaluation that fails, or would take too long, is false and is counted.
func TestExprFailures(t *testing.T) {
	ten := `[0,1,2,3,4,5,6,7,8,9]`
	for _, text := range []string{
		`request.size / 0 == 1`,
		`dyn(request.headers).all(h, true)`,
		`request.headers == request.headers`,
		`request.headers[dyn(1)] == ""`,
		ten + `.all(a, ` + ten + `.all(b, ` + ten + `.all(c, ` + ten + `.all(d, a+b+c+d >= 0))))`,
	} {
		matcher, err := Compile(Match{Expr: text})
		if err != nil {
			t.Error(err)
			continue
		}
		failed := 0
		list := NewList([]*Matcher{matcher}, func(int) { failed++ })
		if list.First(sample()) >= 0 || failed != 1 {
			t.Errorf("%s: matches, or failed %d times, want 1", text, failed)
		}
	}
}
