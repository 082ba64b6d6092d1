package charts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the other tests rely on notices what is wrong: each case breaks a manifest
// that is right.
func TestBrokenManifests(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("testdata/golden", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, test := range []struct {
		name, in, old, new, want string
	}{
		{"an unknown field", "default", "replicas: 2", "replica: 2", `unknown field "spec.replica"`},
		{"a field in another case", "default", "containerPort: 8080", "containerport: 8080", `unknown field "spec.template.spec.containers[0].ports[0].containerport"`},
		{"a key twice", "default", "replicas: 2", "replicas: 2\n  replicas: 3", `key "replicas" already set`},
		{"a wrong type", "default", "replicas: 2", "replicas: two", "cannot unmarshal string"},
		{"an unknown kind", "default", "kind: PodDisruptionBudget", "kind: PodDisruptionBudge", "not known to make"},
		{"root", "default", "runAsUser: 65532", "runAsUser: 0", "may run as root"},
		{"perhaps root", "default", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot is not true"},
		{"privileged", "default", "privileged: false", "privileged: true", "is privileged"},
		{"more privileges", "default", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation is not false"},
		{"capabilities", "default", "drop: [ALL]", "drop: [NET_RAW]", "does not drop all capabilities"},
		{"a capability more", "default", "capabilities:\n              drop: [ALL]", "capabilities: {drop: [ALL], add: [NET_ADMIN]}", "adds capabilities [NET_ADMIN]"},
		{"marks without asking", "marks", "name: gateway\n          image", "name: gatewa\n          image", "adds capabilities [NET_ADMIN]"},
		{"a redirect that may more", "app", "add: [NET_ADMIN, NET_RAW]", "add: [NET_ADMIN, NET_RAW, SYS_ADMIN]", "adds capabilities [NET_ADMIN NET_RAW SYS_ADMIN]"},
		{"a disk", "default", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "root file system"},
		{"no seccomp", "default", "type: RuntimeDefault", "type: Unconfined", "seccomp"},
		{"no limit", "default", "            limits:\n              cpu: \"2\"\n", "            limits:\n", "resources.limits.cpu is not set"},
		{"less than it asks for", "default", "cpu: 250m", "cpu: 3", "requests more cpu than its limit"},
		{"latest", "default", "image: overtake:0.1.0", "image: overtake:latest", "no tag that stays"},
		{"no tag", "default", "image: overtake:0.1.0", "image: registry:5000/overtake", "no tag that stays"},
		{"a path of the host", "default", "configMap:\n            name: edge-overtake", "hostPath:\n            path: /etc", "a path of the host"},
		{"the host's network", "default", "automountServiceAccountToken: false\n      enable", "hostNetwork: true\n      automountServiceAccountToken: false\n      enable", "namespaces of the host"},
		{"a token", "default", "automountServiceAccountToken: false\n      enable", "automountServiceAccountToken: true\n      enable", "mounts a token"},
		{"no probe", "default", "          readinessProbe:\n            httpGet:\n              path: /readyz?exclude=queues&exclude=upstreams\n              port: admin\n            periodSeconds: 5\n            timeoutSeconds: 5\n            failureThreshold: 3\n", "", "lacks a probe"},
		{"a probe of nothing", "default", "path: /readyz?exclude=queues&exclude=upstreams\n              port: admin", "path: /readyz?exclude=queues&exclude=upstreams\n              port: amin", "a probe asks at port amin"},
		{"a mount of nothing", "default", "mountPath: /etc/overtake", "mountPath: /etc/overtake\n            - name: x\n              mountPath: /x", "mounts x, which is no volume"},
		{"another's pods", "default", "      app.kubernetes.io/component: gateway\n  strategy", "      app.kubernetes.io/component: other\n  strategy", "its selector is not for its own pods"},
		{"a Service of nobody", "default", "publishNotReadyAddresses: true\n  selector:\n    app.kubernetes.io/name: overtake", "publishNotReadyAddresses: true\n  selector:\n    app.kubernetes.io/name: other", "for the pods of 0 workloads"},
		{"a port of nobody", "default", "targetPort: public", "targetPort: pubic", "leads to port pubic"},
		{"a budget for nobody", "default", "      app.kubernetes.io/component: gateway\n---\n# Source: overtake/templates/serviceaccount", "      app.kubernetes.io/component: other\n---\n# Source: overtake/templates/serviceaccount", "not for the pods of one workload"},
		{"scaling nothing", "scaled", "kind: Deployment\n    name: edge-overtake", "kind: Deployment\n    name: edge", "scales Deployment edge, which is not there"},
		{"a missing file", "default", "configMap:\n            name: edge-overtake", "configMap:\n            name: edge", "ConfigMap edge, which is not there"},
		{"a missing account", "default", "serviceAccountName: edge-overtake", "serviceAccountName: edge", `ServiceAccount "edge", which is not there`},
		{"a missing headless Service", "embedded", "clusterIP: None", "clusterIP: \"\"", "headless Service"},
		{"a port that is closed", "networkpolicy", "- port: public", "- port: pubic", "allows port pubic"},
		{"a port of the sidecar that is closed", "app", "{protocol: TCP, port: 9901}", "{protocol: TCP, port: 9902}", "allows port 9902"},
		{"a monitor of nothing", "monitoring", "- port: admin\n      path: /metrics", "- port: amin\n      path: /metrics", "scrapes port amin"},
		{"a long name", "default", "name: edge-overtake-admin", "name: " + strings.Repeat("a", 64), "63"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := read(test.in)
			if !strings.Contains(text, test.old) {
				t.Fatalf("%s has no %q", test.in, test.old)
			}
			var found []string
			if objects, err := decode(strings.ReplaceAll(text, test.old, test.new)); err != nil {
				found = []string{err.Error()}
			} else {
				found = append(policies(objects, test.in == "marks"), references(objects)...)
			}
			if !strings.Contains(strings.Join(found, "\n"), test.want) {
				t.Errorf("found\n%s\nwant %q", strings.Join(found, "\n"), test.want)
			}
		})
	}
}
