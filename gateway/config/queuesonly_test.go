package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// What matters to who looks at queues is an error, and all else is returned beside.
func TestLoadQueues(t *testing.T) {
	const base = `
classes: [{name: fast}, {name: slow, floor: 5%}]
brokers: {local: {type: nats, embedded: true, token: "${SECRET}", listen: "127.0.0.1:4222"}}
queues: {jobs: {deliver: {upstream: app}}}
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
`
	replaced := func(old, replacement string) string {
		if !strings.Contains(base, old) {
			t.Fatalf("%q is not in the file", old)
		}
		return strings.Replace(base, old, replacement, 1)
	}
	for _, c := range []struct{ name, text, elsewhere, problem string }{
		{"nothing wrong", base, "", ""},
		{"a rule", base + "rules: [{class: fsat}]\n", "rules[0].class", ""},
		{"an unset variable", base + "admin_token: \"${NOT_SET}\"\n", "admin_token", ""},
		{"a part of the wrong kind", base + "routes: none\n", "routes", ""},
		{"an unknown key below", base + "tracing: {samples: 1}\n", "tracing.samples", ""},
		{"a class's floor", replaced("floor: 5%", "floor: many"), "classes[1].floor", ""},
		{"where a queue is delivered", replaced("deliver: {upstream: app}", "deliver: {upstream: ap}"), "queues.jobs.deliver.upstream", ""},
		{"a class's name", replaced("name: slow", "name: Slow"), "", "classes[1].name"},
		{"a class without a name", replaced("name: slow", "nam: slow"), "", "classes[1]"},
		{"several mistakes", base + "dry_run: 7\n" + "relays: 3\n", "dry_run", ""},
		{"a queue's broker", replaced("{deliver:", "{broker: loca, deliver:"), "", "queues.jobs.broker"},
		{"a broker's type", replaced("type: nats", "type: nat"), "", "brokers.local.type"},
		{"a broker's secret", replaced("${SECRET}", "${NOT_SET}"), "", "brokers.local.token"},
		{"a key that is like brokers", base + "brokesr: {}\n", "", "overtake.yaml:6:1: brokesr: unknown key"},
		{"a key that is like queues", base + "queue: {}\n", "", "overtake.yaml:6:1: queue: unknown key"},
		{"a key that is like classes", base + "clases: []\n", "", "overtake.yaml:6:1: clases: unknown key"},
		{"a key that is like another", base + "tracnig: {}\n", "overtake.yaml:6:1: tracnig: unknown key; did you mean \"tracing\"?", ""},
		{"a key that is like none", base + "x-notes: {by: me}\n", "overtake.yaml:6:1: x-notes: unknown key", ""},
		{"such a key and no brokers", replaced("brokers:", "message-servers:"), "", "overtake.yaml:3:1: message-servers: unknown key; known here: "},
		{"such a key and no brokers, and why", replaced("brokers:", "message-servers:"), "", "; the file has no brokers, so this may be meant for them"},
		{"such a key and empty brokers", replaced("brokers: {local: {type: nats, embedded: true, token: \"${SECRET}\", listen: \"127.0.0.1:4222\"}}", "brokers: {}\nservers: {}"), "", "servers: unknown key"},
		{"such a key and no queues", replaced("queues:", "message-lanes:"), "", "the file has no queues"},
		{"such a key and no classes", replaced("classes:", "clazz:"), "", "overtake.yaml:2:1: clazz: unknown key; known here: "},
		{"such a key and none of the three", "x-notes: {by: me}\n", "", "; the file has no brokers or queues or classes, so this may be meant for them"},
		{"a key that is like two others", base + "rutes: [{match: {path: /x}, queue: jobs}]\n", "overtake.yaml:6:1: rutes: unknown key; did you mean \"routes\"?", ""},
		{"a class's unknown key", replaced("floor: 5%", "colour: red"), "classes[1].colour", ""},
		{"a class's second name", replaced("floor: 5%", "nmae: slower"), "", "classes[1].nmae"},
		{"no YAML", base + "rules: [\n", "", "overtake.yaml:6:8"},
	} {
		file := filepath.Join(t.TempDir(), "overtake.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, elsewhere, err := LoadQueues(file, lookup)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%s: %v, want it to name %s", c.name, err, c.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !strings.Contains(elsewhere.Error(), c.elsewhere) || (len(elsewhere) > 0) != (c.elsewhere != "") {
			t.Errorf("%s: elsewhere is %v", c.name, elsewhere)
		}
		if len(cfg.Classes) != 2 || cfg.Classes[1].Name != "slow" || cfg.Queues["jobs"].Broker != "local" || cfg.Brokers["local"].Dir != "./overtake-data" {
			t.Errorf("%s: read as %+v", c.name, cfg)
		}
	}
	if _, _, err := LoadQueues("nowhere.yaml", lookup); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("no file: %v", err)
	}
}

// A key that is like one that queues don't need says nothing of them, also in a file that
// lacks what has a default.
func TestLoadQueuesByDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	text := "listners: [{name: a, address: \":8080\"}]\nqueues: {jobs: {deliver: {upstream: app}}}\nupstreams: {app: {servers: [\"http://127.0.0.1:9000\"]}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, elsewhere, err := LoadQueues(file, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if got := elsewhere.Error(); !strings.HasSuffix(got, `overtake.yaml:1:1: listners: unknown key; did you mean "listeners"?`) {
		t.Errorf("elsewhere is %s", got)
	}
	if len(cfg.Brokers) != 1 || len(cfg.Classes) == 0 || len(cfg.Queues) != 1 {
		t.Errorf("read as %+v", cfg)
	}
}

// What no decision about a request looks at does not keep it from being explained, such
// as a secret that only the gateway has.
func TestLoadRequests(t *testing.T) {
	const base = `
rules: [{class: batch, match: {path: "/reports/**"}}]
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
`
	for _, c := range []struct{ name, text, elsewhere, problem string }{
		{"nothing wrong", base, "", ""},
		{"an unset token", base + "admin_token: \"${NOT_SET}\"\n", "overtake.yaml:4:14: admin_token: the environment variable NOT_SET is not set", ""},
		{"a broker's password", base + "brokers: {far: {type: rabbitmq, url: \"amqp://u:${NOT_SET}@mq\"}}\nqueues: {jobs: {broker: far, deliver: {upstream: app}}}\n", "NOT_SET", ""},
		{"where spans go", base + "tracing: {exporter: nowhere}\n", "tracing.exporter", ""},
		{"a rule", base + "default_class: urgent\n", "", "default_class"},
		{"a rule and an unset token", base + "admin_token: \"${NOT_SET}\"\ndefault_class: urgent\n", "", "default_class"},
		{"a variable in a rule", base + "flow: {header: \"${NOT_SET}\"}\n", "", "NOT_SET"},
		{"an unknown key", base + "admin_tokn: x\n", "", "admin_tokn: unknown key"},
		{"no YAML", base + "routes: [\n", "", "overtake.yaml:4"},
	} {
		file := filepath.Join(t.TempDir(), "overtake.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, elsewhere, err := LoadRequests(file, lookup)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) || strings.Contains(err.Error(), "admin_token:") {
				t.Errorf("%s: %v, want it to name %s", c.name, err, c.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !strings.Contains(elsewhere.Error(), c.elsewhere) || (len(elsewhere) > 0) != (c.elsewhere != "") {
			t.Errorf("%s: elsewhere is %v", c.name, elsewhere)
		}
		if len(cfg.Rules) != 1 || len(cfg.Routes) != 1 {
			t.Errorf("%s: read as %+v", c.name, cfg)
		}
	}
	if _, _, err := LoadRequests("nowhere.yaml", lookup); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("no file: %v", err)
	}
}

// checkQueues holds the lenient reading of a file to the strict one: it accepts what
// that accepts, as the same, and tells of no other mistakes.
func checkQueues(t *testing.T, data []byte, c *Config, problems int) {
	t.Helper()
	lenient, elsewhere, err := read("overtake.yaml", data, lookup).queues()
	switch {
	case c == nil && err == nil && len(elsewhere) != problems:
		t.Fatalf("%d mistakes elsewhere, of %d", len(elsewhere), problems)
	case c == nil:
	case err != nil || len(elsewhere) > 0:
		t.Fatalf("the file is right, and read as wrong: %v %v", elsewhere, err)
	case !reflect.DeepEqual(lenient.Queues, c.Queues) || !reflect.DeepEqual(lenient.Brokers, c.Brokers) || !reflect.DeepEqual(validator{Config: lenient}.classNames(), validator{Config: c}.classNames()):
		t.Fatalf("read as %+v, want that of %+v", lenient, c)
	}
}
