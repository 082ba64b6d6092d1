package markdown

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what is done about a [Step].
type Kind string

// The kinds of steps.
const (
	Run     Kind = "run"     // a shell block: its commands are run
	Setup   Kind = "setup"   // commands that the reader has run already
	Write   Kind = "write"   // a block is written to a file
	Append  Kind = "append"  // or added to one
	Expect  Kind = "expect"  // what was run last must have printed it
	Offline Kind = "offline" // a shell block with lines that no test machine can run
)

// DefaultTime is what a shell block may take that names no time.
const DefaultTime = 2 * time.Minute

// languages are what blocks may be in. Others are mistakes, which would not be run.
var languages = []string{"", "sh", "bash", "console", "text", "yaml", "json", "go", "js", "md", "haproxy", "nginx", "ini", "promql"}

// Step is one thing that a reader of a document does.
type Step struct {
	Kind Kind
	// Line is where it is in the document, from 1.
	Line int
	// Text is the commands, or what the file gets.
	Text string
	// File is the path of the file, in the working directory. For Write and Append.
	File string
	// Pattern is what the output must match. For Expect.
	Pattern *regexp.Regexp
	// Time is what it may take. For Run and Setup.
	Time time.Duration
}

// Steps returns what a reader of a document does from its beginning to its end. The
// error is an [Error].
func Steps(text string) ([]Step, error) {
	blocks, err := Blocks(text)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, b := range blocks {
		of, err := b.steps()
		if err != nil {
			return nil, err
		}
		steps = append(steps, of...)
	}
	ran := false
	for _, s := range steps {
		if s.Kind == Expect && !ran {
			return nil, &Error{s.Line, "expect: has no shell block before it that is run"}
		}
		if s.Kind == Run || s.Kind == Offline {
			ran = s.Kind == Run
		}
	}
	return steps, nil
}

// Shell returns the commands of a block, and whether it has any: those of the
// languages sh and bash, and of a console what stands behind the dollar signs.
func (b *Block) Shell() (commands string, ok bool) {
	switch b.Language {
	case "sh", "bash":
		return b.Text, true
	case "console":
		return prompted(b.Text)
	}
	return "", false
}

// prompted returns the lines of a session that were typed in: behind a dollar sign,
// and on the lines after a line that ends with a backslash.
func prompted(session string) (commands string, ok bool) {
	var typed strings.Builder
	more := false
	for line := range strings.Lines(session) {
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case begins:
			ok = true
		case more:
			command = strings.TrimPrefix(line, "> ")
		default:
			continue
		}
		typed.WriteString(command)
		more = strings.HasSuffix(command, "\\\n")
	}
	return typed.String(), ok
}

// steps returns what is done about a block.
func (b *Block) steps() (steps []Step, err error) {
	if !slices.Contains(languages, b.Language) {
		return nil, &Error{b.Line, fmt.Sprintf("a block in %q is not run: call it sh, or console with its output, or else one of %v", b.Language, languages)}
	}
	commands, shell := b.Shell()
	run := Step{Kind: Run, Line: b.Line, Text: commands, Time: DefaultTime}
	var before, after []Step
	for _, d := range b.Directives {
		switch takesShell := d.Name == "setup" || d.Name == "seconds" || d.Name == "offline"; {
		case takesShell && !shell:
			return nil, &Error{d.Line, fmt.Sprintf("%s: is for a shell block, and this is none", d.Name)}
		case !takesShell && shell && (d.Name != "expect" || b.Language != "console"):
			return nil, &Error{d.Line, fmt.Sprintf("%s: is not for a shell block", d.Name)}
		}
		switch d.Name {
		case "offline":
			run.Kind = Offline
		case "seconds":
			seconds, err := strconv.Atoi(d.Text)
			if err != nil || seconds < 1 || seconds > 1800 {
				return nil, &Error{d.Line, fmt.Sprintf("seconds: %s, want 1 to 1800", d.Text)}
			}
			run.Time = time.Duration(seconds) * time.Second
		case "setup":
			before = append(before, Step{Kind: Setup, Line: d.Line, Text: d.Text + "\n", Time: DefaultTime})
		case "file", "append":
			if !filepath.IsLocal(d.Text) {
				return nil, &Error{d.Line, fmt.Sprintf("%s: %s, want a path in the working directory", d.Name, d.Text)}
			}
			kind := map[string]Kind{"file": Write, "append": Append}[d.Name]
			before = append(before, Step{Kind: kind, Line: b.Line, Text: b.Text, File: d.Text})
		case "expect":
			expected, err := b.expected(d)
			if err != nil {
				return nil, err
			}
			after = append(after, expected)
		}
	}
	steps = before
	if shell {
		steps = append(steps, run)
	}
	return append(steps, after...), nil
}

// expected returns the step of an expect. What the block shows must match, too: a
// pattern that its own example does not match expects something else.
func (b *Block) expected(d Directive) (Step, error) {
	pattern, err := regexp.Compile("(?m)" + d.Text)
	if err != nil {
		return Step{}, &Error{d.Line, fmt.Sprintf("expect: %v", err)}
	}
	if !pattern.MatchString(b.Text) {
		return Step{}, &Error{d.Line, fmt.Sprintf("expect: the block below does not match %s", d.Text)}
	}
	return Step{Kind: Expect, Line: d.Line, Pattern: pattern}, nil
}
