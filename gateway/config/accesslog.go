package config

import (
	"strings"

	"overtake/classifier/strictyaml"
)

// AccessLog says where a line about each request goes.
type AccessLog struct {
	// Output is stdout, stderr, or the path of a file, which is opened again at each
	// SIGHUP. Default: none, and nothing is written.
	Output string `yaml:"output,omitempty"`
	// Format is json or text (name=value). Default: json.
	Format string `yaml:"format,omitempty"`
	// Sample is the share of requests that get a line, 0 to 1. Default: 1.
	Sample float64 `yaml:"sample"`
}

func defaultAccessLog(a *AccessLog, src *strictyaml.Source) {
	strictyaml.SetDefault(src, "access_log.format", &a.Format, "json")
	strictyaml.SetDefault(src, "access_log.sample", &a.Sample, 1)
}

func (v validator) validateAccessLog() {
	a := v.AccessLog
	v.oneOf("access_log.format", a.Format, "a format of lines", "json", "text")
	if !(a.Sample >= 0 && a.Sample <= 1) {
		v.Problem("access_log.sample", "write 0.1 for one in ten", "%v is out of range; want 0 to 1", a.Sample)
	}
	switch {
	case strings.TrimSpace(a.Output) != a.Output || strings.HasSuffix(a.Output, "/") || strings.Contains(a.Output, "\x00"):
		v.Wrong("access_log.output", a.Output, "is not the path of a file", "write stdout, stderr or /var/log/overtake/access.log")
	case a.Output == "" && (v.Given("access_log.format") || v.Given("access_log.sample")):
		v.Warn("access_log", "has no effect: there is no output")
	}
}
