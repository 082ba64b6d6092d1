package charts

import (
	"os"
	"path/filepath"
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
		{"a network that is none", []string{"sidecar.redirect.excludeCIDRs[0]=1.2.3.4:80"}, []string{"/sidecar/redirect/excludeCIDRs/0"}},
		{"a network that is too small", []string{"sidecar.redirect.excludeCIDRs[0]=10.0.0.0/33"}, []string{"/sidecar/redirect/excludeCIDRs/0"}},
		{"one port for two", []string{"listeners[0].name=a", "listeners[0].port=9901", "listeners[0].servicePort=80"}, []string{"port 9901 of a", "admin.port"}},
		{"a client CA without a certificate", []string{"listeners[0].name=a", "listeners[0].port=8080", "listeners[0].servicePort=80", "listeners[0].clientCA=true"}, []string{"a has clientCA and no tlsSecret"}},
		{"latest", []string{"image.tag=latest"}, []string{"image.tag: latest names", "write a version"}},
		{"the latest redirect", []string{"initImage.tag=latest"}, []string{"initImage.tag: latest names", "write a version"}},
		{"a listener of the admin port's name", []string{"listeners[0].name=admin", "listeners[0].port=8080", "listeners[0].servicePort=80"}, []string{"listeners: admin is the name", "choose another"}},
		{"a typo in settings", []string{"listeners[0].name=a", "listeners[0].port=8080", "listeners[0].servicePort=80", "listeners[0].settings.adress=x"}, []string{"listeners[].settings.adress is no key", "trust, proxy_protocol"}},
		{"queues above the volume", []string{"broker.embedded.enabled=true", "broker.embedded.maxBytes=20GiB"}, []string{"broker.embedded.maxBytes: 20GiB", "broker.embedded.size, 8Gi", "write less"}},
		{"queues as large as the volume", []string{"broker.embedded.enabled=true", "broker.embedded.maxBytes=8192MiB"}, []string{"broker.embedded.maxBytes: 8192MiB is not less"}},
		{"queues above the volume by the configuration", []string{"broker.embedded.enabled=true", "config.brokers.local.max_bytes=9GiB"}, []string{"config.brokers.local.max_bytes: 9GiB", "write less"}},
		{"a scrape longer than the interval", []string{"serviceMonitor.scrapeTimeout=30s"}, []string{"serviceMonitor.scrapeTimeout: 30s is more than serviceMonitor.interval, 15s"}},
		{"a scrape longer than the interval, in other units", []string{"serviceMonitor.interval=59999ms", "serviceMonitor.scrapeTimeout=1m"}, []string{"serviceMonitor.scrapeTimeout: 1m is more"}},
		{"servers of nobody", []string{"app.servers={http://shop:80}", "config.upstreams.api.servers={http://api:80}"}, []string{"app.servers: config.upstreams has no app", "http://shop:80", "config.upstreams.api.servers"}},
		{"an access log that can't be written", []string{"config.access_log.output=/var/log/a.log"}, []string{"config.access_log.output: /var/log/a.log", "stdout or stderr", "gateway.extraVolumeMounts"}},
		{"an access log beside the volume", []string{"config.access_log.output=/logs2/a.log", "gateway.extraVolumeMounts[0].name=a", "gateway.extraVolumeMounts[0].mountPath=/logs"}, []string{"config.access_log.output: /logs2/a.log"}},
		{"an access log in a volume to be read", []string{"config.access_log.output=/logs/a.log", "gateway.extraVolumeMounts[0].name=a", "gateway.extraVolumeMounts[0].mountPath=/logs", "gateway.extraVolumeMounts[0].readOnly=true"}, []string{"config.access_log.output: /logs/a.log"}},
		{"a sidecar's access log", []string{"sidecar.enabled=true", "sidecar.config.access_log.output=a.log"}, []string{"sidecar.config.access_log.output: a.log", "stdout or stderr"}},
		{"an address for a network", []string{"networkPolicy.adminFrom[0].ipBlock.cidr=10.0.0.0"}, []string{"/networkPolicy/adminFrom/0/ipBlock/cidr"}},
		{"a network too large", []string{"networkPolicy.publicFrom[0].ipBlock.cidr=10.0.0.0/33"}, []string{"/networkPolicy/publicFrom/0/ipBlock/cidr"}},
		{"an exception that is none", []string{"networkPolicy.brokerFrom[0].ipBlock.cidr=10.0.0.0/8", "networkPolicy.brokerFrom[0].ipBlock.except[0]=x"}, []string{"/networkPolicy/brokerFrom/0/ipBlock/except/0"}},
		{"a typo in who may connect", []string{"networkPolicy.adminFrom[0].podSelecter.matchLabels.a=b"}, []string{"/networkPolicy/adminFrom/0", "'podSelecter'"}},
		{"a way out to an address", []string{"networkPolicy.egress.to[0].to[0].ipBlock.cidr=10.0.0.1"}, []string{"/networkPolicy/egress/to/0/to/0/ipBlock/cidr"}},
		{"a label that is none", []string{"alerts.matchLabels.a-b=c"}, []string{"/alerts/matchLabels"}},
		{"half a digest", []string{"image.digest=sha256:abc"}, []string{"/image/digest"}},
		{"no limit of memory", []string{"gateway.resources.limits.memory=null"}, []string{"/gateway/resources/limits", "'memory'"}},
		{"memory in bytes of mail", []string{"gateway.resources.limits.memory=1GB"}, []string{"/gateway/resources/limits/memory"}},
		{"memory in thousandths", []string{"gateway.resources.limits.memory=100m"}, []string{"/gateway/resources/limits/memory", "100m"}},
		{"too little memory", []string{"gateway.resources.limits.memory=8Mi"}, []string{"gateway.resources.limits.memory", "32Mi or more"}},
		{"more memory than there is", []string{"gateway.resources.limits.memory=9999999Ti"}, []string{"gateway.resources.limits.memory: 9999999Ti is more", "1024Ti or less"}},
		{"a volume larger than any", []string{"broker.embedded.enabled=true", "broker.embedded.size=9999999Ti"}, []string{"broker.embedded.size: 9999999Ti is more"}},
		{"memory requested above the limit", []string{"gateway.resources.requests.memory=1Gi"}, []string{"gateway.resources.requests.memory: 1Gi", "limits.memory, 512Mi"}},
		{"processors requested above the limit", []string{"relay.enabled=true", "config.relays[0].name=x", "broker.nats.enabled=true", "relay.resources.requests.cpu=1001m"}, []string{"relay.resources.requests.cpu: 1001m", "limits.cpu, 1"}},
		{"a test's memory above the limit", []string{"tests.resources.requests.memory=129Mi"}, []string{"tests.resources.requests.memory: 129Mi"}},
		{"a name with capitals", []string{"fullnameOverride=Foo_Bar"}, []string{"/fullnameOverride"}},
		{"a name with a dot", []string{"fullnameOverride=a.b"}, []string{"/fullnameOverride"}},
		{"a template as a name", []string{"nameOverride=x{{ .Release }}"}, []string{"/nameOverride"}},
		{"a name of two lines", []string{"fullnameOverride=a\nb"}, []string{"/fullnameOverride"}},
		{"more pods than can be counted", []string{"gateway.replicas=99999999999"}, []string{"/gateway/replicas", "maximum"}},
		{"a user that can't be", []string{"sidecar.runAsUser=4294967294"}, []string{"/sidecar/runAsUser", "maximum"}},
		{"the chart's own annotation", []string{"gateway.podAnnotations.checksum/restart=x"}, []string{"gateway.podAnnotations: checksum/restart", "take it out"}},
		{"the relay's own annotation", []string{"relay.enabled=true", "config.relays[0].name=x", "broker.nats.enabled=true", "relay.podAnnotations.checksum/config=x"}, []string{"relay.podAnnotations: checksum/config"}},
		{"the chart's own variable", []string{"gateway.extraEnv[0].name=GOMEMLIMIT"}, []string{"gateway.extraEnv: GOMEMLIMIT", "take it out"}},
		{"the token's variable", []string{"admin.tokenSecret.name=admin", "gateway.extraEnv[0].name=OVERTAKE_ADMIN_TOKEN"}, []string{"gateway.extraEnv: OVERTAKE_ADMIN_TOKEN"}},
		{"a broker's variable", []string{"broker.nats.enabled=true", "broker.nats.tokenSecret.name=nats", "relay.enabled=true", "config.relays[0].name=x", "relay.extraEnv[0].name=NATS_TOKEN"}, []string{"relay.extraEnv: NATS_TOKEN"}},
		{"a variable twice", []string{"gateway.extraEnv[0].name=A", "gateway.extraEnv[1].name=A"}, []string{"gateway.extraEnv: A", "twice"}},
		{"a variable without a name", []string{"gateway.extraEnv[0].value=A"}, []string{"/gateway/extraEnv/0", "'name'"}},
		{"a number as a variable", []string{"gateway.extraEnv[0].name=A", "gateway.extraEnv[0].value=1"}, []string{"/gateway/extraEnv/0/value"}},
		{"no server", []string{"app.servers=null"}, []string{"/app", "'servers'"}},
		{"an image with a blank", []string{"image.repository=a b"}, []string{"/image/repository"}},
		{"a registry with a scheme", []string{"image.registry=https://registry.example"}, []string{"/image/registry"}},
		{"clients' addresses from nobody", []string{"service.externalTrafficPolicy=Local"}, []string{"service.externalTrafficPolicy: Local", "service.type"}},
		{"networks that nothing holds", []string{"service.loadBalancerSourceRanges[0]=10.0.0.0/8"}, []string{"service.loadBalancerSourceRanges", "set service.type to LoadBalancer"}},
		{"a sidecar's port twice", []string{"sidecar.enabled=true", "sidecar.adminPort=15006"}, []string{"sidecar.adminPort: 15006 is sidecar.inboundPort, too"}},
		{"the app's port left alone", []string{"sidecar.enabled=true", "sidecar.redirect.excludePorts[0]=8080"}, []string{"sidecar.redirect.excludePorts: 8080 is sidecar.appPort"}},
		{"a port above the last", []string{"sidecar.redirect.outboundPorts[0]=65536"}, []string{"/sidecar/redirect/outboundPorts/0"}},
		{"no time to drain", []string{"drain.timeoutSeconds=null"}, []string{"/drain", "'timeoutSeconds'"}},
		{"a section that is not there", []string{"broker.embedded.listen=null"}, []string{"/broker/embedded", "'listen'"}},
		{"no listeners at all", []string{"listeners=null"}, []string{"'listeners'"}},
		{"spans to nowhere", []string{"tracing.exporter=otlp"}, []string{"tracing.endpoint", "http://jaeger-collector:4318"}},
		{"RabbitMQ nowhere", []string{"broker.rabbitmq.enabled=true"}, []string{"broker.rabbitmq.urlSecret.name"}},
		{"a password in the values", []string{"broker.rabbitmq.url=amqp://shop:secret@rabbitmq/"}, []string{"/broker/rabbitmq/url"}},
		{"a password for NATS in the values", []string{"broker.nats.enabled=true", "broker.nats.urls[0]=nats://shop:secret@nats"}, []string{"/broker/nats/urls/0"}},
		{"a password in the configuration", []string{"config.brokers.mine.type=rabbitmq", "config.brokers.mine.url=amqp://shop:secret@rabbitmq/"}, []string{"config.brokers.mine", "a URL with a password", "${NAME}", "extraEnv"}},
		{"one of several", []string{"config.brokers.mine.type=nats", "config.brokers.mine.urls[0]=nats://a", "config.brokers.mine.urls[1]=nats://secret@b"}, []string{"config.brokers.mine", "a URL with a password"}},
		{"half a password", []string{"config.brokers.mine.type=nats", "config.brokers.mine.url=nats://shop:secret${NAME}@b"}, []string{"config.brokers.mine", "a URL with a password"}},
		{"a token in the configuration", []string{"config.brokers.mine.type=nats", "config.brokers.mine.token=secret"}, []string{"config.brokers.mine.token", "${NAME}", "extraEnv"}},
		{"a literal that looks like a variable", []string{"config.brokers.mine.type=nats", "config.brokers.mine.token=$${NAME}"}, []string{"config.brokers.mine.token"}},
		{"a password for a sidecar", []string{"sidecar.enabled=true", "sidecar.config.brokers.mine.url=nats://shop:secret@nats"}, []string{"sidecar.config.brokers.mine", "a URL with a password"}},
		{"a broker on one line", []string{"config.brokers.mine=amqp://shop:secret@rabbitmq/"}, []string{"/config/brokers/mine"}},
		{"queues on no broker", []string{"config.queues.jobs.attempts=3"}, []string{"config.queues has no broker", "broker.embedded.enabled", "config.brokers"}},
		{"a relay's queues on no broker", []string{"gateway.enabled=false", "relay.enabled=true", "config.relays[0].name=x", "config.queues.jobs.attempts=3"}, []string{"config.queues has no broker"}},
		{"a sidecar's queues on no broker", []string{"sidecar.enabled=true", "sidecar.config.queues.jobs.attempts=3"}, []string{"sidecar.config.queues has no broker", "sidecar.config.brokers"}},
		{"a broker embedded by the configuration", []string{"config.brokers.local.type=nats", "config.brokers.local.embedded=true"}, []string{"config.brokers.local.embedded", "set broker.embedded.enabled"}},
		{"a broker embedded in a sidecar", []string{"sidecar.enabled=true", "sidecar.config.brokers.local.type=nats", "sidecar.config.brokers.local.embedded=true"}, []string{"sidecar.config.brokers.local.embedded", "elsewhere"}},
		{"nowhere to go", []string{"networkPolicy.enabled=true", "networkPolicy.egress.enabled=true"}, []string{"networkPolicy.egress.to is empty", "networkPolicy.egress.enabled to false"}},
		{"a readiness of something else", []string{"probes.readiness.path=/readyz?exclude=apps"}, []string{"/probes/readiness/path"}},
		{"a relay of nothing", []string{"relay.enabled=true"}, []string{"config.relays"}},
		{"a relay that can't reach its broker", []string{"relay.enabled=true", "broker.embedded.enabled=true", "config.relays[0].name=x"}, []string{"broker.embedded.listen.enabled"}},
		{"nothing to scale by", []string{"autoscaling.enabled=true", "autoscaling.cpuPercent=0"}, []string{"autoscaling.cpuPercent"}},
		{"the least above the most", []string{"autoscaling.enabled=true", "autoscaling.minReplicas=9"}, []string{"autoscaling.minReplicas: 9", "autoscaling.maxReplicas, 6"}},
		{"a typo in how fast it scales", []string{"autoscaling.behavior.scaledown.stabilizationWindowSeconds=60"}, []string{"/autoscaling/behavior", "'scaledown'"}},
		{"a typo below it", []string{"autoscaling.behavior.scaleDown.x=1"}, []string{"/autoscaling/behavior/scaleDown", "'x'"}},
		{"a window of days", []string{"autoscaling.behavior.scaleDown.stabilizationWindowSeconds=99999"}, []string{"/autoscaling/behavior/scaleDown/stabilizationWindowSeconds", "maximum"}},
		{"a policy of none", []string{"autoscaling.behavior.scaleUp.selectPolicy=max"}, []string{"/autoscaling/behavior/scaleUp/selectPolicy", "'Max'"}},
		{"a policy of nodes", []string{"autoscaling.behavior.scaleUp.policies[0].type=Nodes", "autoscaling.behavior.scaleUp.policies[0].value=1", "autoscaling.behavior.scaleUp.policies[0].periodSeconds=60"}, []string{"/autoscaling/behavior/scaleUp/policies/0/type"}},
		{"a policy without a period", []string{"autoscaling.behavior.scaleUp.policies[0].type=Pods", "autoscaling.behavior.scaleUp.policies[0].value=0"}, []string{"/autoscaling/behavior/scaleUp/policies/0", "'periodSeconds'", "minimum"}},
		{"a period of hours", []string{"autoscaling.behavior.scaleUp.policies[0].type=Pods", "autoscaling.behavior.scaleUp.policies[0].value=1", "autoscaling.behavior.scaleUp.policies[0].periodSeconds=1801"}, []string{"/autoscaling/behavior/scaleUp/policies/0/periodSeconds", "maximum"}},
		{"a tolerance in percent", []string{"autoscaling.behavior.scaleUp.tolerance=5%"}, []string{"/autoscaling/behavior/scaleUp/tolerance"}},
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

// What is near to a refusal is taken.
func TestNearRefusals(t *testing.T) {
	const aListener = "listeners[0].name=a,listeners[0].port=8080,listeners[0].servicePort=80,"
	sets := []string{
		"broker.embedded.enabled=true,broker.embedded.maxBytes=8191MiB",
		"broker.embedded.enabled=true,config.brokers.local.max_bytes=9GiB,config.brokers.local.dir=/other",
		"broker.embedded.maxBytes=20GiB", // and no such broker
		"serviceMonitor.interval=60s,serviceMonitor.scrapeTimeout=1m",
		"config.upstreams.api.servers={http://api:80}",
		"app.servers={http://shop:80},config.upstreams.api.servers={http://api:80},config.upstreams.app.timeout=1s",
		"config.access_log.output=stderr",
		"config.access_log.output=/dev/stdout",
		"config.access_log.output=$${LOG}",
		"config.access_log.output=/logs/a.log,gateway.extraVolumeMounts[0].name=a,gateway.extraVolumeMounts[0].mountPath=/logs/",
		"broker.embedded.enabled=true,config.access_log.output=/var/lib/overtake/a.log",
		"networkPolicy.enabled=true,networkPolicy.adminFrom[0].ipBlock.cidr=fd00::/8,networkPolicy.adminFrom[0].ipBlock.except={fd00:1::/32}",
		"networkPolicy.enabled=true,networkPolicy.adminFrom[0].podSelector.matchLabels.a=b",
	}
	keys := programKeys(t, "Listener")
	for _, key := range []string{"name", "address", "role", "tls"} { // those that other values set
		delete(keys, key)
	}
	for key := range keys {
		sets = append(sets, aListener+"listeners[0].settings."+key+"=x")
	}
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			render(t, "edge", "--set", set)
		})
	}
}

// Lists with too little or too much in them are refused, and so is a name that only the
// release makes.
func TestRefusalsOfLists(t *testing.T) {
	for _, test := range []struct{ release, set, want string }{
		{"edge", `{"app": {"servers": []}}`, "/app/servers"},
		{"edge", `{"sidecar": {"enabled": true, "redirect": {"inbound": false, "outboundPorts": []}}}`, "sidecar.redirect has nothing to redirect"},
		{"edge", `{"sidecar": {"enabled": true, "redirect": {"outboundPorts": ["*", "80"]}}}`, "sidecar.redirect.outboundPorts: *"},
		{"1edge", `{}`, "set fullnameOverride"},
		{"edge.shop", `{}`, "set fullnameOverride"},
		{"edge", `{"autoscaling": {"behavior": {"scaleUp": {"policies": []}}}}`, "/autoscaling/behavior/scaleUp/policies"},
	} {
		path := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(path, []byte(test.set), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := template(t, test.release, "--values", path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s as %s: %v\nlacks %q", test.set, test.release, err, test.want)
		}
	}
}

// What is refused for its secret is not shown.
func TestRefusalsHideSecrets(t *testing.T) {
	for _, set := range []string{"config.brokers.mine.url=nats://shop:s3cr3t@nats", "config.brokers.mine.token=s3cr3t"} {
		_, err := template(t, "edge", "--set", "config.brokers.mine.type=nats,"+set)
		if err == nil {
			t.Fatalf("%s is taken", set)
		}
		// What comes before is the command with its arguments.
		if _, said, _ := strings.Cut(err.Error(), "exit status"); strings.Contains(said, "s3cr3t") {
			t.Errorf("%s: %s", set, said)
		}
	}
}

// Brokers in the configuration may have their secrets by variables.
func TestSecretsByVariables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(`
config:
  brokers:
    whole: {type: rabbitmq, url: "${MINE_URL}"}
    part: {type: rabbitmq, url: "amqps://shop:${MINE_PASSWORD}@rabbitmq:5671/"}
    both: {type: nats, urls: ["nats://${MINE_USER}:${MINE_PASSWORD}@a:4222", "nats://b:4222"]}
    token: {type: nats, url: "nats://c:4222", token: "${MINE_TOKEN}", embedded: false}
  queues: {jobs: {broker: part, results: token, deliver: {}}}
gateway:
  extraEnv: [{name: MINE_URL, value: "amqp://a/"}, {name: MINE_PASSWORD, value: b}, {name: MINE_USER, value: c}, {name: MINE_TOKEN, value: d}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	judge(t, render(t, "edge", "--values", path), false)
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
