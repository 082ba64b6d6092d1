//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"overtake/docs/markdown"
)

// docSession is a bash that runs the shell blocks of one document, in a clone and in
// namespaces of its own: its processes see no network but their own loopback device,
// and end with it. Its methods are not safe for concurrent use.
type docSession struct {
	dir    string // what $DOCS is: the clone, and a script and an output for each step
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	marks  chan string // what bash says after each step; closed at its end
	step   int         // the last one that was begun
	output []int       // the steps that printed something: blocks that were run
	late   []string    // the load tests of the last step that have no result, because their generator was late
}

// startDocSession starts the session in dir, which holds the clone. env is added to
// the environment.
func startDocSession(dir string, env []string) (*docSession, error) {
	script, err := filepath.Abs(filepath.Join("testdata", "docs-session.sh"))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"overlay", "home"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	s := &docSession{dir: dir, marks: make(chan string)}
	s.cmd = exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "--noprofile", "--norc", "-s")
	s.cmd.Env = append(env, "DOCS="+dir, "DOCS_SESSION="+script, "HOME="+filepath.Join(dir, "home"))
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "session.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // it is the session's
	s.cmd.Stdout, s.cmd.Stderr = log, log
	marks, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.ExtraFiles = []*os.File{in}
	if err := errors.Join(s.cmd.Start(), in.Close()); err != nil {
		return nil, errors.Join(err, marks.Close())
	}
	go func() {
		defer close(s.marks)
		defer marks.Close()
		for lines := bufio.NewScanner(marks); lines.Scan(); {
			s.marks <- lines.Text()
		}
	}()
	if _, err := fmt.Fprintf(s.stdin, "exec 9>&3 3>&-; source \"$DOCS_SESSION\"\n"); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// close ends the session and everything that runs in it.
func (s *docSession) close() error {
	err := errors.Join(s.stdin.Close(), s.cmd.Process.Kill())
	for range s.marks { // to its end
		continue
	}
	_ = s.cmd.Wait() // it was killed
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (s *docSession) file(step int, kind string) string {
	return filepath.Join(s.dir, strconv.Itoa(step)+kind)
}

// run runs the commands of a step. The error holds their output.
func (s *docSession) run(commands string, most time.Duration) error {
	s.step++
	if err := os.WriteFile(s.file(s.step, ".sh"), []byte(commands), 0o644); err != nil {
		return err
	}
	// What is left of bash's own descriptors must not go to what it starts.
	_, err := fmt.Fprintf(s.stdin, "source \"$DOCS/%[1]d.sh\" </dev/null >\"$DOCS/%[1]d.out\" 2>&1 9>&-; echo %[1]d >&9\n", s.step)
	if err != nil && !errors.Is(err, os.ErrClosed) && !strings.Contains(err.Error(), "broken pipe") {
		return err
	}
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case mark, ok := <-s.marks:
		if !ok {
			return fmt.Errorf("a command failed, or the shell was left\n%s", s.printed(s.step))
		}
		if mark != strconv.Itoa(s.step) {
			return fmt.Errorf("the session said %q after step %d", mark, s.step)
		}
		return s.readLate()
	case <-late.C:
		return fmt.Errorf("it has not ended after %v\n%s", most, s.printed(s.step))
	}
}

// readLate reads which load tests of the step that has ended are without a result.
func (s *docSession) readLate() error {
	name := filepath.Join(s.dir, "late")
	s.late = nil
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		s.late = append(s.late, strings.TrimSpace(line))
	}
	return errors.Join(err, os.Remove(name))
}

// printed returns what a step has printed until now, and what the session itself
// said, the last 200 lines of it.
func (s *docSession) printed(step int) string {
	said, errSaid := os.ReadFile(filepath.Join(s.dir, "session.log"))
	out, err := os.ReadFile(s.file(step, ".out"))
	if step > 1 && err != nil || errSaid != nil {
		return errors.Join(err, errSaid).Error()
	}
	lines := strings.SplitAfter(string(bytes.Join([][]byte{out, said}, nil)), "\n")
	return strings.Join(lines[max(0, len(lines)-200):], "")
}

// expect waits until the output of the block that was run last matches. The block
// has ended, but what it left in the background may still be at it.
func (s *docSession) expect(pattern *regexp.Regexp) error {
	if len(s.late) > 0 {
		return fmt.Errorf("the document shows a result, and the load test has none, because its generator was late twice: run this with nothing else running: %q\n%s", s.late, s.printed(s.step))
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-again.C {
		last := s.output[len(s.output)-1]
		out, err := os.ReadFile(s.file(last, ".out"))
		if err != nil {
			return err
		}
		if pattern.Match(out) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the output of the block before does not match %s\n%s", pattern, s.printed(last))
		}
	}
}

// write writes a file of the document into the clone.
func (s *docSession) write(step markdown.Step) error {
	name := filepath.Join(s.dir, "clone", step.File)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	how := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if step.Kind == markdown.Append {
		how = os.O_WRONLY | os.O_APPEND
	}
	file, err := os.OpenFile(name, how, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(step.Text)
	return errors.Join(err, file.Close())
}
