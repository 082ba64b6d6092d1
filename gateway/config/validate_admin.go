package config

import (
	"net/netip"
	"strings"

	"overtake/classifier/strictyaml"
)

// minToken is the fewest characters of an admin token: 16 random ones of base64 are
// 96 bits.
const minToken = 16

// Token returns the token that requests which change something must carry; false
// means that nobody may change anything.
func (c *Config) Token() (string, bool) {
	token := string(c.AdminToken)
	return token, token != "" && token != hidden
}

func (v validator) validateAdmin() {
	v.validateToken()
	for i, host := range v.AdminHosts {
		path := strictyaml.Item("admin_hosts", i)
		name := strings.TrimPrefix(host, "*.")
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			v.Wrong(path, host, "is an address, which needs no entry", "leave it out")
		} else if !IsHostName(name) {
			v.Wrong(path, host, "is not the name of a host", "write overtake.example.com or *.example.com, without scheme and port")
		} else if name != host && !strings.Contains(name, ".") {
			v.Wrong(path, host, "is everybody's name below "+name, "write *.example.com, a domain of yours")
		}
	}
	if v.Admin == "off" && len(v.AdminHosts) > 0 {
		v.Warn("admin_hosts", "has no effect: admin is off")
	}
}

// validateToken never shows what it reports.
func (v validator) validateToken() {
	const path, remedy = "admin_token", `write at least 16 random characters, such as those of "openssl rand -hex 32", to a variable: admin_token: "${NAME}"`
	token := string(v.AdminToken)
	switch {
	case v.Broken(path):
	case token == "" && v.Given(path):
		v.Problem(path, "leave it out, and nothing can be changed by the admin listener", "is empty")
	case token == "":
	case v.Admin == "off":
		v.Warn(path, "has no effect: admin is off")
	case token == hidden:
		v.Warn(path, "has no effect: %s is what is shown for a secret", hidden)
	case len(token) < minToken:
		v.Problem(path, remedy, "has %d characters, want at least %d", len(token), minToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		v.Problem(path, remedy, "has characters that are not printable ASCII")
	}
}

// IsHostName reports whether a name could be one of a host, also of several labels,
// and is no address: in a URL, a last label that is a number makes it one (WHATWG
// URL, section 3.5).
func IsHostName(name string) bool {
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
		last = label
	}
	isNumber := strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x")
	return !isNumber && len(name) <= 253
}
