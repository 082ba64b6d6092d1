// Overtake is a message-queue-aware priority gateway: it fronts an app, gives
// every request a latency class, and lets latency-sensitive work overtake batch
// work wherever work waits.
//
// This package is the command line, and the only place that wires the adapters
// of brokers to the gateway.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"overtake/classifier/strictyaml"
)

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1 // failed at work
	exitUsage  = 2 // wrong use or configuration
)

// commands is the command line.
type commands struct {
	Gateway gatewayCommand  `cmd:"" help:"Run the gateway in front of an app."`
	Sidecar sidecarCommand  `cmd:"" help:"Run the gateway beside a service: what comes to the app, and the app's own calls."`
	Relay   relayCommand    `cmd:"" help:"Move existing queues into lanes."`
	Loadgen loadgenCommands `cmd:"" help:"Drive a mixed load at a target and show what each class got."`
	App     appCommand      `cmd:"" help:"Run the sample app, N workers behind one first-in, first-out queue, or with -f a synthetic application of many services."`
	Demo    demoCommand     `cmd:"" help:"Show what class order does: app, broker, gateway and a mixed load, without and with classes."`
	Check   checkCommand    `cmd:"" help:"Validate a configuration file."`
	Explain explainCommand  `cmd:"" help:"Show which class and route a request would get, and why."`
	Queue   queueCommands   `cmd:"" help:"Show and steer the lanes of queues."`
	Dead    deadCommands    `cmd:"" help:"Show and replay the dead letters of queues."`
	Trace   traceCommand    `cmd:"" help:"Show slow requests hop by hop, from Jaeger."`
	Qdisc   qdiscCommands   `cmd:"" help:"Show, build and remove a network device's queues for the classes."`
	Version versionCommand  `cmd:"" help:"Print the version."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line and returns the exit code.
func run(args []string) int {
	var cli commands
	exited := -1
	parser, err := kong.New(&cli, options(func(code int) { exited = code })...)
	if err != nil {
		return fail(err, "")
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		return fail(&usageError{err}, commandOf(err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	return fail(parsed.Run(), spoken(parsed.Selected()))
}

// options are how the command line is read. exit is called after the help was
// printed.
func options(exit func(code int)) []kong.Option {
	return []kong.Option{
		kong.Name("overtake"),
		kong.Description("A message-queue-aware priority gateway. Start with: overtake demo"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Help(printHelp),
		kong.Exit(exit),
		durations(),
	}
}

// printHelp prints the help of a command. That of a default is the help of the command
// which does nothing else by itself, under the name that people type.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if selected := ctx.Selected(); selected != nil {
		named, node := selected, selected.DefaultCmd
		if node == nil {
			named, node = selected.Parent, selected
		}
		if named.DefaultCmd == node {
			shown := *node
			shown.Name, shown.Help, shown.Parent = named.Name, named.Help, named.Parent
			ctx.Path = append(ctx.Path, &kong.Path{Parent: shown.Parent, Command: &shown, Flags: shown.Flags})
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// spoken is the command as people type it, without the name of a default.
func spoken(command *kong.Node) string {
	if command.Parent != nil && command.Parent.DefaultCmd == command {
		command = command.Parent
	}
	return command.Path()
}

// commandOf returns the command that was being parsed when err came up, "" if
// it had not come to that.
func commandOf(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if selected := parse.Context.Selected(); selected != nil {
			return spoken(selected)
		}
	}
	return ""
}

// usageError is a mistake in how the program was called.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// fail prints err, if there is one, and returns the exit code that it deserves.
// After wrong use it names the help of command, rather than print all of it and
// push the message out of sight.
func fail(err error, command string) int {
	if err == nil {
		return exitOK
	}
	var usage *usageError
	var problems strictyaml.Problems
	var missing shortfalls
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			fmt.Fprintln(os.Stderr, printableLine(p.String()))
		}
		return exitUsage
	case errors.As(err, &usage):
		help := "overtake --help shows what there is"
		if command != "" {
			help = "overtake " + command + " --help has an example"
		}
		fmt.Fprintf(os.Stderr, "overtake: %s (%s)\n", printable(err.Error()), help)
		return exitUsage
	case errors.As(err, &missing):
		for _, one := range missing {
			fmt.Fprintf(os.Stderr, "overtake: %s\n", printable(one.Error()))
		}
		return exitFailed
	}
	remedy := ""
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		remedy = "; raise the limit of open files: ulimit -n 65536"
	}
	fmt.Fprintf(os.Stderr, "overtake: %s%s\n", printable(err.Error()), remedy)
	return exitFailed
}
