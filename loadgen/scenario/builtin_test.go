package scenario

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"overtake/loadgen/arrival"
)

// Every scenario that is built in is read, has what it takes to run on a laptop, and
// says what to start and what to look at.
func TestBuiltin(t *testing.T) {
	if got, want := strings.Join(Names(), " "), "flash-crowd noisy-tenant paper shop slow-upstream webhooks"; got != want {
		t.Errorf("names %s, want %s", got, want)
	}
	for _, name := range Names() {
		s, err := Open(name, Changes{}, nil)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		if s.Name != name || About(name) == "" || strings.Contains(About(name), "\n") {
			t.Errorf("%s is called %q, about %q", name, s.Name, About(name))
		}
		text, gateway, ok := Text(name)
		if !ok || !strings.Contains(string(gateway), `"`+name+`"`) {
			t.Errorf("%s has no configuration of a gateway that names it", name)
		}
		for _, part := range []string{"Start:  overtake app", "loadgen -f " + name + " --print gateway >overtake.yaml\n", "loadgen -f " + name + " --target", "Look at"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s does not say %q", name, part)
			}
		}
		if whole := s.Warmup + s.Duration; whole > time.Minute {
			t.Errorf("%s takes %v", name, whole)
		}
		sum := 0.0
		for _, c := range s.Classes {
			if err := c.Arrivals.Check(); err != nil {
				t.Errorf("%s: class %s: %v", name, c.Name, err)
			}
			if _, err := c.Request.Open(1, c.Name); err != nil {
				t.Errorf("%s: class %s: %v", name, c.Name, err)
			}
			sum += c.Arrivals.Mean(s.Warmup, s.Warmup+s.Duration)
		}
		if sum < 50 || sum > 1500 {
			t.Errorf("%s sends %.0f requests a second", name, sum)
		}
	}
}

// The phases of slow-upstream replace one class by the other.
func TestSlowUpstreamReplaces(t *testing.T) {
	s, err := Open("slow-upstream", Changes{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mean := func(name string, from, to time.Duration) float64 {
		for _, c := range s.Classes {
			if c.Name == name {
				return c.Arrivals.Mean(from, to)
			}
		}
		t.Fatalf("no class %s", name)
		return 0
	}
	normal, slow := 12*time.Second, 22*time.Second
	for _, test := range []struct {
		name     string
		from, to time.Duration
		want     float64
	}{
		{"search", 0, normal, 40}, {"search", normal, slow, 0}, {"search", slow, 32 * time.Second, 40},
		{"search-slow", 0, normal, 0}, {"search-slow", normal, slow, 40}, {"search-slow", slow, 32 * time.Second, 0},
	} {
		if got := mean(test.name, test.from, test.to); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%s from %v to %v: %v/s, want %v", test.name, test.from, test.to, got, test.want)
		}
	}
}

// Two of the same seed are the same, and one more class leaves the others.
func TestBuiltinReplays(t *testing.T) {
	first, err := Open("shop", Changes{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := Open("shop", Changes{}, nil)
	for i, c := range first.Classes {
		a, b := c.Arrivals.Open(first.Seed, c.Name), second.Classes[i].Arrivals.Open(second.Seed, c.Name)
		x, _ := c.Request.Open(first.Seed, c.Name)
		y, _ := second.Classes[i].Request.Open(second.Seed, c.Name)
		for range 100 {
			at, _ := a.Next()
			bt, _ := b.Next()
			if p, q := x.Next(), y.Next(); at != bt || p.Target != q.Target || string(p.Body) != string(q.Body) || p.Filler != q.Filler {
				t.Fatalf("%s: %v %+v and %v %+v", c.Name, at, *p, bt, *q)
			}
		}
	}
	if first.Classes[0].Arrivals.Spacing != arrival.Poisson {
		t.Error("not Poisson by default")
	}
}

func TestOpenWrongName(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, file := range []string{"x", "booking.yaml", "other.yml"} {
		if err := os.WriteFile(file, []byte("name: x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"shpo":         `scenario: no scenario is called "shpo"; did you mean "shop"?; a file has a '/' or a '.' in its name: ./shpo.yaml`,
		"nothing":      `scenario: no scenario is called "nothing"; want flash-crowd, noisy-tenant, paper, shop, slow-upstream or webhooks; a file has a '/' or a '.' in its name: ./nothing.yaml`,
		"x":            `scenario: no scenario is called "x"; did you mean the file ./x?`,
		"booking":      `scenario: no scenario is called "booking"; did you mean the file ./booking.yaml?`,
		"other":        `scenario: no scenario is called "other"; did you mean the file ./other.yml?`,
		"nowhere.yaml": "scenario: nowhere.yaml can't be read: no such file or directory; give a file, or one of flash-crowd, noisy-tenant, paper, shop, slow-upstream, webhooks",
	} {
		if _, err := Open(name, Changes{}, nil); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", name, err, want)
		}
	}
}
