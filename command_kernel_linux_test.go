package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"overtake/gateway/config"
	"overtake/gateway/socket"
	"overtake/gateway/socket/qdisc"
)

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestKernelCheck: each device is looked at once, with all that the classes name;
// servers without an address are left out, and those that can't be found are named.
func TestKernelCheck(t *testing.T) {
	cfg := parsed(t, `
classes: [{name: interactive, floor: 20%, socket: {priority: 6, dscp: AF21, mark: 7}}, {name: standard, socket: {congestion: nonesuch, user_timeout: 5s}}]
upstreams:
  a: {servers: ["http://127.0.0.1:1", "http://127.0.0.2:1", "unix:///run/app.sock"]}
  b: {servers: ["http://[::ffff:127.0.0.3]:1", "http://nonesuch.invalid:1"]}
brokers: {c: {type: nats, urls: ["nats://127.0.0.1", "tls://noserver.invalid:4222"]}, d: {type: nats, embedded: true}}
queues: {q: {broker: c, deliver: {upstream: a}}, r: {broker: d, deliver: {upstream: a}}}
routes: [{match: {path: /b}, upstream: b}, {match: {path: /q}, queue: q}, {match: {path: /r}, queue: r}, {upstream: a}]
`)
	k := newKernelCheck(cfg, socket.NewSetter(cfg.SocketOptions(), slog.New(slog.DiscardHandler)))
	reports, err := k.reports(t.Context())
	for _, host := range []string{"nonesuch.invalid", "noserver.invalid"} {
		if err == nil || !strings.Contains(err.Error(), host) {
			t.Errorf("error %v, want one about %s", err, host)
		}
	}
	var loopback []qdisc.Report
	for _, r := range reports {
		if r.Device == "lo" {
			loopback = append(loopback, r)
		}
	}
	if len(loopback) != 1 || loopback[0].To != "127.0.0.1" || len(loopback[0].Classes) != 2 || loopback[0].Classes[0].Marks != "priority 6, dscp AF21, mark 0x7" {
		t.Errorf("got %+v, want one report of loopback", reports)
	}
	if marks := k.classes[1].Marks(); marks != "user_timeout 5s" {
		t.Errorf("marks %q, want what the kernel took", marks)
	}
	if k.classes[0].Floor != 2000 {
		t.Errorf("a floor of %d, want 2000", k.classes[0].Floor)
	}
}

// TestKernelCheckWithoutOptions: where no class has any, nothing is said.
func TestKernelCheckWithoutOptions(t *testing.T) {
	cfg := parsed(t, `{classes: [{name: interactive}, {name: standard}], upstreams: {a: {servers: ["http://127.0.0.1:1"]}}}`)
	k := newKernelCheck(cfg, socket.NewSetter(cfg.SocketOptions(), slog.New(slog.DiscardHandler)))
	var log bytes.Buffer
	k.log(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
	if reports, err := k.reports(t.Context()); len(reports) > 0 || err != nil || log.Len() > 0 {
		t.Errorf("it says %+v, %v, and logged %s", reports, err, log.String())
	}
}
