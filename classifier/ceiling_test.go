package classifier

import (
	"net/netip"
	"strings"
	"testing"
)

// No flow gets a more urgent class than its ceiling, whatever says so.
func TestCeilings(t *testing.T) {
	c, err := New(Config{
		Classes: defaultClasses(t), Default: standard, FlowHeader: "X-Api-Key",
		Rules: []Rule{{Name: "vip", Class: interactive, Match: Match{Path: "/vip"}}, {Name: "slow", Class: batch, Match: Match{Path: "/slow"}}},
		Ceilings: []Ceiling{
			{Name: "partner", Class: interactive, Keys: []string{"partner-*"}},
			{Name: "inside", Class: standard, Keys: []string{"key-*"}, Sources: prefixes("10.0.0.0/8")},
			{Name: "free", Class: standard, Keys: []string{"free-*", "trial"}},
			{Name: "nobody", Class: batch, Keys: []string{"!"}, Sources: prefixes("198.51.100.0/24")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	trusted := Claim{Present: true, Trusted: true, Class: interactive}
	for _, test := range []struct {
		path, key, source string
		claim             Claim
		class             Class
		ceiling           string
	}{
		{"/vip", "gold-1", "", Claim{}, interactive, ""},
		{"/vip", "free-1", "", Claim{}, standard, "free"},
		{"/vip", "trial", "", Claim{}, standard, "free"},
		{"/vip", "trial-2", "", Claim{}, interactive, ""},
		{"/vip", "FREE-1", "", Claim{}, interactive, ""}, // keys have a case
		{"/vip", "free-1", "", trusted, standard, "free"},
		{"/slow", "free-1", "", Claim{}, batch, ""},
		{"/vip", "free-1", "", Claim{Present: true, Class: batch}, batch, ""},
		{"/x", "free-1", "", Claim{}, standard, ""},
		{"/vip", "partner-free-1", "", trusted, interactive, ""},

		{"/vip", "key-1", "10.1.2.3", Claim{}, standard, "inside"},
		{"/vip", "key-1", "11.1.2.3", Claim{}, interactive, ""},
		{"/vip", "-", "198.51.100.1", trusted, batch, "nobody"}, // - is for no header
		{"/vip", "", "198.51.100.1", Claim{}, interactive, ""},  // an empty key is one
		{"/vip", "-", "10.1.2.3", Claim{}, interactive, ""},

		// Several values: the app may take any.
		{"/vip", "gold-1, free-1", "", Claim{}, standard, "free"},
		{"/vip", "free-1,gold-1", "", trusted, standard, "free"},
		{"/vip", "partner-1 , trial", "", Claim{}, standard, "free"},
		{"/vip", "gold-1" + strings.Repeat(",gold-1", 20), "", Claim{}, batch, "nobody"},
	} {
		r := &Request{Path: test.path, Fields: &testFields{headers: map[string]string{"X-Api-Key": test.key}}}
		if test.key == "-" {
			r.Fields = nil
		}
		if test.source != "" {
			r.Source = netip.MustParseAddr(test.source)
		}
		got := c.Classify(r, test.claim)
		if got.Class != test.class || got.Ceiling != test.ceiling {
			t.Errorf("%+v: %+v", test, got)
		}
		if e := c.Explain(r, test.claim); e.Decision != got {
			t.Errorf("%+v: explained as %+v, decided as %+v", test, e.Decision, got)
		}
		if d := c.Limit(r, Decision{Class: interactive}); d.Class < got.Class && got.Ceiling != "" {
			t.Errorf("%+v: without rules it is limited to %d", test, d.Class)
		}
	}
}

func TestCeilingErrors(t *testing.T) {
	_, err := New(Config{Classes: defaultClasses(t), Ceilings: []Ceiling{
		{Name: "a", Class: 9},
		{Name: "b", Keys: []string{"x"}},
		{Name: "c", Keys: []string{"~("}},
		{Name: "d", Sources: make([]netip.Prefix, 1)},
	}})
	for _, want := range []string{`"a": class 9 of 3`, `"b": keys are those of the flow header`, `"c": key "~(": error parsing`, `"d": sources: not a network`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}
