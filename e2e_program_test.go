//go:build e2e

// The tests in files named e2e_ run the built program as its users do: as
// processes, on real ports, with the tools of an ordinary Linux machine.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test.
var binary string

// patience bounds every wait for something that is expected to happen soon. It
// is long, as the machine may be slow.
const patience = time.Minute

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if os.Getenv(childOfTest) != "" {
		return m.Run()
	}
	if err := missingTools(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "overtake-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "overtake")
	build := exec.Command("go", "build", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// missingTools names the tools that are not installed, and the remedy.
func missingTools() error {
	var commands, packages []string
	for _, tool := range []struct{ command, debian string }{
		{"curl", "curl"}, {"wrk", "wrk"}, {"h2load", "nghttp2-client"}, {"nc", "netcat-openbsd"}, {"jq", "jq"},
		{"node", "nodejs"}, {"npm", "npm"}, {"iptables", "iptables"}, {"ip", "iproute2"}, {"tc", "iproute2"},
		{"prometheus", "prometheus"}, {"promtool", "prometheus"}, {"nginx", "nginx"}, {"haproxy", "haproxy"},
	} {
		if _, err := exec.LookPath(tool.command); err != nil {
			commands, packages = append(commands, tool.command), append(packages, tool.debian)
		}
	}
	if len(commands) == 0 {
		return nil
	}
	return fmt.Errorf("the end-to-end tests need %s: apt-get install %s",
		strings.Join(commands, ", "), strings.Join(packages, " "))
}

// watched guards a state that tests wait for. The zero value is usable.
type watched struct {
	mu      sync.Mutex
	changed chan struct{} // closed with the next change; nil while nobody waits
}

// change calls f, which may change the state.
func (w *watched) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// await waits until holds, and reports whether it came to that before ctx ended.
func (w *watched) await(ctx context.Context, holds func() bool) bool {
	for {
		w.mu.Lock()
		held := holds()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		if held {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// program is a running command of the built binary.
type program struct {
	cmd  *exec.Cmd
	done context.Context // ends when the process has ended and its output was read

	state  watched
	output bytes.Buffer // both streams; guarded by state
}

// Write implements io.Writer for what the process prints.
func (p *program) Write(b []byte) (n int, err error) {
	p.state.change(func() { n, err = p.output.Write(b) })
	return n, err
}

// start runs the program until the test ends. What it printed is shown when the
// test fails.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return startTool(t, nil, binary, args...)
}

// startTool is start for any command.
func startTool(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(name, args...)}
	p.cmd.Env = append(withoutSettings(os.Environ()), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done, end := context.WithCancel(context.Background())
	p.done = done
	go func() {
		defer end()
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done.Done()
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), p.text())
		}
	})
	return p
}

func (p *program) text() (text string) {
	p.state.change(func() { text = p.output.String() })
	return text
}

// find waits until the program prints what pattern matches and returns the
// pattern's first group.
func (p *program) find(t *testing.T, pattern string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.done, patience)
	defer cancel()
	re := regexp.MustCompile(pattern)
	var match [][]byte
	if !p.state.await(ctx, func() bool { match = re.FindSubmatch(p.output.Bytes()); return match != nil }) {
		t.Fatalf("the program did not print %q", pattern)
	}
	return string(match[len(match)-1])
}

func (p *program) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the end of the process and returns its exit code.
func (p *program) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done.Done():
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("the program has not ended after %v", patience)
		return -1
	}
}

// stop drains the program, which must succeed.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("after SIGTERM it exited with %d, want %d", code, exitOK)
	}
}

// kill ends the program as kill -9 does.
func (p *program) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.wait(t)
}

// checkRSS checks the most memory that the process has had resident. No more
// may be needed whatever passes through it.
func (p *program) checkRSS(t *testing.T) {
	t.Helper()
	const most = 100 << 10 // KiB
	peak := p.peakRSS(t)
	if peak >= most {
		t.Errorf("it took up to %d KiB of memory, want less than %d", peak, most)
	}
	t.Logf("it took up to %d MiB of memory", peak>>10)
}

// peakRSS returns the most memory that the process has had resident, in KiB.
func (p *program) peakRSS(t *testing.T) int {
	t.Helper()
	return p.memory(t, "VmHWM")
}

// memory returns a figure of the process's status, see proc(5), in KiB.
func (p *program) memory(t *testing.T, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no %s in\n%s", field, status)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startApp runs the sample app and returns its URL.
func startApp(t *testing.T, workers int) string {
	t.Helper()
	app := start(t, "app", "--listen", "127.0.0.1:0", "--workers", strconv.Itoa(workers))
	return app.find(t, `http://\S+`)
}

// gatewayProgram is a running gateway.
type gatewayProgram struct {
	*program
	url   string
	admin string // URL
}

// startGateway runs a gateway on free ports; config is the rest of its file.
func startGateway(t *testing.T, config string) gatewayProgram {
	t.Helper()
	return runGateway(t, writeConfig(t, config))
}

func writeConfig(t *testing.T, config string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	text := "listeners: [{name: public, address: \"127.0.0.1:0\"}]\nadmin: \"127.0.0.1:0\"\n" + config
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// runGateway runs a gateway with the file of an earlier writeConfig.
func runGateway(t *testing.T, file string) gatewayProgram {
	t.Helper()
	p := start(t, "gateway", "-c", file)
	return gatewayProgram{
		program: p,
		url:     "http://" + p.find(t, `msg=listening listener=public address=(\S+)`),
		admin:   "http://" + p.find(t, `msg=listening listener=admin address=(\S+)`),
	}
}

// metric returns the value of one series of the gateway's metrics, 0 if there is
// none yet.
func (g gatewayProgram) metric(t *testing.T, series string) float64 {
	t.Helper()
	_, body := get(t, g.admin+"/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return 0
}

// result is what a command that has ended left behind.
type result struct {
	code           int
	stdout, stderr string
}

// runProgram runs a command of the built binary to its end.
func runProgram(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return runTool(t, env, nil, binary, args...)
}

// runTool runs any command to its end.
func runTool(t *testing.T, env []string, stdin *os.File, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(withoutSettings(os.Environ()), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if stdin != nil {
		cmd.Stdin = stdin
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// tool runs a command that must succeed and returns what it printed.
func tool(t *testing.T, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	r := runTool(t, nil, nil, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s exited with %d:\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout, r.stderr
}

// eventually waits until holds, asking now and then: what it asks is in another
// process.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("after %v: %s", patience, what)
		}
	}
}

// get fetches url, whatever the answer.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	return request(t, http.MethodGet, url, "")
}

// request sends one request on a connection of its own.
func request(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	return requestWith(t, method, url, body, nil)
}

// requestWith is request with fields of its own.
func requestWith(t *testing.T, method, url, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp, text.String()
}
