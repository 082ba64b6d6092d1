package markdown

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// story is what Steps makes of a document, a line each.
func story(t *testing.T, text string) string {
	t.Helper()
	steps, err := Steps(text)
	if err != nil {
		var at *Error
		if !errors.As(err, &at) {
			t.Fatalf("error %v has no line", err)
		}
		return "error " + err.Error()
	}
	var lines []string
	for _, s := range steps {
		line := fmt.Sprintf("%d %s", s.Line, s.Kind)
		switch s.Kind {
		case Write, Append:
			line += fmt.Sprintf(" %s %q", s.File, s.Text)
		case Expect:
			line += fmt.Sprintf(" %s", s.Pattern)
		case Run:
			if s.Time != DefaultTime {
				line += fmt.Sprintf(" %v", s.Time)
			}
			fallthrough
		default:
			line += fmt.Sprintf(" %q", s.Text)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestSteps(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "# Title\n\nwords\n", ""},
		{"blocks in order", "```sh\na\n```\n\n``` bash\nb\nc\n```\n", "1 run \"a\\n\"\n5 run \"b\\nc\\n\""},
		{"other languages are shown only", "```yaml\na: 1\n```\n```\nb\n```\n~~~js\nc\n~~~\n", ""},
		{"carriage returns", "```sh\r\na\r\n```\r\n", "1 run \"a\\n\""},
		{"a longer fence holds a shorter one", "````md\n```sh\nrm -r /\n```\n````\n```sh\na\n```\n", "6 run \"a\\n\""},
		{"a fence of tildes holds one of backticks", "~~~\n```sh\nrm -r /\n```\n~~~\n", ""},
		{"a fence with a word does not close", "```sh\na\n```sh\n```\n", "1 run \"a\\n```sh\\n\""},
		{"inline code is no fence", "```sh not a fence```\n\n```sh\na\n```\n", "3 run \"a\\n\""},
		{"in a list", "1. first\n\n   ```sh\n   a\n     b\n   ```\n\n- x\n  - y\n\n    ```sh\n    c\n    ```\n", "3 run \"a\\n  b\\n\"\n11 run \"c\\n\""},
		{"indented code is no block", "words\n\n    ```sh\n    rm -r /\n    ```\n", ""},
		{"indented code after a list is no block", "- x\n\nwords\n\n    ```sh\n    rm -r /\n    ```\n", ""},
		{"a session", "```console\n$ a \\\n> b\nout\n$ c\n$HOME is out\n```\n", "1 run \"a \\\\\\nb\\nc\\n\""},
		{"a session without a command", "```console\nout\n```\n", ""},
		{"a file", "<!-- file: a/b.yaml -->\n```yaml\nx: 1\n```\n\n<!-- append: a/b.yaml -->\n```yaml\ny: 2\n```\n", "2 write a/b.yaml \"x: 1\\n\"\n7 append a/b.yaml \"y: 2\\n\""},
		{"setup and seconds", "<!-- setup: one\ntwo -->\n<!-- seconds: 300 -->\n\n```sh\na\n```\n", "1 setup \"one\\ntwo\\n\"\n5 run 5m0s \"a\\n\""},
		{"expect", "```sh\na\n```\n<!-- expect: ^b.$ -->\n```text\nbc\n```\n", "1 run \"a\\n\"\n4 expect (?m)^b.$"},
		{"expect of a session", "<!-- expect: out -->\n```console\n$ a\nout\n```\n", "2 run \"a\\n\"\n1 expect (?m)out"},
		{"offline", "<!-- offline -->\n```sh\nkubectl get pods\n```\n", "2 offline \"kubectl get pods\\n\""},
		{"comments for readers of the source", "<!-- Made by a program. -->\nwords\n\n<!-- two\nlines -->\n```sh\na\n```\n", "6 run \"a\\n\""},

		{"no end", "x\n```sh\na\n", "error 2: the block has no end: a line with nothing but ``` is missing"},
		{"the wrong end", "````sh\na\n```\n", "error 1: the block has no end: a line with nothing but ```` is missing"},
		{"comment without an end", "<!-- file: a\n```sh\na\n```\n", "error 1: the comment has no end: --> is missing"},
		{"unknown comment", "<!-- files: a -->\n```yaml\na\n```\n", "error 1: unknown comment \"files\": want file, append, setup, expect, seconds or offline"},
		{"unknown word", "<!-- skip -->\n```sh\na\n```\n", "error 1: unknown comment \"skip\": want file, append, setup, expect, seconds or offline"},
		{"no colon", "<!-- file a.yaml -->\n```yaml\na\n```\n", "error 1: a colon is missing: <!-- file: ... -->"},
		{"nothing said", "<!-- setup: -->\n```sh\na\n```\n", "error 1: the comment setup: says nothing"},
		{"too much said", "<!-- offline: why -->\n```sh\na\n```\n", "error 1: the comment offline takes no text"},
		{"words between", "<!-- file: a.yaml -->\nwords\n```yaml\na\n```\n", "error 1: the comment file: is not right before a fenced block"},
		{"no block at all", "<!-- seconds: 3 -->\n", "error 1: the comment seconds: is not right before a fenced block"},
		{"text behind", "<!-- offline --> words\n```sh\na\n```\n", "error 1: the comment offline is followed by text on its line"},
		{"seconds", "<!-- seconds: 0 -->\n```sh\na\n```\n", "error 1: seconds: 0, want 1 to 1800"},
		{"seconds of no shell block", "<!-- seconds: 9 -->\n```yaml\na\n```\n", "error 1: seconds: is for a shell block, and this is none"},
		{"file of a shell block", "<!-- file: a -->\n```sh\na\n```\n", "error 1: file: is not for a shell block"},
		{"file elsewhere", "<!-- file: ../a -->\n```yaml\na\n```\n", "error 1: file: ../a, want a path in the working directory"},
		{"expect of nothing", "<!-- expect: a -->\n```text\na\n```\n", "error 1: expect: has no shell block before it that is run"},
		{"expect of what was not run", "<!-- offline -->\n```sh\nhelm test x\n```\n<!-- expect: a -->\n```text\na\n```\n", "error 5: expect: has no shell block before it that is run"},
		{"expect another thing than shown", "```sh\na\n```\n<!-- expect: b -->\n```text\na\n```\n", "error 4: expect: the block below does not match b"},
		{"expect no pattern", "```sh\na\n```\n<!-- expect: ( -->\n```text\na\n```\n", "error 4: expect: error parsing regexp: missing closing ): `(?m)(`"},
		{"a name in capitals", "<!-- Expect: a -->\n```text\na\n```\n", "error 1: unknown comment \"Expect\": want file, append, setup, expect, seconds or offline"},
		{"a name of two words", "<!-- expects-output: a -->\n```text\na\n```\n", "error 1: unknown comment \"expects-output\": want file, append, setup, expect, seconds or offline"},
		{"a language that is not run", "```shell\na\n```\n", "error 1: a block in \"shell\" is not run: call it sh, or console with its output, or else one of [ sh bash console text yaml json go js md haproxy nginx ini promql]"},
		{"a language that is misspelt", "x\n\n```Sh\na\n```\n", "error 3: a block in \"Sh\" is not run: call it sh, or console with its output, or else one of [ sh bash console text yaml json go js md haproxy nginx ini promql]"},
		{"a tab", "- x\n\n\t```sh\n\ta\n\t```\n", "error 3: a block behind a tab is not run: indent it with spaces"},
		{"a quotation", "> ```sh\n> a\n> ```\n", "error 1: a block in a quotation is not run: write it without the >"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := story(t, c.text); got != c.want {
				t.Errorf("steps of\n%s\nare\n%s\nwant\n%s", c.text, got, c.want)
			}
		})
	}
}

func TestMentions(t *testing.T) {
	const text = "# A `b` [c](d)! e_f\n# A b\n# A b\n<a id=\"x\"></a>\n\n[l](m.md#n \"title\") ![p](q.png) `[no](link)` ``a `tick` b``\n```sh\n# no heading [no](link) `no code`\n```\n"
	links, err := Links(text)
	if err != nil || fmt.Sprint(links) != "[{1 d} {6 m.md#n} {6 q.png}]" {
		t.Errorf("links %v, %v", links, err)
	}
	spans, err := Code(text)
	if err != nil || len(spans) == 0 || spans[0] != (Mention{1, "b"}) || strings.Contains(fmt.Sprint(spans), "no code") {
		t.Errorf("code %v, %v", spans, err)
	}
	anchors, err := Anchors(text)
	if err != nil || len(anchors) != 4 || !anchors["a-b-c-e_f"] || !anchors["a-b"] || !anchors["a-b-1"] || !anchors["x"] {
		t.Errorf("anchors %v, %v", anchors, err)
	}
}

// Whatever a document is, its blocks are within it, in order, and hold lines of it.
func FuzzBlocks(f *testing.F) {
	for _, seed := range []string{"```sh\na\n```\n", "- x\n  ~~~~\n  b\n  ~~~~\n", "<!-- file: a -->\n```\n```", "<!--", "> ```", "    ```"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		blocks, err := Blocks(text)
		lines := strings.Count(text, "\n") + 1
		last := 0
		for _, b := range blocks {
			if err != nil || b.Line <= last || b.End <= b.Line || b.End > lines {
				t.Fatalf("block %+v of %d lines after line %d, %v", b, lines, last, err)
			}
			if got, want := strings.Count(b.Text, "\n"), b.End-b.Line-1; got != want {
				t.Fatalf("block %+v has %d lines, want %d", b, got, want)
			}
			last = b.End
		}
		if _, err := Steps(text); err != nil {
			return
		}
		for _, read := range []func(string) ([]Mention, error){Links, Code} {
			mentions, err := read(text)
			for _, m := range mentions {
				if err != nil || m.Line < 1 || m.Line > lines || !strings.Contains(text, m.Text) {
					t.Fatalf("%+v, %v", m, err)
				}
			}
		}
	})
}
