package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"overtake/gateway/config"
)

var rewrite = flag.Bool("rewrite", false, "write docs/commands.md anew, or with -tags e2e the pictures of docs/console.md")

// model is the command line as kong sees it.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&commands{}, options(func(int) {})...)
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// spokenCommands returns all commands as people type them, without those that only
// have commands of their own.
func spokenCommands(app *kong.Application) []*kong.Node {
	return app.Leaves(true)
}

// The help of each command has an example, of that command.
func TestHelpHasExamples(t *testing.T) {
	app := model(t)
	names := []string{}
	for _, node := range spokenCommands(app) {
		names = append(names, spoken(node))
	}
	for _, group := range app.Children {
		names = append(names, group.Path())
	}
	for _, name := range names {
		stdout, _ := captured(t, func() { run(append(strings.Fields(name), "--help")) })
		_, examples, found := strings.Cut(stdout, "Example")
		if !found || !strings.Contains(examples, "overtake "+name) {
			t.Errorf("overtake %s --help has no example of it:\n%s", name, stdout)
		}
	}
}

// The help of a command begins as its section in docs/commands.md.
func TestHelpIsThatOfTheReference(t *testing.T) {
	for _, node := range spokenCommands(model(t)) {
		stdout, _ := captured(t, func() { run(append(strings.Fields(spoken(node)), "--help")) })
		head, _, _ := strings.Cut(strings.Join(strings.Fields(stdout), " "), " Flags: ")
		if want := "Usage: " + synopsis(node) + " " + about(node); !strings.HasPrefix(head, want) {
			t.Errorf("overtake %s --help begins\n%s\nwant\n%s", spoken(node), head, want)
		}
	}
}

// TestCommandsReference holds docs/commands.md to the command line. With -rewrite,
// it is written anew.
func TestCommandsReference(t *testing.T) {
	name := filepath.Join("docs", "commands.md")
	want := commandsReference(t, model(t))
	if *rewrite {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/commands.md is stale: go test . -run CommandsReference -rewrite")
	}
}

// environment is what the variables say that commands read; those of config.Process
// are from its tags.
var environment = map[string]string{
	"OVERTAKE_CONFIG":      "the configuration file: `--config`",
	"OVERTAKE_LISTEN":      "`--listen` of a gateway, `--inbound` of a sidecar",
	"OVERTAKE_UPSTREAM":    "`--upstream` of a gateway, `--app` of a sidecar; several are separated by commas",
	"OVERTAKE_ADMIN":       "`--admin`",
	"OVERTAKE_LOG_LEVEL":   "`--log-level` of a gateway or a sidecar",
	"OVERTAKE_LOG_FORMAT":  "`--log-format` of a gateway or a sidecar",
	"OVERTAKE_ADMIN_TOKEN": "`admin_token` of the file: what a request must carry that changes a running gateway",
	"OTEL_SERVICE_NAME":    "what the process is called in traces, where neither `--service` nor `tracing.service` says it",
	"NOTIFY_SOCKET":        "set by systemd: told when the gateway is ready, reloads and drains",
	"NO_COLOR":             "if it is set, `loadgen` and `trace` print no colours",
}

// TestEnvironmentIsDocumented: the settings that config.Process takes from the
// environment are in the reference.
func TestEnvironmentIsDocumented(t *testing.T) {
	for field := range reflect.TypeFor[config.Process]().Fields() {
		if name := field.Tag.Get("env"); name != "" && environment[name] == "" {
			t.Errorf("%s is not in environment, which docs/commands.md is made from", name)
		}
	}
}

const commandsHead = `# Commands

<!-- Made from the command line itself: go test . -run CommandsReference -rewrite -->

%s

` + "`overtake COMMAND --help`" + ` prints what this page has of a command. An argument that begins with ` + "`<`" + ` is required, one in brackets is not.

| exit code | means |
| --- | --- |
| %d | done; a server was drained after SIGTERM or SIGINT |
| %d | it failed at its work: standard error says at what, and what helps |
| %d | wrong use, or a mistake in the configuration: nothing was done |

| environment variable | stands in for, or is |
| --- | --- |
`

// commandsReference is the page.
func commandsReference(t *testing.T, app *kong.Application) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, commandsHead, app.Help, exitOK, exitFailed, exitUsage)
	names := make([]string, 0, len(environment))
	for name := range environment {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, environment[name])
	}
	b.WriteString("\nFlags win over the environment, the environment over the file. Any other variable may be used in the file, as `${NAME}`.\n")
	b.WriteString("\n| command | does |\n| --- | --- |\n")
	nodes := spokenCommands(app)
	for _, node := range nodes {
		name := "overtake " + spoken(node)
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", name, strings.ReplaceAll(name, " ", "-"), tableText(about(node)))
	}
	for _, node := range nodes {
		writeCommand(&b, node)
	}
	return b.String()
}

// about is a command in a line: that of its group for a default command.
func about(node *kong.Node) string {
	if node.Parent.DefaultCmd == node {
		return node.Parent.Help
	}
	return node.Help
}

// writeCommand writes the section of a command.
func writeCommand(b *strings.Builder, node *kong.Node) {
	name := spoken(node)
	fmt.Fprintf(b, "\n## overtake %s\n\n%s\n\n```text\n%s\n```\n", name, about(node), synopsis(node))
	writeDetail(b, node.Detail)
	if len(node.Positional) > 0 {
		b.WriteString("\n| argument | is |\n| --- | --- |\n")
		for _, p := range node.Positional {
			fmt.Fprintf(b, "| `%s` | %s |\n", p.Summary(), tableText(p.Help))
		}
	}
	var flags []string
	for _, f := range node.Flags {
		if !f.Hidden {
			flags = append(flags, fmt.Sprintf("| %s | %s |\n", flagName(f), tableText(f.Help)))
		}
	}
	if len(flags) > 0 {
		b.WriteString("\n| flag | is |\n| --- | --- |\n" + strings.Join(flags, ""))
	}
}

// synopsis is how a command is called.
func synopsis(node *kong.Node) string {
	words := []string{"overtake", spoken(node)}
	for _, f := range node.Flags {
		if f.Required {
			words = append(words, "--"+f.Name+"="+f.FormatPlaceHolder())
		}
	}
	for _, p := range node.Positional {
		words = append(words, p.Summary())
	}
	if slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return !f.Required }) {
		words = append(words, "[flags]")
	}
	return strings.Join(words, " ")
}

func flagName(f *kong.Flag) string {
	name := "--" + f.Name
	if !f.IsBool() {
		name += "=" + f.FormatPlaceHolder()
	}
	name = "`" + strings.ReplaceAll(name, "|", "\\|") + "`"
	if f.Short != 0 {
		name = "`-" + string(f.Short) + "`, " + name
	}
	if f.Required {
		name += " (required)"
	}
	return name
}

var indented = regexp.MustCompile(`^ {2,}`)

// writeDetail writes the long help of a command: what is indented is code.
func writeDetail(b *strings.Builder, detail string) {
	code := false
	for line := range strings.Lines(detail) {
		line = strings.TrimRight(line, "\n")
		is := indented.MatchString(line) || code && line == ""
		switch {
		case is && !code:
			b.WriteString("\n```text\n")
		case !is && code:
			b.WriteString("```\n")
		}
		code = is
		switch {
		case is:
			fmt.Fprintf(b, "%s\n", strings.TrimPrefix(line, "  "))
		case line != "":
			fmt.Fprintf(b, "\n%s\n", prose(line))
		}
	}
	if code {
		b.WriteString("```\n")
	}
}

// tag is what Markdown would take for HTML, and leave out.
var tag = regexp.MustCompile(`<([A-Za-z/!?])`)

// prose keeps Markdown from reading text as anything else than text.
func prose(text string) string {
	return tag.ReplaceAllString(strings.ReplaceAll(text, "*", `\*`), `\<$1`)
}

func tableText(text string) string { return strings.ReplaceAll(prose(text), "|", `\|`) }
