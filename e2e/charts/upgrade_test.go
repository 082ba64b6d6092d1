package charts

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// immutable returns what Kubernetes lets nobody change in an object that exists.
func immutable(o object) any {
	switch it := o.Object.(type) {
	case *appsv1.Deployment:
		return it.Spec.Selector
	case *appsv1.StatefulSet:
		return []any{it.Spec.Selector, it.Spec.ServiceName, it.Spec.PodManagementPolicy, it.Spec.VolumeClaimTemplates}
	case *corev1.Service:
		return it.Spec.ClusterIP
	}
	return nil
}

// claim are the values that the volume claim is made of, which say that they can't be
// changed later, with others than the defaults.
var claim = map[string]string{"size": `"9Gi"`, "storageClass": `"fast"`, "accessMode": `"ReadWriteOnce"`, "annotations": `{"backup": "weekly"}`}

// From any values to any others, an upgrade changes nothing that can't change in
// place, but for those that say so: a Deployment that becomes a StatefulSet is another
// object.
func TestUpgrades(t *testing.T) {
	before := map[string]any{}
	from := map[string]string{}
	for name, path := range valueFiles(t) {
		// The first two replace parts of names, which makes other objects.
		args := []string{"--values", path, "--set", "nameOverride=,fullnameOverride="}
		for name, value := range claim {
			args = append(args, "--set-json", "broker.embedded."+name+"="+value)
		}
		text := render(t, "edge", args...)
		objects, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			fields := immutable(o)
			if was, ok := before[o.String()]; ok && !reflect.DeepEqual(was, fields) {
				t.Errorf("%s: from %s to %s: %v becomes %v", o, from[o.String()], name, was, fields)
			}
			before[o.String()], from[o.String()] = fields, name
		}
	}
}

// The volume claim is made of the values that say that they can't be changed later.
func TestClaim(t *testing.T) {
	claimed := func(args ...string) []corev1.PersistentVolumeClaim {
		objects, err := decode(render(t, "edge", append(args, "--set", "broker.embedded.enabled=true")...))
		if err != nil {
			t.Fatal(err)
		}
		return find[*appsv1.StatefulSet](objects)[0].Spec.VolumeClaimTemplates
	}
	standard := claimed()
	for name, of := range readSchema(t).Properties["broker"].Properties["embedded"].Properties {
		value, ok := claim[name]
		if says := strings.Contains(of.Description, "can't be changed later"); says != (ok || name == "podManagementPolicy") {
			t.Errorf("broker.embedded.%s is described as %q", name, of.Description)
		}
		if ok && reflect.DeepEqual(claimed("--set-json", "broker.embedded."+name+"="+value), standard) {
			t.Errorf("broker.embedded.%s does not change the claim", name)
		}
	}
}

// Pods are replaced for what the gateway takes over at a restart only.
func TestRestarts(t *testing.T) {
	sum := func(set string) string {
		objects, err := decode(render(t, "edge", "--set", set))
		if err != nil {
			t.Fatal(err)
		}
		return find[*appsv1.Deployment](objects)[0].Spec.Template.Annotations["checksum/restart"]
	}
	const class = "config.classes[0].name=interactive,config.classes[1].name=batch"
	for _, test := range []struct {
		from, to string
		restarts bool
	}{
		{"", "config.rules[0].class=batch", false},
		{"", "app.servers[0]=http://shop:80", false},
		{"", "config.dry_run=true", false},
		{"", "drain.timeoutSeconds=60", false},
		{"", "config.relays[0].name=a", false},
		{class, class + ",config.classes[1].floor=20%", false},
		{"tracing.exporter=otlp,tracing.endpoint=http://a:1", "tracing.exporter=otlp,tracing.endpoint=http://a:1,config.tracing.sample=0.5", false},
		{"tracing.exporter=otlp,tracing.endpoint=http://a:1", "tracing.exporter=otlp,tracing.endpoint=http://b:1", true},
		{class, class + ",config.classes[1].socket.dscp=LE", true},
		{class, "config.classes[0].name=batch,config.classes[1].name=interactive", true},
		{"broker.nats.enabled=true", "broker.nats.enabled=true,config.queues.jobs.attempts=3", true},
		{"", "broker.nats.enabled=true", true},
		{"", "admin.port=9902", true},
		{"", "config.access_log.output=stdout", true},
	} {
		if got := sum(test.from) != sum(test.to); got != test.restarts {
			t.Errorf("from %q to %q: restarts is %v, want %v", test.from, test.to, got, test.restarts)
		}
	}
}

// changes are values that change each part of the file that the program takes over
// while it runs.
var changes = map[string]string{
	"admin_token":                     "", // not in the file
	"admin_hosts":                     `config: {admin_hosts: [edge.internal]}`,
	"classes[].objective":             `config: {classes: [{name: batch, objective: 1s}]}`,
	"classes[].overload":              `config: {classes: [{name: batch, overload: fifo}]}`,
	"classes[].reserve":               `config: {classes: [{name: batch, reserve: 1}]}`,
	"classes[].floor":                 `config: {classes: [{name: batch, floor: 20%}]}`,
	"classes[].max_waiting":           `config: {classes: [{name: batch, max_waiting: 9}]}`,
	"classes[].max_waiting_bytes":     `config: {classes: [{name: batch, max_waiting_bytes: 9MiB}]}`,
	"classes[].max_wait":              `config: {classes: [{name: batch, max_wait: 9s}]}`,
	"classes[].deadline":              `config: {classes: [{name: batch, deadline: 9s}]}`,
	"listeners[].trust":               `listeners: [{name: public, port: 8080, servicePort: 80, settings: {trust: [10.0.0.0/8]}}]`,
	"listeners[].tls":                 `listeners: [{name: public, port: 8080, servicePort: 80, tlsSecret: shop-tls}]`,
	"listeners[].proxy_protocol":      `listeners: [{name: public, port: 8080, servicePort: 80, settings: {proxy_protocol: true}}]`,
	"listeners[].proxy_protocol_from": `listeners: [{name: public, port: 8080, servicePort: 80, settings: {proxy_protocol_from: [10.0.0.0/8]}}]`,
	"listeners[].abort_on_close":      `listeners: [{name: public, port: 8080, servicePort: 80, settings: {abort_on_close: true}}]`,
	"listeners[].limits":              `listeners: [{name: public, port: 8080, servicePort: 80, settings: {limits: {header_timeout: 9s}}}]`,
	"default_class":                   `config: {default_class: batch}`,
	"flow":                            `config: {flow: {header: X-Api-Key}}`,
	"rules":                           `config: {rules: [{class: batch}]}`,
	"routes":                          `config: {routes: [{upstream: app}]}`,
	"upstreams":                       `app: {servers: ["http://shop:80"]}`,
	"tracing.sample":                  `config: {tracing: {sample: 0.5}}`,
	"tracing.propagate":               `config: {tracing: {propagate: [b3]}}`,
	"tracing.query":                   `tracing: {query: "http://jaeger-query:16686"}`,
	"access_log.sample":               `config: {access_log: {sample: 0.5}}`,
	"expose":                          `config: {expose: none}`,
	"dry_run":                         `config: {dry_run: true}`,
	"drain_timeout":                   `drain: {timeoutSeconds: 60}`,
	"relays":                          `config: {relays: [{name: a}]}`,
}

// No part of the file that the program takes over while it runs replaces pods.
func TestReloads(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "gateway/config/reload.go"))
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?s)var reloadable = \[\]string\{\n(.*?)\n\}`).FindSubmatch(source)
	if list == nil {
		t.Fatal("gateway/config/reload.go has no list reloadable")
	}
	var parts []string
	for _, part := range regexp.MustCompile(`"([a-z_.\[\]]+)"`).FindAllSubmatch(list[1], -1) {
		parts = append(parts, string(part[1]))
	}
	if known := slices.Sorted(maps.Keys(changes)); !slices.Equal(slices.Sorted(slices.Values(parts)), known) {
		t.Fatalf("the program takes over\n%v\nand this test knows\n%v", parts, known)
	}
	dir := t.TempDir()
	base := filepath.Join(dir, "base.yaml")
	if err := os.WriteFile(base, []byte("config: {classes: [{name: batch}], tracing: {sample: 0.1}, access_log: {output: stdout}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rendered := func(t *testing.T, args ...string) (sum, file string) {
		objects, err := decode(render(t, "edge", append([]string{"--values", base}, args...)...))
		if err != nil {
			t.Fatal(err)
		}
		return find[*appsv1.Deployment](objects)[0].Spec.Template.Annotations["checksum/restart"], find[*corev1.ConfigMap](objects)[0].Data["overtake.yaml"]
	}
	before, was := rendered(t)
	for part, values := range changes {
		if values == "" {
			continue
		}
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(path, []byte(values), 0o600); err != nil {
				t.Fatal(err)
			}
			after, is := rendered(t, "--values", path)
			if is == was {
				t.Errorf("%s does not change the file", values)
			}
			if after != before {
				t.Errorf("%s replaces pods", values)
			}
		})
	}
}

// GOMEMLIMIT is 90 % of the limit in any unit.
func TestMemory(t *testing.T) {
	for limit, want := range map[string]string{
		"512Mi": "483183820", "1Gi": "966367641", "1.5Gi": "1449551462", "65536Ki": "60397977",
		"500M": "450000000", "2G": "1800000000", "100000k": "90000000", "536870912": "483183820", "1Ti": "989560464998",
	} {
		text := render(t, "edge", "--set", "gateway.resources.limits.memory="+limit+",gateway.resources.requests.memory=32Mi")
		if !strings.Contains(text, "- name: GOMEMLIMIT\n              value: \""+want+"\"") {
			t.Errorf("limits.memory %s: no GOMEMLIMIT of %s", limit, want)
		}
	}
}
