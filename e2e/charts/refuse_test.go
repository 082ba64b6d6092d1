package charts

import (
	"strings"
	"testing"
)

// Values that can't be are refused, with a text that names the value.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name string
		set  []string
		want []string
	}{
		{"a typo", []string{"gatway.replicas=2"}, []string{"'gatway'"}},
		{"a typo below", []string{"gateway.replica=2"}, []string{"/gateway", "'replica'"}},
		{"a typo in the configuration", []string{"config.upstream.app=1"}, []string{"/config", "'upstream'"}},
		{"several embedded brokers", []string{"broker.embedded.enabled=true", "gateway.replicas=2"}, []string{"gateway.replicas: 2", "set gateway.replicas to 1", "broker.nats"}},
		{"embedded brokers that scale", []string{"broker.embedded.enabled=true", "autoscaling.enabled=true"}, []string{"autoscaling.enabled", "broker.embedded.enabled"}},
		{"a port for everybody", []string{"broker.embedded.enabled=true", "broker.embedded.listen.enabled=true"}, []string{"broker.embedded.listen.tokenSecret.name"}},
		{"listeners twice", []string{"config.listeners[0].name=x"}, []string{"/config", "'listeners'"}},
		{"an address in settings", []string{"listeners[0].name=a", "listeners[0].port=8080", "listeners[0].servicePort=80", "listeners[0].settings.address=x"}, []string{"listeners[].settings.address", "set name, port"}},
		{"a port of root", []string{"listeners[0].name=a", "listeners[0].port=80", "listeners[0].servicePort=80"}, []string{"/listeners/0/port", "minimum"}},
		{"one port for two", []string{"listeners[0].name=a", "listeners[0].port=9901", "listeners[0].servicePort=80"}, []string{"port 9901 of a", "admin.port"}},
		{"a client CA without a certificate", []string{"listeners[0].name=a", "listeners[0].port=8080", "listeners[0].servicePort=80", "listeners[0].clientCA=true"}, []string{"a has clientCA and no tlsSecret"}},
		{"latest", []string{"image.tag=latest"}, []string{"/image/tag"}},
		{"half a digest", []string{"image.digest=sha256:abc"}, []string{"/image/digest"}},
		{"no limit of memory", []string{"gateway.resources.limits.memory=null"}, []string{"gateway.resources.limits.memory", "is missing", "512Mi"}},
		{"memory in bytes of mail", []string{"gateway.resources.limits.memory=1GB"}, []string{"/gateway/resources/limits/memory"}},
		{"memory in thousandths", []string{"gateway.resources.limits.memory=100m"}, []string{"gateway.resources.limits.memory", "100m", "256Mi"}},
		{"too little memory", []string{"gateway.resources.limits.memory=8Mi"}, []string{"gateway.resources.limits.memory", "32Mi or more"}},
		{"spans to nowhere", []string{"tracing.exporter=otlp"}, []string{"tracing.endpoint", "http://jaeger-collector:4318"}},
		{"RabbitMQ nowhere", []string{"broker.rabbitmq.enabled=true"}, []string{"broker.rabbitmq.urlSecret.name"}},
		{"a password in the values", []string{"broker.rabbitmq.url=amqp://shop:secret@rabbitmq/"}, []string{"/broker/rabbitmq/url"}},
		{"a relay of nothing", []string{"relay.enabled=true"}, []string{"config.relays"}},
		{"a relay that can't reach its broker", []string{"relay.enabled=true", "broker.embedded.enabled=true", "config.relays[0].name=x"}, []string{"broker.embedded.listen.enabled"}},
		{"nothing to scale by", []string{"autoscaling.enabled=true", "autoscaling.cpuPercent=0"}, []string{"autoscaling.cpuPercent"}},
		{"the least above the most", []string{"autoscaling.enabled=true", "autoscaling.minReplicas=9"}, []string{"autoscaling.minReplicas: 9", "autoscaling.maxReplicas, 6"}},
		{"an unknown alert", []string{"alerts.enabled=true", "alerts.disabled[0]=OvertakeTired"}, []string{"alerts.disabled", "OvertakeTired", "OvertakeDown"}},
		{"a budget that blocks nodes", []string{"podDisruptionBudget.maxUnavailable=0"}, []string{"/podDisruptionBudget/maxUnavailable"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := template(t, "edge", "--set", strings.Join(test.set, ","))
			if err == nil {
				t.Fatal("is taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
		})
	}
}

// Clusters without native sidecars are refused; those without the sleep action get a
// gateway without it.
func TestKubernetesVersions(t *testing.T) {
	if _, err := template(t, "edge", "--kube-version", "1.28.0"); err == nil || !strings.Contains(err.Error(), ">=1.29") {
		t.Errorf("Kubernetes 1.28: %v", err)
	}
	if text := render(t, "edge", "--kube-version", "1.29.5"); strings.Contains(text, "preStop") {
		t.Error("Kubernetes 1.29 would refuse a lifecycle without a handler")
	}
	if text := render(t, "edge", "--kube-version", "1.30.1-gke.7"); !strings.Contains(text, "preStop") {
		t.Error("Kubernetes 1.30 can sleep before SIGTERM")
	}
}
