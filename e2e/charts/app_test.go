package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// buildApp puts the example's chart with its dependency into a directory that can be
// written, and returns the chart's path.
func buildApp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"charts/overtake", "e2e/charts/testdata/app"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(root, part))); err != nil {
			t.Fatal(err)
		}
	}
	app := filepath.Join(dir, "e2e/charts/testdata/app")
	if _, err := command(t, "dependency", "update", app); err != nil {
		t.Fatal(err)
	}
	return app
}

// The chart of an app gets the sidecar by two lines, and nothing of the gateway.
func TestApp(t *testing.T) {
	app := buildApp(t)
	if _, err := command(t, "lint", "--strict", app); err != nil {
		t.Error(err)
	}
	text, err := command(t, "template", "billing", app, "--namespace", "shop", "--kube-version", "1.33.0")
	if err != nil {
		t.Fatal(err)
	}
	objects := judge(t, text, false)
	compare(t, "app", text)

	if kinds := len(objects); kinds != 4 {
		t.Errorf("%d objects, want the app's two, and the ConfigMap and the NetworkPolicy of its sidecar: %v", kinds, objects)
	}
	spec := find[*appsv1.Deployment](objects)[0].Spec.Template.Spec
	if len(spec.InitContainers) != 2 {
		t.Fatalf("%d init containers, want 2", len(spec.InitContainers))
	}
	sidecar, redirect := spec.InitContainers[0], spec.InitContainers[1]
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the sidecar is not kept running beside the app")
	}
	if sidecar.StartupProbe.HTTPGet.Path != "/healthz" {
		t.Errorf("the app would wait for %s of the sidecar, which waits for the app", sidecar.StartupProbe.HTTPGet.Path)
	}
	if redirect.RestartPolicy != nil {
		t.Error("the redirect is not done once")
	}
	env := map[string]string{}
	for _, e := range redirect.Env {
		env[e.Name] = e.Value
	}
	for name, want := range map[string]string{
		"OVERTAKE_UID": "15001", "OVERTAKE_INBOUND_PORT": "15006", "OVERTAKE_OUTBOUND_PORT": "15001", "OVERTAKE_ADMIN_PORT": "9901",
		"OVERTAKE_APP_PORTS": "3000", "OVERTAKE_OUTBOUND_PORTS": "80,443", "OVERTAKE_OUTBOUND_IPV6": "no", "OVERTAKE_EXCLUDE_PORTS": "", "OVERTAKE_EXCLUDE_CIDRS": "",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if *sidecar.SecurityContext.RunAsUser != 15001 {
		t.Error("the sidecar runs as a user whose connections are redirected")
	}
}

// Calls by IPv6 are led to the sidecar where it listens on ::1, and only there.
func TestAppWithIPv6(t *testing.T) {
	app := buildApp(t)
	for set, redirected := range map[string]bool{"false": false, "true": true} {
		text, err := command(t, "template", "billing", app, "--set", "overtake.sidecar.ipv6="+set)
		if err != nil {
			t.Fatal(err)
		}
		if listens, led := strings.Contains(text, "address: '[::1]:15001'"), strings.Contains(text, `{name: OVERTAKE_OUTBOUND_IPV6, value: "yes"}`); listens != redirected || led != redirected {
			t.Errorf("sidecar.ipv6 %s: listens on ::1: %v, redirects: %v", set, listens, led)
		}
	}
}

// The NetworkPolicy of pods with the sidecar takes their admin port from others than
// networkPolicy.adminFrom, and no other port from anybody.
func TestAppNetworkPolicy(t *testing.T) {
	app := buildApp(t)
	for _, admin := range []int32{1024, 9901, 65535} {
		text, err := command(t, "template", "billing", app, "--set", fmt.Sprintf("overtake.sidecar.adminPort=%d", admin))
		if err != nil {
			t.Fatal(err)
		}
		objects, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		policy := find[*networkingv1.NetworkPolicy](objects)[0]
		for port := int32(1); port <= 65535; port++ {
			var everybody, some bool
			for _, rule := range policy.Spec.Ingress {
				for _, p := range rule.Ports {
					end := p.Port.IntVal
					if p.EndPort != nil {
						end = *p.EndPort
					}
					if end < p.Port.IntVal || end > 65535 {
						t.Fatalf("the range %d to %d", p.Port.IntVal, end)
					}
					if *p.Protocol == corev1.ProtocolTCP && p.Port.IntVal <= port && port <= end {
						everybody, some = everybody || len(rule.From) == 0, some || len(rule.From) > 0
					}
				}
			}
			if everybody != (port != admin) || some != (port == admin) {
				t.Errorf("admin port %d, port %d: for everybody %v, for some %v", admin, port, everybody, some)
			}
		}
	}
	text, err := command(t, "template", "billing", app, "--set", "overtake.networkPolicy.enabled=false")
	if err != nil || strings.Contains(text, "kind: NetworkPolicy") {
		t.Errorf("disabled: %v\n%s", err, text)
	}
}

// A pod that includes the sidecar without its ConfigMap would never start.
func TestAppWithoutConfigMap(t *testing.T) {
	_, err := command(t, "template", "billing", buildApp(t), "--set", "overtake.sidecar.enabled=false")
	if err == nil || !strings.Contains(err.Error(), "set overtake.sidecar.enabled to true") {
		t.Errorf("%v", err)
	}
}

// The script and the chart speak of the same variables, and the image has that script.
func TestRedirectScript(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(chart(), "files/redirect.sh"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := command(t, "template", "billing", buildApp(t))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	redirect := find[*appsv1.Deployment](objects)[0].Spec.Template.Spec.InitContainers[1]
	for _, e := range redirect.Env {
		if !strings.Contains(string(script), "${"+e.Name) {
			t.Errorf("redirect.sh does not read %s", e.Name)
		}
	}
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	want := "COPY --chmod=755 charts/overtake/files/redirect.sh " + redirect.Command[0]
	if !slices.Contains(strings.Split(string(dockerfile), "\n"), want) {
		t.Errorf("the Dockerfile's target init lacks the line\n%s", want)
	}
}
