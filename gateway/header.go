package gateway

import (
	"strings"

	"overtake/tracing"
)

// connectionOptions returns the names that the Connection fields list: they and
// Connection itself are for this hop alone (RFC 9110 section 7.6.1).
func connectionOptions(f fields) string {
	value, _ := f.lookup("Connection")
	return value
}

// listed reports whether name is among the comma-separated options.
func listed(options, name string) bool {
	for len(options) > 0 {
		var option string
		option, options, _ = strings.Cut(options, ",")
		if strings.EqualFold(strings.Trim(option, " \t"), name) {
			return true
		}
	}
	return false
}

// hopByHop reports whether a field is for one hop only, whatever Connection
// says. Content-Length and Transfer-Encoding are too, in that the gateway writes
// its own framing, also where an app might read them with underscores; Expect has
// been answered here.
func hopByHop(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "TE")
	case 6:
		return strings.EqualFold(name, "Expect")
	case 7:
		return strings.EqualFold(name, "Upgrade") || strings.EqualFold(name, "Trailer")
	case 10:
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case 14:
		return tracing.Spells(name, "Content-Length") || strings.EqualFold(name, "HTTP2-Settings")
	case 16:
		return strings.EqualFold(name, "Proxy-Connection")
	case 17:
		return tracing.Spells(name, "Transfer-Encoding")
	case 18:
		return strings.EqualFold(name, "Proxy-Authenticate")
	case 19:
		return strings.EqualFold(name, "Proxy-Authorization")
	}
	return false
}

// rewritten reports whether the gateway writes the field itself, beside those of
// the trail: the client's address, and Host, which comes first.
func rewritten(name string) bool {
	switch len(name) {
	case 4:
		return tracing.Spells(name, "Host")
	case 9:
		return tracing.Spells(name, "Forwarded")
	case 15:
		return tracing.Spells(name, "X-Forwarded-For")
	case 16:
		return tracing.Spells(name, "X-Forwarded-Host")
	case 17:
		return tracing.Spells(name, "X-Forwarded-Proto")
	}
	return false
}

// claimed reports whether a field tells of a client in a way that many apps believe
// and the gateway does not write: it is for those who are trusted.
func claimed(name string) bool {
	const prefix = "X-Forwarded-"
	return len(name) > len(prefix) && tracing.Spells(name[:len(prefix)], prefix) || tracing.Spells(name, "X-Real-IP")
}

// endsHere reports whether a line is not meant for the app as it came: it is for this
// hop, or of a kind that this hop writes, or claims what its sender is not trusted
// with. options are those of Connection.
func endsHere(line field, options string, trail *tracing.Trail, trusted bool) bool {
	return hopByHop(line.name) || rewritten(line.name) || trail.Owns(line.name, line.value) ||
		!trusted && claimed(line.name) || options != "" && listed(options, line.name)
}

// appendEndToEnd appends the lines of f that are meant for the app as they came.
func appendEndToEnd(head []byte, f fields, options string, trail *tracing.Trail, trusted bool) []byte {
	for i := range f {
		if !endsHere(f[i], options, trail, trusted) {
			head = appendField(head, f[i].name, f[i].value)
		}
	}
	return head
}

// appendForwarded appends what f says about the client, as it is.
func appendForwarded(head []byte, f fields) []byte {
	for i := range f {
		if name := f[i].name; rewritten(name) && !tracing.Spells(name, "Host") {
			head = appendField(head, name, f[i].value)
		}
	}
	return head
}
