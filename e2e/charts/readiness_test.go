package charts

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// adminAt is the address of the admin listener in the log.
var adminAt = regexp.MustCompile(`"listener":"admin","address":"([^"]+)"`)

// startGateway runs the gateway with a configuration until the test ends, and returns
// the URL of its admin listener.
func startGateway(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "overtake.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), overtake, "gateway", "-c", path, "--log-format", "json")
	c.Dir, c.Env = dir, append(os.Environ(), "HOME="+dir)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(stderr)
	t.Cleanup(func() {
		_ = c.Process.Kill()
		for said.Scan() { // before Wait, which closes the pipe
		}
		_ = c.Wait()
	})
	var log strings.Builder
	for said.Scan() {
		if at := adminAt.FindStringSubmatch(said.Text()); at != nil {
			return "http://" + at[1]
		}
		log.WriteString(said.Text() + "\n")
	}
	t.Fatalf("it ended:\n%s\nwith\n%s", log.String(), config)
	return ""
}

// A pod stays in its Service while an app and a broker are away: others than theirs
// are served, and clients of theirs learn why they are not.
func TestReadiness(t *testing.T) {
	objects, err := decode(render(t, "edge", "--set", "app.servers[0]=http://127.0.0.1:1,broker.nats.enabled=true,broker.nats.urls[0]=nats://127.0.0.1:1,config.queues.jobs.deliver.upstream=app"))
	if err != nil {
		t.Fatal(err)
	}
	file := find[*corev1.ConfigMap](objects)[0].Data["overtake.yaml"]
	admin := startGateway(t, strings.NewReplacer("admin: :9901", "admin: 127.0.0.1:0", "address: :8080", "address: 127.0.0.1:0").Replace(file))
	probe := find[*appsv1.Deployment](objects)[0].Spec.Template.Spec.Containers[0].ReadinessProbe.HTTPGet.Path
	for path, want := range map[string]int{probe: http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, answer.Status, want)
		}
	}
}
