//go:build e2e

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// session starts a session in a clone that is an empty folder.
func session(t *testing.T) *docSession {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "clone"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := startDocSession(dir, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustFail(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("the error is %v, want one with %q", err, want)
	}
}

// The blocks of a document are one session: variables, the working directory and jobs
// last, and each block has an output of its own.
func TestDocsSession(t *testing.T) {
	s := session(t)
	must(t, s.run("a=1; mkdir b; cd b; sleep 1000 & echo one\n", patience))
	must(t, s.run("kill %1; wait %1 || test $? = 143; echo two $a ${PWD##*/}\n", patience))
	if got := s.printed(2); got != "two 1 b\n" {
		t.Errorf("the second block printed %q", got)
	}
}

// A session has a network of its own, and what it writes into the system's folders
// is gone with it.
func TestDocsSessionIsAlone(t *testing.T) {
	const file = "/etc/overtake-docs-session"
	s := session(t)
	must(t, s.run("touch "+file+"; ip -o link | wc -l; ps -e | wc -l\n", patience))
	if got := strings.Fields(s.printed(1)); len(got) != 2 || got[0] != "1" || len(got[1]) > 1 {
		t.Errorf("devices and processes: %q, want the loopback device and less than ten processes", got)
	}
	if _, err := os.Stat(file); err == nil {
		t.Errorf("%s is there", file)
	}
}

// A block that fails, and one that leaves the shell, is an error with what was
// printed. So is a variable that is not set, and the first command of a pipe.
func TestDocsSessionFails(t *testing.T) {
	for _, commands := range []string{"echo words; false; echo more\n", "echo words; exit 0\n", "echo words; echo $nothing\n", "echo words; false | cat\n", "echo words; nothing_is_called_so\n", "echo words\nif true\n"} {
		t.Run(commands, func(t *testing.T) {
			t.Parallel()
			mustFail(t, session(t).run(commands, patience), "words\n")
		})
	}
}

// A block that hangs ends, with all that it has started.
func TestDocsSessionHangs(t *testing.T) {
	s := session(t)
	must(t, s.run("sleep 1000 &\n", patience))
	mustFail(t, s.run("echo words; sleep 1000\n", 3*time.Second), "has not ended after 3s\nwords\n")
	must(t, s.close())
	select {
	case _, open := <-s.marks:
		if open {
			t.Error("the session still speaks")
		}
	case <-time.After(patience):
		t.Error("the session has not ended")
	}
}

func TestDocsOffline(t *testing.T) {
	for commands, want := range map[string]string{
		"kubectl get pods\n":                     "",
		"echo a | kubectl apply -f -\n":          "",
		"ls\n":                                   "names none of them",
		"echo kubectl\n":                         "names none of them",
		"kubectl get 'pods\n":                    "bash -n",
		"kubectl apply -f docs/nothing.yaml\n":   "docs/nothing.yaml: no such file",
		"kubectl get x -o yaml > docs/it.yaml\n": "",
		"kubectl apply -f README.md\n":           "",
	} {
		err := checkOffline(".", commands)
		if want == "" {
			must(t, err)
		} else {
			mustFail(t, err, want)
		}
	}
}

// What .ci/run runs word for word is not run twice, and nothing else is left out.
func TestDocsWithoutCI(t *testing.T) {
	commands, err := ciCommands()
	must(t, err)
	site := &docSite{ci: commands}
	left, lines := site.withoutCI("a\ngo tool -modfile=tools.mod task test   # minutes\ngo tool -modfile=tools.mod task test -- -run A\n")
	if left != "a\n:\ngo tool -modfile=tools.mod task test -- -run A\n" || len(lines) != 1 {
		t.Errorf("left is %q, without %q", left, lines)
	}
}

// Helm's commands are run as those that need no cluster.
func TestDocsRendered(t *testing.T) {
	got := rendered("helm install a charts/overtake --create-namespace \\\n  -f values.yaml\nhelm upgrade --install a charts/overtake --wait --timeout 5m\nhelm test a\nkubectl get pods\n")
	if want := "helm template --kube-version 1.34.0 a charts/overtake    -f values.yaml\nhelm template --kube-version 1.34.0 a charts/overtake\n"; got != want {
		t.Errorf("rendered %q, want %q", got, want)
	}
}
