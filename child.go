package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// child is another command of this program, run as a process of its own: the
// demo's app and gateway must not share a Go runtime with the generator.
type child struct {
	name  string
	cmd   *exec.Cmd
	lines chan string   // what it prints, for find; closed with its output
	done  chan struct{} // closed when the output has been read to its end

	mu   sync.Mutex
	last string // the last line printed
}

// childPatience is how long a child may take to start, and to stop.
const childPatience = 10 * time.Second

// startChild starts this program with args. What it prints goes into the file.
func startChild(ctx context.Context, logFile string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	c := &child{name: args[0], lines: make(chan string, 64), done: make(chan struct{})}
	c.cmd = exec.CommandContext(ctx, self, args...)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = childPatience
	c.cmd.Env = withoutSettings(os.Environ())
	c.cmd.SysProcAttr = endWithParent()
	out, in, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	c.cmd.Stdout, c.cmd.Stderr = in, in
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.name, err), log.Close(), in.Close(), out.Close())
	}
	_ = in.Close() // the child has it
	go c.read(out, log)
	return c, nil
}

// withoutSettings keeps settings meant for a gateway of the user's from
// reaching a child.
func withoutSettings(environ []string) []string {
	setting := regexp.MustCompile(`^OVERTAKE_`)
	kept := make([]string, 0, len(environ))
	for _, entry := range environ {
		if !setting.MatchString(entry) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// read passes on what the child prints, until it has ended.
func (c *child) read(out io.ReadCloser, log io.WriteCloser) {
	defer close(c.done)
	defer close(c.lines)
	defer log.Close()
	defer out.Close()
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		line := scanner.Text()
		fmt.Fprintln(log, line)
		c.mu.Lock()
		c.last = line
		c.mu.Unlock()
		select {
		case c.lines <- line:
		default: // nobody is looking for anything
		}
	}
}

// find waits until the child prints what pattern matches, and returns its first
// group, or the whole match where it has none.
func (c *child) find(ctx context.Context, pattern string) (string, error) {
	re := regexp.MustCompile(pattern)
	timeout := time.After(childPatience)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				return "", fmt.Errorf("%s ended: %s", c.name, c.lastLine())
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1], nil
			}
		case <-timeout:
			return "", fmt.Errorf("%s did not start within %v; it last said: %s", c.name, childPatience, c.lastLine())
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (c *child) lastLine() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// stop asks the child to drain, and ends it if it does not.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(childPatience, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	<-c.done
	// How it ended is of no matter any more: a drain cut short exits with 1, and
	// where the context has ended, its owner knows.
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
