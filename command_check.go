package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"

	"overtake/classifier"
	"overtake/gateway"
	"overtake/gateway/config"
)

type checkCommand struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration file."`
}

// Help implements kong.HelpProvider.
func (*checkCommand) Help() string {
	return `Every problem is listed at once, with its line, its column and a remedy. Where OVERTAKE_ADMIN_TOKEN is set, it is checked in place of admin_token. The exit code is 0 for a file that the gateway would take, 2 otherwise.

Example:
  overtake check -c overtake.yaml`
}

// Run validates the file.
func (c *checkCommand) Run() error {
	environment, err := config.ProcessFromEnv()
	if err != nil {
		return &usageError{err}
	}
	cfg, err := config.Check(c.Config, environment, os.LookupEnv)
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings {
		fmt.Printf("warning: %s\n", warning)
	}
	fmt.Printf("%s: ok: %d listeners, %d classes, %d rules, %d routes, %d upstreams, %d queues, %d relays\n", c.Config,
		len(cfg.Listeners), len(cfg.Classes), len(cfg.Rules), len(cfg.Routes), len(cfg.Upstreams), len(cfg.Queues), len(cfg.Relays))
	return nil
}

type explainCommand struct {
	Config   string   `short:"c" placeholder:"FILE" help:"Configuration file; without one, the built-in rules explain."`
	Header   []string `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Header line of the request; repeat it for more."`
	Source   string   `placeholder:"IP" help:"Address that the request comes from."`
	Listener string   `placeholder:"NAME" help:"Listener that it comes to; that of an outbound one explains a call of the app."`
	Method   string   `arg:"" help:"Method of the request."`
	URL      string   `arg:"" help:"URL of the request."`
}

// Help implements kong.HelpProvider.
func (*explainCommand) Help() string {
	return `The decision is made by the code that serves requests.

Example:
  overtake explain -c overtake.yaml GET http://shop.example/reports/2026 -H 'User-Agent: curl/8'`
}

// Run explains one request.
func (c *explainCommand) Run() error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	q := gateway.Question{Method: c.Method, URL: c.URL, Header: c.Header, Listener: c.Listener}
	if c.Source != "" {
		if q.Source, err = netip.ParseAddr(c.Source); err != nil {
			return &usageError{fmt.Errorf("--source %q is not an IP address, want one such as 10.1.2.3", c.Source)}
		}
	}
	e, err := gateway.Explain(cfg, q)
	if err != nil {
		return &usageError{err}
	}
	printExplanation(e)
	return nil
}

func (c *explainCommand) config() (*config.Config, error) {
	if c.Config == "" {
		return config.Default("http://127.0.0.1:9000")
	}
	cfg, elsewhere, err := config.LoadRequests(c.Config, os.LookupEnv)
	warnElsewhere(elsewhere)
	return cfg, err
}

func printExplanation(e gateway.Explanation) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer func() { _ = w.Flush() }()
	fmt.Fprintf(w, "class\t%s\n", e.Classes.Name(e.Decision.Class))
	fmt.Fprintf(w, "rule\t%s\n", ruleText(e))
	if e.Claimed != "" {
		fmt.Fprintf(w, "claimed\t%s (%s)\n", e.Claimed, claimText(e))
	}
	if e.Flow != "" {
		fmt.Fprintf(w, "flow\t%s\n", e.Flow)
	}
	if e.Ceiling != "" {
		fmt.Fprintf(w, "ceiling\t%s: the flow gets no more urgent class\n", e.Ceiling)
	}
	fmt.Fprintf(w, "route\t%s\n", routeText(e))
	if len(e.Trials) > 0 {
		fmt.Fprintln(w, "\nrule tested\tclass\tresult")
		for _, t := range e.Trials {
			fmt.Fprintf(w, "%s\t%s\t%s\n", t.Rule, e.Classes.Name(t.Class), trialText(t))
		}
	}
}

func ruleText(e gateway.Explanation) string {
	switch {
	case e.Outbound && e.Lowered:
		return "default, lowered at the app's own wish; a running sidecar goes by provenance first"
	case e.Outbound:
		return "default: nothing is known of this call; a running sidecar goes by provenance first"
	case e.Rule == classifier.RuleDefault:
		return "default: no rule matches"
	case e.Rule == classifier.RuleTrusted:
		return "trusted: the class it came with is believed"
	case e.Lowered:
		return e.Rule + ", lowered at the request's own wish"
	}
	return e.Rule
}

func claimText(e gateway.Explanation) string {
	switch {
	case e.Unknown:
		return "no class is called so"
	case e.Outbound && e.Lowered:
		return "an app may lower the class of its calls"
	case e.Outbound:
		return "an app may not raise the class of its calls"
	case e.Trusted:
		return "from a trusted network"
	case e.Lowered:
		return "not trusted, but less urgent than the rule's"
	}
	return "not believed: the source is not in the trust of any listener"
}

func routeText(e gateway.Explanation) string {
	switch {
	case e.Route < 0 && e.Address != "":
		return "none: to " + e.Address
	case e.Route < 0 && e.Outbound:
		return "none: to where its connection was redirected from, else 404 no_upstream"
	case e.Route < 0:
		return "none: 404 no_upstream"
	case e.Queue != "":
		return fmt.Sprintf("routes[%d]: queue %s", e.Route, e.Queue)
	}
	return fmt.Sprintf("routes[%d]: upstream %s", e.Route, e.Upstream)
}

func trialText(t classifier.Trial) string {
	if t.Matched && t.DryRun {
		return "matches, but decides nothing: dry run"
	}
	if t.Matched {
		return "matches"
	}
	field := t.Field
	if t.Key != "" {
		field += "." + t.Key
	}
	return strings.TrimSpace(fmt.Sprintf("%s does not hold: %s", field, t.Seen))
}
