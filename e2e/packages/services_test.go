package packages

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// insideOfHost says that this process is in namespaces of its own.
const insideOfHost = "PACKAGES_TEST_INSIDE"

// TestComposeRuns starts what compose.yaml describes, with its commands, environment
// and files, on a host of its own where every service's name is 127.0.0.1. Grafana is
// not among what Debian has.
func TestComposeRuns(t *testing.T) {
	if os.Getenv(insideOfHost) != "" {
		runServices(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child",
		self, "-test.run", "^TestComposeRuns$", "-test.v", "-test.timeout", "3m")
	inside.Env = append(os.Environ(), insideOfHost+"=1")
	out, err := inside.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func runServices(t *testing.T) {
	hosts := nameHosts(t, "rabbitmq", "nats", "jaeger", "prometheus", "app", "gateway")
	project := loadCompose(t)
	root := assemble(t, "overtake", buildStage(t))

	startRabbitMQ(t, project.Services["rabbitmq"])
	nats := startNATS(t, project.Services["nats"])
	jaeger := startJaeger(t, project.Services["jaeger"])
	prometheus := startPrometheus(t, project.Services["prometheus"])
	app := startImage(t, root, hosts, project.Services["app"])
	app.find(t, `app: (\d) workers`)
	healthy(t, nats, "http://127.0.0.1:8222/healthz")
	healthy(t, jaeger, "http://127.0.0.1:14269/")
	healthy(t, prometheus, "http://127.0.0.1:9090/-/ready")

	gateway := startImage(t, root, hosts, project.Services["gateway"])
	healthy(t, gateway, "http://127.0.0.1:9901/readyz")
	for _, path := range []string{"/mails/work?ms=1", "/imports/work?ms=1"} {
		testJob(t, gateway, path)
	}
	testTrace(t, gateway)
	gateway.await(t, "Prometheus has the gateway's requests", func() bool {
		var found struct{ Data struct{ Result []any } }
		return ask("http://127.0.0.1:9090/api/v1/query?query="+url.QueryEscape("sum(overtake_requests_total) > 0"), &found) == nil && len(found.Data.Result) > 0
	})
	var rules struct{ Data struct{ Groups []any } }
	if err := ask("http://127.0.0.1:9090/api/v1/rules", &rules); err != nil || len(rules.Data.Groups) == 0 {
		t.Errorf("Prometheus has the groups of rules %v, %v", rules.Data.Groups, err)
	}
	gateway.stop(t)
}

// testTrace sends a request that is sampled where it comes from, and finds it in Jaeger.
func testTrace(t *testing.T, gateway *process) {
	t.Helper()
	const id = "0af7651916cd43dd8448eb211c80319c"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8080/work?ms=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Traceparent", "00-"+id+"-b7ad6b7169203331-01")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("GET /work: %d, want 200", response.StatusCode)
	}
	gateway.await(t, "Jaeger has the trace", func() bool {
		var found struct{ Data []any }
		return ask("http://127.0.0.1:16686/api/traces/"+id, &found) == nil && len(found.Data) > 0
	})
}

// testJob posts a job and waits until it is done.
func testJob(t *testing.T, gateway *process, path string) {
	t.Helper()
	status, header := fetch(t, http.MethodPost, "http://127.0.0.1:8080"+path, "job")
	if status != http.StatusAccepted {
		t.Errorf("POST %s: %d, want 202", path, status)
		return
	}
	gateway.await(t, path+" is done", func() bool {
		var job struct{ State string }
		return ask("http://127.0.0.1:8080"+header.Get("Location"), &job) == nil && job.State == "done"
	})
}

// ask reads what url answers, which is JSON.
func ask(url string, answer any) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// healthy waits until url answers with 200.
func healthy(t *testing.T, p *process, url string) {
	t.Helper()
	p.await(t, url+" answers with 200", func() bool {
		response, err := http.Get(url)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// nameHosts makes the names known in these namespaces, and returns the file.
func nameHosts(t *testing.T, names ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("127.0.0.1 localhost "+strings.Join(names, " ")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command("ip", "link", "set", "lo", "up"))
	must(t, exec.Command("mount", "--bind", file, "/etc/hosts"))
	return file
}

func must(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// startImage runs a service of the image in root, with the files and volumes that it
// is given.
func startImage(t *testing.T, root, hosts string, s types.ServiceConfig) *process {
	t.Helper()
	mounts := []mount{{hosts, "/etc/hosts"}}
	for _, v := range s.Volumes {
		from := v.Source
		if v.Type == types.VolumeTypeVolume {
			from = volume(t)
		}
		mounts = append(mounts, mount{from, v.Target})
	}
	p := inRoot(t, root, mounts, s.Command...)
	p.cmd.Env = append(p.cmd.Env, environment(s)...)
	return p.start(t)
}

// environment returns a service's variables.
func environment(s types.ServiceConfig) []string {
	var env []string
	for name, value := range s.Environment {
		if value != nil {
			env = append(env, name+"="+*value)
		}
	}
	return env
}

// startProgram runs a service by a program of this machine.
func startProgram(t *testing.T, s types.ServiceConfig, as *syscall.Credential, dir, name string, args []string, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(append(env, "PATH="+os.Getenv("PATH")), environment(s)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	return p.start(t)
}

func startNATS(t *testing.T, s types.ServiceConfig) *process {
	t.Helper()
	dir := volume(t)
	server := filepath.Join(dir, "nats-server")
	must(t, exec.Command("go", "build", "-C", repository, "-o", server, "github.com/nats-io/nats-server/v2"))
	args := replaced(s.Command, "/data", filepath.Join(dir, "data"))
	return startProgram(t, s, &syscall.Credential{Uid: nobody, Gid: nobody}, dir, server, args)
}

func startJaeger(t *testing.T, s types.ServiceConfig) *process {
	t.Helper()
	jaeger, err := filepath.Abs(filepath.Join(repository, "bin", "jaeger"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(jaeger); err != nil {
		t.Fatalf("%v: build it with: go tool -modfile=tools.mod task setup:jaeger", err)
	}
	return startProgram(t, s, nil, t.TempDir(), jaeger, s.Command)
}

// startPrometheus runs Debian's Prometheus, after promtool has checked its files.
func startPrometheus(t *testing.T, s types.ServiceConfig) *process {
	t.Helper()
	dir := t.TempDir()
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind {
			copyFile(t, v.Source, filepath.Join(dir, v.Target))
		}
	}
	args := replaced(replaced(s.Command, "/etc/prometheus", filepath.Join(dir, "etc/prometheus")), "/prometheus", filepath.Join(dir, "data"))
	must(t, exec.Command("promtool", "check", "config", filepath.Join(dir, "etc/prometheus/prometheus.yml")))
	return startProgram(t, s, nil, dir, "prometheus", args)
}

// replaced returns arguments in which a path of the container, alone or after =, is
// one of this machine.
func replaced(args []string, from, to string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		flag, value, valued := strings.Cut(arg, "=")
		if !valued {
			flag, value = "", arg
		}
		if below, ok := strings.CutPrefix(value, from); ok && (below == "" || below[0] == '/') {
			args[i] = to + below
			if valued {
				args[i] = flag + "=" + args[i]
			}
		}
	}
	return args
}

// startRabbitMQ runs Debian's RabbitMQ, which is older than the image's, and waits
// until it can be connected to.
func startRabbitMQ(t *testing.T, s types.ServiceConfig) *process {
	t.Helper()
	owner, err := user.Lookup("rabbitmq")
	if err != nil {
		t.Fatal(err)
	}
	uid, errUID := strconv.Atoi(owner.Uid)
	gid, errGID := strconv.Atoi(owner.Gid)
	if errUID != nil || errGID != nil {
		t.Fatal(errUID, errGID)
	}
	dir := folderOf(t, uid, gid)
	p := startProgram(t, s, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, dir, "/usr/lib/rabbitmq/bin/rabbitmq-server", nil,
		"HOME="+dir, "LANG=C.UTF-8", "RABBITMQ_NODENAME=rabbit@localhost", "RABBITMQ_LOGS=-",
		"RABBITMQ_MNESIA_BASE="+dir+"/data", "RABBITMQ_LOG_BASE="+dir+"/log", "RABBITMQ_PID_FILE="+dir+"/pid",
		"RABBITMQ_CONFIG_FILE="+dir+"/rabbitmq.conf", "RABBITMQ_ADVANCED_CONFIG_FILE="+dir+"/advanced.config", "RABBITMQ_CONF_ENV_FILE="+dir+"/env",
		"ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_FEATURE_FLAGS_FILE="+dir+"/flags", "RABBITMQ_ENABLED_PLUGINS_FILE="+dir+"/plugins")
	p.find(t, `Server startup (complete)`)
	return p
}
