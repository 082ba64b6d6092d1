//go:build unix

// Package rabbitmqtest runs real RabbitMQ servers for tests, as net/http/httptest
// runs HTTP servers: each on free ports and in a folder of its own, beside
// whatever else runs on the machine.
//
// A server takes about four seconds to start, so a test binary starts one in
// TestMain and gives each test names of its own.
package rabbitmqtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"overtake/broker/brokertest/freeport"
)

const (
	// binaries is where Debian's package rabbitmq-server keeps the scripts that
	// change no user.
	binaries = "/usr/lib/rabbitmq/bin"
	// patience bounds a start and a stop that hang.
	patience = 5 * time.Minute
	// look is how often a starting server is looked at.
	look = 50 * time.Millisecond
)

// Config says how a server differs from RabbitMQ's defaults. The zero value is
// good for most tests.
type Config struct {
	// Lines are lines of rabbitmq.conf, such as "consumer_timeout = 1000".
	Lines []string
	// Port is where the server listens. Default: a free one.
	Port int
	// Plugins are enabled, such as rabbitmq_management.
	Plugins []string
}

// Server is a RabbitMQ server with its data. Its methods are not safe for
// concurrent use.
type Server struct {
	dir   string
	owner *owner
	port  int
	env   []string
	epmd  *exec.Cmd

	cmd    *exec.Cmd // nil while it does not run
	stderr *os.File  // at its end when every process of the server has ended
}

// Start starts a new, empty server. Close it when done with it.
func Start(cfg Config) (*Server, error) {
	if _, err := os.Stat(filepath.Join(binaries, "rabbitmq-server")); err != nil {
		return nil, fmt.Errorf("rabbitmqtest: %w; install it with: apt-get install rabbitmq-server", err)
	}
	owner, err := serverOwner()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rabbitmqtest-")
	if err != nil {
		return nil, fmt.Errorf("rabbitmqtest: %w", err)
	}
	s := &Server{dir: dir, owner: owner}
	if err := errors.Join(s.configure(cfg), owner.own(dir)); err != nil {
		s.Close()
		return nil, fmt.Errorf("rabbitmqtest: %w", err)
	}
	if err := s.startEpmd(); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.Restart(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// configure chooses ports and writes the configuration.
func (s *Server) configure(cfg Config) error {
	ports, err := freeport.Choose(3)
	if err != nil {
		return err
	}
	s.port = ports[0]
	if cfg.Port > 0 {
		s.port = cfg.Port
	}
	in := func(name string) string { return filepath.Join(s.dir, name) }
	s.env = []string{
		"PATH=" + os.Getenv("PATH"),
		"LANG=C.UTF-8",
		"HOME=" + s.dir, // where the Erlang cookie is
		"ERL_EPMD_PORT=" + strconv.Itoa(ports[2]),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=" + s.node(),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + strconv.Itoa(s.port),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(ports[1]),
		"RABBITMQ_MNESIA_BASE=" + in("data"),
		"RABBITMQ_LOG_BASE=" + in("log"),
		"RABBITMQ_LOGS=-", // to standard output, see lastWords
		"RABBITMQ_PID_FILE=" + in("pid"),
		"RABBITMQ_FEATURE_FLAGS_FILE=" + in("feature_flags"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + in("advanced.config"),
		"RABBITMQ_CONF_ENV_FILE=" + in("rabbitmq-env.conf"),
		// Idle schedulers sleep rather than spin: tests share their cores.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none",
	}
	lines := append([]string{"loopback_users = none", "log.console.level = info"}, cfg.Lines...)
	return errors.Join(
		os.WriteFile(in("rabbitmq.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o644),
		os.WriteFile(in("enabled_plugins"), []byte("["+strings.Join(cfg.Plugins, ", ")+"].\n"), 0o644),
	)
}

// startEpmd starts Erlang's port mapper. Left to itself, the server would start
// one that outlives it.
func (s *Server) startEpmd() error {
	s.epmd = s.command("epmd")
	if err := s.epmd.Start(); err != nil {
		s.epmd = nil
		return fmt.Errorf("rabbitmqtest: start epmd: %w", err)
	}
	return nil
}

// command returns a command in the server's environment, with the server's user
// and a process group of its own.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.owner.credential()}
	return cmd
}

// URL is where the server listens, with the user that it has by default.
func (s *Server) URL() string { return "amqp://guest:guest@" + s.Addr() + "/" }

// node is the server's name among Erlang nodes.
func (s *Server) node() string { return "rabbit" + strconv.Itoa(s.port) + "@localhost" }

// Addr is the host and port where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Restart starts the server again on the same ports and data, and returns when
// it takes connections. If it still runs, it is stopped first.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	cmd := s.command(filepath.Join(binaries, "rabbitmq-server"))
	log, err := os.OpenFile(s.logFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("rabbitmqtest: %w", err)
	}
	defer func() { _ = log.Close() }() // it is the server's
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("rabbitmqtest: %w", err)
	}
	stderr, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("rabbitmqtest: %w", err)
	}
	cmd.Stdout, cmd.Stderr = log, in
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = stderr.Close()
		return fmt.Errorf("rabbitmqtest: start server: %w", err)
	}
	s.cmd, s.stderr = cmd, stderr
	for end := time.Now().Add(patience); ; {
		if s.started(before) {
			return nil
		}
		if ended := s.await(time.Now().Add(look)); ended || time.Now().After(end) {
			s.Kill()
			return fmt.Errorf("rabbitmqtest: the server takes no connections (ended by itself: %v); its last words:\n%s", ended, s.lastWords())
		}
	}
}

// started reports whether the server says in its log, behind the first so many
// bytes, that it has started. It listens a little before that, and may then close
// connections in their handshake.
func (s *Server) started(before int64) bool {
	log, err := os.ReadFile(s.logFile())
	return err == nil && strings.Contains(string(log[before:]), "Server startup complete")
}

// await reports whether every process of the server ends before the deadline.
func (s *Server) await(deadline time.Time) bool {
	if s.stderr.SetReadDeadline(deadline) != nil {
		return true
	}
	_, err := io.Copy(io.Discard, s.stderr)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// Stop stops the server in good order. Its data stays.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	// The script passes SIGTERM on to the server, which then shuts down as with
	// rabbitmqctl stop.
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("rabbitmqtest: stop server: %w", err)
	}
	stopped := s.await(time.Now().Add(patience))
	s.Kill()
	if !stopped {
		return fmt.Errorf("rabbitmqtest: the server did not stop; its last words:\n%s", s.lastWords())
	}
	return nil
}

// Kill ends the server with SIGKILL, as a crash would. Its data stays.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	s.await(time.Now().Add(patience))
	_ = s.stderr.Close()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

// lastWords returns the end of the server's log.
func (s *Server) lastWords() string {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(log), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// Signal sends a signal, such as SIGSTOP and SIGCONT, to all processes of the
// server.
func (s *Server) Signal(signal syscall.Signal) error {
	if s.cmd == nil {
		return errors.New("rabbitmqtest: signal: the server does not run")
	}
	return syscall.Kill(-s.cmd.Process.Pid, signal)
}

// Ctl runs rabbitmqctl on the server and returns what it printed. It takes a
// second or two.
func (s *Server) Ctl(args ...string) (string, error) {
	cmd := s.command(filepath.Join(binaries, "rabbitmqctl"), append([]string{"--quiet"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err == nil {
		// A server that stands still would hold it up for ever, and its children.
		bound := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		err = cmd.Wait()
		bound.Stop()
	}
	if err != nil {
		return out.String(), fmt.Errorf("rabbitmqtest: rabbitmqctl %s: %w: %s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// Eval has the server evaluate an Erlang expression and returns the value as Erlang
// writes it. It takes milliseconds, and tells what no client can see.
func (s *Server) Eval(expression string) (string, error) {
	cookie, err := os.ReadFile(filepath.Join(s.dir, ".erlang.cookie"))
	if err != nil {
		return "", fmt.Errorf("rabbitmqtest: eval: %w", err)
	}
	cmd := s.command("erl_call", "-r", "-sname", s.node(), "-c", string(cookie),
		"-timeout", strconv.Itoa(int(patience.Seconds())), "-fetch_stdout", "-no_result_term", "-e")
	const begins = "value " // what failed prints no value, and erl_call does not tell
	cmd.Stdin = strings.NewReader(fmt.Sprintf("io:format(\"%s~0p\", [begin %s end]).\n", begins, expression))
	out, err := cmd.CombinedOutput()
	value, ok := strings.CutPrefix(string(out), begins)
	if err == nil && !ok {
		err = errors.New("it failed")
	}
	if err != nil {
		return "", fmt.Errorf("rabbitmqtest: eval %s: %w: %s", expression, err, out)
	}
	return value, nil
}

// Close kills the server and removes its data.
func (s *Server) Close() {
	s.Kill()
	if s.epmd != nil {
		_ = s.epmd.Process.Kill()
		_ = s.epmd.Wait()
		s.epmd = nil
	}
	_ = os.RemoveAll(s.dir)
}
