package config

import (
	"slices"
	"strings"
	"time"
)

func (v validator) validateUpstreamTLS(path string, u Upstream) {
	if !slices.ContainsFunc(u.Servers, func(s string) bool { return strings.HasPrefix(s, "https://") }) {
		v.Warn(path, "has no effect: no server is https://")
	}
	v.validateTLSFiles(path, u.TLS.CA, u.TLS.Cert, u.TLS.Key)
	if name := u.TLS.ServerName; name != "" && !validHost(name) {
		v.Wrong(path+".server_name", name, "is not a host name", "write the name in the servers' certificates, such as app.internal")
	}
}

func (v validator) validateHealth(path string, h *Health) {
	v.absolutePath(path+".path", h.Path)
	if strings.ContainsAny(h.Path, " \t\r\n#") {
		v.Wrong(path+".path", h.Path, "is not a request target", "write a path such as /healthz")
	}
	v.lasts(path+".interval", h.Interval, 100*time.Millisecond, time.Hour)
	v.lasts(path+".timeout", h.Timeout, 10*time.Millisecond, time.Hour)
	v.within(path+".failures", h.Failures, 1, 100)
	v.within(path+".successes", h.Successes, 1, 100)
}

func (v validator) validateEject(path string, e Eject) {
	v.within(path+".failures", e.Failures, 0, 1000)
	v.lasts(path+".for", e.For, 100*time.Millisecond, time.Hour)
	v.lasts(path+".ramp", e.Ramp, 0, time.Hour)
	if e.Failures == 0 && v.Given(path+".for") {
		v.Warn(path+".for", "has no effect with failures 0")
	}
}

// lasts checks that a duration is between least and most.
func (v validator) lasts(path string, d, least, most time.Duration) {
	switch {
	case d < least:
		v.Problem(path, "want "+least.String()+" or more", "%s is too short", d)
	case d > most:
		v.Problem(path, "want "+most.String()+" or less", "%s is too long", d)
	}
}
