package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestProcessFromEnv(t *testing.T) {
	t.Setenv("OVERTAKE_CONFIG", "/etc/overtake.yaml")
	t.Setenv("OVERTAKE_LISTEN", ":80")
	t.Setenv("OVERTAKE_ADMIN", "off")
	t.Setenv("OVERTAKE_ADMIN_TOKEN", "correct-horse-battery-staple")
	t.Setenv("OVERTAKE_UPSTREAM", "http://a:1, http://b:1")
	t.Setenv("OVERTAKE_LOG_LEVEL", "debug")
	t.Setenv("OVERTAKE_LOG_FORMAT", "json")
	p, err := ProcessFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	want := Process{
		Config: "/etc/overtake.yaml", Listen: ":80", Admin: "off", AdminToken: "correct-horse-battery-staple", Upstream: []string{"http://a:1", "http://b:1"},
		LogLevel: "debug", LogFormat: "json",
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("settings are %+v, want %+v", p, want)
	}
}

func TestUnknownVariables(t *testing.T) {
	p, err := processFrom([]string{
		"OVERTAKE_LISTENER=:80",
		"OVERTAKE_COLOR=red",
		// What Kubernetes sets beside a Service named overtake:
		"OVERTAKE_SERVICE_HOST=10.0.0.1", "OVERTAKE_SERVICE_PORT_HTTP=80", "OVERTAKE_PORT=tcp://10.0.0.1:80", "OVERTAKE_PORT_80_TCP_ADDR=10.0.0.1",
		"HOME=/root",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"environment variable OVERTAKE_COLOR is not a setting; want OVERTAKE_ADMIN, OVERTAKE_ADMIN_TOKEN, OVERTAKE_CONFIG, OVERTAKE_LISTEN, OVERTAKE_LOG_FORMAT, OVERTAKE_LOG_LEVEL or OVERTAKE_UPSTREAM",
		`environment variable OVERTAKE_LISTENER is not a setting; did you mean "OVERTAKE_LISTEN"?`,
	}
	if !slices.Equal(p.Warnings, want) {
		t.Errorf("warnings are %q, want %q", p.Warnings, want)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := file("one.yaml", "listeners: [{address: \":1\"}, {address: \":2\"}]\nupstreams: {web: {servers: [\"http://file:1\"], timeout: 5s}}")
	two := file("two.yaml", "upstreams: {web: {servers: [\"http://a:1\"]}, api: {servers: [\"http://b:1\"]}}\nroutes: [{upstream: web}]")
	app := file("app.yaml", "upstreams: {web: {servers: [\"http://a:1\"]}, app: {}}\nroutes: [{match: {path: /x}, upstream: web}, {upstream: app}]")
	bad := file("bad.yaml", "expose: trustd\nupstreams: {app: {servers: [\"http://a:1\"]}}")

	for _, test := range []struct {
		name       string
		flags, env Process
		// What is in effect: the first listener, the admin listener, servers.
		want string
		err  string
	}{{
		name: "nothing",
		err:  "nothing to stand in front of; give a configuration file (-c FILE or OVERTAKE_CONFIG) or an app (--upstream URL or OVERTAKE_UPSTREAM)",
	}, {
		name:  "no file",
		flags: Process{Upstream: []string{"http://flag:1"}},
		want:  ":8080 127.0.0.1:9901 app=http://flag:1",
	}, {
		name: "the file alone",
		env:  Process{Config: one},
		want: ":1 127.0.0.1:9901 web=http://file:1",
	}, {
		name: "environment over file",
		env:  Process{Config: one, Listen: ":7", Admin: "off", Upstream: []string{"http://env:1"}},
		want: ":7 off web=http://env:1",
	}, {
		name:  "flags over environment",
		flags: Process{Listen: ":9", Upstream: []string{"http://flag:1", "http://flag:2"}},
		env:   Process{Config: one, Listen: ":7", Admin: ":8", Upstream: []string{"http://env:1"}},
		want:  ":9 :8 web=http://flag:1,http://flag:2",
	}, {
		name:  "the upstream named app",
		flags: Process{Config: app, Upstream: []string{"http://flag:1"}},
		want:  ":8080 127.0.0.1:9901 app=http://flag:1 web=http://a:1",
	}, {
		name:  "no upstream to replace",
		flags: Process{Config: two, Upstream: []string{"http://flag:1"}},
		err:   "--upstream: the file has 2 upstreams and none is named app; name the one meant app",
	}, {
		name:  "bad settings",
		flags: Process{Upstream: []string{"flag:1"}, LogFormat: "jso"},
		env:   Process{Listen: "80", Admin: "of", LogLevel: "warning"},
		err: `OVERTAKE_LOG_LEVEL: log_level: "warning" is not a log level; want debug, info, warn or error
--log-format: log_format: "jso" is not a log format; did you mean "json"?
OVERTAKE_LISTEN: listeners[0].address: "80" is not an address; write ":80"
OVERTAKE_ADMIN: admin: "of" is not an address; write HOST:PORT or :PORT
--upstream: upstreams.app.servers[0]: "flag:1" is not a URL; write http://flag:1`,
	}, {
		name:  "bad file and bad setting",
		flags: Process{Config: bad, Listen: "80"},
		err: `--listen: listeners[0].address: "80" is not an address; write ":80"
bad.yaml:1:9: expose: "trustd" is not an audience; did you mean "trusted"?`,
	}, {
		name:  "no such file",
		flags: Process{Config: filepath.Join(dir, "none.yaml"), Upstream: []string{"http://flag:1"}},
		err:   "none.yaml: can't be read: no such file or directory",
	}} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Resolve(test.flags, test.env, lookup)
			if test.err != "" || err != nil {
				if err == nil || strings.ReplaceAll(err.Error(), dir+"/", "") != test.err {
					t.Fatalf("error is\n%v\nwant\n%s", err, test.err)
				}
				return
			}
			var got strings.Builder
			got.WriteString(c.Listeners[0].Address + " " + c.Admin)
			for _, name := range []string{"app", "web"} {
				if u, ok := c.Upstreams[name]; ok {
					got.WriteString(" " + name + "=" + strings.Join(u.Servers, ","))
				}
			}
			if got.String() != test.want {
				t.Errorf("in effect is %s, want %s", got.String(), test.want)
			}
		})
	}
}

// TestResolveSidecar: flags add listeners or move those of the file, and what is
// for a gateway alone is left out.
func TestResolveSidecar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	text := `
listeners:
  - {address: ":8080"}
  - {address: ":15006", role: inbound, trust: ["192.0.2.0/24"]}
  - {address: "127.0.0.1:15001", role: outbound}
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name               string
		flags, environment Process
		want               string // listeners, the app, the service
	}{
		{"flags alone", Process{Listen: ":1", Upstream: []string{"http://a:9"}, Outbound: "127.0.0.1:2", Service: "orders"}, Process{},
			"inbound inbound :1, outbound outbound 127.0.0.1:2, http://a:9 orders"},
		{"environment", Process{Outbound: "127.0.0.1:2"}, Process{Listen: ":3", Upstream: []string{"http://e:9"}},
			"inbound inbound :3, outbound outbound 127.0.0.1:2, http://e:9"},
		{"outbound alone", Process{Outbound: "127.0.0.1:2"}, Process{}, "outbound outbound 127.0.0.1:2,"},
		{"file", Process{Config: file}, Process{}, "inbound inbound :15006, outbound outbound 127.0.0.1:15001, http://127.0.0.1:9000"},
		{"file and flags", Process{Config: file, Listen: ":1", Outbound: "127.0.0.1:2"}, Process{},
			"inbound inbound :1, outbound outbound 127.0.0.1:2, http://127.0.0.1:9000"},
	} {
		c, err := ResolveSidecar(tc.flags, tc.environment, lookup)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var got strings.Builder
		for _, l := range c.Listeners {
			got.WriteString(l.Name + " " + l.Role + " " + l.Address + ", ")
		}
		for _, u := range c.Upstreams {
			got.WriteString(strings.Join(u.Servers, " ") + " ")
		}
		got.WriteString(c.Tracing.Service)
		if got := strings.TrimSpace(got.String()); got != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.want)
		}
	}
	for _, flags := range []Process{{}, {Listen: ":1"}, {Upstream: []string{"http://a:9"}}, {Listen: "1", Outbound: "2", Upstream: []string{"a"}}} {
		if _, err := ResolveSidecar(flags, Process{}, lookup); err == nil {
			t.Errorf("%+v was taken", flags)
		}
	}
}

// A sidecar leaves ingress listeners out; those behind them move up, and what a
// variable gave them stays unsaid.
func TestSidecarShowsNoVariableOfAMovedListener(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sidecar.yaml")
	text := "listeners:\n  - {address: \":8080\"}\n  - {name: \"${NAME}\", role: inbound, address: \":15006\"}\nupstreams: {app: {servers: [\"http://127.0.0.1:9000\"]}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ResolveSidecar(Process{Config: file}, Process{}, func(name string) (string, bool) { return "hunter2", name == "NAME" })
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Redacted()
	if err != nil {
		t.Fatal(err)
	}
	if c.Listeners[0].Name != "hunter2" || strings.Contains(string(shown), "hunter2") || !strings.Contains(string(shown), "${NAME}") {
		t.Errorf("the sidecar's listener is %+v, shown as\n%s", c.Listeners[0], shown)
	}
}

// The token of the environment stands in for that of the file, and is shown as little.
func TestAdminTokenOfTheEnvironment(t *testing.T) {
	for _, test := range []struct{ env, want string }{
		{"correct-horse-battery-staple", ""},
		{"hunter2", "OVERTAKE_ADMIN_TOKEN: admin_token: has 7 characters, want at least 16; write at least 16 random"},
	} {
		c, err := Resolve(Process{Upstream: []string{"http://app:1"}}, Process{AdminToken: Secret(test.env)}, lookup)
		if test.want != "" {
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), test.env) {
				t.Errorf("%s: %v, want %s", test.env, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if token, ok := c.Token(); !ok || token != test.env {
			t.Errorf("the token is %q, %v", token, ok)
		}
		if text, err := c.Redacted(); err != nil || strings.Contains(string(text), "horse") || !strings.Contains(string(text), "admin_token: xxxxx") {
			t.Errorf("shown as %v\n%s", err, text)
		}
	}
}
