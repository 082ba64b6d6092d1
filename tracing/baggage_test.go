package tracing

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestParseBaggage(t *testing.T) {
	for _, test := range []struct {
		name, in, rest, class string
	}{
		{"empty", "", "", ""},
		{"others only", "a=1,b=2", "a=1,b=2", ""},
		{"byte for byte", "a = 1 ; p ; q=%2C , b=%20x\t", "a = 1 ; p ; q=%2C , b=%20x\t", ""},
		{"empty value", "a=", "a=", ""},
		{"value with =", "a=b=c", "a=b=c", ""},

		{"class first", "latency.class=batch,a=1,b=2", "a=1,b=2", "batch"},
		{"class last", "a=1, latency.class=batch", "a=1", "batch"},
		{"class between", "a=1,latency.class=batch, b=2,c=3", "a=1, b=2,c=3", "batch"},
		{"class alone", "latency.class=batch", "", "batch"},
		{"class with space and property", " latency.class = batch ;p=1", "", "batch"},
		{"first class counts", "latency.class=batch,a=1,latency.class=interactive", "a=1", "batch"},

		{"other case", "Latency.CLASS=interactive,a=1", "a=1", ""},
		{"encoded", "latency%2Eclass=interactive,a=1", "a=1", ""},
		{"encoded, lower case", "latency%2eclass=interactive", "", ""},
		{"all encoded", "%6c%61%74%65%6e%63%79%2e%63%6c%61%73%73=x", "", ""},
		{"encoded twice", "latency%252Eclass=interactive", "", ""},
		{"encoded space", "%20latency.class%09=interactive", "", ""},
		{"encoded zero byte", "latency.class%00=interactive", "", ""},
		{"form encoded space", "latency.class+=interactive", "", ""},
		{"not the class", "latency.classy=1,xlatency.class=1,latency=1,%zz=1,a%=1", "latency.classy=1,xlatency.class=1,latency=1,%zz=1,a%=1", ""},

		{"malformed members", "a,b=1,=2,c d=3,e=\"f\",g=1;,h=\\,,i=\x7f,j=2;k", "b=1,j=2;k", ""},
		{"malformed class", "latency.class=in\"teractive", "", ""},
		{"commas", ",,,", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			rest, class := parseBaggage(test.in)
			if rest != test.rest || class != test.class {
				t.Errorf("rest %q, class %q; want %q, %q", rest, class, test.rest, test.class)
			}
		})
	}
}

func joinBaggage(class, rest string) string {
	return string((&Trail{Class: class, Baggage: rest}).appendBaggage(nil))
}

// What is written is within the limits, with the longest class and much else.
func TestBaggageLimits(t *testing.T) {
	class := strings.Repeat("c", 32)

	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("k%d=v", i))
	}
	rest, _ := parseBaggage(strings.Join(many, ","))
	out := joinBaggage(class, rest)
	if n := strings.Count(out, ",") + 1; n != 64 {
		t.Errorf("%d members, want 64", n)
	}
	if rest != strings.Join(many[:63], ",") {
		t.Errorf("rest %q, want the first 63 members", rest)
	}

	long := "long=" + strings.Repeat("x", 3000)
	rest, _ = parseBaggage(strings.Join([]string{long, long, long, "short=1"}, ","))
	if rest != long+","+long+",short=1" {
		t.Errorf("rest of %d bytes, want the two members that fit and the short one", len(rest))
	}
	full := "k=" + strings.Repeat("x", maxBaggageBytes-2)
	rest, _ = parseBaggage(full)
	if n := len(joinBaggage(class, rest)); n != 8192 {
		t.Errorf("%d bytes, want 8192", n)
	}
}

// Baggage values are all of printable ASCII but five characters.
func TestBaggageOctets(t *testing.T) {
	for c := range 256 {
		want := c > ' ' && c <= '~' && !strings.ContainsRune("\",;\\", rune(c))
		if got := isValue(string([]byte{byte(c)})); got != want {
			t.Errorf("byte %#x: %v, want %v", c, got, want)
		}
	}
}

// FuzzBaggage reads what passes the way a careless reader would.
func FuzzBaggage(f *testing.F) {
	f.Add("a=1,latency.class=batch,b=2;p=3")
	f.Add("latency%252Eclass=x, LATENCY.class\t=y")
	f.Add(",=,;,a=;=,%")
	f.Fuzz(func(t *testing.T, s string) {
		rest, class := parseBaggage(s)
		if again, none := parseBaggage(rest); again != rest || none != "" {
			t.Errorf("%q: passing %q twice gives %q", s, rest, again)
		}
		if len(joinBaggage(strings.Repeat("c", 32), rest)) > 8192 {
			t.Errorf("%q: too long", s)
		}
		if !strings.Contains(s, class) {
			t.Errorf("%q: class %q is not in it", s, class)
		}
		in := strings.Split(s, ",")
		for member := range strings.SplitSeq(rest, ",") {
			if rest == "" {
				break
			}
			for len(in) > 0 && in[0] != member {
				in = in[1:]
			}
			if len(in) == 0 {
				t.Fatalf("%q: member %q of %q is not in it, in this place", s, member, rest)
			}
			in = in[1:]
			key, _, _ := strings.Cut(member, "=")
			if decoded, err := url.QueryUnescape(key); err == nil {
				key = decoded
			}
			if strings.EqualFold(strings.TrimSpace(key), "latency.class") {
				t.Errorf("%q: member %q passed", s, member)
			}
		}
	})
}
