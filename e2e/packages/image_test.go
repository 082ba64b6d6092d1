package packages

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// buildStage runs the commands of stage build in a folder with the build's context,
// which is what /src is in the image. Their caches are those of this machine.
func buildStage(t *testing.T) (src string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a root of its own takes root: run this test as root")
	}
	src = t.TempDir()
	copyContext(t, src)
	stages, _ := readDockerfile(t)
	env := append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH,
		"VERSION=v1.2.3", "COMMIT=0123456789abcdef0123456789abcdef01234567", "DATE=2026-01-02T03:04:05Z")
	for _, command := range stages["build"].Commands {
		switch c := command.(type) {
		case *instructions.EnvCommand:
			for _, e := range c.Env {
				env = append(env, e.Key+"="+e.Value)
			}
		case *instructions.RunCommand:
			runLine(t, src, env, c)
		}
	}
	return src
}

// runLine runs one RUN of a stage in dir.
func runLine(t *testing.T, dir string, env []string, c *instructions.RunCommand) {
	t.Helper()
	line := strings.Join(c.CmdLine, " ")
	run := exec.Command("/bin/sh", "-c", line)
	run.Dir, run.Env = dir, env
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("RUN %s: %v\n%s", line, err, out)
	}
}

// assemble copies what the image of a stage consists of out of the stages that were
// built in src, and returns its root.
func assemble(t *testing.T, stage, src string) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	stages, _ := readDockerfile(t)
	commands, base := inherited(stages, stage)
	if base != "scratch" {
		t.Fatalf("image %s is from %s, want scratch", stage, base)
	}
	for _, command := range commands {
		c, ok := command.(*instructions.CopyCommand)
		if !ok {
			continue
		}
		owner := 0
		if c.Chown != "" {
			if c.Chown != "65532:65532" {
				t.Fatalf("%v: want 65532:65532, an image from scratch has no names", c)
			}
			owner = nobody
		}
		for _, source := range c.SourcePaths {
			inside, ok := strings.CutPrefix(source, "/src/")
			if !ok || c.From == "" {
				t.Fatalf("%v: want what is below /src in stage build", c)
			}
			copyTree(t, filepath.Join(src, inside), filepath.Join(root, c.DestPath), owner)
		}
	}
	return root
}

// TestImage runs the image's program as an engine would: as nobody, in the image's
// root, which is read-only but for the volume.
func TestImage(t *testing.T) {
	src := buildStage(t)
	root := assemble(t, "overtake", src)
	t.Run("files", func(t *testing.T) { testImageFiles(t, root) })
	t.Run("gateway", func(t *testing.T) { testImageGateway(t, root) })
	t.Run("read-only", func(t *testing.T) { testImageReadOnly(t, root) })
	t.Run("version", func(t *testing.T) {
		out, err := inRoot(t, root, nil, "version").cmd.Output()
		if err != nil || !strings.HasPrefix(string(out), "overtake v1.2.3 0123456789ab 2026-01-02T03:04:05Z go1.") {
			t.Errorf("overtake version printed %q, %v", out, err)
		}
	})
	t.Run("marks", func(t *testing.T) { testImageMarks(t, src, root) })
}

func testImageFiles(t *testing.T, root string) {
	var files []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(name, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(files, " "), "/etc/ssl/certs/ca-certificates.crt /usr/local/bin/overtake /usr/share/licenses/overtake/LICENSE"; got != want {
		t.Errorf("the image has the files %s, want %s", got, want)
	}
	info, err := os.Stat(filepath.Join(root, "var/lib/overtake"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != nobody {
		t.Errorf("the data folder is of user %d, want %d", owner, nobody)
	}
	pem, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		t.Error("the image has no certificates of authorities")
	}
}

// A job is stored in the volume, reaches the app and its answer comes back; SIGTERM
// drains.
func testImageGateway(t *testing.T, root string) {
	app := inRoot(t, root, nil, "app", "--listen", "127.0.0.1:0").start(t)
	data := volume(t)
	g := inRoot(t, root, []mount{{config(t, app.find(t, `http://\S+`), "/var/lib/overtake/broker"), "/etc/overtake"}, {data, "/var/lib/overtake"}}).start(t)
	url := "http://" + g.find(t, `msg=listening listener=public address=(\S+)`)

	if status, _ := fetch(t, http.MethodGet, url+"/work?ms=1", ""); status != http.StatusOK {
		t.Errorf("GET /work: %d, want 200", status)
	}
	status, header := fetch(t, http.MethodPost, url+"/jobs/work?ms=1", "work")
	if status != http.StatusAccepted {
		t.Fatalf("POST /jobs/work: %d, want 202", status)
	}
	g.await(t, "the job is done", func() bool {
		response, err := http.Get(url + header.Get("Location"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		var job struct{ State string }
		return json.NewDecoder(response.Body).Decode(&job) == nil && job.State == "done"
	})
	info, err := os.Stat(filepath.Join(data, "broker"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != nobody {
		t.Errorf("the broker's folder is of user %d, want %d", owner, nobody)
	}
	g.stop(t)
	app.stop(t)
}

// The root is what it is said to be: the program can't write anywhere else.
func testImageReadOnly(t *testing.T, root string) {
	g := inRoot(t, root, []mount{{config(t, "http://127.0.0.1:9", "/elsewhere"), "/etc/overtake"}, {volume(t), "/var/lib/overtake"}})
	out, err := g.cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("with the broker's files outside of the volume: %v\n%s", err, out)
	}
}

// Of the two images, one may mark sockets.
func testImageMarks(t *testing.T, src, plain string) {
	stages, _ := readDockerfile(t)
	for _, command := range stages["capable"].Commands {
		// apt-get would change this machine, which has setcap.
		if c, ok := command.(*instructions.RunCommand); ok && !strings.Contains(c.CmdLine[0], "apt-get") {
			runLine(t, src, os.Environ(), c)
		}
	}
	marks := assemble(t, "marks", src)
	copyCapability(t, filepath.Join(src, "image/usr/local/bin/overtake"), filepath.Join(marks, "usr/local/bin/overtake"))
	for _, test := range []struct {
		root    string
		refused bool
	}{{plain, true}, {marks, false}} {
		app := inRoot(t, test.root, nil, "app", "--listen", "127.0.0.1:0").start(t)
		p := inRoot(t, test.root, []mount{{config(t, app.find(t, `http://\S+`), "/var/lib/overtake/broker"), "/etc/overtake"}, {volume(t), "/var/lib/overtake"}})
		p.mayGainCapabilities = true
		g := p.start(t)
		url := "http://" + g.find(t, `msg=listening listener=public address=(\S+)`)
		admin := "http://" + g.find(t, `msg=listening listener=admin address=(\S+)`)
		if status, _ := fetch(t, http.MethodGet, url+"/work?ms=1", ""); status != http.StatusOK {
			t.Errorf("GET /work: %d, want 200", status)
		}
		response, err := http.Get(admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		const never = `overtake_socket_refused_total{option="mark"} 0`
		if refused := !strings.Contains(string(metrics), never+"\n"); refused != test.refused {
			t.Errorf("marks of sockets are refused: %v, want %v", refused, test.refused)
		}
		g.stop(t)
		app.stop(t)
	}
}

// config writes a gateway's file into a folder of its own, which an engine would mount.
func config(t *testing.T, app, dir string) string {
	t.Helper()
	folder := volume(t)
	text := `listeners: [{name: public, address: "127.0.0.1:0"}]
admin: "127.0.0.1:0"
classes:
  - {name: interactive, socket: {mark: 7}}
  - {name: standard, socket: {mark: 8}}
  - {name: batch}
routes:
  - {match: {path: "/jobs/**"}, queue: jobs}
  - {match: {path: "/"}, upstream: app}
upstreams: {app: {servers: ["` + app + `"]}}
queues: {jobs: {deliver: {upstream: app, path: /work}}}
brokers: {local: {type: nats, embedded: true, dir: ` + dir + `, max_bytes: 256MiB}}
`
	if err := os.WriteFile(filepath.Join(folder, "overtake.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// volume makes a folder that belongs to the image's user.
func volume(t *testing.T) string {
	t.Helper()
	return folderOf(t, nobody, nobody)
}

// folderOf makes a folder that belongs to a user. What is above one of t.TempDir is
// for root alone.
func folderOf(t *testing.T, uid, gid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "overtake-packages-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyCapability does what COPY --from does with a file's capabilities.
func copyCapability(t *testing.T, from, to string) {
	t.Helper()
	value := make([]byte, 64)
	n, err := syscall.Getxattr(from, "security.capability", value)
	if err != nil {
		t.Fatalf("the capabilities of %s: %v", from, err)
	}
	if err := syscall.Setxattr(to, "security.capability", value[:n], 0); err != nil {
		t.Fatal(err)
	}
}
