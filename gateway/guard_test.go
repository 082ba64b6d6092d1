package gateway

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/gateway/config"
)

const testToken = "correct-horse-battery-staple"

const guarded = "admin_token: " + testToken + "\nadmin_hosts: [overtake.example.com, \"*.ops.example.com\"]\n"

// adminAnswer is what the admin listener answered.
type adminAnswer struct {
	status int
	header http.Header
	body   string
}

// askAdmin sends a request to the admin listener, with these header fields, Host among
// them.
func (g *testGateway) askAdmin(method, target string, header ...string) adminAnswer {
	g.t.Helper()
	req, err := http.NewRequest(method, "http://"+g.AdminAddr().String()+target, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header[name] = append(req.Header[name], value)
	}
	resp, err := client(g.t).Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return adminAnswer{resp.StatusCode, resp.Header, string(body)}
}

// wantArmour checks what every answer says to browsers.
func (a adminAnswer) wantArmour(t *testing.T, what string) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	for name := range a.header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: the answer has %s", what, name)
		}
	}
}

// Pages of others get nothing from the browser of an operator, under whatever name
// and however they ask; operators, their tools and probes do.
func TestAdminRefusesOtherSites(t *testing.T) {
	g := start(t, guarded, serveRaw(t).url())
	address := g.AdminAddr().String()
	_, port, _ := net.SplitHostPort(address)
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("$ADDRESS", address, "$PORT", port, "$MACHINE", machine)
	for _, test := range adminCases {
		var header []string
		for _, field := range test.header {
			header = append(header, here.Replace(field))
		}
		what := fmt.Sprint(test.method, " ", test.target, " ", header)
		a := g.askAdmin(test.method, test.target, header...)
		if a.status != test.status || !strings.Contains(a.body, test.says) {
			t.Errorf("%s: %d %s, want %d and %q", what, a.status, a.body, test.status, test.says)
		}
		a.wantArmour(t, what)
		if challenge := a.header.Get("Www-Authenticate"); (a.status == 401) != strings.HasPrefix(challenge, "Bearer ") {
			t.Errorf("%s: the challenge is %q", what, challenge)
		}
		if (a.status == 405) != (a.header.Get("Allow") != "") {
			t.Errorf("%s: Allow is %q", what, a.header.Get("Allow"))
		}
		if strings.Contains(a.body, testToken) {
			t.Errorf("%s: the answer has the token", what)
		}
	}
	if a := g.askAdmin("GET", "/admin/reload", withToken); a.header.Get("Allow") != "POST" {
		t.Errorf("Allow: %s", a.header.Get("Allow"))
	}
	if n := strings.Count(g.log.String(), "the admin listener refuses requests"); n != 1 {
		t.Errorf("refusals are logged %d times, want once a minute", n)
	}
	if strings.Contains(g.log.String(), testToken) {
		t.Error("the log has the token")
	}
}

// adminRoutes are the patterns that this package and the console's register with a
// mux, as they are in the source.
func adminRoutes(t *testing.T) (patterns []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("console/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, more...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "Handle" && f.Sel.Name != "HandleFunc" {
				return true
			}
			if to, ok := f.X.(*ast.Ident); !ok || to.Name != "mux" {
				return true // a handler of log records, too, has Handle
			}
			text, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a pattern that is not written out, so that it can't be tested", file)
				return true
			}
			pattern, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, pattern)
			return true
		})
	}
	if !slices.Contains(patterns, "GET /metrics") || !slices.Contains(patterns, "POST /admin/reload") || len(patterns) < 14 {
		t.Fatalf("these can't be all: %q", patterns)
	}
	return patterns
}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// Whatever is registered changes nothing for who has no token, also where there is
// none to have.
func TestAdminChangesTakeTheToken(t *testing.T) {
	app := serveRaw(t)
	for _, test := range []struct {
		yaml   string
		header []string
	}{{guarded, nil}, {guarded, []string{"Authorization: Bearer not-the-right-one"}}, {"", nil}, {"", []string{"Authorization: Bearer "}}, {"admin_token: xxxxx\n", []string{"Authorization: Bearer xxxxx"}}} {
		g := start(t, test.yaml, app.url())
		for _, pattern := range adminRoutes(t) {
			method, path, found := strings.Cut(pattern, " ")
			if !found || method != http.MethodGet && method != http.MethodPost {
				t.Errorf("%q: want it to begin with GET or POST", pattern)
				continue
			}
			path = wildcard.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "x")
			for _, other := range []string{"POST", "PUT", "PATCH", "DELETE", "QUERY", "OPTIONS", "post"} {
				a := g.askAdmin(other, path, test.header...)
				want := http.StatusMethodNotAllowed
				if other == method {
					want = http.StatusUnauthorized
					if !strings.Contains(test.yaml, testToken) {
						want = http.StatusForbidden
					}
				}
				if a.status != want {
					t.Errorf("%s %s with %q: %d %s, want %d", other, path, test.header, a.status, a.body, want)
				}
				if want == http.StatusForbidden && !strings.Contains(a.body, "admin_token") {
					t.Errorf("%s %s does not say how to allow it: %s", other, path, a.body)
				}
			}
			if method != http.MethodPost {
				continue
			}
			if a := g.askAdmin("GET", path, test.header...); a.status != http.StatusMethodNotAllowed {
				t.Errorf("GET %s: %d", path, a.status)
			}
		}
	}
}

// Who is careless enough to register a handler for all methods has the guard's token
// all the same.
func TestGuardKnowsUnsafeMethodsByItself(t *testing.T) {
	g := start(t, guarded, serveRaw(t).url())
	mux := g.admin.server.Handler.(*guard).next
	changed := false
	mux.HandleFunc("/careless", func(_ http.ResponseWriter, r *http.Request) { changed = changed || r.Method != http.MethodGet })
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} {
		if a := g.askAdmin(method, "/careless"); a.status != 401 || changed {
			t.Errorf("%s: %d, and something was changed: %v", method, a.status, changed)
		}
	}
	if a := g.askAdmin("GET", "/careless"); a.status != 200 {
		t.Errorf("GET: %d", a.status)
	}
}

// Hostile connections are bounded in what they may send.
func TestAdminListenerIsBounded(t *testing.T) {
	g := start(t, guarded, serveRaw(t).url())
	for text, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                                                               "200",
		"GET /metrics HTTP/1.0\r\n\r\n":                                                               "403",
		"GET /metrics HTTP/1.1\r\n\r\n":                                                               "400",
		"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":                                         "400",
		"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n":                         "403",
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n": "431",
		"POST /admin/reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + testToken + "\r\nContent-Length: 1\r\n\r\nx": "413",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                                 "413",
		"POST /admin/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n":                                   "413",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":            "413",
		"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                             "403",
	} {
		conn, err := net.Dial("tcp", g.AdminAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, " "+want+" ") {
			t.Errorf("%.80q: %q %v, want %s", text, line, err, want)
		}
	}
}

// Host and Origin are text from anywhere.
func FuzzGuardHost(f *testing.F) {
	for _, seed := range []string{"", "localhost:80", "[::1]:1", "[", "a.svc", "evil.example", ".", "..", "*.svc", "[::1%25x]", "a:b:c", "\x00"} {
		f.Add(seed)
	}
	cfg, err := parseConfig(guarded, "http://127.0.0.1:1")
	if err != nil {
		f.Fatal(err)
	}
	d := newGuard(http.NewServeMux(), func() *config.Config { return cfg }, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, host string) {
		if d.isOurs(host) && strings.HasSuffix(host, ".example") {
			t.Errorf("%q is a name of the public DNS", host)
		}
		fromElsewhere(&http.Request{Host: "localhost", Header: http.Header{"Origin": {host}}})
	})
}
