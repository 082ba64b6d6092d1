// Package packages tests what Overtake is delivered as: the images' Dockerfile and
// compose.yaml, by the parsers that BuildKit and Compose have. It is a module of its
// own, as these have many dependencies. What no engine is needed for is not only read
// but done: the build's commands run here, and what they made runs as its image says.
package packages

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// repository is where the module overtake is, from here.
const repository = "../.."

// nobody is whom the images' processes run as.
const nobody = 65532

// readDockerfile returns the stages of the Dockerfile by name, and their order.
// BuildKit's linter must have nothing to say.
func readDockerfile(t *testing.T) (stages map[string]instructions.Stage, order []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("Dockerfile: %s", w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, where []parser.Range) {
		t.Errorf("Dockerfile:%v: %s: %s", where, rule, message)
	}})
	list, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	stages = map[string]instructions.Stage{}
	for _, stage := range list {
		if stage.Name == "" {
			t.Errorf("a stage from %s has no name", stage.BaseName)
		}
		stages[stage.Name] = stage
		order = append(order, stage.Name)
	}
	return stages, order
}

// An image that an engine pulls has an exact tag; the compiler is of the language
// version that go.mod asks for.
func TestDockerfileBases(t *testing.T) {
	stages, order := readDockerfile(t)
	for i, name := range order {
		base := stages[name].BaseName
		if base == "scratch" || slices.Contains(order[:i], base) {
			continue
		}
		checkExact(t, base)
	}
	mod, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if got := stages["build"].BaseName; !strings.HasPrefix(got, "golang:"+string(language[1])+".") {
		t.Errorf("stage build is from %s, go.mod asks for Go %s", got, language[1])
	}
	if got := stages["build"].Platform; got != "$BUILDPLATFORM" {
		t.Errorf("stage build runs on %q, which emulates another platform's compiler; want $BUILDPLATFORM", got)
	}
	if last := order[len(order)-1]; last != "overtake" {
		t.Errorf("docker build without --target makes %s, want overtake", last)
	}
}

// checkExact checks that an image's tag is a version with its patch level.
func checkExact(t *testing.T, image string) {
	t.Helper()
	if !regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?(@sha256:[0-9a-f]{64})?$`).MatchString(image) {
		t.Errorf("image %q has no exact tag", image)
	}
}

// What an image runs as, and how.
func TestDockerfileFinalStages(t *testing.T) {
	stages, _ := readDockerfile(t)
	for _, test := range []struct {
		stage, user, base string
		entrypoint        []string
	}{
		{"overtake", "65532:65532", "scratch", []string{"/usr/local/bin/overtake"}},
		{"marks", "65532:65532", "scratch", []string{"/usr/local/bin/overtake"}},
		{"init", "0:0", "debian:12.14-slim", []string{"/usr/local/bin/overtake-redirect"}},
	} {
		commands, base := inherited(stages, test.stage)
		if base != test.base {
			t.Errorf("image %s is from %s, want %s", test.stage, base, test.base)
		}
		var user string
		var entrypoint []string
		labels := map[string]string{}
		for _, command := range commands {
			switch c := command.(type) {
			case *instructions.UserCommand:
				user = c.User
			case *instructions.EntrypointCommand:
				entrypoint = c.CmdLine
			case *instructions.LabelCommand:
				for _, l := range c.Labels {
					labels[l.Key] = l.Value
				}
			case *instructions.HealthCheckCommand:
				t.Errorf("image %s has a health check, and nothing in it to check with", test.stage)
			}
		}
		if user != test.user || !slices.Equal(entrypoint, test.entrypoint) {
			t.Errorf("image %s runs %q as %q, want %q as %q", test.stage, entrypoint, user, test.entrypoint, test.user)
		}
		for _, label := range []string{"title", "description", "licenses"} {
			if labels["org.opencontainers.image."+label] == "" {
				t.Errorf("image %s has no label org.opencontainers.image.%s", test.stage, label)
			}
		}
	}
}

// inherited returns the commands of a stage after those of the stages that it is
// from, and the image at the bottom.
func inherited(stages map[string]instructions.Stage, name string) ([]instructions.Command, string) {
	stage := stages[name]
	if _, isStage := stages[stage.BaseName]; !isStage {
		return stage.Commands, stage.BaseName
	}
	commands, base := inherited(stages, stage.BaseName)
	return append(slices.Clone(commands), stage.Commands...), base
}

// Nothing is fetched by ADD, and what is copied from the context is in it.
func TestDockerfileContext(t *testing.T) {
	stages, _ := readDockerfile(t)
	ignored := ignoredFiles(t)
	for name, stage := range stages {
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.AddCommand:
				t.Errorf("stage %s: %v: want COPY", name, c)
			case *instructions.CopyCommand:
				if c.From != "" {
					continue
				}
				for _, source := range c.SourcePaths {
					if _, err := os.Stat(filepath.Join(repository, source)); err != nil {
						t.Errorf("stage %s: COPY %s: %v", name, source, err)
					}
					if ignored(source) {
						t.Errorf("stage %s: COPY %s: .dockerignore has it", name, source)
					}
				}
			}
		}
	}
}

// ignoredFiles tells what .dockerignore keeps out of the context.
func ignoredFiles(t *testing.T) func(name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) bool {
		found, err := matcher.MatchesOrParentMatches(path.Clean(filepath.ToSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
}

// copyContext copies what an engine would be sent, of the files that git knows or
// would know: what else lies about in a working copy says nothing about a clone.
func copyContext(t *testing.T, to string) {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = repository
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	ignored := ignoredFiles(t)
	var size int64
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if ignored(name) {
			continue
		}
		size += copyFile(t, filepath.Join(repository, name), filepath.Join(to, name))
	}
	if most := int64(8 << 20); size > most {
		t.Errorf("the build's context has %d bytes, want less than %d: what is new is for .dockerignore", size, most)
	}
}

// copyFile copies a file with its mode, and returns its size. One that is deleted
// and not yet committed so has none.
func copyFile(t *testing.T, from, to string) int64 {
	t.Helper()
	info, err := os.Stat(from)
	if os.IsNotExist(err) {
		return 0
	} else if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
	return int64(len(content))
}

// copyTree copies a folder's content as COPY does: everything becomes the owner's.
func copyTree(t *testing.T, from, to string, owner int) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, below)
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
		} else {
			copyFile(t, name, target)
		}
		return os.Lchown(target, owner, owner)
	})
	if err != nil {
		t.Fatal(err)
	}
}
