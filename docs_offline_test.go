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

// offlineCommands are what no test machine has or can do.
var offlineCommands = regexp.MustCompile(`(?m)(?:^|[;&|(]\s*|\$\()\s*(?:sudo )?(kubectl|docker|helm (?:install|upgrade|test|uninstall|rollback)|systemctl|journalctl)\b`)

// checkOffline checks a block that can't be run: as far as it can be without what it
// needs.
func checkOffline(dir, commands string) error {
	if !offlineCommands.MatchString(commands) {
		return errors.New("offline is for what needs a cluster, a Docker engine or systemd, and this names none of them: let it run")
	}
	syntax := exec.Command("bash", "-n")
	syntax.Stdin = strings.NewReader(commands)
	if out, err := syntax.CombinedOutput(); err != nil {
		return fmt.Errorf("bash -n: %w\n%s", err, out)
	}
	return filesExist(dir, commands)
}

var (
	helmLine = regexp.MustCompile(`(?m)^(?:sudo )?helm (install|upgrade|template|lint) .*$`)
	ofServer = regexp.MustCompile(` --(?:install|create-namespace|wait|atomic|timeout[= ]\S+)\b`)
)

// kubernetes is the version that charts are rendered for: helm template has no
// cluster to ask, and helm as a tool of Go no version of its own to go by.
const kubernetes = "1.34.0"

// rendered returns the commands that render what the helm of a block would install,
// with the same arguments: that needs no cluster.
func rendered(commands string) string {
	var lines strings.Builder
	for _, line := range helmLine.FindAllString(strings.ReplaceAll(commands, "\\\n", " "), -1) {
		line = strings.Replace(strings.Replace(line, "helm install", "helm template", 1), "helm upgrade", "helm template", 1)
		line = ofServer.ReplaceAllString(line, "")
		line = strings.Replace(line, "helm template", "helm template --kube-version "+kubernetes, 1)
		lines.WriteString(line + "\n")
	}
	return lines.String()
}

// named are words that name files of the repository.
var named = regexp.MustCompile(`(?:^|[\s=])((?:\./)?(?:charts|docs|e2e|testdata|bin)/[\w./-]+|[\w-]+\.(?:yaml|yml|json|md|sh|service))\b`)

// filesExist checks that the files which commands name are in the clone, unless the
// commands write them.
func filesExist(dir, commands string) error {
	var problems []error
	if strings.Contains(commands, "docker compose") && !strings.Contains(commands, "docker compose -f") {
		commands += " compose.yaml" // what it reads where nothing else is said
	}
	for _, m := range named.FindAllStringSubmatch(commands, -1) {
		if strings.Contains(commands, "> "+m[1]) || strings.Contains(commands, ">"+m[1]) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
