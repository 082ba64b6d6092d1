package scenario

import (
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected text in testdata")

// lookup knows one variable.
func lookup(name string) (string, bool) {
	return "amqp://me:hunter2@rabbit:5672", name == "RABBITMQ_URL"
}

// recordings are the files that replays may name.
var recordings = map[string]string{
	"good.csv":  "at,path,class\n0,/a,batch\n1,/b,interactive\n",
	"times.csv": "at\n0\n1.5\n",
	"empty.csv": "at\n",
	"bad.csv":   "at,path\n0,/a\nsoon,/b\n",
	"cut.log":   `{"time":"2026-01-02T09:00:00Z","method":"GET","target":"/","class":"batch","total_ms":1}` + "\n" + `{"time":"2026-01`,
}

func openRecording(name string) (io.ReadCloser, error) {
	text, ok := recordings[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: "/somewhere/" + name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// mistakeTests calls yield for each test in testdata/*.txt: a title, the scenario,
// ----, and what the user sees.
func mistakeTests(t testing.TB, yield func(file, title, input, want string)) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range strings.Split(string(text), "=== ")[1:] {
			title, rest, _ := strings.Cut(test, "\n")
			input, want, _ := strings.Cut("\n"+rest, "\n----\n")
			yield(file, title, strings.TrimPrefix(input, "\n"), want)
		}
	}
}

// TestMistakes compares what the user is told. With -rewrite, it is written anew.
func TestMistakes(t *testing.T) {
	rewritten := make(map[string]string)
	mistakeTests(t, func(file, title, input, want string) {
		got := verdict(input)
		if got != want && !*rewrite {
			t.Errorf("%s: %s\n%s\ngot:\n%swant:\n%s", file, title, input, got, want)
		}
		if input = strings.TrimSuffix(input, "\n"); input != "" {
			input += "\n"
		}
		rewritten[file] += fmt.Sprintf("=== %s\n%s----\n%s", title, input, got)
	})
	if !*rewrite {
		return
	}
	for file, text := range rewritten {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever makes a mistake is told where it is, and what to write instead; never a
// secret.
func TestMistakesHaveRemedies(t *testing.T) {
	found := 0
	mistakeTests(t, func(file, title, input, _ string) {
		_, problems := read("scenario.yaml", []byte(input), Changes{}, lookup, openRecording)
		found += len(problems)
		for _, p := range problems {
			if title == "nothing" || title == "no classes" || title == "syntax" {
				continue // no place, or the parser's own words
			}
			if p.Line == 0 || p.Column == 0 || p.Hint == "" {
				t.Errorf("%s: no place or no remedy: %s", title, p)
			}
			if strings.Contains(p.String(), "hunter2") {
				t.Errorf("%s: a secret in %s", title, p)
			}
		}
	})
	if found < 60 {
		t.Errorf("%d mistakes, want 60 or more", found)
	}
}

func verdict(input string) string {
	_, problems := read("scenario.yaml", []byte(input), Changes{}, lookup, openRecording)
	if len(problems) > 0 {
		return problems.Error() + "\n"
	}
	return "ok\n"
}

// FuzzRead: no input panics or runs away, every problem has something to say, and
// what is accepted can be sent.
func FuzzRead(f *testing.F) {
	mistakeTests(f, func(_, _, input, _ string) { f.Add([]byte(input)) })
	for _, name := range Names() {
		text, _, _ := Text(name)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8<<10 {
			return // the parser is slow on long input
		}
		s, problems := read("scenario.yaml", data, Changes{}, lookup, openRecording)
		if len(problems) > 0 {
			if problems[0].Text == "" {
				t.Fatalf("%#v", problems)
			}
			return
		}
		if s.Duration <= 0 || s.Warmup < 0 || len(s.Classes) == 0 {
			t.Fatalf("accepted: %+v", s)
		}
		for _, c := range s.Classes {
			if err := c.Arrivals.Check(); err != nil {
				t.Fatalf("class %s: %v", c.Name, err)
			}
			g, err := c.Request.Open(s.Seed, c.Name)
			if err != nil {
				t.Fatalf("class %s: %v", c.Name, err)
			}
			g.Next()
			c.Arrivals.Open(s.Seed, c.Name).Next()
		}
	})
}
