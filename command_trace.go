package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"overtake/tracing"
	"overtake/tracing/jaegerquery"
	"overtake/tracing/waterfall"
)

// Defaults of overtake trace.
const (
	defaultSlowest = 10
	defaultSince   = time.Hour
	mostSlowest    = 1000
)

type traceCommand struct {
	Jaeger  string         `required:"" placeholder:"URL" help:"Where Jaeger's pages are, such as http://127.0.0.1:16686."`
	Class   string         `placeholder:"CLASS" help:"Only traces with a hop of this class."`
	Slowest *int           `placeholder:"N" help:"How many of the slowest traces to list (default 10)."`
	Since   *time.Duration `placeholder:"DURATION" help:"How far to look back (default 1h)."`
	ID      string         `arg:"" name:"id" optional:"" help:"ID of one trace, to show hop by hop."`
}

// Help implements kong.HelpProvider.
func (*traceCommand) Help() string {
	return `Without an ID, it lists the slowest traces that hops of Overtake were in: their whole time, how much of it they waited, and the hop or lane with the most time of its own. HOPS are the listeners of Overtake that a trace passed, outbound ones too, and the deliveries of its jobs. With an ID, it draws that trace: per hop the class, where it waited and behind how many, where it worked, what was tried, and what was refused or failed.

Only traces that were sampled are there (tracing.sample), and those with a hop that shed, failed, or let the request wait for longer than its class's objective, at most 1,000 a second of each class. By default only interactive has an objective, 25ms; what is slow in the app alone does not count.

Examples:
  overtake trace --jaeger http://127.0.0.1:16686 --class interactive --slowest 5 --since 15m
  overtake trace --jaeger http://127.0.0.1:16686 4bf92f3577b34da6a3ce929d0e0e4736`
}

// Run lists traces, or shows one.
func (c *traceCommand) Run(ctx context.Context) error {
	client, err := jaegerquery.New(c.Jaeger)
	if err != nil {
		return &usageError{fmt.Errorf("--jaeger %w", err)}
	}
	if c.ID != "" {
		if c.Class != "" || c.Slowest != nil || c.Since != nil {
			return &usageError{errors.New("--class, --slowest and --since choose traces for a list; they don't go with the ID of one")}
		}
		id, err := jaegerquery.ParseID(c.ID)
		if err != nil {
			return &usageError{err}
		}
		return showTrace(ctx, client, id)
	}
	most, since := defaultSlowest, defaultSince
	if c.Slowest != nil {
		most = *c.Slowest
	}
	if c.Since != nil {
		since = *c.Since
	}
	if most < 1 || most > mostSlowest {
		return &usageError{fmt.Errorf("--slowest %d, want 1 to %d", most, mostSlowest)}
	}
	if since <= 0 {
		return &usageError{fmt.Errorf("--since %v, want a duration such as 15m", since)}
	}
	now := time.Now()
	found, err := client.Slowest(ctx, jaegerquery.Query{Class: c.Class, Start: now.Add(-since), End: now, Most: most})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	if err := listTraces(out, client, found, listed{class: c.Class, most: most, since: since}); err != nil {
		return err
	}
	return out.Flush()
}

func showTrace(ctx context.Context, client *jaegerquery.Client, id tracing.TraceID) error {
	trace, err := client.Trace(ctx, id)
	if errors.Is(err, jaegerquery.ErrNotFound) {
		return fmt.Errorf("trace: %s has no trace %s: it was not sampled (tracing.sample), is still on its way, or is gone (Jaeger's memory storage keeps traces until it restarts, or the newest --memory.max-traces of them)", client, id)
	}
	if err != nil {
		return err
	}
	return waterfall.NewRequest(trace).Write(os.Stdout, waterfall.Screen{
		Width:  cmp.Or(terminalWidth(os.Stdout), 80),
		Colour: terminalWidth(os.Stdout) > 0 && os.Getenv("NO_COLOR") == "", // https://no-color.org
		Link:   client.Link(id), Now: time.Now(),
	})
}

// listed says which traces a list is about.
type listed struct {
	class string
	most  int
	since time.Duration
}

func (l listed) String() string {
	text := "traces"
	if l.class != "" {
		text = "traces of class " + l.class
	}
	return fmt.Sprintf("%s in the last %s", text, l.since)
}

// listTraces writes what was found, and what may be missing in it.
func listTraces(out io.Writer, client *jaegerquery.Client, found jaegerquery.Found, l listed) error {
	var requests []*waterfall.Request
	for _, t := range found.Traces {
		if r := waterfall.NewRequest(t); r.Hops > 0 {
			requests = append(requests, r)
		}
	}
	if len(found.Services) == 0 {
		fmt.Fprintf(out, "Jaeger at %s has no spans of Overtake; it knows %s. Is tracing.endpoint its collector, and has something been sampled or refused?\n",
			client, cmp.Or(names(found.Known), "no service at all"))
		return nil
	}
	if len(requests) == 0 {
		fmt.Fprintf(out, "no %s, in %s; look back for longer with --since\n", l, names(found.Services))
		return nil
	}
	requests = waterfall.Slowest(requests, l.most)
	if err := waterfall.WriteTable(out, requests); err != nil {
		return err
	}
	for _, cut := range found.Cut {
		fmt.Fprintln(out, "\n"+cutText(cut, l))
	}
	fmt.Fprintf(out, "\novertake trace --jaeger %s %s shows the first one, hop by hop\n", client, requests[0].ID)
	return nil
}

// cutText says which traces were not looked at.
func cutText(cut jaegerquery.Cut, l listed) string {
	looked := "the newest were looked at, so that older ones may be missing"
	if cut.Least > 0 {
		looked = fmt.Sprintf("the newest were looked at, and all with one span of at least %v, so that traces whose time adds up from shorter spans may be missing", cut.Least)
	}
	return fmt.Sprintf("note: %s has more than %d %s, the most that one search takes: %s; a shorter --since finds all", printableLine(cut.Service), cut.Page, l, looked)
}

// names lists services, of which there may be hundreds.
func names(services []string) string {
	const most = 10
	text := printableLine(strings.Join(services[:min(most, len(services))], ", "))
	if more := len(services) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
