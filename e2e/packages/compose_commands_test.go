package packages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// composeCommand is what a document tells docker compose, in a block or in its text.
var composeCommand = regexp.MustCompile("(?m)docker compose ([^`#\n]+)")

// What the documents have docker compose do is a command of it, and names profiles
// and services that compose.yaml has.
func TestComposeCommands(t *testing.T) {
	project := loadCompose(t)
	var profiles []string
	for _, s := range project.Services {
		profiles = append(profiles, s.Profiles...)
	}
	commands := []string{"build", "down", "logs", "ps", "pull", "restart", "start", "stop", "up"}
	documents, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, name := range append(documents, filepath.Join(repository, "README.md"), filepath.Join(repository, "compose.yaml")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range composeCommand.FindAllStringSubmatch(string(text), -1) {
			said++
			command := strings.TrimSpace(m[1])
			words := strings.Fields(command)
			for len(words) > 1 && words[0] == "--profile" {
				if !slices.Contains(profiles, words[1]) {
					t.Errorf("%s: docker compose %s: compose.yaml has the profiles %q", name, command, profiles)
				}
				words = words[2:]
			}
			if len(words) == 0 || !slices.Contains(commands, words[0]) {
				t.Errorf("%s: docker compose %s: want one of %q, and before it nothing but --profile", name, command, commands)
				continue
			}
			for _, service := range words[1:] {
				if !strings.HasPrefix(service, "-") && !slices.Contains(project.ServiceNames(), service) {
					t.Errorf("%s: docker compose %s: compose.yaml has the services %q", name, command, project.ServiceNames())
				}
			}
		}
	}
	if said < 4 {
		t.Errorf("the documents say %d things to docker compose, want at least the 4 of install.md", said)
	}
}
