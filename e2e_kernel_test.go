//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// markedClasses have code points of their own, but one.
const markedClasses = `
classes:
  - {name: interactive, socket: {priority: 6, dscp: AF21}}
  - {name: standard}
  - {name: batch, socket: {priority: 1, dscp: LE}}
  - {name: bulk, socket: {dscp: CS1}}
default_class: standard
`

var codePointOf = map[string]byte{"interactive": 18, "standard": 0, "batch": 1, "bulk": 8}

// serveOther serves at an address of this host.
func serveOther(t *testing.T, host string, handler http.HandlerFunc) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	return netip.MustParseAddrPort(ln.Addr().String())
}

// TestE2EKernelPackets: of 100 requests on one connection, in turn of all classes,
// each answer's packets carry the code point of its own class on their way to the
// client, and so do those to the app, from the first of a connection on.
func TestE2EKernelPackets(t *testing.T) {
	host := onOtherHost(t, byLink)
	if host == "" {
		return
	}
	host.run(t, "sh", "-ec", "tc qdisc add dev eth0 root handle 1: tbf rate 1gbit burst 1m limit 10m; tc qdisc add dev eth0 parent 1:1 handle 2: pfifo_fast")
	body := strings.Repeat("0123456789abcdef", 8192)
	answer := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, body)
	}
	apps := map[string]netip.AddrPort{gatewayIPv4: serveOther(t, otherIPv4, answer), gatewayIPv6: serveOther(t, otherIPv6, answer)}
	g := startGatewayOn(t, host, nil, markedClasses+fmt.Sprintf(`
upstreams: {four: {servers: ["http://%s"]}, six: {servers: ["http://%s"]}}
routes: [{match: {path: %q}, upstream: four}, {match: {path: %q}, upstream: six}]
`, apps[gatewayIPv4], apps[gatewayIPv6], "/"+gatewayIPv4, "/"+gatewayIPv6))
	checkKernelReport(t, g)
	for ip, app := range apps {
		w := tap(t)
		gateway := netip.MustParseAddrPort(net.JoinHostPort(ip, "8080"))
		conn, err := net.Dial("tcp", gateway.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		reader := bufio.NewReader(conn)
		classes := []string{"interactive", "standard", "batch", "bulk"}
		for i := range 100 {
			class := classes[i%len(classes)]
			fmt.Fprintf(conn, "POST /%s HTTP/1.1\r\nHost: h\r\nLatency-Class: %s\r\nContent-Length: %d\r\n\r\n%s", ip, class, len(body), body)
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(got) != body {
				t.Fatalf("request %d of class %s: %d, %d bytes, %v", i, class, resp.StatusCode, len(got), err)
			}
			first := i < len(classes) // of its class, on a new connection to the app
			checkPackets(t, fmt.Sprintf("%s, request %d of class %s", ip, i, class), w.seen(), gateway, app, codePointOf[class], first, 2*len(body))
		}
	}
}

// checkPackets checks that all packets of an exchange carry a code point, and that
// there were as many bytes as there must have been.
func checkPackets(t *testing.T, what string, all []segment, gateway, app netip.AddrPort, want byte, first bool, least int) {
	t.Helper()
	bytes, syns := 0, 0
	for _, s := range all {
		if s.from != gateway && s.to != app {
			t.Errorf("%s: from %s to %s came %.40q", what, s.from, s.to, s.data)
		}
		if s.codePoint != want {
			t.Errorf("%s: a packet from %s to %s (first: %v) has code point %d, want %d: %.40q", what, s.from, s.to, s.syn, s.codePoint, want, s.data)
		}
		bytes += len(s.data)
		if s.syn {
			syns++
		}
	}
	if bytes < least || (syns == 1) != first {
		t.Errorf("%s: %d bytes and %d new connections were seen, want %d bytes at least and a new connection: %v", what, bytes, syns, least, first)
	}
}

// checkKernelReport checks what the gateway says of the device that leads here.
func checkKernelReport(t *testing.T, g gatewayProgram) {
	t.Helper()
	bands := map[string]string{"interactive": "band 0 of 3", "standard": "band 1 of 3", "batch": "band 2 of 3", "bulk": "band 1 of 3"}
	for class, band := range bands {
		g.find(t, fmt.Sprintf(`msg="kernel queue of class" class=(%s) marks=.* to=default device=eth0 qdisc="tbf > pfifo_fast" band=%q`, class, band))
	}
	var state struct {
		Kernel []struct {
			To, Device, Remedy string
			Classes            []struct{ Class, Marks, Band, Trouble string }
		}
	}
	_, text := get(t, g.admin+"/debug/queues")
	if err := json.Unmarshal([]byte(text), &state); err != nil || len(state.Kernel) != 1 || len(state.Kernel[0].Classes) != len(bands) {
		t.Fatalf("%v, /debug/queues says %+v", err, state)
	}
	for _, class := range state.Kernel[0].Classes {
		// bulk, the least urgent, has the band of those without a priority.
		if class.Band != bands[class.Class] || (class.Trouble != "") != (class.Class != "interactive") {
			t.Errorf("/debug/queues says %+v", class)
		}
	}
	if n := strings.Count(g.text(), "kernel queue of class"); n != len(bands) {
		t.Errorf("%d lines at the start, want one per class", n)
	}
}

// TestE2EKernelUnprivileged: a gateway that may do nothing special does everything
// but what takes a capability, and says so once each; one whose classes tell the
// kernel nothing says nothing.
func TestE2EKernelUnprivileged(t *testing.T) {
	host := onOtherHost(t, byLink)
	if host == "" {
		return
	}
	app := serveOther(t, otherIPv4, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Latency-Class")) })
	upstream := fmt.Sprintf("upstreams: {app: {servers: [\"http://%s\"]}}\n", app)
	classes := []string{"interactive", "standard", "batch"}
	g := startGatewayOn(t, host, unprivileged, upstream+`
classes:
  - {name: interactive, socket: {priority: 6, dscp: AF21, mark: 1}}
  - {name: standard, socket: {priority: 7, mark: 2, user_timeout: 30s}}
  - {name: batch, socket: {priority: 1, dscp: LE, notsent_lowat: 16KiB, max_pacing_rate: 1gbit}}
`)
	w := tap(t)
	gateway := netip.MustParseAddrPort(gatewayIPv4 + ":8080")
	for round := range 3 {
		for _, class := range classes {
			resp, body := requestWith(t, http.MethodGet, g.url+"/", "", http.Header{"Latency-Class": {class}})
			if resp.StatusCode != http.StatusOK || body != class {
				t.Errorf("%s: %d %s", class, resp.StatusCode, body)
			}
			checkPackets(t, class, w.seen(), gateway, app, codePointOf[class], round == 0, len(body))
		}
	}
	refused := []string{"mark", "priority"}
	for _, option := range refused {
		if n := strings.Count(g.text(), `msg="the kernel refused a socket option; requests go on without it" option=`+option+" "); n != 1 {
			t.Errorf("%s was said to be refused %d times, want once", option, n)
		}
		if g.metric(t, `overtake_socket_refused_total{option="`+option+`"}`) == 0 {
			t.Errorf("nothing was counted about %s", option)
		}
	}
	if n := strings.Count(g.text(), "the kernel refused"); n != len(refused) {
		t.Errorf("%d warnings, want %d", n, len(refused))
	}
	for _, is := range []string{`class=interactive marks="priority 6, dscp AF21"`, `class=standard marks="user_timeout 30s"`} {
		if !strings.Contains(g.text(), is) {
			t.Errorf("the start does not say %s, which is what is set", is)
		}
	}
	g.stop(t)

	g = startGatewayOn(t, host, unprivileged, upstream)
	g.stop(t)
	if strings.Contains(g.text(), "kernel") {
		t.Errorf("without socket options it says\n%s", g.text())
	}
}

// TestE2EKernelPublishes: all packets with which messages of a class are published
// carry its code point, from the first of the connection on.
func TestE2EKernelPublishes(t *testing.T) {
	host := onOtherHost(t, byLink)
	if host == "" {
		return
	}
	for kind, start := range map[string]func() (url, address string){
		"nats": func() (string, string) {
			url := natstest.Start(t, natstest.Options{}).URL()
			return url, strings.TrimPrefix(url, "nats://")
		},
		"rabbitmq": func() (string, string) {
			s, err := rabbitmqtest.Start(rabbitmqtest.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s.URL(), s.Addr()
		},
	} {
		url, address := start()
		t.Run(kind, func(t *testing.T) { publishEachClass(t, host, kind, url, address) })
	}
}

func publishEachClass(t *testing.T, host namespace, kind, url, address string) {
	far := open(t, address)
	w := tap(t)
	g := startGatewayOn(t, host, nil, markedClasses+fmt.Sprintf(`
brokers: {far: {type: %s, url: %q}}
queues: {jobs: {broker: far}}
routes: [{queue: jobs}]
`, kind, strings.Replace(url, address, far, 1)))
	connections := map[netip.AddrPort]byte{} // code points of their first packets
	for i := range 40 {
		class := []string{"interactive", "standard", "batch", "bulk"}[i%4]
		work := fmt.Sprintf("work %d of %s.", i, class) + strings.Repeat(".", 100_000)
		resp, body := requestWith(t, http.MethodPost, g.url+"/", work, http.Header{"Latency-Class": {class}})
		if resp.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		all := w.seen()
		var from netip.AddrPort // of the connection that it was published over
		for _, s := range all {
			if s.to.String() == far && s.syn {
				connections[s.from] = s.codePoint
			}
			if s.to.String() == far && strings.Contains(s.data, work[:20]) {
				from = s.from
			}
		}
		published := slices.DeleteFunc(all, func(s segment) bool { return s.from != from })
		bytes := 0
		for _, s := range published {
			bytes += len(s.data)
			if s.codePoint != codePointOf[class] {
				t.Errorf("message %d of class %s: a packet has code point %d, want %d: %.40q", i, class, s.codePoint, codePointOf[class], s.data)
			}
		}
		if first, known := connections[from]; bytes < len(work) || !known || first != codePointOf[class] {
			t.Errorf("message %d of class %s: %d bytes over a connection that began with code point %d, %v", i, class, bytes, first, known)
		}
	}
}
