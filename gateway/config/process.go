package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v10"

	"overtake/classifier/strictyaml"
)

// Process is the settings of one process, from flags or from the environment.
// What is empty was not given.
type Process struct {
	// Config is the path of the configuration file.
	Config string `env:"OVERTAKE_CONFIG"`
	// Listen replaces the address of the first listener, of a sidecar's first
	// inbound one.
	Listen string `env:"OVERTAKE_LISTEN"`
	// Outbound replaces the address of a sidecar's first outbound listener. It
	// comes from a flag only.
	Outbound string
	// Service replaces tracing.service. It comes from a flag only.
	Service string
	// Admin replaces the address of the admin listener.
	Admin string `env:"OVERTAKE_ADMIN"`
	// AdminToken replaces the token of the admin listener. It comes from the
	// environment only, as command lines can be seen by everybody on the host.
	AdminToken Secret `env:"OVERTAKE_ADMIN_TOKEN"`
	// Upstream replaces the servers of the upstream app, or of the only one. In
	// the environment, a list separated by commas.
	Upstream []string `env:"OVERTAKE_UPSTREAM"`
	// LogLevel is debug, info, warn or error. Default: info.
	LogLevel string `env:"OVERTAKE_LOG_LEVEL"`
	// LogFormat is text or json. Default: text.
	LogFormat string `env:"OVERTAKE_LOG_FORMAT"`

	// Warnings name environment variables that look like settings and are none.
	Warnings []string
}

// flagNames are what a command calls a setting that came from a flag.
type flagNames map[string]string

var (
	gatewayFlags = flagNames{
		"OVERTAKE_CONFIG":     "-c",
		"OVERTAKE_LISTEN":     "--listen",
		"OVERTAKE_ADMIN":      "--admin",
		"OVERTAKE_UPSTREAM":   "--upstream",
		"OVERTAKE_LOG_LEVEL":  "--log-level",
		"OVERTAKE_LOG_FORMAT": "--log-format",
	}
	sidecarFlags = flagNames{
		"OVERTAKE_CONFIG":     "-c",
		"OVERTAKE_LISTEN":     "--inbound",
		"OVERTAKE_ADMIN":      "--admin",
		"OVERTAKE_UPSTREAM":   "--app",
		"OVERTAKE_LOG_LEVEL":  "--log-level",
		"OVERTAKE_LOG_FORMAT": "--log-format",
	}
)

const adminTokenVariable = "OVERTAKE_ADMIN_TOKEN" // it has no flag

// origin is where a setting came from.
func (n flagNames) origin(variable string, byFlag bool) string {
	if byFlag {
		return n[variable]
	}
	return variable
}

// serviceLink matches the variables that Kubernetes sets in every pod beside a
// Service whose name begins with overtake.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT|PORT)(_\w+)?$`)

// ProcessFromEnv returns the settings that the environment gives. An unknown
// variable that begins with OVERTAKE_ is a warning only, since the file may use
// it as ${OVERTAKE_...}.
func ProcessFromEnv() (Process, error) {
	return processFrom(os.Environ())
}

func processFrom(environ []string) (Process, error) {
	known := append(slices.Collect(maps.Keys(gatewayFlags)), adminTokenVariable)
	slices.Sort(known)
	vars := make(map[string]string, len(environ))
	var warnings []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		vars[name] = value
		if !strings.HasPrefix(name, "OVERTAKE_") || slices.Contains(known, name) || serviceLink.MatchString(name) {
			continue
		}
		warnings = append(warnings, fmt.Sprintf("environment variable %s is not a setting; %s", name, strictyaml.Suggest(name, known)))
	}
	slices.Sort(warnings)
	var p Process
	if err := env.ParseWithOptions(&p, env.Options{Environment: vars}); err != nil {
		return Process{}, fmt.Errorf("config: environment: %w", err)
	}
	for i := range p.Upstream {
		p.Upstream[i] = strings.TrimSpace(p.Upstream[i])
	}
	p.Warnings = warnings
	return p, nil
}

// Over returns the settings of p, and those of under where p has none.
func (p Process) Over(under Process) Process {
	merged := Process{
		Config:     cmp.Or(p.Config, under.Config),
		Listen:     cmp.Or(p.Listen, under.Listen),
		Outbound:   cmp.Or(p.Outbound, under.Outbound),
		Service:    cmp.Or(p.Service, under.Service),
		Admin:      cmp.Or(p.Admin, under.Admin),
		AdminToken: cmp.Or(p.AdminToken, under.AdminToken),
		Upstream:   p.Upstream,
		LogLevel:   cmp.Or(p.LogLevel, under.LogLevel),
		LogFormat:  cmp.Or(p.LogFormat, under.LogFormat),
		Warnings:   slices.Concat(p.Warnings, under.Warnings),
	}
	if len(merged.Upstream) == 0 {
		merged.Upstream = under.Upstream
	}
	return merged
}

// Resolve returns the configuration of the gateway command: the file that
// flags or environment name, if any, with their settings in place of the
// file's. Flags win over environment, environment over file. It is called
// again to reload. Every error is [Problems].
func Resolve(flags, environment Process, lookupEnv func(string) (string, bool)) (*Config, error) {
	p := flags.Over(environment)
	if p.Config == "" && len(p.Upstream) == 0 {
		return nil, strictyaml.Problems{{
			Text: "nothing to stand in front of",
			Hint: "give a configuration file (-c FILE or OVERTAKE_CONFIG) or an app (--upstream URL or OVERTAKE_UPSTREAM)",
		}}
	}
	d := draftOf(p, lookupEnv)
	if p.Listen != "" {
		d.overlayListener("", p.Listen, gatewayFlags.origin("OVERTAKE_LISTEN", flags.Listen != ""))
	}
	d.overlay(flags, environment, gatewayFlags)
	return d.finish()
}

// ResolveSidecar is Resolve for the sidecar command, which serves the inbound and
// outbound listeners alone.
func ResolveSidecar(flags, environment Process, lookupEnv func(string) (string, bool)) (*Config, error) {
	p := flags.Over(environment)
	switch {
	case p.Config == "" && p.Listen == "" && p.Outbound == "":
		return nil, strictyaml.Problems{{
			Text: "nothing to listen on",
			Hint: "give --inbound ADDR --app URL for the requests of others and --outbound ADDR for the app's own calls, or a configuration file (-c FILE or OVERTAKE_CONFIG)",
		}}
	case p.Config == "" && p.Listen != "" && len(p.Upstream) == 0:
		return nil, strictyaml.Problems{{Text: "an inbound listener and no app", Hint: "give --app URL, such as --app http://127.0.0.1:9000"}}
	}
	d := draftOf(p, lookupEnv)
	if p.Listen != "" {
		d.overlayListener(Inbound, p.Listen, sidecarFlags.origin("OVERTAKE_LISTEN", flags.Listen != ""))
	}
	if p.Outbound != "" {
		d.overlayListener(Outbound, p.Outbound, "--outbound")
	}
	d.overlay(flags, environment, sidecarFlags)
	c, err := d.finish()
	if err != nil {
		return nil, err
	}
	kept := c.Listeners[:0:0]
	for i, l := range c.Listeners {
		if l.Role != Ingress {
			d.source.Move(strictyaml.Item("listeners", i), strictyaml.Item("listeners", len(kept)))
			kept = append(kept, l)
		}
	}
	c.Listeners = kept
	if len(c.Listeners) == 0 {
		return nil, strictyaml.Problems{{
			File: p.Config, Text: "has neither an inbound nor an outbound listener",
			Hint: "add {role: inbound, address: \":15006\"} to listeners, or run overtake gateway",
		}}
	}
	return c, nil
}

// draftOf reads the file of a process, if it has one.
func draftOf(p Process, lookupEnv func(string) (string, bool)) *draft {
	if p.Config == "" {
		return newDraft("")
	}
	return readFile(p.Config, ReadFile, lookupEnv)
}

// overlayListener gives the first listener with the role, or the first at all
// where role is "", another address; where there is none, it adds one.
func (d *draft) overlayListener(role, address, from string) {
	c, src := d.config, d.source
	i := slices.IndexFunc(c.Listeners, func(l Listener) bool { return role == "" || l.Role == role })
	if i < 0 {
		i = len(c.Listeners)
		c.Listeners = append(c.Listeners, Listener{Role: role})
		if role != "" {
			src.Replace(strictyaml.Item("listeners", i)+".role", from)
		}
	}
	c.Listeners[i].Address = address
	src.Replace(strictyaml.Item("listeners", i)+".address", from)
}

// overlay puts the other settings of a process in place of the file's.
func (d *draft) overlay(flags, environment Process, names flagNames) {
	p := flags.Over(environment)
	c, src := d.config, d.source
	if p.Admin != "" {
		c.Admin = p.Admin
		src.Replace("admin", names.origin("OVERTAKE_ADMIN", flags.Admin != ""))
	}
	if p.AdminToken != "" {
		c.AdminToken = p.AdminToken
		src.Replace("admin_token", adminTokenVariable)
	}
	if len(p.Upstream) > 0 {
		d.overlayUpstream(p.Upstream, names.origin("OVERTAKE_UPSTREAM", len(flags.Upstream) > 0))
	}
	if p.Service != "" {
		c.Tracing.Service = p.Service
		src.Replace("tracing.service", "--service")
	}
	v := validator{c, src}
	if p.LogLevel != "" {
		src.Replace("log_level", names.origin("OVERTAKE_LOG_LEVEL", flags.LogLevel != ""))
		v.oneOf("log_level", p.LogLevel, "a log level", "debug", "info", "warn", "error")
	}
	if p.LogFormat != "" {
		src.Replace("log_format", names.origin("OVERTAKE_LOG_FORMAT", flags.LogFormat != ""))
		v.oneOf("log_format", p.LogFormat, "a log format", "text", "json")
	}
}

func (d *draft) overlayUpstream(servers []string, from string) {
	c, src := d.config, d.source
	name := defaultUpstream
	if _, ok := c.Upstreams[name]; !ok && len(c.Upstreams) == 1 {
		name = onlyName(c.Upstreams)
	} else if !ok && len(c.Upstreams) > 1 {
		src.WrongOrigin(from, "name the one meant "+name, "the file has %d upstreams and none is named %s", len(c.Upstreams), name)
		return
	}
	if c.Upstreams == nil {
		c.Upstreams = make(map[string]Upstream, 1)
	}
	u := c.Upstreams[name]
	u.Servers = slices.Clone(servers)
	c.Upstreams[name] = u
	path := strictyaml.Join("upstreams", name) + ".servers"
	src.Replace(path, from)
	for i := range servers {
		src.Replace(strictyaml.Item(path, i), from)
	}
}
