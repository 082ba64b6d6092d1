package tracing

import (
	"regexp"
	"strings"
	"testing"
)

const shortHex = "a3ce929d0e0e4736" // a trace id of 64 bits

func TestParseB3(t *testing.T) {
	const ids = traceHex + "-" + spanHex
	none := parent{}
	full := func(flags byte, decided bool) parent {
		p := parseTraceParent(parentOf + "00")
		p.flags, p.decided = flags, decided
		return p
	}
	short := full(FlagSampled, true)
	short.traceID = TraceID{8: 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36}
	for in, want := range map[string]parent{
		ids:                             full(0, false),
		ids + "-1":                      full(FlagSampled, true),
		ids + "-0":                      full(0, true),
		ids + "-d":                      full(FlagSampled, true),
		ids + "-1-" + shortHex:          full(FlagSampled, true),
		shortHex + "-" + spanHex + "-1": short,

		"0": {decided: true},
		"1": {decided: true, flags: FlagSampled},
		"d": {decided: true, flags: FlagSampled},

		"":                                   none,
		"2":                                  none,
		"D":                                  none,
		"true":                               none,
		traceHex:                             none,
		ids + "-":                            none,
		ids + "-2":                           none,
		ids + "-1-":                          none,
		ids + "--" + spanHex:                 none,
		ids + "-1-" + traceHex:               none,
		ids + "-1-" + spanHex + "-":          none,
		ids + "-" + spanHex:                  none,
		"-" + spanHex + "-1":                 none,
		traceHex + "--1":                     none,
		strings.ToUpper(ids):                 none,
		traceHex[1:] + "-" + spanHex:         none,
		traceHex + "-" + spanHex[1:]:         none,
		"0000000000000000-" + spanHex + "-1": none,
		traceHex + "-0000000000000000-1":     none,
		"00000000000000000000000000000000-" + spanHex + "-1": none,
	} {
		if got := parseB3(in); got != want {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
}

func TestB3Multi(t *testing.T) {
	const trace, span = "X-B3-TraceId: " + traceHex, "X-B3-SpanId: " + spanHex
	for _, test := range []struct {
		sent           []string
		valid, decided bool
		sampled        bool
	}{
		{[]string{trace, span}, true, false, false},
		{[]string{trace, span, "X-B3-Sampled: 1"}, true, true, true},
		{[]string{trace, span, "X-B3-Sampled: 0"}, true, true, false},
		{[]string{trace, span, "X-B3-Sampled: true"}, true, true, true},
		{[]string{trace, span, "X-B3-Sampled: false"}, true, true, false},
		{[]string{trace, span, "X-B3-Sampled: yes"}, true, false, false},
		{[]string{trace, span, "X-B3-Flags: 1"}, true, true, true},
		{[]string{trace, span, "X-B3-Flags: 0", "X-B3-Sampled: 1"}, true, true, true},
		{[]string{"x-b3-traceid: " + shortHex, span, "X-B3-ParentSpanId: " + spanHex}, true, false, false},
		{[]string{"X-B3-Sampled: 0"}, false, true, false},
		{[]string{"X-B3-Flags: 1"}, false, true, true},
		{[]string{trace, "X-B3-Sampled: 1"}, false, false, false},
		{[]string{span, "X-B3-Sampled: 1"}, false, false, false},
		{[]string{trace, trace, span, "X-B3-Sampled: 1"}, false, false, false},
		{[]string{trace, span, span}, false, false, false},
		{[]string{strings.ToUpper(trace), span}, false, false, false},
		{[]string{trace + "00", span}, false, false, false},
	} {
		var f found
		f.find(sent(test.sent...))
		p := f.parseB3Multi()
		if p.valid() != test.valid || p.decided != test.decided || p.flags&FlagSampled != 0 != test.sampled {
			t.Errorf("%q: %+v", test.sent, p)
		}
	}
}

// A repeated b3 has no value that all hops would agree about, and a single one
// goes before several fields.
func TestB3Lines(t *testing.T) {
	const single = "b3: " + traceHex + "-" + spanHex + "-1"
	if trail := extracted(sent(single, single)); !trail.Begins() {
		t.Errorf("continued the trace of b3 lines that are repeated")
	}
	multi := []string{"X-B3-TraceId: " + shortHex, "X-B3-SpanId: " + spanHex, "X-B3-Sampled: 0"}
	if trail := extracted(sent(append(multi, single)...)); trail.TraceID.String() != traceHex || !trail.Sampled() {
		t.Errorf("trace %s, sampled %v; want those of b3", trail.TraceID, trail.Sampled())
	}
	if trail := extracted(sent(append(multi, "b3: 1")...)); trail.TraceID.String() != strings.Repeat("0", 16)+shortHex || trail.Sampled() {
		t.Errorf("trace %s, sampled %v; want those of X-B3", trail.TraceID, trail.Sampled())
	}
}

var b3RE = regexp.MustCompile(`^(?:((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?|([01d]))$`)

// checkB3 compares what was read with the parts that a regular expression found.
func checkB3(t *testing.T, in string, p parent, traceID, spanID, state string) {
	t.Helper()
	padded := strings.Repeat("0", 32-len(traceID)) + traceID
	if strings.Trim(traceID, "0") == "" || strings.Trim(spanID, "0") == "" {
		if p != (parent{}) {
			t.Errorf("%q has no ids, read %+v", in, p)
		}
		return
	}
	if p.traceID.String() != padded || p.spanID.String() != spanID {
		t.Errorf("%q: read %s %s", in, p.traceID, p.spanID)
	}
	if p.decided != (state != "") || p.flags&FlagSampled != 0 != (state == "1" || state == "d") {
		t.Errorf("%q: state %q became %+v", in, state, p)
	}
}

func FuzzB3(f *testing.F) {
	f.Add(traceHex + "-" + spanHex + "-1-" + shortHex)
	f.Add(shortHex + "-" + spanHex)
	f.Add("d")
	f.Fuzz(func(t *testing.T, s string) {
		p := parseB3(s)
		switch m := b3RE.FindStringSubmatch(s); {
		case m == nil:
			if p != (parent{}) {
				t.Errorf("%q is no b3, read %+v", s, p)
			}
		case m[4] != "":
			if p != (parent{decided: true, flags: p.flags}) || p.flags&FlagSampled != 0 == (s == "0") {
				t.Errorf("%q: read %+v", s, p)
			}
		default:
			checkB3(t, s, p, m[1], m[2], m[3])
		}
	})
}

var b3IDsRE = regexp.MustCompile(`^((?:[0-9a-f]{16}){1,2})\n([0-9a-f]{16})$`)

func FuzzB3Multi(f *testing.F) {
	f.Add(traceHex, spanHex, "1", "")
	f.Add(shortHex, spanHex, "", "1")
	f.Add("", "", "false", "0")
	f.Fuzz(func(t *testing.T, traceID, spanID, sampled, flags string) {
		var found found
		found.find(&lines{{"x-b3-traceid", traceID}, {"X-B3-SPANID", spanID}, {HeaderB3Sampled, sampled}, {HeaderB3Flags, flags}})
		p := found.parseB3Multi()
		traceID, spanID = trim(traceID), trim(spanID)
		state := map[string]string{"1": "1", "true": "1", "0": "0", "false": "0"}[trim(sampled)]
		if trim(flags) == "1" {
			state = "d"
		}
		if m := b3IDsRE.FindStringSubmatch(traceID + "\n" + spanID); m != nil {
			checkB3(t, traceID+" "+spanID, p, m[1], m[2], state)
		} else if p.valid() || p.decided && (traceID+spanID != "" || state == "") {
			t.Errorf("%q %q: read %+v", traceID, spanID, p)
		}
	})
}
