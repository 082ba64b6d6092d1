//go:build e2e

package main

import (
	"os"
	"path/filepath"
	"regexp"
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

// Of a block with lines that need a cluster, an engine or systemd, the others run.
func TestDocsOffline(t *testing.T) {
	for _, c := range []struct {
		commands, left string
		runs           bool
	}{
		{"kubectl get pods\n", ":\n", false},
		{"# all of them\n\n  sudo systemctl restart overtake # so\n", "# all of them\n\n:\n", false},
		{"kubectl get pods -o 'jsonpath={a;b}' \\\n  | sort # a; b\necho kubectl\n", ":\necho kubectl\n", true},
		{"docker compose up -d\ncurl \\\n  127.0.0.1\n", ":\ncurl    127.0.0.1\n", true},
		{"helm lint charts/overtake\nhelm test a\n", "helm lint charts/overtake\n:\n", true},
		{"helm install a charts/overtake --create-namespace \\\n  -f values.yaml\n", "helm template a charts/overtake    -f values.yaml\n", false},
		{"helm upgrade --install a charts/overtake --wait --timeout 5m\n", "helm template a charts/overtake\n", false},
	} {
		block, err := readOffline(c.commands)
		must(t, err)
		if block.commands != c.left || block.runs != c.runs || len(block.lines) != 1 {
			t.Errorf("of %q, %q is left (%v), without %q; want %q (%v)", c.commands, block.commands, block.runs, block.lines, c.left, c.runs)
		}
	}
	for commands, want := range map[string]string{
		"ls\n":                                    "this has none",
		"echo kubectl\n":                          "this has none",
		"kubectl get 'pods\n":                     "bash -n",
		"kubectl get pods && overtake check\n":    "on a line of its own",
		"overtake check; kubectl get pods\n":      "has to begin its line",
		"overtake explain | kubectl apply -f -\n": "has to begin its line",
		"if kubectl get pods; then ls; fi\n":      "has to begin its line",
	} {
		_, err := readOffline(commands)
		mustFail(t, err, want)
	}
	must(t, filesExist(".", []string{"kubectl apply -f README.md", "kubectl get x -o yaml > docs/it.yaml"}))
	mustFail(t, filesExist(".", []string{"kubectl apply -f docs/nothing.yaml"}), "docs/nothing.yaml: no such file")
}

// A load generator that was late tries once more. When it is late again, the session
// goes on, but no result may be shown.
func TestDocsLoadGeneratorIsLate(t *testing.T) {
	const busy = `cat >/usr/local/bin/overtake <<'end'
#!/bin/bash
echo try >>tries
echo result $(wc -l <tries)
if (($(wc -l <tries) < $2)); then echo "not a result: GENERATOR-BOUND: late" >&2; exit 1; fi
end
chmod +x /usr/local/bin/overtake
PATH=/usr/local/bin:$PATH
`
	s := session(t)
	must(t, s.run(busy, patience))
	shows := func() error {
		s.output = append(s.output, s.step)
		return s.expect(regexp.MustCompile("(?m)^result"))
	}
	must(t, s.run("overtake loadgen 2\n", patience))
	must(t, shows())
	if got := s.printed(s.step); got != "result 2\n" || len(s.late) != 0 {
		t.Errorf("after one more try it printed %q, and is late: %q", got, s.late)
	}
	must(t, s.run("rm tries; overtake loadgen 3\n", patience))
	mustFail(t, shows(), "was late twice")
	must(t, s.run("overtake loadgen 1\n", patience))
	must(t, shows())
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
