package main

import (
	"context"

	"overtake/gateway/config"
)

type sidecarCommand struct {
	Config    string `short:"c" placeholder:"FILE" help:"Configuration file; its inbound and outbound listeners are served."`
	Inbound   string `placeholder:"ADDR" help:"Address that takes requests from other hops."`
	App       string `placeholder:"URL" help:"App beside which it runs: where inbound requests go."`
	Outbound  string `placeholder:"ADDR" help:"Address that takes the app's own calls, on loopback."`
	Admin     string `placeholder:"ADDR" help:"Address of the admin listener, or off (default 127.0.0.1:9901)."`
	Service   string `placeholder:"NAME" help:"What the service is called in traces."`
	LogLevel  string `placeholder:"LEVEL" help:"debug, info, warn or error (default info)."`
	LogFormat string `placeholder:"FORMAT" help:"text or json (default text)."`
}

// Help implements kong.HelpProvider.
func (*sidecarCommand) Help() string {
	return `Inbound requests keep the class that trusted hops gave them, and wait for the app in class order. The app's own calls get the class of the request that they are made for, although the app passes on no more than a traceparent, an uber-trace-id, B3 headers or an x-request-id. They come by HTTP_PROXY, by the Host that a route names, or redirected by iptables.
The environment variables OVERTAKE_CONFIG, OVERTAKE_LISTEN (--inbound), OVERTAKE_UPSTREAM (--app), OVERTAKE_ADMIN, OVERTAKE_LOG_LEVEL and OVERTAKE_LOG_FORMAT stand in for flags that are not given, and OVERTAKE_ADMIN_TOKEN for admin_token in the file. SIGTERM and SIGINT drain.

Examples:
  overtake sidecar --inbound :15006 --app http://127.0.0.1:9000 --outbound 127.0.0.1:15001 &
  HTTP_PROXY=http://127.0.0.1:15001 ./app`
}

// Run starts the sidecar and drains it when ctx ends.
func (c *sidecarCommand) Run(ctx context.Context) error {
	flags := config.Process{
		Config: c.Config, Listen: c.Inbound, Outbound: c.Outbound, Admin: c.Admin, Service: c.Service,
		LogLevel: c.LogLevel, LogFormat: c.LogFormat,
	}
	if c.App != "" {
		flags.Upstream = []string{c.App}
	}
	return runProcess(ctx, flags, config.ResolveSidecar)
}
