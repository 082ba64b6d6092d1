package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"overtake/docs/markdown"
)

// documents returns the paths of what a user or a contributor reads.
func documents(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md"}
	err := filepath.WalkDir("docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	charts, err := filepath.Glob(filepath.Join("charts", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	return append(names, charts...)
}

// eachDocument runs a subtest for each document.
func eachDocument(t *testing.T, f func(t *testing.T, name, text string)) {
	for _, name := range documents(t) {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f(t, name, string(text))
		})
	}
}

// Every link of the documentation leads to a file that there is, and to a heading
// that it has.
func TestDocumentsLinks(t *testing.T) {
	eachDocument(t, func(t *testing.T, name, text string) {
		links, err := markdown.Links(text)
		if err != nil {
			t.Fatalf("%s:%v", name, err)
		}
		for _, link := range links {
			if err := follow(name, link.Text); err != nil {
				t.Errorf("%s:%d: %v", name, link.Line, err)
			}
		}
	})
}

var scheme = regexp.MustCompile(`^[a-z]+:`)

// follow follows a link in a document. Those to other sites are not followed.
func follow(document, target string) error {
	if scheme.MatchString(target) {
		return nil
	}
	path, anchor, anchored := strings.Cut(target, "#")
	file := document
	if path != "" {
		file = filepath.Join(filepath.Dir(document), path)
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("the link %s leads nowhere: %w", target, err)
	}
	if !anchored || filepath.Ext(file) != ".md" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	anchors, err := markdown.Anchors(string(text))
	if err == nil && !anchors[anchor] {
		err = fmt.Errorf("the link %s leads to no heading of %s", target, file)
	}
	return err
}

// Every command, flag, task and file that the documentation names in code exists.
func TestDocumentsMentions(t *testing.T) {
	app := model(t)
	tasks := taskNames(t)
	eachDocument(t, func(t *testing.T, name, text string) {
		mentions, err := markdown.Code(text)
		if err != nil {
			t.Fatalf("%s:%v", name, err)
		}
		blocks, err := markdown.Blocks(text)
		if err != nil {
			t.Fatalf("%s:%v", name, err)
		}
		for _, b := range blocks {
			commands, _ := b.Shell()
			commands = strings.ReplaceAll(commands, "\\\n", " ")
			for line := range strings.Lines(commands) {
				mentions = append(mentions, markdown.Mention{Line: b.Line, Text: line})
			}
		}
		for _, m := range mentions {
			for _, problem := range slices.Concat(wrongCommands(app, m.Text), wrongTasks(tasks, m.Text), wrongPaths(name, m.Text)) {
				t.Errorf("%s:%d: `%s`: %s", name, m.Line, strings.TrimSpace(m.Text), problem)
			}
		}
	})
}

var separator = regexp.MustCompile(`[;&|()#]`)

// wrongCommands says what is wrong about the calls of this program in text: a command
// or a flag that does not exist. A word in capitals stands for something.
func wrongCommands(app *kong.Application, text string) (problems []string) {
	for _, part := range separator.Split(text, -1) {
		if args := calledWith(app, strings.Fields(part)); args != nil {
			problems = append(problems, wrongCommand(app.Node, args)...)
		}
	}
	return problems
}

// calledWith returns the arguments of this program, nil if words do not call it: it
// is the first word, or after others (sudo, a variable) and before one of its
// commands.
func calledWith(app *kong.Application, words []string) []string {
	for i, word := range words {
		if strings.TrimPrefix(strings.TrimPrefix(word, "./"), "bin/") != "overtake" || i+1 == len(words) {
			continue
		}
		if i == 0 || subcommand(app.Node, words[i+1]) != nil {
			return words[i+1:]
		}
	}
	return nil
}

func subcommand(node *kong.Node, name string) *kong.Node {
	i := slices.IndexFunc(node.Children, func(c *kong.Node) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return node.Children[i]
}

var commandName = regexp.MustCompile(`^[a-z]+$`)

func wrongCommand(node *kong.Node, args []string) (problems []string) {
	for _, word := range args {
		name, _, _ := strings.Cut(word, "=")
		next := subcommand(node, word)
		switch {
		case strings.HasPrefix(name, "--"):
			if name = strings.TrimRight(name[2:], ".,:'\""); !hasFlag(node, name) {
				problems = append(problems, fmt.Sprintf("overtake %s has no flag --%s", node.Path(), name))
			}
		case next != nil:
			node = next
		case commandName.MatchString(word) && len(node.Children) > 0 && node.DefaultCmd == nil:
			problems = append(problems, fmt.Sprintf("there is no command overtake %s %s", node.Path(), word))
		}
	}
	return problems
}

// hasFlag reports whether a command has a flag, or one of its commands where it only
// has those: text may name the flags of all.
func hasFlag(node *kong.Node, name string) bool {
	if slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == name }) {
		return true
	}
	return slices.ContainsFunc(node.Children, func(c *kong.Node) bool { return hasFlag(c, name) })
}

// taskNames returns the names of Taskfile.yml.
func taskNames(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("Taskfile.yml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z][a-z0-9:-]*):$`).FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

var taskCall = regexp.MustCompile(`(?:tools\.mod task|^task|^t) ([a-z][a-z0-9-]*(?::[a-z0-9-]+)*)`)

func wrongTasks(names []string, text string) (problems []string) {
	for _, m := range taskCall.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(names, m[1]) {
			problems = append(problems, "Taskfile.yml has no task "+m[1])
		}
	}
	return problems
}

var pathName = regexp.MustCompile(`^[\w.-]+(?:/[\w.-]+)+/?$`)

// wrongPaths says whether text is the path of a file that is not there. It is a path
// if it begins with a folder of the repository; what is made there is in bin.
func wrongPaths(document, text string) []string {
	if !pathName.MatchString(text) || strings.HasPrefix(text, ".") {
		return nil
	}
	top, _, _ := strings.Cut(text, "/")
	if info, err := os.Stat(top); err != nil || !info.IsDir() || top == "bin" {
		return nil
	}
	for _, path := range []string{text, filepath.Join(filepath.Dir(document), text)} {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return []string{"there is no such file"}
}

// What the checks take for a mistake, and what not.
func TestMentionsAreChecked(t *testing.T) {
	app, tasks := model(t), taskNames(t)
	for text, want := range map[string]int{
		"overtake gateway -c FILE --listen :80": 0, "overtake --help": 0, "overtake COMMAND --help": 0, "overtake queue": 0,
		"overtake queue purge jobs --yes && ls --all": 0, "sudo ./overtake qdisc show --dev eth0": 0, "overtake loadgen compare a b": 0,
		"setpriv --reuid overtake --clear-groups overtake sidecar -c f": 0, "useradd overtake": 0, "overtake loadgen --list | grep --count shop": 0,
		"overtake gatway": 1, "overtake gateway --lisen :80": 1, "overtake queue --prge": 1, "A=1 overtake queue list --joson": 1, "overtake queue lst": 1,
		"go tool -modfile=tools.mod task test": 0, "task e2e:brokers": 0, "t bench": 0, "go tool -modfile=tools.mod task tst": 1, "task nothing": 1,
		"docs/queues.md": 0, "gateway/config": 0, "bin/jaeger": 0, "text/plain": 0, "docs/nothing.md": 1, "gateway/nothing/x.go": 1,
	} {
		got := slices.Concat(wrongCommands(app, text), wrongTasks(tasks, text), wrongPaths("README.md", text))
		if len(got) != want {
			t.Errorf("%s: %q, want %d problems", text, got, want)
		}
	}
	for target, want := range map[string]bool{
		"docs/queues.md": true, "docs/queues.md#jobs": true, "#latency-classes": true, "https://example.com/a#b": true, "main.go#L3": true,
		"docs/nothing.md": false, "docs/queues.md#nothing": false, "#nothing": false,
	} {
		if err := follow("README.md", target); (err == nil) != want {
			t.Errorf("link %s: %v", target, err)
		}
	}
}
