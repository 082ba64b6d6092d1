package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overtake/broker/nats"
	"overtake/classifier/strictyaml"
	"overtake/gateway"
	"overtake/gateway/config"
)

// captured runs f and returns what it printed on both streams.
func captured(t *testing.T, f func()) (stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i := range files {
		var err error
		if files[i], err = os.Create(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
	}
	wasOut, wasErr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = files[0], files[1]
	defer func() { os.Stdout, os.Stderr = wasOut, wasErr }()
	f()
	var texts [2]string
	for i, file := range files {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	return texts[0], texts[1]
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "overtake.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRun(t *testing.T) {
	good := writeFile(t, "upstreams: {app: {servers: [\"http://127.0.0.1:9000\"]}}\n")
	bad := writeFile(t, "listners: []\n")
	capped := writeFile(t, `flow: {header: X-Api-Key, ceilings: [{keys: ["free-*"], class: standard}]}
rules: [{name: try, class: batch, dry_run: true}, {name: vip, class: interactive}]
`)
	core := writeFile(t, "brokers: {far: {type: nats, url: \"nats://127.0.0.1:1\"}}\nqueues: {jobs: {}}\nrelays: [{from: {subject: a}}]\n")
	secret := writeFile(t, "rules: [{name: a, class: batch, match: {path: /a}}]\nadmin_token: \"${OVERTAKE_TEST_NOT_SET}\"\nupstreams: {app: {servers: [\"http://127.0.0.1:1\"]}}\n")
	for _, c := range []struct {
		args   []string
		code   int
		stdout string // what the streams contain; empty is that they are empty
		stderr string
	}{
		{nil, exitOK, "Usage: overtake <command>", ""},
		{[]string{"--help"}, exitOK, "Usage: overtake <command>", ""},
		{[]string{"demo", "--help"}, exitOK, "Example", ""},
		{[]string{"version"}, exitOK, "overtake ", ""},
		{[]string{"check", "-c", good}, exitOK, good + ": ok: 1 listeners, 3 classes, 0 rules, 1 routes, 1 upstreams, 0 queues, 0 relays\n", ""},
		{[]string{"check", "-c", bad}, exitUsage, "", bad + ":1:1: listners: unknown key; did you mean \"listeners\"?\n"},
		{[]string{"relay", "--help"}, exitOK, "overtake relay -c overtake.yaml --until-empty", ""},
		{[]string{"relay", "-c", good}, exitUsage, "", "has no relays: add relays:"},
		{[]string{"relay", "-c", core, "--until-empty"}, exitUsage, "", "which is never empty"},
		{[]string{"relay"}, exitUsage, "", "--config"},
		{[]string{"explain", "-c", bad, "GET", "/"}, exitUsage, "", "unknown key"},
		{[]string{"explain", "-c", secret, "GET", "/a"}, exitOK, "class  batch\nrule   a\n", secret + ":2:14: admin_token: the environment variable OVERTAKE_TEST_NOT_SET is not set"},
		{[]string{"check", "-c", secret}, exitUsage, "", "OVERTAKE_TEST_NOT_SET is not set"},
		{[]string{"explain", "GET", "/", "-H", "Sec-Purpose: prefetch"}, exitOK, "class  batch\nrule   builtin:prefetch\n", ""},
		{[]string{"explain", "GET", "/", "-H", "User-Agent: GPTBot/1.2"}, exitOK, "class  batch\nrule   builtin:crawler\n", ""},
		{[]string{"explain", "GET", "/"}, exitOK, "builtin:fetch-legacy       interactive  headers.X-Requested-With does not hold: absent\n", ""},
		{[]string{"explain", "-c", capped, "GET", "/a", "-H", "X-Api-Key: free-1", "-H", "Latency-Class: interactive"}, exitOK, `class    standard
rule     vip
claimed  interactive (not believed: the source is not in the trust of any listener)
flow     "free-1"
ceiling  flow.ceilings[0]: the flow gets no more urgent class
route    none: 404 no_upstream

rule tested  class        result
try          batch        matches, but decides nothing: dry run
vip          interactive  matches
`, ""},
		{[]string{"explain", "GET", "/", "-H", "Latency-Class: urgent"}, exitOK, "claimed  urgent (no class is called so)\n", ""},
		{[]string{"explain", "GET", "/", "-H", "no colon"}, exitUsage, "", "want 'Name: value'"},
		{[]string{"--nothing"}, exitUsage, "", "overtake: unknown flag --nothing (overtake --help shows what there is)\n"},
		{[]string{"demo", "now"}, exitUsage, "", "overtake: unexpected argument now (overtake demo --help has an example)\n"},
		{[]string{"app", "--workers", "-1"}, exitUsage, "", "--workers"},
		{[]string{"app", "--listen", "127.0.0.1:99999"}, exitUsage, "", "is not an address"},
		{[]string{"app", "--listen", "192.0.2.1:1"}, exitFailed, "", "give another with --listen"},
		{[]string{"trace", "--help"}, exitOK, "overtake trace --jaeger http://127.0.0.1:16686 4bf92f3577b34da6a3ce929d0e0e4736", ""},
		{[]string{"trace"}, exitUsage, "", "missing flags: --jaeger=URL (overtake trace --help has an example)\n"},
		{[]string{"trace", "--jaeger", "127.0.0.1:16686"}, exitUsage, "", "\"127.0.0.1:16686\" is not the address of Jaeger's pages, want one such as http://127.0.0.1:16686"},
		{[]string{"trace", "--jaeger", "http://127.0.0.1:1", "xyz"}, exitUsage, "", "\"xyz\" is not the id of a trace, want up to 32 hexadecimal digits"},
		{[]string{"trace", "--jaeger", "http://127.0.0.1:1", "--class", "batch", "ab"}, exitUsage, "", "they don't go with the ID of one"},
		{[]string{"trace", "--jaeger", "http://127.0.0.1:1", "--slowest", "0"}, exitUsage, "", "--slowest 0, want 1 to 1000"},
		{[]string{"trace", "--jaeger", "http://127.0.0.1:1", "--since", "-1h"}, exitUsage, "", "--since"},
		{[]string{"trace", "--jaeger", "http://127.0.0.1:1", "--since", "2d"}, exitUsage, "", "--since"},
		{[]string{"trace", "--jaeger", "http://127.0.0.1:1"}, exitFailed, "", "is it running there? Its pages and its query API are usually on port 16686\n"},
		{[]string{"trace", "--jaeger", "http://127.0.0.1:1", "ab"}, exitFailed, "", "is it running there?"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			code := -1
			stdout, stderr := captured(t, func() { code = run(c.args) })
			if code != c.code {
				t.Errorf("the exit code is %d, want %d", code, c.code)
			}
			checkStream(t, "standard output", stdout, c.stdout)
			checkStream(t, "standard error", stderr, c.stderr)
		})
	}
}

// The environment has the token of the admin listener: what a gateway would refuse
// there, check refuses as well, and shows it to nobody.
func TestCheckMindsTheToken(t *testing.T) {
	file := writeFile(t, "upstreams: {app: {servers: [\"http://127.0.0.1:9000\"]}}\n")
	for token, want := range map[string]int{"t0ken": exitUsage, "correct-horse-battery-staple": exitOK, "": exitOK} {
		t.Setenv("OVERTAKE_ADMIN_TOKEN", token)
		t.Setenv("OVERTAKE_LISTEN", "nonsense") // for another process
		code := -1
		stdout, stderr := captured(t, func() { code = run([]string{"check", "-c", file}) })
		if code != want || code != exitOK && !strings.Contains(stderr, "OVERTAKE_ADMIN_TOKEN: admin_token: has 5 characters, want at least 16") {
			t.Errorf("%q: exit code %d, want %d: %s%s", token, code, want, stdout, stderr)
		}
		if token != "" && strings.Contains(stdout+stderr, token) {
			t.Errorf("it shows the token: %s%s", stdout, stderr)
		}
	}
}

func checkStream(t *testing.T, stream, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) || want == "" && got != "" {
		t.Errorf("%s has\n%s\nwant\n%s", stream, got, want)
	}
}

func TestFail(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{nil, exitOK, ""},
		{errors.New("the disk is full"), exitFailed, "overtake: the disk is full\n"},
		{&usageError{errors.New("no such thing")}, exitUsage, "overtake: no such thing (overtake demo --help has an example)\n"},
		{fmt.Errorf("wrapped: %w", &usageError{errors.New("no such thing")}), exitUsage, "overtake: wrapped: no such thing (overtake demo --help has an example)\n"},
		{strictyaml.Problems{{Path: "admin", Text: "is wrong"}, {Path: "routes", Text: "too"}}, exitUsage, "admin: is wrong\nroutes: too\n"},
	} {
		code := -1
		stdout, stderr := captured(t, func() { code = fail(c.err, "demo") })
		if code != c.code || stderr != c.want || stdout != "" {
			t.Errorf("fail(%v) returned %d and printed %q, want %d and %q", c.err, code, stderr, c.code, c.want)
		}
	}
}

func TestPrintExplanation(t *testing.T) {
	cfg, err := config.Parse("overtake.yaml", []byte(`
listeners: [{address: ":8080", trust: [10.0.0.0/8]}]
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
queues: {jobs: {}}
rules:
  - {name: reports, class: interactive, match: {path: "/reports/**"}}
  - {name: gold, class: interactive, match: {headers: {X-Plan: gold}}}
routes:
  - {match: {path: "/jobs/**"}, queue: jobs}
  - {match: {path: "/reports/**"}, upstream: app}
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		q    gateway.Question
		want string
	}{
		{"rule", gateway.Question{Method: "GET", URL: "/reports/1"}, `class  interactive
rule   reports
route  routes[1]: upstream app

rule tested  class        result
reports      interactive  matches
`},
		{"lowered", gateway.Question{Method: "GET", URL: "/reports/1", Header: []string{"Latency-Class: batch"}}, `class    batch
rule     reports, lowered at the request's own wish
claimed  batch (not trusted, but less urgent than the rule's)
route    routes[1]: upstream app

rule tested  class        result
reports      interactive  matches
`},
		{"no rule, queue", gateway.Question{Method: "POST", URL: "/jobs/1", Header: []string{"X-Plan: tin"}}, `class  standard
rule   default: no rule matches
route  routes[0]: queue jobs

rule tested  class        result
reports      interactive  path does not hold: "/jobs/1"
gold         interactive  headers.X-Plan does not hold: "tin"
`},
		{"no route", gateway.Question{Method: "GET", URL: "/", Header: []string{"X-Plan: gold"}}, `class  interactive
rule   gold
route  none: 404 no_upstream

rule tested  class        result
reports      interactive  path does not hold: "/"
gold         interactive  matches
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := gateway.Explain(cfg, c.q)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := captured(t, func() { printExplanation(e) }); got != c.want {
				t.Errorf("printed\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// The lanes and dead letters of all queues fit into what the broker may take,
// and use it.
func TestDivide(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		maxBytes        strictyaml.Size
		queues, classes int
		lane, dead      int64
	}{
		{1 << 30, 1, 3, 320 * mib, nats.DefaultDeadBytes},
		{1 << 30, 2, 3, (512*mib - nats.DefaultDeadBytes) / 3, nats.DefaultDeadBytes},
		{1 * mib, 1, 3, mib / 4, mib / 4},
		{1 * mib, 4, 3, mib / 16, mib / 16},
	} {
		lane, dead := divide(c.maxBytes, c.queues, c.classes)
		if lane != c.lane || dead != c.dead {
			t.Errorf("%s for %d queues of %d classes: lane %d, dead %d; want %d and %d", c.maxBytes, c.queues, c.classes, lane, dead, c.lane, c.dead)
		}
		if used := int64(c.queues) * (int64(c.classes)*lane + dead); used > int64(c.maxBytes) || used < int64(c.maxBytes)*9/10 {
			t.Errorf("%s for %d queues of %d classes: %d bytes are used", c.maxBytes, c.queues, c.classes, used)
		}
	}
}

func TestWithoutSettings(t *testing.T) {
	got := withoutSettings([]string{"HOME=/root", "OVERTAKE_LISTEN=:80", "MY_OVERTAKE_X=1"})
	if want := []string{"HOME=/root", "MY_OVERTAKE_X=1"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// childOfTest is set in the environment of a test binary that TestChild runs.
const childOfTest = "CHILD_OF_TEST"

// A child that ends before it has said what is awaited is an error with its last
// words.
func TestChild(t *testing.T) {
	if os.Getenv(childOfTest) == "" {
		t.Setenv(childOfTest, "yes")
		c, err := startChild(t.Context(), filepath.Join(t.TempDir(), "log"), "-test.run=^TestChild$")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.find(t.Context(), `port (\d+)`); got != "4711" || err != nil {
			t.Errorf("found %q, %v", got, err)
		}
		if _, err := c.find(t.Context(), "never"); err == nil || !strings.Contains(err.Error(), "-test.run=^TestChild$ ended: ") {
			t.Errorf("error is %v", err)
		}
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		return
	}
	_, _ = io.WriteString(os.Stdout, "port 4711\nlast words\n")
	os.Exit(exitFailed)
}
