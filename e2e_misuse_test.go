//go:build e2e

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Every mistake gets one clear line that names the place and the remedy, and the
// exit code for its kind. In args and want, @ is a file with the text of file.
func TestE2EMisuse(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	const up = "http://127.0.0.1:1"
	gateway := func(args ...string) []string { return append([]string{"gateway", "--admin", "off"}, args...) }
	load := func(args ...string) []string { return append([]string{"loadgen", "--target", up}, args...) }
	for _, c := range []struct {
		name string
		args []string
		env  string
		file string
		code int
		want string // a pattern for all that is printed
	}{
		{"unknown key", gateway("-c", "@"), "", "listners: []\n", 2,
			`@:1:1: listners: unknown key; did you mean "listeners"\?`},
		{"unknown key below", gateway("-c", "@"), "", "upstreams:\n  app: {server: [\"" + up + "\"]}\n", 2,
			`@:2:9: upstreams.app.server: unknown key; did you mean "servers"\?`},
		{"bad unit", gateway("-c", "@"), "", "upstreams:\n  app:\n    servers: [\"" + up + "\"]\n    timeout: 30\n", 2,
			`@:4:14: upstreams.app.timeout: "30" has no unit; write 30ms or 30s`},
		{"several problems", gateway("-c", "@"), "", "listners: []\ndrain_timeout: 5\n", 2,
			`@:1:1: listners: unknown key; did you mean "listeners"\?` + "\n" + `@:2:16: drain_timeout: "5" has no unit; write 5ms or 5s`},
		{"broken YAML", gateway("-c", "@"), "", "upstreams: {app: [\n", 2, `@:1:18: .+`},
		{"missing file", gateway("-c", "/none/overtake.yaml"), "", "", 2, `/none/overtake.yaml: can't be read: no such file or directory`},
		{"folder for a file", []string{"check", "-c", os.TempDir()}, "", "", 2, `\S+: can't be read: is a directory`},
		{"variable not set", []string{"check", "-c", "@"}, "", "default_class: ${OVERTAKE_E2E_NONE}\n", 2, `@:1:16: default_class: .*OVERTAKE_E2E_NONE.*`},
		{"nothing in front of", gateway(), "", "", 2, `nothing to stand in front of; give a configuration file \(-c FILE .+ or an app \(--upstream URL .+`},
		{"upstream is no URL", gateway("--upstream", "127.0.0.1:9000"), "", "", 2, `--upstream: .+"127.0.0.1:9000" is not a URL; write http://127.0.0.1:9000`},
		{"listen is no address", gateway("--upstream", up, "--listen", "8080"), "", "", 2, `--listen: .+"8080" is not an address; write ":8080"`},
		{"bad log level", gateway("--upstream", up, "--log-level", "loud"), "", "", 2, `--log-level: .+"loud" is not a log level; want debug, info, warn or error`},
		{"bad environment", gateway("--upstream", up), "OVERTAKE_LISTEN=8080", "", 2, `OVERTAKE_LISTEN: .+"8080" is not an address; write ":8080"`},
		{"bad log level in the environment", gateway("--upstream", up), "OVERTAKE_LOG_LEVEL=loud", "", 2, `OVERTAKE_LOG_LEVEL: .+"loud" is not a log level; want .+`},
		{"port in use", gateway("--upstream", up, "--listen", busy.Addr().String()), "", "", 1,
			`overtake: gateway: listener public: listen tcp \S+: bind: address already in use; free the address or give another`},
		{"admin port in use", []string{"gateway", "--upstream", up, "--listen", "127.0.0.1:0", "--admin", busy.Addr().String()}, "", "", 1,
			`overtake: gateway: admin listener: listen tcp \S+: bind: address already in use; free the address or give another`},
		{"app's port in use", []string{"app", "--listen", busy.Addr().String()}, "", "", 1,
			`overtake: app: listen tcp \S+: bind: address already in use; free the address or give another with --listen`},
		{"app's bad address", []string{"app", "--listen", "9000"}, "", "", 2, `overtake: --listen "9000" is not an address, want HOST:PORT: .+`},
		{"no workers", []string{"app", "--workers", "0"}, "", "", 2, `overtake: --workers 0, want 1 to 10000 \(overtake app --help has an example\)`},
		{"unknown flag", gateway("--upsteam", up), "", "", 2, `overtake: unknown flag --upsteam, did you mean "--upstream"\? \(overtake gateway --help has an example\)`},
		{"sidecar without anything", []string{"sidecar"}, "", "", 2, `nothing to listen on; give --inbound ADDR --app URL .+`},
		{"sidecar without app", []string{"sidecar", "--inbound", ":15006"}, "", "", 2, `an inbound listener and no app; give --app URL, .+`},
		{"sidecar's bad addresses", []string{"sidecar", "--inbound", "5", "--app", "a", "--outbound", "7"}, "", "", 2,
			`--inbound: .+"5" is not an address; write ":5"\n--outbound: .+"7" is not an address; write ":7"\n--app: .+"a" is not a URL; .+`},
		{"sidecar with a gateway's file", []string{"sidecar", "-c", "@"}, "", "upstreams: {app: {servers: [\"" + up + "\"]}}\n", 2,
			`@: has neither an inbound nor an outbound listener; add .+`},
		{"sidecar's port in use", []string{"sidecar", "--admin", "off", "--outbound", busy.Addr().String()}, "", "", 1,
			`(?s).*overtake: gateway: listener outbound: listen tcp \S+: bind: address already in use; free the address or give another`},
		{"unknown command", []string{"gatewya"}, "", "", 2, `overtake: unexpected argument gatewya, did you mean "gateway"\? \(overtake --help shows what there is\)`},
		{"missing argument", []string{"explain", "GET"}, "", "", 2, `overtake: expected "<url>" \(overtake explain --help has an example\)`},
		{"missing flag", []string{"check"}, "", "", 2, `overtake: missing flags: --config=FILE \(overtake check --help has an example\)`},
		{"bad source", []string{"explain", "GET", "/", "--source", "10.0.0"}, "", "", 2, `overtake: --source "10.0.0" is not an IP address, want one such as 10.1.2.3 .+`},
		{"bad class", load("--class", "interactive=fast:/"), "", "", 2, `overtake: .+class "interactive=fast:/": rate "fast" is not a number; want NAME=RATE:PATH .+`},
		{"bad duration", load("--class", "a=1:/", "--duration", "10"), "", "", 2, `overtake: --duration: "10" is no duration: it has no unit; write 10s, or 10m for minutes .+`},
		{"no duration", load("--class", "a=1:/", "--duration", "0s"), "", "", 2, `overtake: --duration 0s, want more than 0s .+`},
		{"no load", load(), "", "", 2, `overtake: no load given; add -f shop, or --class 'interactive=200:/work\?ms=5' .+`},
		{"job without class", load("--class", "a=1:/", "--job", "b"), "", "", 2, `overtake: --job b: there is no class of this name .+`},
		{"target away", load("--class", "a=1:/", "--duration", "1s"), "", "", 1, `overtake: loadgen: target http://127.0.0.1:1 refused the connection; is a server running there\? .+`},
		{"demo too short", []string{"demo", "--duration", "10ms"}, "", "", 2, `overtake: --duration 10ms, want at least 1s .+`},
		{"report in no folder", []string{"demo", "--out", "/dev/null/report"}, "", "", 2, `overtake: report: mkdir /dev/null: not a directory; give another folder with --out \(overtake demo --help has an example\)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "overtake.yaml")
			if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			args := make([]string, len(c.args))
			for i, arg := range c.args {
				args[i] = strings.ReplaceAll(arg, "@", file)
			}
			r := runProgram(t, []string{c.env}, args...)
			checkRefused(t, r, c.code, strings.ReplaceAll(c.want, "@", regexp.QuoteMeta(file)))
		})
	}
}

// checkRefused expects a program that ended with code and printed nothing but
// what want, a pattern, matches.
func checkRefused(t *testing.T, r result, code int, want string) {
	t.Helper()
	if r.code != code {
		t.Errorf("it exited with %d, want %d", r.code, code)
	}
	// The pattern "." does not match the end of a line.
	if !regexp.MustCompile(`^` + want + `\n$`).MatchString(r.stderr) {
		t.Errorf("it printed\n%s\nwant %s", r.stderr, want)
	}
	if r.stdout != "" {
		t.Errorf("standard output has\n%s", r.stdout)
	}
}

// A broker folder that can't be used is refused by name.
func TestE2EBrokerFolder(t *testing.T) {
	config := func(dir, more string) string {
		return writeConfig(t, `
upstreams: {app: {servers: ["http://127.0.0.1:1"]}}
brokers: {local: {type: nats, embedded: true, dir: "`+dir+`"`+more+`}}
queues: {jobs: {deliver: {}}}
routes: [{queue: jobs}]
`)
	}
	t.Run("not writable", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r := runProgram(t, nil, "gateway", "-c", config(file+"/data", ""))
		checkRefused(t, r, exitFailed, `overtake: broker local: nats: broker folder "`+regexp.QuoteMeta(file)+`/data" can't be used: .+ not a directory; give the broker a folder .+`)
	})
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		first := runGateway(t, config(dir, ""))
		r := runProgram(t, nil, "gateway", "-c", config(dir, ""))
		checkRefused(t, r, exitFailed, `overtake: broker local: nats: broker folder "`+regexp.QuoteMeta(dir)+`" is in use by process \d+; stop it or give this one another dir`)
		first.stop(t)
	})
	t.Run("too small", func(t *testing.T) {
		classes := "\nclasses: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}, {name: f}, {name: g}, {name: h}]\n"
		file := config(t.TempDir(), ", max_bytes: 1MiB")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.Replace(string(text), "queues: {jobs:", "queues: {more: {}, jobs:", 1) + classes)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := runProgram(t, nil, "check", "-c", file)
		checkRefused(t, r, exitUsage, `.*brokers.local.max_bytes: 1MiB is too small for the broker's queues; want 1536KiB or more`)
	})
}

// Every command has help with an example, and the program tells its version.
func TestE2EHelp(t *testing.T) {
	for _, command := range []string{"gateway", "sidecar", "loadgen", "app", "demo", "check", "explain", "trace", "version"} {
		stdout, stderr := tool(t, binary, command, "--help")
		if !strings.HasPrefix(stdout, "Usage: overtake "+command) || !strings.Contains(stdout, "Example") || !strings.Contains(stdout, "\n    overtake "+command) || stderr != "" {
			t.Errorf("overtake %s --help printed\n%s%s", command, stdout, stderr)
		}
	}
	bare, _ := tool(t, binary)
	if help, _ := tool(t, binary, "--help"); help != bare || !strings.Contains(help, "overtake demo") {
		t.Errorf("overtake --help printed\n%s\nand overtake alone\n%s", help, bare)
	}
	if stdout, _ := tool(t, binary, "version"); !regexp.MustCompile(`^overtake \S.* go1\.\S+\n$`).MatchString(stdout) {
		t.Errorf("overtake version printed %q", stdout)
	}
}

// The example of the documentation is accepted, and explains itself.
func TestE2EContract(t *testing.T) {
	example, err := filepath.Abs("gateway/config/testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeCertificate(t, "tls.crt", "tls.key")
	env := []string{"RABBITMQ_URL=amqp://me:hunter2@rabbit:5672/"}

	r := runProgram(t, env, "check", "-c", example)
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if last, want := lines[len(lines)-1], example+": ok: 1 listeners, 3 classes, 3 rules, 2 routes, 1 upstreams, 1 queues, 0 relays"; r.code != exitOK || last != want || r.stderr != "" {
		t.Errorf("check exited with %d and printed\n%s%s\nwant %s", r.code, r.stdout, r.stderr, want)
	}
	for _, line := range lines[:len(lines)-1] {
		if !strings.HasPrefix(line, "warning: "+example+":") {
			t.Errorf("check printed %q", line)
		}
	}
	if strings.Contains(r.stdout, "hunter2") {
		t.Errorf("check shows a secret:\n%s", r.stdout)
	}
	if r := runProgram(t, nil, "check", "-c", example); r.code != exitUsage || !strings.Contains(r.stderr, "RABBITMQ_URL") {
		t.Errorf("without RABBITMQ_URL, check exited with %d and printed\n%s", r.code, r.stderr)
	}

	for _, c := range []struct {
		args []string
		want []string // class, rule and route
	}{
		{[]string{"GET", "/reports/2026"}, []string{"class  batch", "rule   reports", "route  routes[1]: upstream app"}},
		{[]string{"POST", "http://shop.example/jobs/export"}, []string{"class  standard", "rule   default: no rule matches", "route  routes[0]: queue jobs"}},
		{[]string{"GET", "/", "-H", "X-Plan: gold"}, []string{"class  interactive", "rule   vip", "route  routes[1]: upstream app"}},
		{[]string{"GET", "/", "-H", "User-Agent: a bot of ours"}, []string{"class  batch", "rule   bots"}},
		{[]string{"GET", "/", "-H", "Latency-Class: interactive"}, []string{"class    standard", "claimed  interactive (not believed: the source is not in the trust of any listener)"}},
		{[]string{"GET", "/", "-H", "Latency-Class: interactive", "--source", "10.1.2.3"}, []string{"class    interactive", "rule     trusted", "claimed  interactive (from a trusted network)"}},
	} {
		r := runProgram(t, env, append([]string{"explain", "-c", example}, c.args...)...)
		for _, want := range c.want {
			if r.code != exitOK || !strings.Contains(r.stdout, want) {
				t.Errorf("explain %q exited with %d and printed\n%s%s\nwant %q", c.args, r.code, r.stdout, r.stderr, want)
			}
		}
	}
}

// A small file is explained as a whole.
func TestE2EExplain(t *testing.T) {
	file := writeConfig(t, `
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
rules:
  - {name: reports, class: batch, match: {path: "/reports/**"}}
  - {name: posts, class: interactive, match: {methods: [POST]}}
`)
	if stdout, _ := tool(t, binary, "check", "-c", file); stdout != file+": ok: 1 listeners, 3 classes, 2 rules, 1 routes, 1 upstreams, 0 queues, 0 relays\n" {
		t.Errorf("check printed\n%s", stdout)
	}
	stdout, _ := tool(t, binary, "explain", "-c", file, "POST", "/orders")
	want := `class  interactive
rule   posts
route  routes[0]: upstream app

rule tested  class        result
reports      batch        path does not hold: "/orders"
posts        interactive  matches
`
	if stdout != want {
		t.Errorf("explain printed\n%s\nwant\n%s", stdout, want)
	}
}

// writeCertificate writes a self-signed certificate and its key.
func writeCertificate(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
