package packages

import (
	"bytes"
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that is expected to happen soon. It is
// long, as the machine may be slow.
const patience = time.Minute

// mount is a folder of this machine in a container.
type mount struct{ from, to string }

// process is the program of an image, as it runs in a container.
type process struct {
	cmd                 *exec.Cmd
	mayGainCapabilities bool // not no-new-privileges
	ended               chan struct{}

	mu     sync.Mutex
	output bytes.Buffer // both streams; guarded by mu
}

// Write implements io.Writer for what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// inRoot prepares the program of the image in root: in a mount namespace where the
// root is read-only, as the image's user. Without arguments, it is the image's own
// command.
func inRoot(t *testing.T, root string, mounts []mount, args ...string) *process {
	t.Helper()
	script := []string{"set -e", "root=$1 privileges=$2; shift 2", "mount --bind $root $root"}
	for _, m := range mounts {
		script = append(script, "mkdir -p $root"+filepath.Dir(m.to), "test -d "+m.from+" && mkdir -p $root"+m.to+" || touch $root"+m.to)
	}
	script = append(script, "mount -o remount,bind,ro $root")
	for _, m := range mounts {
		script = append(script, "mount --bind "+m.from+" $root"+m.to)
	}
	script = append(script, `exec setpriv $privileges chroot --userspec=65532:65532 $root /usr/local/bin/overtake "$@"`)
	if len(args) == 0 {
		args = []string{"gateway", "-c", "/etc/overtake/overtake.yaml"}
	}
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.Command("unshare", append([]string{"--mount", "sh", "-c", strings.Join(script, "\n"), "sh", root, "--no-new-privs"}, args...)...)
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	return p
}

// start runs the process until the test ends.
func (p *process) start(t *testing.T) *process {
	t.Helper()
	if p.mayGainCapabilities {
		for i, arg := range p.cmd.Args {
			if arg == "--no-new-privs" {
				p.cmd.Args[i] = "--clear-groups"
			}
		}
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	p.cmd.SysProcAttr.Setpgid = true
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // with all that it has started
		<-p.ended
		if t.Failed() {
			t.Logf("%v:\n%s", p.cmd.Args, p.text())
		}
	})
	return p
}

// await waits until holds, asking now and then: what it asks is in another process.
func (p *process) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-p.ended:
			t.Fatalf("the process has ended before %s", what)
		case <-ctx.Done():
			t.Fatalf("after %v not: %s", patience, what)
		}
	}
}

// find waits until the process prints what pattern matches, and returns the last group.
func (p *process) find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	p.await(t, "it prints "+pattern, func() bool { found = re.FindStringSubmatch(p.text()); return found != nil })
	return found[len(found)-1]
}

// stop ends the process as engines do, which must succeed.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("the process has not ended %v after SIGTERM", patience)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("after SIGTERM it exited with %d, want 0", code)
	}
}

// fetch sends a request and returns how it was answered.
func fetch(t *testing.T, method, url, body string) (int, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode, response.Header
}
