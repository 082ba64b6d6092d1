package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overtake/classifier/strictyaml"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected text in testdata")

// variables are what the files in testdata may use.
var variables = map[string]string{
	"HOST":         "app.example",
	"SLOTS":        "8",
	"SECRET":       "hunter2",
	"ADMIN_TOKEN":  "correct-horse-battery-staple",
	"INJECT":       "off\nexpose: all",
	"RABBITMQ_URL": "amqp://me:hunter2@rabbit:5672/",
}

func lookup(name string) (string, bool) {
	value, ok := variables[name]
	return value, ok
}

// TestMistakes runs testdata/*.txt: a title, the configuration, ----, and what
// the user sees. With -rewrite, the last is written anew.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var rewritten strings.Builder
			for _, test := range strings.Split(string(text), "=== ")[1:] {
				title, rest, _ := strings.Cut(test, "\n")
				input, want, _ := strings.Cut("\n"+rest, "\n----\n")
				input = strings.TrimPrefix(input, "\n")
				got := verdict(input)
				if got != want && !*rewrite {
					t.Errorf("%s\n%s\ngot:\n%swant:\n%s", title, input, got, want)
				}
				fmt.Fprintf(&rewritten, "=== %s\n%s----\n%s", title, withNewline(input), got)
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(rewritten.String()), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Whoever makes a mistake in rules, routes or flows is told where it is, and what to
// write instead.
func TestRuleMistakesHaveRemedies(t *testing.T) {
	text, err := os.ReadFile("testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, test := range strings.Split(string(text), "=== ")[1:] {
		_, rest, _ := strings.Cut(test, "\n")
		input, _, _ := strings.Cut("\n"+rest, "\n----\n")
		_, err := Parse("overtake.yaml", []byte(strings.TrimPrefix(input, "\n")), lookup)
		problems, _ := errors.AsType[strictyaml.Problems](err)
		found += len(problems)
		for _, p := range problems {
			if p.Line == 0 || p.Column == 0 || p.Hint == "" {
				t.Errorf("no place or no remedy: %s", p)
			}
		}
	}
	if found < 30 {
		t.Errorf("%d mistakes, want 30 or more", found)
	}
}

// verdict is what a user is told about a configuration.
func verdict(input string) string {
	c, err := Parse("overtake.yaml", []byte(input), lookup)
	if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
		return problems.Error() + "\n"
	}
	var out strings.Builder
	for _, w := range c.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", w)
	}
	return out.String() + "ok\n"
}

func withNewline(text string) string {
	if text == "" {
		return ""
	}
	return text + "\n"
}
