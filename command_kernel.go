package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/gateway/config"
	"overtake/gateway/socket"
	"overtake/gateway/socket/qdisc"
)

// kernelClasses are the classes of cfg as the kernel sees them, with these options.
func kernelClasses(cfg *config.Config, options []socket.Options) []qdisc.Class {
	classes := make([]qdisc.Class, len(cfg.Classes))
	for i, o := range options {
		class := cfg.Classes[i]
		classes[i] = qdisc.Class{
			Name: class.Name, Priority: o.Priority, DSCP: o.DSCP, Mark: o.Mark, Also: otherOptions(o), Floor: int(class.Floor),
		}
	}
	return classes
}

// otherOptions are those that no queue goes by, as the file says them.
func otherOptions(o socket.Options) string {
	var parts []string
	add := func(given bool, name string, value any) {
		if given {
			parts = append(parts, fmt.Sprint(name, " ", value))
		}
	}
	add(o.Congestion != "", "congestion", o.Congestion)
	add(o.NotSentLowat != 0, "notsent_lowat", strictyaml.Size(o.NotSentLowat))
	add(o.MaxPacingRate != 0, "max_pacing_rate", config.Rate(o.MaxPacingRate*8))
	add(o.UserTimeout != 0, "user_timeout", o.UserTimeout)
	return strings.Join(parts, ", ")
}

// kernelCheck looks what network devices do with the packets of each class.
type kernelCheck struct {
	classes []qdisc.Class
	hosts   []string // of the upstreams and brokers

	mu      sync.Mutex
	asked   time.Time    // when the hosts were looked up; guarded by mu
	targets []netip.Addr // what was found, the default route first; guarded by mu
	missing error        // what was not; guarded by mu
}

// newKernelCheck returns the check for a gateway; nil if no class names an option of
// its sockets.
func newKernelCheck(cfg *config.Config, sockets *socket.Setter) *kernelCheck {
	named := cfg.SocketOptions()
	if !slices.ContainsFunc(named, func(o socket.Options) bool { return o != socket.Options{} }) {
		return nil
	}
	taken := make([]socket.Options, len(named))
	for i := range taken {
		taken[i] = sockets.Taken(i)
	}
	k := &kernelCheck{classes: kernelClasses(cfg, taken)}
	var servers []string
	for _, name := range slices.Sorted(maps.Keys(cfg.Upstreams)) {
		servers = append(servers, cfg.Upstreams[name].Servers...)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Brokers)) {
		servers = append(append(servers, cfg.Brokers[name].URL), cfg.Brokers[name].URLs...)
	}
	for _, server := range servers {
		if u, err := url.Parse(server); err == nil && u.Hostname() != "" { // else a unix socket, or embedded
			k.hosts = append(k.hosts, u.Hostname())
		}
	}
	return k
}

const (
	// lookupPatience bounds how long it takes to find the addresses of all hosts.
	lookupPatience = 2 * time.Second
	// lookupKeep is how long these are good, or their lack: who asks often doesn't
	// wait each time for a name that nobody knows.
	lookupKeep = time.Minute
)

// kernelChecks has the check for the configuration that was asked about last.
type kernelChecks struct {
	sockets *socket.Setter

	mu   sync.Mutex
	cfg  *config.Config // guarded by mu
	last *kernelCheck   // of cfg; guarded by mu
}

// of returns the check for a configuration.
func (k *kernelChecks) of(cfg *config.Config) *kernelCheck {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cfg != cfg {
		k.cfg, k.last = cfg, newKernelCheck(cfg, k.sockets)
	}
	return k.last
}

func (k *kernelChecks) reports(ctx context.Context, cfg *config.Config) ([]qdisc.Report, error) {
	return k.of(cfg).reports(ctx)
}

// reports says what each device does that leads to clients, by the default route, or
// to an upstream or a broker: each device once. The error is about those that are not known.
func (k *kernelCheck) reports(ctx context.Context) ([]qdisc.Report, error) {
	if k == nil {
		return nil, nil
	}
	targets, missing := k.lookup(ctx)
	errs := []error{missing}
	var reports []qdisc.Report
	for _, target := range targets {
		found, err := qdisc.Check(target, k.classes)
		errs = append(errs, err)
		for _, report := range found {
			if !slices.ContainsFunc(reports, report.SameAs) {
				reports = append(reports, report)
			}
		}
	}
	return reports, errors.Join(errs...)
}

// lookup returns the addresses of all hosts, each once, after the one that stands for
// the default route.
func (k *kernelCheck) lookup(ctx context.Context) ([]netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.asked.IsZero() && time.Since(k.asked) < lookupKeep {
		return k.targets, k.missing
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	targets := []netip.Addr{{}}
	var errs []error
	for _, host := range k.hosts {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		errs = append(errs, err)
		for _, addr := range addrs {
			if addr = addr.Unmap(); !slices.Contains(targets, addr) {
				targets = append(targets, addr)
			}
		}
	}
	k.asked, k.targets, k.missing = time.Now(), targets, errors.Join(errs...)
	return k.targets, k.missing
}

// log says it once, at the start.
func (k *kernelCheck) log(ctx context.Context, log *slog.Logger) {
	reports, err := k.reports(ctx)
	for _, r := range reports {
		r.Log(log)
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) { // that sockets are not marked has been said
		log.Warn("what the kernel does with the classes is not known for all routes", "error", err)
	}
}
