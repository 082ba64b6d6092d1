package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"overtake/gateway/config"
	"overtake/gateway/socket/qdisc"
)

// kernelClasses are the classes of cfg as the kernel sees them.
func kernelClasses(cfg *config.Config) []qdisc.Class {
	classes := make([]qdisc.Class, len(cfg.Classes))
	for i, o := range cfg.SocketOptions() {
		class := cfg.Classes[i]
		classes[i] = qdisc.Class{Name: class.Name, Priority: o.Priority, DSCP: o.DSCP, Mark: o.Mark, Floor: int(class.Floor)}
	}
	return classes
}

// kernelCheck looks what network devices do with the packets of each class.
type kernelCheck struct {
	classes []qdisc.Class
	hosts   []string // of the upstreams and brokers
}

// newKernelCheck returns the check for a gateway; nil if no class marks its packets.
func newKernelCheck(cfg *config.Config) *kernelCheck {
	k := &kernelCheck{classes: kernelClasses(cfg)}
	if !slices.ContainsFunc(k.classes, func(c qdisc.Class) bool { return c.Priority != nil || c.DSCP != nil || c.Mark != nil }) {
		return nil
	}
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

// kernelReports is what the check for a gateway says now.
func kernelReports(ctx context.Context, cfg *config.Config) ([]qdisc.Report, error) {
	return newKernelCheck(cfg).reports(ctx)
}

// lookupPatience bounds how long it takes to find the addresses of all hosts.
const lookupPatience = 2 * time.Second

// reports says what each device does that leads to clients, by the default route, or
// to an upstream or a broker: each device once. The error is about those that are not known.
func (k *kernelCheck) reports(ctx context.Context) ([]qdisc.Report, error) {
	if k == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	targets := []netip.Addr{{}} // the default route
	var errs []error
	for _, host := range k.hosts {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		errs = append(errs, err)
		for _, addr := range addrs {
			targets = append(targets, addr.Unmap())
		}
	}
	var reports []qdisc.Report
	for i, target := range targets {
		if slices.Contains(targets[:i], target) {
			continue
		}
		report, err := qdisc.Check(target, k.classes)
		errs = append(errs, err)
		known := func(r qdisc.Report) bool { return r.Device == report.Device }
		if err == nil && !slices.ContainsFunc(reports, known) {
			reports = append(reports, report)
		}
	}
	return reports, errors.Join(errs...)
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
