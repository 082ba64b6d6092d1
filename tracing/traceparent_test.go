package tracing

import (
	"regexp"
	"testing"
)

const (
	traceHex = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanHex  = "00f067aa0ba902b7"
	parentOf = "00-" + traceHex + "-" + spanHex + "-"
)

func TestParseTraceParent(t *testing.T) {
	for _, test := range []struct {
		name  string
		in    string
		valid bool
		flags byte
	}{
		{"sampled", parentOf + "01", true, FlagSampled},
		{"not sampled", parentOf + "00", true, 0},
		{"both flags", parentOf + "03", true, FlagSampled | FlagRandom},
		{"reserved flags are dropped", parentOf + "ff", true, FlagSampled | FlagRandom},
		{"later version", "cc-" + traceHex + "-" + spanHex + "-01", true, FlagSampled},
		{"later version, more fields", "cc-" + traceHex + "-" + spanHex + "-01-what", true, FlagSampled},
		{"later version, more of the field", "cc-" + traceHex + "-" + spanHex + "-01.what", false, 0},
		{"later version, repeated", "cc-" + traceHex + "-" + spanHex + "-01, cc-", false, 0},
		{"version 00, more fields", parentOf + "01-what", false, 0},
		{"version 00, trailing dash", parentOf + "01-", false, 0},
		{"repeated", parentOf + "01, " + parentOf + "01", false, 0},
		{"version ff", "ff-" + traceHex + "-" + spanHex + "-01", false, 0},
		{"version of one digit", "0-" + traceHex + "-" + spanHex + "-01", false, 0},
		{"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + spanHex + "-01", false, 0},
		{"zero trace id", "00-00000000000000000000000000000000-" + spanHex + "-01", false, 0},
		{"zero parent id", "00-" + traceHex + "-0000000000000000-01", false, 0},
		{"short", parentOf + "0", false, 0},
		{"not hexadecimal", parentOf + "0x", false, 0},
		{"other separator", "00_" + traceHex + "_" + spanHex + "_01", false, 0},
		{"empty", "", false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := parseTraceParent(test.in)
			ok := p.valid()
			if ok != test.valid {
				t.Fatalf("valid %v, want %v", ok, test.valid)
			}
			if !ok {
				return
			}
			if p.traceID.String() != traceHex || p.spanID.String() != spanHex || p.flags != test.flags {
				t.Errorf("parsed %s %s %02x", p.traceID, p.spanID, p.flags)
			}
		})
	}
}

var version00 = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)

func FuzzTraceParent(f *testing.F) {
	f.Add(parentOf + "01")
	f.Add("cc-" + traceHex + "-" + spanHex + "-01-what")
	f.Add(parentOf + "01, " + parentOf + "01")
	f.Fuzz(func(t *testing.T, s string) {
		p := parseTraceParent(s)
		ok := p.valid()
		if m := version00.FindStringSubmatch(s); m != nil {
			want := m[1] != TraceID{}.String() && m[2] != SpanID{}.String()
			if ok != want {
				t.Fatalf("%q: valid %v, want %v", s, ok, want)
			}
		}
		if !ok {
			return
		}
		trail := Trail{TraceID: p.traceID, SpanID: p.spanID, Flags: p.flags}
		if again := parseTraceParent(trail.TraceParent()); again != p {
			t.Errorf("%q: written as %q", s, trail.TraceParent())
		}
	})
}
