//go:build unix

package rabbitmqtest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The whole life of a server, in one test, as each start takes seconds.
func TestServer(t *testing.T) {
	s, err := Start(Config{Lines: []string{"heartbeat = 7"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	listening(t, s, true)
	if out, err := s.Ctl("environment"); err != nil || !strings.Contains(out, "{heartbeat,7}") {
		t.Errorf("rabbitmqctl environment: %v, want the configured heartbeat in it", err)
	}
	if _, err := s.Ctl("add_vhost", "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ctl("no-such-command"); err == nil {
		t.Error("rabbitmqctl no-such-command: no error")
	}
	if out, err := s.Eval(`rabbit_vhost:exists(<<"kept">>)`); err != nil || out != "true" {
		t.Errorf("the server says %q, %v; want true", out, err)
	}
	if _, err := s.Eval("no_such:call()"); err == nil {
		t.Error("evaluating no_such:call(): no error")
	}

	s.Kill()
	listening(t, s, false)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	listening(t, s, true)
	if out, err := s.Ctl("list_vhosts"); err != nil || !strings.Contains(out, "kept") {
		t.Errorf("vhosts after a kill: %q, %v; want the one that was made before", out, err)
	}

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	listening(t, s, false)
	s.Close()
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", s.dir, err)
	}
	for _, p := range processesIn(t, s.dir) {
		t.Errorf("process %s is left", p)
	}
}

func listening(t *testing.T, s *Server, want bool) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err == nil {
		c.Close()
	}
	if got := err == nil; got != want {
		t.Fatalf("listening: %v, want %v", got, want)
	}
}

// processesIn lists the processes whose environment names dir.
func processesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(env), "HOME="+dir) {
			found = append(found, file)
		}
	}
	return found
}
