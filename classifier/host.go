package classifier

import (
	"fmt"
	"strings"
)

// hostPattern matches one host by its name, or all hosts below a domain.
type hostPattern struct {
	name  string // in lower case; for *.example.com: .example.com
	below bool
}

// compileHost takes example.com, or *.example.com for all names below it at any
// depth; example.com itself is not below it.
func compileHost(pattern string) (hostPattern, error) {
	name, below := strings.CutPrefix(canonicalHost(pattern), "*")
	_, withoutScheme, _ := strings.Cut(pattern, "://")
	withoutScheme, _, _ = strings.Cut(withoutScheme, "/")
	switch {
	case pattern == "*":
		return hostPattern{}, &mistake{`"*" is every host`, "leave hosts out"}
	case withoutScheme != "":
		return hostPattern{}, &mistake{fmt.Sprintf("%q is a URL, want a host", pattern), "write " + withoutScheme}
	case name == "", below && (!strings.HasPrefix(name, ".") || name == "."), strings.ContainsAny(name, "*/ "):
		return hostPattern{}, &mistake{fmt.Sprintf("%q is not a host", pattern), "want example.com, or *.example.com for all below it"}
	case strings.Count(name, ":") == 1: // more of them are an IPv6 address
		host, _, _ := strings.Cut(pattern, ":")
		return hostPattern{}, &mistake{fmt.Sprintf("%q: hosts are compared without their port", pattern), "write " + host}
	}
	return hostPattern{name: lowerASCII(name), below: below}, nil
}

// matches reports whether host, in canonical form, is meant. Case is ignored
// (RFC 3986, section 3.2.2), of ASCII letters as everywhere here.
func (p hostPattern) matches(host string) bool {
	label := len(host) - len(p.name)
	if label < 0 || (label > 0) != p.below {
		return false
	}
	for i := range len(p.name) {
		if lower(host[label+i]) != p.name[i] {
			return false
		}
	}
	return true
}

// canonicalHost drops what does not change which host is meant: the root's dot
// and the brackets of an IPv6 address.
func canonicalHost(host string) string {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1]
	}
	return strings.TrimSuffix(host, ".")
}
