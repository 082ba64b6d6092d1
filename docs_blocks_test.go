//go:build e2e

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"overtake/broker/rabbitmq/rabbitmqtest"
	"overtake/docs/markdown"
)

// TestDocs runs every shell block of the documentation from a fresh clone: those of
// a document one after the other, as somebody does who reads it from its beginning.
// CONTRIBUTING.md says how a document is written for it.
func TestDocs(t *testing.T) {
	if os.Getenv(childOfTest) == "rabbitmq" {
		serveRabbitMQ(t)
		return
	}
	if os.Getuid() != 0 {
		t.Fatal("the sessions of the documents take namespaces: run this test as root")
	}
	site := prepareDocs(t)
	var total docCount
	t.Run("documents", func(t *testing.T) {
		for _, name := range documents(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // two at a time, see the task
				total.add(site.read(t, name))
			})
		}
	})
	t.Log(total.String())
	if len(total.late) > mostLate {
		t.Errorf("%d load tests have no result, want %d at most: run this with nothing else running", len(total.late), mostLate)
	}
}

// mostLate is how many load tests of all documents may stay without a result on a
// busy machine. More say that the documents ask for more than machines have.
const mostLate = 3

// docCount is what was done about documents.
type docCount struct {
	mu        sync.Mutex
	documents int      // with shell blocks
	blocks    int      // that were run
	ci        []string // lines that .ci/run runs
	lines     int      // that no test machine can run
	offline   []string // places of the blocks that have them
	late      []string // documents with load tests whose generator was late twice: the machine was busy
}

func (c *docCount) add(of *docCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of.blocks+len(of.offline) > 0 {
		c.documents++
	}
	c.blocks += of.blocks
	c.ci = append(c.ci, of.ci...)
	c.lines += of.lines
	c.offline = append(c.offline, of.offline...)
	c.late = append(c.late, of.late...)
}

func (c *docCount) String() string {
	slices.Sort(c.ci)
	slices.Sort(c.offline)
	slices.Sort(c.late)
	return fmt.Sprintf("%d documents, %d shell blocks run; %d lines that .ci/run runs itself%s; %d lines checked and not run%s; %d load tests GENERATOR-BOUND%s",
		c.documents, c.blocks, len(c.ci), inBrackets(c.ci), c.lines, inBrackets(c.offline), len(c.late), inBrackets(c.late))
}

func inBrackets(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// docSite is what the sessions of all documents share.
type docSite struct {
	clone   string       // what each gets a copy of
	env     []string     // their environment
	ci      []string     // the commands of .ci/run
	compose func() error // checks what is said to docker compose, once
}

// prepareDocs makes the clone, and what can only be made with a network.
func prepareDocs(t *testing.T) *docSite {
	t.Helper()
	dir := t.TempDir()
	site := &docSite{clone: filepath.Join(dir, "clone"), compose: sync.OnceValue(checkCompose)}
	cloneTree(t, site.clone)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	jaeger, err := filepath.Abs(filepath.Join("bin", "jaeger"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(jaeger); err != nil {
		t.Fatalf("%v: build it with: go tool -modfile=tools.mod task setup:jaeger", err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(binary, filepath.Join(bin, "overtake")); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", bin, "github.com/nats-io/nats-server/v2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	tool(t, "go", "tool", "-modfile=tools.mod", "task", "--version") // into Go's cache
	helm, _ := tool(t, "go", "tool", "-modfile=tools.mod", "-n", "helm")
	tool(t, "cp", strings.TrimSpace(helm), filepath.Join(bin, "helm"))
	site.env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "LANG=C.UTF-8", "TERM=dumb", "USER=root",
		"GOPROXY=off", "GOTOOLCHAIN=local", "DOCS_TEST=" + self, "DOCS_JAEGER=" + jaeger,
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, _ := tool(t, "go", "env", name)
		site.env = append(site.env, name+"="+strings.TrimSpace(value))
	}
	if site.ci, err = ciCommands(); err != nil {
		t.Fatal(err)
	}
	return site
}

// cloneTree makes a fresh clone of this repository, with what was changed and not
// committed: who writes documents tests what he has written.
func cloneTree(t *testing.T, dir string) {
	t.Helper()
	tool(t, "git", "clone", "--quiet", ".", dir)
	tracked, _ := tool(t, "git", "-C", dir, "ls-files", "-z")
	for name := range strings.SplitSeq(strings.TrimSuffix(tracked, "\x00"), "\x00") {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	here, _ := tool(t, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	for name := range strings.SplitSeq(strings.TrimSuffix(here, "\x00"), "\x00") {
		if err := copyIfChanged(name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// copyIfChanged makes to the same file as from. There may be no from: a file that
// was deleted.
func copyIfChanged(from, to string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if was, err := os.ReadFile(to); err == nil && bytes.Equal(was, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, text, info.Mode().Perm()), os.Chmod(to, info.Mode().Perm()))
}

var (
	ciTask = regexp.MustCompile(`(?m)^task=\((.*)\)$`)
	ciStep = regexp.MustCompile(`(?m)^step \S+ (?:env (?:[A-Z]+=\S+ )*)?(.*)$`)
)

// ciCommands returns the commands that .ci/run runs: it may be that a document has a
// line of the same words, such as the one that runs all tests, and then it need not
// be run twice.
func ciCommands() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(".ci", "run"))
	if err != nil {
		return nil, err
	}
	task := ciTask.FindSubmatch(text)
	if task == nil {
		return nil, errors.New(".ci/run: it no longer says what task=(...) is")
	}
	var commands []string
	for _, m := range ciStep.FindAllStringSubmatch(string(text), -1) {
		commands = append(commands, strings.ReplaceAll(m[1], `"${task[@]}"`, string(task[1])))
	}
	return commands, nil
}

// withoutCI returns commands with a colon for each line that .ci/run runs word for
// word, and those lines.
func (site *docSite) withoutCI(commands string) (left string, lines []string) {
	var b strings.Builder
	for line := range strings.Lines(commands) {
		command, _, _ := strings.Cut(line, " # ")
		if command = strings.TrimSpace(command); slices.Contains(site.ci, command) {
			lines = append(lines, command)
			line = ":\n"
		}
		b.WriteString(line)
	}
	return b.String(), lines
}

// read does what a document says, in a session of its own.
func (site *docSite) read(t *testing.T, name string) *docCount {
	count := &docCount{}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := markdown.Steps(string(text))
	if err != nil {
		t.Fatalf("%s:%v", name, err)
	}
	if !slices.ContainsFunc(steps, func(s markdown.Step) bool { return s.Kind == markdown.Run || s.Kind == markdown.Offline }) {
		return count
	}
	dir := t.TempDir()
	tool(t, "cp", "-a", site.clone, filepath.Join(dir, "clone"))
	if !strings.Contains(string(text), "go build -o overtake .") {
		// The reader has built it where the README says so.
		tool(t, "cp", binary, filepath.Join(dir, "clone", "overtake"))
	}
	s, err := startDocSession(dir, site.env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, step := range steps {
		began := time.Now()
		if err := site.do(s, step, name, count); err != nil {
			t.Fatalf("%s:%d: %s: %v\n--- the block:\n%s--- before it:\n%s", name, step.Line, step.Kind, err, step.Text, s.before())
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Logf("%s:%d: %s took %.1f s", name, step.Line, step.Kind, took.Seconds())
		}
	}
	return count
}

// do does one step.
func (site *docSite) do(s *docSession, step markdown.Step, name string, count *docCount) error {
	switch step.Kind {
	case markdown.Write, markdown.Append:
		return s.write(step)
	case markdown.Setup:
		return s.run(step.Text, step.Time)
	case markdown.Expect:
		return s.expect(step.Pattern)
	}
	commands, runs := step.Text, true
	if step.Kind == markdown.Offline {
		block, err := site.offline(s, step.Text)
		if err != nil {
			return err
		}
		count.lines += len(block.lines)
		count.offline = append(count.offline, fmt.Sprintf("%s:%d", name, step.Line))
		commands, runs = block.commands, block.runs
	}
	commands, elsewhere := site.withoutCI(commands)
	for _, line := range elsewhere {
		count.ci = append(count.ci, fmt.Sprintf("%s:%d %s", name, step.Line, line))
	}
	if runs {
		count.blocks++
	}
	if err := s.run(commands, step.Time); err != nil {
		return err
	}
	s.output = append(s.output, s.step)
	for _, line := range s.late {
		count.late = append(count.late, fmt.Sprintf("%s:%d %s", name, step.Line, line))
	}
	return nil
}

// offline reads a block that has lines which can't be run, and checks those.
func (site *docSite) offline(s *docSession, commands string) (*offlineBlock, error) {
	block, err := readOffline(commands)
	if err != nil {
		return nil, err
	}
	for _, line := range block.lines {
		if strings.HasPrefix(line, "docker compose ") {
			err = site.compose()
		}
	}
	return block, errors.Join(err, filesExist(filepath.Join(s.dir, "clone"), block.lines))
}

// before returns what the blocks that were run have printed, the end of each: a
// server among them may say why the last one failed.
func (s *docSession) before() string {
	var b strings.Builder
	for _, step := range s.output {
		lines := strings.SplitAfter(s.printed(step), "\n")
		fmt.Fprintf(&b, "%s\n", strings.Join(lines[max(0, len(lines)-15):], ""))
	}
	return b.String()
}

// serveRabbitMQ runs a RabbitMQ on its usual port until the namespace ends in which
// this child of the test is.
func serveRabbitMQ(t *testing.T) {
	t.Helper()
	s, err := rabbitmqtest.Start(rabbitmqtest.Config{Port: 5672, Plugins: []string{"rabbitmq_management"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fmt.Println("takes connections")
	ended, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	<-ended.Done()
}
