package main_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An archRule says what a package may not import, and why. Patterns are import
// paths; "x/..." is x and all below it, and the module itself is "overtake".
type archRule struct {
	pkg   string   // whom it binds
	not   []string // what it may not import
	but   []string // except these
	shell []string // files it does not bind
	tests bool     // binds _test.go files too
	why   string
}

// archRules is the layout of the program: imports point down only.
//
//	main -> gateway, loadgen, broker/nats, broker/rabbitmq -> scheduler, broker, tracing -> classifier
var archRules = []archRule{{
	pkg: "overtake",
	not: []string{"overtake/broker/brokertest/...", "overtake/broker/nats/natstest/...", "overtake/broker/rabbitmq/rabbitmqtest/...", "overtake/docs/..."},
	why: "main wires everything together, but a conformance suite, servers and what draws pictures are for tests",
}, {
	pkg: "overtake/classifier/...", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/classifier/..."},
	why: "the classifier is a leaf: every hop needs its classes, so it can need nothing of theirs",
}, {
	pkg: "overtake/classifier/strictyaml", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/classifier/strictyaml"},
	why: "it reads the files of whoever asks, the gateway's and the load generator's, so it can know none of them, nor the classes",
}, {
	pkg: "overtake/scheduler/...", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/scheduler/...", "overtake/classifier", "overtake/docs/picture"},
	why: "requests and messages share one order, so the scheduler can know neither",
}, {
	pkg: "overtake/scheduler/...", tests: true,
	not: []string{"net/http/...", "github.com/valyala/fasthttp/...", "golang.org/x/net/..."},
	why: "HTTP/1.1, HTTP/2 and queue deliveries come to the same scheduler; it can't be made for one of them",
}, {
	pkg: "overtake/scheduler/...",
	not: []string{"log/...", "github.com/prometheus/...", "go.opentelemetry.io/...", "os/...", "net"},
	why: "the scheduler does no I/O, logs nothing and counts nothing by itself: others read its snapshot",
}, {
	pkg: "overtake/scheduler", shell: []string{"scheduler.go"},
	not: []string{"sync/..."},
	why: "the core is a state machine without locks; they belong to the shell, which is named in this rule",
}, {
	pkg: "overtake/docs/...", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/docs/...", "overtake/scheduler", "overtake/classifier", "overtake/broker/..."},
	why: "the examples show what a service can use without a gateway",
}, {
	pkg: "overtake/tracing/...", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/tracing/...", "overtake/classifier"},
	why: "a trail is carried by whoever forwards work; it knows neither the gateway, nor the order, nor a broker",
}, {
	pkg: "overtake/tracing", tests: true,
	not: []string{"overtake/tracing/export", "go.opentelemetry.io/...", "google.golang.org/...", "github.com/uber/..."},
	why: "who carries a trail needs no collector; their formats and libraries are for tracing/export",
}, {
	pkg: "overtake/broker", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/broker", "overtake/broker/brokertest", "overtake/classifier"},
	why: "the broker interfaces know none of those who implement or use them",
}, {
	pkg: "overtake/broker/brokertest", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/broker", "overtake/broker/brokertest", "overtake/classifier"},
	why: "the conformance suite tests promises, so it can't know an adapter",
}, {
	pkg: "overtake/broker/nats/...", tests: true,
	not: []string{"overtake", "overtake/gateway/...", "overtake/loadgen/...", "overtake/broker/..."},
	but: []string{"overtake/broker/nats/...", "overtake/broker", "overtake/broker/brokertest/...", "overtake/broker/internal/gate"},
	why: "adapters know the broker interfaces, not each other and not who uses them",
}, {
	pkg: "overtake/broker/rabbitmq/...", tests: true,
	not: []string{"overtake", "overtake/gateway/...", "overtake/loadgen/...", "overtake/broker/..."},
	but: []string{"overtake/broker/rabbitmq/...", "overtake/broker", "overtake/broker/brokertest/...", "overtake/broker/internal/gate"},
	why: "adapters know the broker interfaces, not each other and not who uses them",
}, {
	pkg: "overtake/broker/relay",
	not: []string{"overtake/..."},
	but: []string{"overtake/broker", "overtake/classifier"},
	why: "a relay moves messages between any two brokers, so it can know neither; main chooses the adapters",
}, {
	pkg: "overtake/broker/...",
	not: []string{"overtake/gateway/...", "overtake/broker/brokertest", "overtake/broker/nats/natstest", "overtake/broker/rabbitmq/rabbitmqtest"},
	why: "who uses brokers is above them; a conformance suite is for tests, and so are servers",
}, {
	// Not for tests: those may put a real adapter behind the interface.
	pkg: "overtake/gateway/...",
	not: []string{"overtake/broker/..."},
	but: []string{"overtake/broker"},
	why: "the gateway speaks to every broker through the interfaces of package broker; main chooses the adapter",
}, {
	pkg: "overtake/gateway/...", tests: true,
	not: []string{"overtake/loadgen/..."},
	why: "what measures the gateway must not be part of it",
}, {
	pkg: "overtake/gateway/socket/...", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/gateway/socket/...", "overtake/classifier"},
	why: "the kernel boundary sets one option on one socket and knows nothing above it",
}, {
	pkg: "overtake/gateway/accesslog", tests: true,
	not: []string{"overtake/..."},
	why: "it writes lines and knows not what they say",
}, {
	pkg: "overtake/gateway/keyed", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/gateway/keyed"},
	why: "it keeps what it is given by keys that it is given, and is below all who count",
}, {
	pkg: "overtake/gateway/console", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/gateway/keyed"},
	why: "it shows what it is told, in types of its own: what a page shows must not bind what the gateway does",
}, {
	pkg: "overtake/gateway/config/...", tests: true,
	not: []string{"overtake/gateway/..."},
	but: []string{"overtake/gateway/config/...", "overtake/gateway/socket"},
	why: "the configuration is plain data, read by the gateway and never the other way round; it says it in the words of what it configures",
}, {
	pkg: "overtake/loadgen/...",
	not: []string{"overtake/..."},
	but: []string{"overtake/loadgen/...", "overtake/classifier/strictyaml"},
	why: "the load generator is a black-box client: sharing what it measures with the gateway would share its mistakes; only how files are read is shared, below both, as nothing that is measured goes by it",
}, {
	// Tests may start the brokers' own servers: what does so holds nothing of ours
	// but the starting of processes.
	pkg: "overtake/loadgen/...", tests: true,
	not: []string{"overtake/..."},
	but: []string{"overtake/loadgen/...", "overtake/classifier/strictyaml", "overtake/broker/nats/natstest", "overtake/broker/rabbitmq/rabbitmqtest"},
	why: "the load generator is a black-box client, and so are its tests: they know servers of others, nothing of ours",
}}

// archImporters says who may import a module. A module that isn't here may have
// one importer, which need not be named.
var archImporters = map[string][]string{
	"cel.dev/cel-go": {"overtake/classifier"},
	"github.com/HdrHistogram/hdrhistogram-go": {"overtake/loadgen"},
	"github.com/alecthomas/kong":              {"overtake"},
	"github.com/caarlos0/env/v10":             {"overtake/gateway/config"},
	"github.com/goccy/go-yaml":                {"overtake/classifier/strictyaml"},
	"github.com/nats-io/nats-server/v2":       {"overtake/broker/nats"},
	"github.com/nats-io/nats.go":              {"overtake/broker/nats", "overtake/loadgen/nats", "overtake/loadgen/topology"}, // the load generator is a client of its own
	"github.com/prometheus/client_golang":     {"overtake/gateway"},
	"github.com/rabbitmq/amqp091-go":          {"overtake/broker/rabbitmq", "overtake/loadgen/amqp", "overtake/loadgen/topology"},
	"github.com/uber/jaeger-client-go":        {"overtake/tracing/export"},
	"github.com/valyala/fasthttp":             {"overtake/gateway", "overtake/loadgen", "overtake/loadgen/app", "overtake/loadgen/topology"}, // servers, and the clients that measure them
	"go.opentelemetry.io/otel":                {"overtake/tracing/export"},
	"go.opentelemetry.io/proto/otlp":          {"overtake/tracing/export"},
	"golang.org/x/sys":                        {"overtake", "overtake/broker/nats", "overtake/gateway", "overtake/gateway/socket", "overtake/gateway/socket/qdisc", "overtake/loadgen", "overtake/loadgen/topology"}, // extends the standard library
	"golang.org/x/text":                       {"overtake/tracing/waterfall"},
	"golang.org/x/time":                       {"overtake/gateway", "overtake/gateway/accesslog", "overtake/loadgen"},
	"gonum.org/v1/plot":                       {"overtake/docs/picture", "overtake/loadgen/report"}, // the pictures of the docs, and the one of every report
	"google.golang.org/grpc":                  {"overtake/tracing/export"},
}

// archNames are names that say nothing about what is inside.
var archNames = []string{"base", "common", "helper", "helpers", "misc", "shared", "util", "utils"}

// An archFile is one Go file with what it imports.
type archFile struct {
	pkg     string // import path of its directory
	name    string
	clause  string // the name in its package clause
	imports []string
}

func (f archFile) test() bool { return strings.HasSuffix(f.name, "_test.go") }

// checkArch returns what is wrong with files, sorted and without repeats.
func checkArch(files []archFile, modules []string) []string {
	var wrong []string
	importers := map[string][]string{}
	for _, f := range files {
		var bound bool
		for _, rule := range archRules {
			if !archMatch(f.pkg, rule.pkg) {
				continue
			}
			bound = true
			if slices.Contains(rule.shell, f.name) || f.test() && !rule.tests {
				continue
			}
			for _, imported := range f.imports {
				if archMatchAny(imported, rule.not) && !archMatchAny(imported, rule.but) {
					wrong = append(wrong, fmt.Sprintf("%s/%s imports %s: %s", f.pkg, f.name, imported, rule.why))
				}
			}
		}
		if !bound {
			wrong = append(wrong, fmt.Sprintf("%s is in no rule: say in archRules what it may not import, and why", f.pkg))
		}
		for _, name := range []string{path.Base(f.pkg), strings.TrimSuffix(f.clause, "_test")} {
			if slices.Contains(archNames, name) {
				wrong = append(wrong, fmt.Sprintf("%s: package %s: name it after what it holds", f.pkg, name))
			}
		}
		if f.test() {
			continue // a test may speak to the real thing, whoever wraps it
		}
		for _, imported := range f.imports {
			if module := archModule(imported, modules); module != "" && !slices.Contains(importers[module], f.pkg) {
				importers[module] = append(importers[module], f.pkg)
			}
		}
	}
	for module, pkgs := range importers {
		allowed, listed := archImporters[module]
		for _, pkg := range pkgs {
			if listed && !slices.Contains(allowed, pkg) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which is for %s: a dependency with one importer can be replaced",
					pkg, module, strings.Join(allowed, ", ")))
			}
		}
		if !listed && len(pkgs) > 1 {
			slices.Sort(pkgs)
			wrong = append(wrong, fmt.Sprintf("%s is imported by %s: a dependency with one importer can be replaced",
				module, strings.Join(pkgs, ", ")))
		}
	}
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

func archMatch(importPath, pattern string) bool {
	parent, tree := strings.CutSuffix(pattern, "/...")
	return importPath == parent || tree && strings.HasPrefix(importPath, parent+"/")
}

func archMatchAny(importPath string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return archMatch(importPath, p) })
}

// archModule returns the module of a third-party import path: the longest that
// matches.
func archModule(importPath string, modules []string) string {
	var module string
	for _, m := range modules {
		if len(m) > len(module) && archMatch(importPath, m+"/...") {
			module = m
		}
	}
	return module
}

// archFiles reads the imports of all Go files below the root, whatever their
// build constraints; go list would show those of one platform only.
func archFiles(t *testing.T) []archFile {
	t.Helper()
	var files []archFile
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "_") || entry.Name() == "testdata") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); name != "." && err == nil {
				return fs.SkipDir // a module of its own, which can't import what is in here
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		file := archFile{
			pkg:    path.Join("overtake", filepath.ToSlash(filepath.Dir(name))),
			name:   entry.Name(),
			clause: parsed.Name.Name,
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			file.imports = append(file.imports, imported)
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// archModules returns the modules that go.mod requires.
func archModules(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", "go.mod")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, r := range mod.Require {
		modules = append(modules, r.Path)
	}
	return modules
}

func TestArchitecture(t *testing.T) {
	files := archFiles(t)
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	for _, wrong := range checkArch(files, archModules(t)) {
		t.Error(wrong)
	}
}
