package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"overtake/classifier/strictyaml"
)

// What a running process can't take over is named with its place in the new file;
// the rest is taken over.
func TestReloadable(t *testing.T) {
	const base = `
listeners:
- {name: public, address: ":8080", trust: [10.0.0.0/8]}
- {name: calls, address: ":15001", role: outbound}
classes:
- {name: interactive, objective: 25ms}
- {name: batch, socket: {dscp: LE}}
upstreams:
  app: {servers: ["http://app:80"], limit: {max: 8}}
brokers:
  local: {type: nats, url: "nats://me:${SECRET}@broker:4222"}
queues:
  jobs: {broker: local, deliver: {upstream: app}}
rules: [{class: batch, match: {path: "/a"}}]
routes: [{upstream: app}]
tracing: {exporter: otlp, endpoint: "http://c:4318", sample: 0.5}
`
	change := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(base) }
	const cant = ": can't change while the process runs; restart it to apply this, or set it back"
	for name, test := range map[string]struct {
		next string
		want []string // with cant behind each
	}{
		"nothing":  {base, nil},
		"comments": {"# other lines\n\n" + base, nil},
		"all that can": {change("trust: [10.0.0.0/8]", "trust: [192.168.0.0/16], abort_on_close: false, limits: {header_bytes: 8KiB}, proxy_protocol: true", "objective: 25ms", "objective: 50ms, reserve: 2, floor: 5%, max_wait: 2s, deadline: 1m",
			"http://app:80", "http://other:80", "limit: {max: 8}", "limit: {mode: adaptive}", "rules:", "dry_run: true\nexpose: all\ndrain_timeout: 1s\ndefault_class: batch\nflow: {header: X-Key}\nrules:",
			`path: "/a"`, `path: "/b"`, "{upstream: app}]", "{match: {path: /jobs}, queue: jobs}, {upstream: other}]", "upstreams:", "upstreams:\n  other: {servers: [\"http://o:1\"]}", "sample: 0.5", "sample: 1, propagate: [b3]"), nil},
		"listener": {change(":8080", ":8081", "role: outbound", "role: inbound"), []string{
			"f:3:27: listeners[0].address", "f:4:42: listeners[1].role"}},
		"one listener less": {change(`- {name: calls, address: ":15001", role: outbound}`, ""), []string{"f:2:1: listeners"}},
		"admin":             {change("rules:", "admin: off\nrules:"), []string{"f:14:8: admin"}},
		"classes": {change("name: batch", "name: bulk", "class: batch", "class: bulk", "dscp: LE", "dscp: CS1"), []string{
			"f:7:10: classes[1].name", "f:7:31: classes[1].socket.dscp"}},
		"brokers": {change("@broker:", "@other:", "local: {type", "kept: {type: nats, embedded: true}\n  local: {type"), []string{
			"f:11:3: brokers.kept", "f:12:28: brokers.local.url"}},
		"queue":         {change("deliver: {upstream: app}", "deliver: {upstream: app}, attempts: 7"), []string{"f:13:61: queues.jobs.attempts"}},
		"tracing":       {change("http://c:4318", "http://d:4318"), []string{"f:16:37: tracing.endpoint"}},
		"what was left": {change("brokers:\n", "brokers:\n  kept: {type: nats, embedded: true}\n"), []string{"f:11:3: brokers.kept"}},
	} {
		t.Run(name, func(t *testing.T) {
			was, err := Parse("f", []byte(base), lookup)
			if err != nil {
				t.Fatal(err)
			}
			next, err := Parse("f", []byte(test.next), lookup)
			if err != nil {
				t.Fatalf("%v in\n%s", err, test.next)
			}
			got := was.Reloadable(next)
			var want string
			if len(test.want) > 0 {
				want = strings.Join(test.want, cant+"\n") + cant
			}
			if problems, _ := errors.AsType[strictyaml.Problems](got); problems.Error() != want || (got == nil) != (want == "") {
				t.Errorf("got\n%v\nwant\n%s\nin\n%s", got, want, test.next)
			}
		})
	}
}

// What is not listed needs a restart, and what is listed exists.
func TestReloadableNames(t *testing.T) {
	for _, path := range reloadable {
		at := reflect.TypeFor[Config]()
		for key := range strings.SplitSeq(path, ".") {
			key, list := strings.CutSuffix(key, "[]")
			fields, _ := strictyaml.Fields(at)
			i, ok := fields[key]
			if !ok {
				t.Errorf("%s: there is no %s", path, key)
				break
			}
			if at = at.Field(i).Type; list {
				at = at.Elem()
			}
		}
	}
}

// A sidecar serves a part of the file's listeners; the others' lines stay theirs.
func TestReloadableSidecar(t *testing.T) {
	file := func(address string) *Config {
		t.Helper()
		path := filepath.Join(t.TempDir(), "f")
		text := `
listeners:
- {address: ":8080"}
- {role: inbound, address: "` + address + `"}
upstreams: {app: {servers: ["http://app:80"]}}
`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ResolveSidecar(Process{Config: path}, Process{}, lookup)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	problems, _ := errors.AsType[strictyaml.Problems](file(":1506").Reloadable(file(":1507")))
	if len(problems) != 1 || problems[0].Path != "listeners[0].address" || problems[0].Line != 4 {
		t.Errorf("got %v, want listeners[0].address in line 4", problems)
	}
}
