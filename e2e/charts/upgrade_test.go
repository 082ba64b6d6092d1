package charts

import (
	"reflect"
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
		return []any{it.Spec.Selector, it.Spec.ServiceName, it.Spec.PodManagementPolicy}
	case *corev1.Service:
		return it.Spec.ClusterIP
	}
	return nil
}

// From any values to any others, an upgrade changes nothing that can't change in
// place: a Deployment that becomes a StatefulSet is another object.
func TestUpgrades(t *testing.T) {
	before := map[string]any{}
	from := map[string]string{}
	for name, path := range valueFiles(t) {
		// These replace parts of names, which makes other objects.
		text := render(t, "edge", "--values", path, "--set", "nameOverride=,fullnameOverride=")
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
		{"", "config.queues.jobs.attempts=3", true},
		{"", "broker.nats.enabled=true", true},
		{"", "admin.port=9902", true},
		{"", "config.access_log.output=stdout", true},
	} {
		if got := sum(test.from) != sum(test.to); got != test.restarts {
			t.Errorf("from %q to %q: restarts is %v, want %v", test.from, test.to, got, test.restarts)
		}
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
