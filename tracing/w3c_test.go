package tracing

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// What the suite of the W3C sends as ids: github.com/w3c/trace-context, test/test.py.
const (
	w3cTrace  = "12345678901234567890123456789012"
	w3cParent = "1234567890123456"
	w3cIDs    = w3cTrace + "-" + w3cParent
	w3cValid  = "traceparent: 00-" + w3cIDs + "-00"
)

// w3cTest is a header that is sent through a hop.
type w3cTest struct {
	name      string
	sent      []string
	continued bool // the trace; a new one begins otherwise, with no tracestate
	state     string
}

// parents are lines of traceparent, each with a tracestate.
func parents(values ...string) (text []string) {
	for _, v := range values {
		text = append(text, "traceparent: "+v, "tracestate: foo=1")
	}
	return text
}

// state are lines of tracestate, after a valid traceparent.
func state(values ...string) []string {
	text := []string{w3cValid}
	for _, v := range values {
		text = append(text, "tracestate: "+v)
	}
	return text
}

// barred are members of a tracestate.
func barred(from, to int) string {
	var m []string
	for i := from; i <= to; i++ {
		m = append(m, fmt.Sprintf("bar%02d=%02d", i, i))
	}
	return strings.Join(m, ",")
}

// All that a key and a value of a tracestate may have.
const (
	keyBytes   = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
	valueASCII = " !\"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
)

var w3cTests = []w3cTest{
	{"both_traceparent_and_tracestate_missing", nil, false, ""},
	{"traceparent_included_tracestate_missing", []string{w3cValid}, true, ""},
	{"traceparent_duplicated", parents("00-12345678901234567890123456789011-"+w3cParent+"-01", "00-"+w3cTrace+"-"+w3cParent+"-01"), false, ""},
	{"traceparent_duplicated, the same twice", parents("00-"+w3cTrace+"-"+w3cParent+"-01", "00-"+w3cTrace+"-"+w3cParent+"-01"), false, ""},
	{"traceparent_duplicated in one line", parents("00-" + w3cTrace + "-" + w3cParent + "-01, 00-" + w3cTrace + "-" + w3cParent + "-01"), false, ""},
	{"traceparent_duplicated in another case", []string{w3cValid, strings.ToUpper(w3cValid[:11]) + w3cValid[11:]}, false, ""},

	{"tracestate_included_traceparent_missing", []string{"tracestate: foo=1"}, false, ""},
	{"tracestate_included_traceparent_missing, two members", []string{"tracestate: foo=1,bar=2"}, false, ""},
	{"tracestate_included_traceparent_included", state("foo=1,bar=2"), true, "foo=1,bar=2"},
	{"tracestate_empty_header", state(""), true, ""},
	{"tracestate_empty_header after", state("foo=1", ""), true, "foo=1"},
	{"tracestate_empty_header before", state("", "foo=1"), true, "foo=1"},
	{"empty members", state(",foo=1, ,bar=2,\t,"), true, "foo=1,bar=2"},
	{"only commas", state(", ,\t,"), true, ""},
	{"tracestate_multiple_headers_different_keys", state("foo=1,bar=2", "rojo=1,congo=2", "baz=3"), true, "foo=1,bar=2,rojo=1,congo=2,baz=3"},

	{"tracestate_duplicated_keys", state("foo=1,foo=1"), true, "foo=1"},
	{"tracestate_duplicated_keys, other value", state("foo=1,foo=2"), true, "foo=1"},
	{"tracestate_duplicated_keys, two lines", state("foo=1", "foo=1"), true, "foo=1"},
	{"tracestate_duplicated_keys, two lines, other value", state("foo=1", "foo=2"), true, "foo=1"},
	{"tracestate_duplicated_keys, among others", state("foo=1,bar=2,foo=3,baz=4"), true, "foo=1,bar=2,baz=4"},

	{"tracestate_all_allowed_characters", state(keyBytes + "=" + valueASCII), true, keyBytes + "=" + valueASCII},
	{
		"tracestate_all_allowed_characters, multitenant", state(keyBytes + "@a-z0-9_-*/=" + valueASCII), true,
		keyBytes + "@a-z0-9_-*/=" + valueASCII,
	},
	{"space within a value", state("foo=  a b"), true, "foo=  a b"},
	{"key that begins with a digit", state("0foo=1"), true, "0foo=1"},
	{"tenant that begins with a digit", state("0foo@bar=1"), true, "0foo@bar=1"},
	{"system that begins with a digit", state("foo@0bar=1"), true, ""},

	{"tracestate_key_illegal_characters, space", state("foo =1"), true, ""},
	{"tracestate_key_illegal_characters, upper case", state("FOO=1"), true, ""},
	{"tracestate_key_illegal_characters, dot", state("foo.bar=1"), true, ""},
	{"tracestate_key_illegal_characters, none", state("=1"), true, ""},
	{"tracestate_key_illegal_characters, first", state("_foo=1"), true, ""},
	{"tracestate_key_illegal_vendor_format, no system", state("foo@=1,bar=2"), true, ""},
	{"tracestate_key_illegal_vendor_format, no tenant", state("@foo=1,bar=2"), true, ""},
	{"tracestate_key_illegal_vendor_format, empty between", state("foo@@bar=1,bar=2"), true, ""},
	{"tracestate_key_illegal_vendor_format, two", state("foo@bar@baz=1,bar=2"), true, ""},

	{"tracestate_member_count_limit", state(barred(1, 10), barred(11, 20), barred(21, 30), barred(31, 32)), true, barred(1, 32)},
	{"tracestate_member_count_limit exceeded", state(barred(1, 10), barred(11, 20), barred(21, 30), barred(31, 33)), true, ""},
	{"tracestate_member_count_limit, empty ones do not count", state(",," + barred(1, 32) + ",,"), true, barred(1, 32)},
	{"tracestate_key_length_limit", state("foo=1", strings.Repeat("z", 256)+"=1"), true, "foo=1," + strings.Repeat("z", 256) + "=1"},
	{"tracestate_key_length_limit exceeded", state("foo=1", strings.Repeat("z", 257)+"=1"), true, ""},
	{
		"tracestate_key_length_limit, multitenant", state("foo=1", strings.Repeat("t", 241)+"@"+strings.Repeat("v", 14)+"=1"), true,
		"foo=1," + strings.Repeat("t", 241) + "@" + strings.Repeat("v", 14) + "=1",
	},
	{"tracestate_key_length_limit exceeded, tenant", state("foo=1", strings.Repeat("t", 242)+"@v=1"), true, ""},
	{"tracestate_key_length_limit exceeded, system", state("foo=1", "t@"+strings.Repeat("v", 15)+"=1"), true, ""},
	{"value of 256", state("foo=" + strings.Repeat("x", 256)), true, "foo=" + strings.Repeat("x", 256)},
	{"value of 257", state("foo=" + strings.Repeat("x", 257)), true, ""},
	{"more than 512 characters", state("a="+strings.Repeat("x", 256), "b="+strings.Repeat("y", 256)), true, "a=" + strings.Repeat("x", 256) + ",b=" + strings.Repeat("y", 256)},
	{"tracestate_value_illegal_characters, equals sign", state("foo=bar=baz"), true, ""},
	{"tracestate_value_illegal_characters, none", state("foo=,bar=3"), true, ""},
	{"tracestate_value_illegal_characters, tab", state("foo=a\tb"), true, ""},
	{"tracestate_value_illegal_characters, not ASCII", state("foo=\u00e4"), true, ""},
	{"no equals sign", state("foo,bar=1"), true, ""},
}

// w3cParents are values of traceparent, and whether they are valid.
var w3cParents = map[string]bool{
	"00-" + w3cIDs + "-01.":                                     false, // traceparent_version_0x00
	"00-" + w3cIDs + "-01-what-the-future-will-be-like":         false,
	"cc-" + w3cIDs + "-01":                                      true, // traceparent_version_0xcc
	"cc-" + w3cIDs + "-01-what-the-future-will-be-like":         true,
	"cc-" + w3cIDs + "-01.what-the-future-will-be-like":         false,
	"ff-" + w3cIDs + "-01":                                      false, // traceparent_version_0xff
	"ff-" + w3cIDs + "-01-what":                                 false,
	".0-" + w3cIDs + "-01":                                      false, // traceparent_version_illegal_characters
	"0.-" + w3cIDs + "-01":                                      false,
	"000-" + w3cIDs + "-01":                                     false, // traceparent_version_too_long
	"0000-" + w3cIDs + "-01":                                    false,
	"0-" + w3cIDs + "-01":                                       false, // traceparent_version_too_short
	"00-00000000000000000000000000000000-" + w3cParent + "-01":  false, // traceparent_trace_id_all_zero
	"00-.2345678901234567890123456789012-" + w3cParent + "-01":  false, // traceparent_trace_id_illegal_characters
	"00-1234567890123456789012345678901.-" + w3cParent + "-01":  false,
	"00-1234567890123456789012345678901A-" + w3cParent + "-01":  false,
	"00-123456789012345678901234567890123-" + w3cParent + "-01": false, // traceparent_trace_id_too_long
	"00-1234567890123456789012345678901-" + w3cParent + "-01":   false, // traceparent_trace_id_too_short
	"00-" + w3cTrace + "-0000000000000000-01":                   false, // traceparent_parent_id_all_zero
	"00-" + w3cTrace + "-.234567890123456-01":                   false, // traceparent_parent_id_illegal_characters
	"00-" + w3cTrace + "-123456789012345.-01":                   false,
	"00-" + w3cTrace + "-12345678901234567-01":                  false, // traceparent_parent_id_too_long
	"00-" + w3cTrace + "-123456789012345-01":                    false, // traceparent_parent_id_too_short
	"00-" + w3cIDs + "-.0":                                      false, // traceparent_trace_flags_illegal_characters
	"00-" + w3cIDs + "-0.":                                      false,
	"00-" + w3cIDs + "-001":                                     false, // traceparent_trace_flags_too_long
	"00-" + w3cIDs + "-1":                                       false, // traceparent_trace_flags_too_short
	" 00-" + w3cIDs + "-01":                                     true,  // traceparent_ows_handling
	"\t00-" + w3cIDs + "-01":                                    true,
	"00-" + w3cIDs + "-01 ":                                     true,
	"00-" + w3cIDs + "-01\t":                                    true,
	"\t 00-" + w3cIDs + "-01 \t":                                true,
	"00-" + w3cIDs + "-01\u00a0":                                false,
	"00-" + w3cTrace + "-" + w3cParent + "-01," + w3cValid[13:]: false,
}

// TestW3C has the cases of the suite at its strict level, and some of our own,
// each through Extract and Stamp like a request through a hop. What must be true
// of every case: one traceparent goes out, of version 00 and with a new parent id,
// and one tracestate at the most.
func TestW3C(t *testing.T) {
	tests := w3cTests
	for name, continued := range map[string]bool{
		"trace-parent": false, "trace.parent": false, "trace_parent": false, // traceparent_header_name
		"TraceParent": true, "TrAcEpArEnT": true, "TRACEPARENT": true, // traceparent_header_name_valid_casing
	} {
		tests = append(tests, w3cTest{"traceparent_header_name " + name, []string{name + ": " + w3cValid[13:]}, continued, ""})
	}
	for name, want := range map[string]string{
		"trace-state": "", "trace.state": "", "trace_state": "", // tracestate_header_name
		"TraceState": "foo=1", "TrAcEsTaTe": "foo=1", "TRACESTATE": "foo=1", // tracestate_header_name_valid_casing
	} {
		tests = append(tests, w3cTest{"tracestate_header_name " + name, []string{w3cValid, name + ": foo=1"}, true, want})
	}
	for value, continued := range w3cParents {
		want := ""
		if continued {
			want = "foo=1"
		}
		tests = append(tests, w3cTest{"traceparent " + value, parents(value), continued, want})
	}
	// tracestate_ows_handling. Space between members may pass.
	for _, value := range []string{"foo=1 \t , \t bar=2, \t baz=3", "foo=1\t \t,\t \tbar=2,\t \tbaz=3"} {
		tests = append(tests, w3cTest{"tracestate " + value, state(value), true, value})
	}
	for _, value := range []string{" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"} {
		tests = append(tests, w3cTest{"tracestate " + value, state(value), true, "foo=1"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { throughAHop(t, sent(test.sent...), test.continued, test.state) })
	}
}

var traceParentRE = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]$`)

func throughAHop(t *testing.T, h *lines, continued bool, state string) {
	trail := extracted(h)
	trail.Stamp(h, now)
	parts := traceParentRE.FindStringSubmatch(h.get("traceparent"))
	if parts == nil {
		t.Fatalf("traceparent %q goes out", h.all("traceparent"))
	}
	if got := parts[1] == w3cTrace; got != continued {
		t.Errorf("traceparent %s: continued %v, want %v", parts[0], got, continued)
	}
	if parts[1] == (TraceID{}).String() || parts[2] == (SpanID{}).String() || parts[2] == w3cParent {
		t.Errorf("traceparent %s: no ids, or the caller's", parts[0])
	}
	got := h.all("tracestate")
	if len(got) > 1 || strings.Join(got, "") != state || len(got) == 1 && got[0] == "" {
		t.Errorf("tracestate %q goes out, want %q", got, state)
	}
}

// The suite's AdvancedTest: each request has a parent id of its own, and a trace
// id too where none came.
func TestW3CSeveralRequests(t *testing.T) {
	for name, continued := range map[string]bool{
		w3cValid: true, "": false, "traceparent: 00-00000000000000000000000000000000-" + w3cParent + "-01": false,
	} {
		traces, parents := map[TraceID]bool{}, map[SpanID]bool{}
		for range 3 {
			h := sent(name)
			trail := extracted(h)
			trail.Stamp(h, now)
			p := parseTraceParent(h.get("traceparent"))
			traces[p.traceID], parents[p.spanID] = true, true
		}
		if len(parents) != 3 || len(traces) != 1 && continued || len(traces) != 3 && !continued {
			t.Errorf("%q: %d parent ids in %d traces", name, len(parents), len(traces))
		}
	}
}
