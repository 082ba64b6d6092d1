package tracing

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestParseJaeger(t *testing.T) {
	const ids = traceHex + ":" + spanHex + ":0:"
	for in, want := range map[string]string{
		ids + "1":  "00-" + traceHex + "-" + spanHex + "-01",
		ids + "0":  "00-" + traceHex + "-" + spanHex + "-00",
		ids + "01": "00-" + traceHex + "-" + spanHex + "-01",
		ids + "2":  "00-" + traceHex + "-" + spanHex + "-01", // debug
		ids + "3":  "00-" + traceHex + "-" + spanHex + "-01",
		ids + "8":  "00-" + traceHex + "-" + spanHex + "-00", // firehose
		ids + "fd": "00-" + traceHex + "-" + spanHex + "-01",

		"abc:def:0:1":                             "00-00000000000000000000000000000abc-0000000000000def-01",
		"ABC:DeF:12:1":                            "00-00000000000000000000000000000abc-0000000000000def-01",
		shortHex + ":7:" + spanHex + ":0":         "00-0000000000000000" + shortHex + "-0000000000000007-00",
		strings.ReplaceAll(ids, ":", "%3A") + "1": "00-" + traceHex + "-" + spanHex + "-01",
		strings.ReplaceAll(ids, ":", "%3a") + "1": "00-" + traceHex + "-" + spanHex + "-01",

		"":                                 "",
		":::":                              "",
		"1:1:0":                            "",
		"1:1:0:":                           "",
		"1:1::1":                           "",
		"1:1:0:1:":                         "",
		"1:1:0:1:1":                        "",
		"0:1:0:1":                          "",
		"1:0:0:1":                          "",
		"1:1:0:100":                        "",
		"1:1:0:g":                          "",
		"1:1:0:-1":                         "",
		"1 :1:0:1":                         "",
		"1%3:1:0:1":                        "",
		"1%2f1:0:1":                        "",
		"0" + ids + "1":                    "",
		traceHex + ":0" + spanHex + ":0:1": "",
		traceHex + ":1:0" + spanHex + ":1": "",
	} {
		p := parseJaeger(in)
		got := ""
		if p.valid() {
			got = (&Trail{TraceID: p.traceID, SpanID: p.spanID, Flags: p.flags}).TraceParent()
		}
		if got != want || p.valid() != p.decided {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if trail := extracted(sent("uber-trace-id: "+ids+"1", "Uber-Trace-Id: "+ids+"1")); !trail.Begins() {
		t.Error("continued the trace of lines that are repeated")
	}
}

var jaegerRE = regexp.MustCompile(`^([0-9a-fA-F]{1,32}):([0-9a-fA-F]{1,16}):[0-9a-fA-F]{1,16}:([0-9a-fA-F]{1,2})$`)

func FuzzJaeger(f *testing.F) {
	f.Add(traceHex + ":" + spanHex + ":0:1")
	f.Add("ABC%3Adef:0:d")
	f.Fuzz(func(t *testing.T, s string) {
		p := parseJaeger(s)
		m := jaegerRE.FindStringSubmatch(strings.NewReplacer("%3A", ":", "%3a", ":").Replace(s))
		if m == nil || strings.Trim(m[1], "0") == "" || strings.Trim(m[2], "0") == "" {
			if p != (parent{}) {
				t.Errorf("%q is no uber-trace-id, read %+v", s, p)
			}
			return
		}
		padded := func(s string, n int) string { return strings.Repeat("0", n-len(s)) + strings.ToLower(s) }
		if p.traceID.String() != padded(m[1], 32) || p.spanID.String() != padded(m[2], 16) || !p.decided {
			t.Errorf("%q: read %s %s", s, p.traceID, p.spanID)
		}
		if low := padded(m[3], 2)[1:]; p.flags&FlagSampled != 0 == strings.Contains("048c", low) {
			t.Errorf("%q: flags %02x", s, p.flags)
		}
	})
}

// FuzzJaegerBaggage: no field that a careless reader takes for the class passes,
// and all other baggage does.
func FuzzJaegerBaggage(f *testing.F) {
	f.Add("uberctx-latency.class", "x")
	f.Add("UBERCTX_latency%252Eclass", "x")
	f.Add("uberctx-user", "7")
	f.Add("jaeger-baggage", "a=1, latency.class=x")
	f.Fuzz(func(t *testing.T, name, value string) {
		var trail Trail
		owned := trail.Owns(name, value)
		lower := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		readsClass := func(key string) bool {
			if decoded, err := url.QueryUnescape(key); err == nil {
				key = decoded
			}
			return strings.EqualFold(strings.TrimSpace(key), "latency.class")
		}
		if key, ok := strings.CutPrefix(lower, "uberctx-"); ok {
			if readsClass(key) && !owned {
				t.Errorf("%q passes", name)
			}
			if owned && !strings.Contains(key, "%") && !strings.Contains(key, "latency.class") {
				t.Errorf("%q does not pass", name)
			}
		}
		if lower == "jaeger-baggage" {
			for member := range strings.SplitSeq(value, ",") {
				if key, _, _ := strings.Cut(member, "="); readsClass(key) && !owned {
					t.Errorf("%s: %q passes", name, value)
				}
			}
		}
	})
}
