//go:build e2e

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// others are commands that need what no test machine has: a cluster, a Docker engine,
// systemd as the first process.
const others = `(?:kubectl|docker|systemctl|helm (?:install|upgrade|test|rollback|uninstall))\b`

var (
	otherLine  = regexp.MustCompile(`^\s*(?:sudo )?` + others)
	otherLater = regexp.MustCompile(`(?:[;&|(]|\b(?:if|do|then|else|while|until|!) )\s*(?:sudo )?` + others)
	quotes     = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	chained    = regexp.MustCompile(`;|&&|\|\|`)
)

// offlineBlock is a block of which some lines can't be run.
type offlineBlock struct {
	commands string   // what can be: the others are a colon, or what they would render
	runs     bool     // whether any line is left as it is
	lines    []string // those that can't, with what backslashes join to them
}

// readOffline tells the lines of a block that need what no test machine has from those
// that are run as everywhere, and checks the first as far as that is possible.
func readOffline(commands string) (*offlineBlock, error) {
	syntax := exec.Command("bash", "-n")
	syntax.Stdin = strings.NewReader(commands)
	if out, err := syntax.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("bash -n: %w\n%s", err, out)
	}
	b := &offlineBlock{}
	for line := range strings.Lines(strings.ReplaceAll(commands, "\\\n", " ")) {
		bare, _, _ := strings.Cut(quotes.ReplaceAllString(line, "word"), " #")
		switch other := otherLine.MatchString(line); {
		case other && chained.MatchString(bare):
			return nil, fmt.Errorf("what comes after the first command would not be run, write it on a line of its own: %s", line)
		case other:
			b.lines = append(b.lines, strings.TrimSpace(line))
			b.commands += rendered(line)
		case otherLater.MatchString(bare):
			return nil, fmt.Errorf("a command that can't be run has to begin its line: %s", line)
		default:
			b.commands += line
			b.runs = b.runs || strings.TrimSpace(bare) != "" && !strings.HasPrefix(bare, "#")
		}
	}
	if b.lines == nil {
		return nil, errors.New("offline is for a block with lines that begin with kubectl, docker, systemctl or helm install, and this has none: let it run")
	}
	return b, nil
}

var (
	helmLine = regexp.MustCompile(`^\s*(?:sudo )?helm (?:install|upgrade) `)
	ofServer = regexp.MustCompile(` --(?:install|create-namespace|wait|atomic|timeout[= ]\S+)\b`)
)

// rendered returns what is done instead of a line that can't be run: what helm would
// install is rendered, with the same arguments.
func rendered(line string) string {
	if !helmLine.MatchString(line) {
		return ":\n"
	}
	return ofServer.ReplaceAllString(helmLine.ReplaceAllString(line, "helm template "), "")
}

// named are words that name files of the repository.
var named = regexp.MustCompile(`(?:^|[\s=])((?:\./)?(?:charts|docs|e2e|testdata|bin)/[\w./-]+|[\w-]+\.(?:yaml|yml|json|md|sh|service))\b`)

// filesExist checks that the files which lines name are in dir, unless they write
// them.
func filesExist(dir string, lines []string) error {
	var problems []error
	for _, line := range lines {
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			if strings.Contains(line, "> "+m[1]) || strings.Contains(line, ">"+m[1]) {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

// checkCompose has the module of the packages read what the documents tell docker
// compose, and compose.yaml, by Compose's own parser.
func checkCompose() error {
	out, err := exec.Command("go", "test", "-C", filepath.Join("e2e", "packages"), "-count=1", "-run", "^TestComposeCommands$", ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -C e2e/packages: %w\n%s", err, out)
	}
	return nil
}
