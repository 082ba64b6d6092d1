package gateway

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// v2 is a PROXY protocol header of version 2.
func v2(command, family byte, rest string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const (
	fromTCP4 = "\xcb\x00\x71\x07\x7f\x00\x00\x01\x12\x34\x00\x50" // 203.0.113.7 to 127.0.0.1
	fromTCP6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x12\x34\x00\x50"
	proxied = `listeners: [{address: "127.0.0.1:0", trust: ["127.0.0.0/8", "203.0.113.0/24"], limits: {header_timeout: 1s}, proxy_protocol: true, ` +
		`proxy_protocol_from: ["127.0.0.0/8"]}]
rules: [{class: batch}]
`
)

func TestProxyProtocol(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: a\r\nLatency-Class: interactive\r\n\r\n"
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, proxied, app.url())
	unix := strings.Repeat("/run/a.sock\x00", 18)
	for _, tc := range []struct {
		name  string
		parts []string
		from  string // what the app is told; "" for a connection that is refused
		class string
	}{
		{"version 1", []string{"PROXY TCP4 203.0.113.7 127.0.0.1 4660 80\r\n" + request}, "203.0.113.7", "interactive"},
		{"in parts", []string{"P", "ROXY", " TCP4 203.0.11", "3.7 127.0.0.1 4660 80\r", "\nGET", request[3:]}, "203.0.113.7", "interactive"},
		{"another client", []string{"PROXY TCP4 198.51.100.7 127.0.0.1 4660 80\r\n" + request}, "198.51.100.7", "batch"},
		{"TCP6", []string{"PROXY TCP6 2001:db8::7 ::1 4660 80\r\n", request}, "2001:db8::7", "batch"},
		{"UNKNOWN", []string{"PROXY UNKNOWN\r\n", request}, "unknown", "batch"},
		{"UNKNOWN with more", []string{"PROXY UNKNOWN 203.0.113.7 ff ff\r\n", request}, "unknown", "batch"},
		{"version 2", []string{v2(0x21, 0x11, fromTCP4) + request}, "203.0.113.7", "interactive"},
		{"version 2 in parts", []string{v2(0x21, 0x11, fromTCP4)[:5], v2(0x21, 0x11, fromTCP4)[5:20], v2(0x21, 0x11, fromTCP4)[20:] + request}, "203.0.113.7", "interactive"},
		{"version 2, TCP6", []string{v2(0x21, 0x21, fromTCP6), request}, "2001:db8::7", "batch"},
		{"with extensions", []string{v2(0x21, 0x11, fromTCP4+"\x04\x01\x00"+strings.Repeat("x", 256)), request}, "203.0.113.7", "interactive"},
		{"LOCAL", []string{v2(0x20, 0, "") + request}, "127.0.0.1", "interactive"},
		{"LOCAL with addresses", []string{v2(0x20, 0x11, fromTCP4) + request}, "127.0.0.1", "interactive"},
		{"a unix socket", []string{v2(0x21, 0x31, unix) + request}, "unknown", "batch"},
		{"a datagram", []string{v2(0x21, 0x12, fromTCP4) + request}, "unknown", "batch"},
		{"no family", []string{v2(0x21, 0, "") + request}, "", ""},
		{"an unknown family", []string{v2(0x21, 0x41, fromTCP4) + request}, "", ""},
		{"an unknown command", []string{v2(0x22, 0x11, fromTCP4) + request}, "", ""},
		{"version 3", []string{v2(0x31, 0x11, fromTCP4) + request}, "", ""},
		{"too short for its family", []string{v2(0x21, 0x11, fromTCP4[:8]) + request}, "", ""},
		{"too long", []string{v2(0x21, 0x11, fromTCP4+strings.Repeat("x", 8<<10)) + request}, "", ""},
		{"a line that is too long", []string{"PROXY TCP4 " + strings.Repeat("1", 100) + "\r\n" + request}, "", ""},
		{"no header", []string{request}, "", ""},
		{"half a header", []string{"PROXY TCP4 203.0.113.7"}, "", ""},
		{"half a header, version 2", []string{v2(0x21, 0x11, fromTCP4)[:20]}, "", ""},
		{"nothing", nil, "", ""},
		{"garbage", []string{"\x00\x01\x02\x03"}, "", ""},
		{"a name for an address", []string{"PROXY TCP4 client 127.0.0.1 4660 80\r\n" + request}, "", ""},
		{"a family that is not the address's", []string{"PROXY TCP4 ::1 ::1 4660 80\r\n" + request}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(seen.all())
			p := newPeer(t, g.dial().Conn)
			for _, part := range tc.parts {
				if _, err := p.Write([]byte(part)); err != nil {
					break // it is refused already
				}
			}
			if tc.from == "" {
				p.closed()
				if len(seen.all()) != before {
					t.Errorf("the app got %q", seen.last(t))
				}
				return
			}
			p.response("GET")
			wantFields(t, seen.last(t), map[string][]string{"X-Forwarded-For": {tc.from}, "Latency-Class": {tc.class}})
		})
	}
	g.wantMetric(`overtake_connections_refused_total{cause="proxy_header",listener="public"} 14`)
}

func TestProxyProtocolFromOthers(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, `listeners: [{address: "127.0.0.1:0", trust: ["10.0.0.0/8"], proxy_protocol: true}]`, app.url())
	for _, raw := range []string{"PROXY TCP4 10.0.0.1 127.0.0.1 4660 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
		p := g.dial()
		_, _ = p.Write([]byte(raw)) // it may be closed already
		p.closed()
	}
	if heads := seen.all(); len(heads) > 0 {
		t.Errorf("the app got %q", heads)
	}
	g.wantMetric(`overtake_connections_refused_total{cause="proxy_source",listener="public"} 2`)
}

func TestProxyProtocolBeforeTLS(t *testing.T) {
	cert, key := newIssuer(t).issue(t.TempDir(), "a.example")
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, strings.Replace(proxied, "proxy_protocol: true", "proxy_protocol: true, tls: {cert: "+cert+", key: "+key+"}", 1), app.url())
	p := g.dial()
	p.send(v2(0x21, 0x11, fromTCP4))
	c := tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true})
	p = newPeer(t, c)
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	p.response("GET")
	wantFields(t, seen.last(t), map[string][]string{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"https"}})
}

// scripted is a connection on which comes what a reader has.
type scripted struct {
	net.Conn
	from io.Reader
}

func (s scripted) Read(p []byte) (int, error) { return s.from.Read(p) }

// introduce returns whom a header introduces, and what comes after it.
func introduce(from io.Reader) (addr netip.Addr, rest string, err error) {
	c := &clientConn{Conn: scripted{from: from}, addr: netip.MustParseAddr("127.0.0.1")}
	if refused := c.introduced([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}); refused != nil {
		return addr, "", refused.err
	}
	text, err := io.ReadAll(c)
	return c.addr, string(text), err
}

// FuzzProxyHeader: a header means the same in whatever parts it comes, and what
// comes after it is untouched.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		"PROXY TCP4 203.0.113.7 127.0.0.1 4660 80\r\nGET", "PROXY UNKNOWN\r\n", v2(0x21, 0x11, fromTCP4) + "GET", v2(0x20, 0, ""), v2(0x21, 0x21, fromTCP6),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		addr, rest, err := introduce(bytes.NewReader(raw))
		addrParts, restParts, errParts := introduce(iotest.OneByteReader(bytes.NewReader(raw)))
		if (err == nil) != (errParts == nil) || addr != addrParts || rest != restParts {
			t.Errorf("%q: in one part %v, %q, %v, in many %v, %q, %v", raw, addr, rest, err, addrParts, restParts, errParts)
		}
		if !strings.HasSuffix(string(raw), rest) {
			t.Errorf("%q: left is %q", raw, rest)
		}
	})
}
