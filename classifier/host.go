package classifier

import (
	"fmt"
	"strings"
)

// hostPattern matches one host by its name, or all hosts below a domain.
type hostPattern struct {
	name  string // for *.example.com: .example.com
	below bool
}

// compileHost takes example.com, or *.example.com for all names below it at any
// depth; example.com itself is not below it.
func compileHost(pattern string) (hostPattern, error) {
	name, below := strings.CutPrefix(canonicalHost(pattern), "*")
	switch {
	case name == "", below && (!strings.HasPrefix(name, ".") || name == "."), strings.ContainsAny(name, "*/ "):
		return hostPattern{}, fmt.Errorf("%q: a host is example.com or *.example.com", pattern)
	case strings.Count(name, ":") == 1: // more of them are an IPv6 address
		return hostPattern{}, fmt.Errorf("%q: hosts are compared without their port", pattern)
	}
	return hostPattern{name: name, below: below}, nil
}

// matches reports whether host, in canonical form, is meant. Case is ignored
// (RFC 3986, section 3.2.2).
func (p hostPattern) matches(host string) bool {
	if !p.below {
		return strings.EqualFold(host, p.name)
	}
	label := len(host) - len(p.name)
	return label > 0 && strings.EqualFold(host[label:], p.name)
}

// canonicalHost drops what does not change which host is meant: the root's dot
// and the brackets of an IPv6 address.
func canonicalHost(host string) string {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1]
	}
	return strings.TrimSuffix(host, ".")
}
