package gateway

import (
	"cmp"
	"net/netip"
	"strings"
)

// forwardedFor describes the client to the app.
type forwardedFor struct {
	client netip.Addr
	host   string
	tls    bool
	// received are the fields to extend, if the client is trusted; else what it
	// says about clients before it is dropped.
	received fields
	scratch  []byte // for values
}

// each yields Forwarded (RFC 7239) and its X-Forwarded-* forerunners. The values are
// valid until it is called again.
//
// Both say the same, as an app reads one of them, and may read it from either end. So
// what a trusted proxy said in one only is translated (RFC 7239 section 7.4), and the
// element of this hop has the host and the scheme of the client's own request, also
// where the proxy came by another: that is what section 5.4 has the scheme for.
func (w *forwardedFor) each(yield func(name, value string)) {
	forwarded, addresses := w.told("Forwarded"), w.told("X-Forwarded-For")
	first, ok := readForwarded(forwarded)
	if !ok {
		forwarded = "" // what comes behind it could be read as a part of it
	}
	proto := "http"
	if w.tls {
		proto = "https"
	}
	hosts, protos := w.told("X-Forwarded-Host"), w.told("X-Forwarded-Proto")
	if addresses == "" && hosts == "" && protos == "" {
		// Of a proxy that speaks X-Forwarded-*, Forwarded may be the client's own.
		hosts, protos = first.host, first.proto
	}
	hosts, protos = cmp.Or(hosts, w.host), cmp.Or(protos, proto)
	own := element{node: w.client, host: hosts, proto: protos}
	if w.received != nil {
		own.host, own.proto = firstMember(hosts), firstMember(protos)
	}
	b := w.scratch[:0]
	if addresses != "" {
		b = append(append(b, addresses...), ", "...)
	} else {
		b = appendAddresses(b, forwarded)
	}
	b = appendAddress(b, w.client)
	n := len(b)
	if forwarded != "" {
		b = append(append(b, forwarded...), ", "...)
	} else {
		b = appendElements(b, addresses, own)
	}
	b = own.append(b)
	w.scratch = b
	yield("Forwarded", alias(b[n:]))
	yield("X-Forwarded-For", alias(b[:n]))
	yield("X-Forwarded-Host", hosts)
	yield("X-Forwarded-Proto", protos)
}

// told returns what a trusted client says in a field, "" for nothing.
func (w *forwardedFor) told(name string) string {
	value, _ := w.received.lookup(name)
	return value
}

// firstMember returns the first member of a list, which tells of the client's own
// request; "" if there is none.
func firstMember(list string) string {
	for list != "" {
		var member string
		member, list, _ = strings.Cut(list, ",")
		if member = strings.Trim(member, " \t"); member != "" {
			return member
		}
	}
	return ""
}

// element is one of a Forwarded field. A node that is no address is the zero Addr:
// "unknown" (RFC 7239 section 6.2), as that of a unix socket's peer. Empty values are
// left out.
type element struct {
	node        netip.Addr
	host, proto string
}

func (e element) append(b []byte) []byte {
	b = append(b, "for="...)
	if e.node.Is6() {
		b = append(appendAddress(append(b, `"[`...), e.node), `]"`...)
	} else {
		b = appendAddress(b, e.node)
	}
	if e.host != "" {
		b = appendQuoted(append(b, ";host="...), e.host)
	}
	if e.proto != "" {
		b = appendQuoted(append(b, ";proto="...), e.proto)
	}
	return b
}

func appendAddress(b []byte, addr netip.Addr) []byte {
	if !addr.IsValid() {
		return append(b, "unknown"...)
	}
	return addr.AppendTo(b)
}

// appendElements translates X-Forwarded-For. Its first member is the client, of whose
// request the host and the scheme are known.
func appendElements(b []byte, addresses string, client element) []byte {
	for addresses != "" {
		var member string
		member, addresses, _ = strings.Cut(addresses, ",")
		if member = strings.Trim(member, " \t"); member != "" {
			client.node = parseNode(member)
			b = append(client.append(b), ", "...)
			client = element{}
		}
	}
	return b
}

// appendAddresses translates a Forwarded that can be read into X-Forwarded-For.
func appendAddresses(b []byte, forwarded string) []byte {
	for forwarded != "" {
		var e element
		var some bool
		if e, forwarded, some, _ = nextElement(forwarded); some {
			b = append(appendAddress(b, e.node), ", "...)
		}
	}
	return b
}

// parseNode reads an address, perhaps with a port, which is dropped. It returns the
// zero Addr for what is none.
func parseNode(node string) netip.Addr {
	addr, err := netip.ParseAddr(strings.Trim(node, "[]"))
	if err != nil {
		withPort, _ := netip.ParseAddrPort(node)
		addr = withPort.Addr()
	}
	if addr.Zone() != "" { // any text, and of no meaning to another host
		return netip.Addr{}
	}
	return addr
}

// readForwarded returns the first host and the first scheme of the elements, and
// whether there is one at all and each can be read.
func readForwarded(list string) (first element, ok bool) {
	for list != "" {
		e, rest, some, readable := nextElement(list)
		if !readable {
			return element{}, false
		}
		list, ok = rest, ok || some
		first.host, first.proto = cmp.Or(first.host, e.host), cmp.Or(first.proto, e.proto)
	}
	return first, ok
}

// nextElement reads the first element of a list by RFC 7239 section 4, and returns
// what is behind it and whether there is something in it. Values that ought to be in
// quotes, such as a host with a port, are taken without them, too.
func nextElement(list string) (e element, rest string, some, ok bool) {
	for {
		if list = strings.TrimLeft(list, " \t"); list == "" {
			return e, "", some, true
		}
		switch list[0] {
		case ',':
			return e, list[1:], some, true
		case ';':
			list = list[1:]
			continue
		}
		name, value, found := strings.Cut(list, "=")
		if !found || name == "" || strings.ContainsAny(name, "\",; \t") {
			return e, "", false, false
		}
		if value, list, ok = cutValue(value); !ok {
			return e, "", false, false
		}
		e.set(name, value)
		some = true
	}
}

// set keeps a parameter. A second one of the same name is not allowed.
func (e *element) set(name, value string) {
	switch {
	case strings.EqualFold(name, "for") && !e.node.IsValid():
		e.node = parseNode(value)
	case strings.EqualFold(name, "host"):
		e.host = cmp.Or(e.host, value)
	case strings.EqualFold(name, "proto"):
		e.proto = cmp.Or(e.proto, value)
	}
}

// cutValue reads the value at the beginning of s, a token or a quoted string, and
// returns what is behind it: nothing, or the separator that follows.
func cutValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		end := strings.IndexAny(s, ",; \t")
		if end < 0 {
			end = len(s)
		}
		value, rest = s[:end], strings.TrimLeft(s[end:], " \t")
		return value, rest, !strings.Contains(value, `"`) && atSeparator(rest)
	}
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			value, rest = s[1:i], strings.TrimLeft(s[i+1:], " \t")
			if escaped {
				value = unescape(value)
			}
			return value, rest, atSeparator(rest)
		}
	}
	return "", "", false
}

func atSeparator(rest string) bool { return rest == "" || rest[0] == ',' || rest[0] == ';' }

// unescape takes the backslashes out of a quoted string (RFC 9110 section 5.6.4).
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++ // there is one more, or the string would not have ended
		}
		b = append(b, s[i])
	}
	return string(b)
}

// appendQuoted appends a host as RFC 7239 wants it: a token as it is, all else, such
// as a port's colon, in quotes.
func appendQuoted(b []byte, host string) []byte {
	for i := range len(host) {
		c := host[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return append(append(append(b, '"'), escapeQuoted.Replace(host)...), '"')
		}
	}
	return append(b, host...)
}

var escapeQuoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
