package topology

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/classifier/strictyaml"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected text in testdata")

func lookup(name string) (string, bool) { return "127.0.0.1", name == "HOST" }

// mistakes returns the parts of testdata/mistakes.txt: title, graph and what the
// user sees.
func mistakes(t testing.TB) [][3]string {
	t.Helper()
	text, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all [][3]string
	for _, test := range strings.Split(string(text), "=== ")[1:] {
		title, rest, _ := strings.Cut(test, "\n")
		input, want, _ := strings.Cut("\n"+rest, "\n----\n")
		all = append(all, [3]string{title, strings.TrimPrefix(input, "\n"), want})
	}
	return all
}

// Each mistake is told with its place and a remedy, all of a file at once. With
// -rewrite, what the user sees is written anew.
func TestMistakes(t *testing.T) {
	var rewritten strings.Builder
	found := 0
	for _, test := range mistakes(t) {
		got := "ok\n"
		_, err := Parse("graph.yaml", []byte(test[1]), lookup)
		problems, _ := errors.AsType[strictyaml.Problems](err)
		found += len(problems)
		for _, p := range problems {
			if p.Hint == "" && test[0] != "not YAML" {
				t.Errorf("%s: no remedy: %s", test[0], p)
			}
		}
		if err != nil {
			got = err.Error() + "\n"
		}
		if got != test[2] && !*rewrite {
			t.Errorf("%s\n%s\ngot:\n%swant:\n%s", test[0], test[1], got, test[2])
		}
		input := test[1]
		if input != "" {
			input += "\n"
		}
		fmt.Fprintf(&rewritten, "=== %s\n%s----\n%s", test[0], input, got)
	}
	if *rewrite {
		if err := os.WriteFile("testdata/mistakes.txt", []byte(rewritten.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if found < 40 {
		t.Errorf("%d mistakes, want 40 or more", found)
	}
}

// FuzzParse: no input panics or runs away; what is accepted can be drawn, and each of
// its distributions too.
func FuzzParse(f *testing.F) {
	for _, test := range mistakes(f) {
		f.Add([]byte(test[1]))
	}
	for _, name := range BuiltinNames() {
		text, _ := Source(name)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return // the parser is slow on long input
		}
		g, err := Parse("graph.yaml", data, lookup)
		if err != nil {
			problems, ok := errors.AsType[strictyaml.Problems](err)
			if !ok || len(problems) == 0 || problems[0].Text == "" {
				t.Fatalf("error is %#v", err)
			}
			return
		}
		if len(g.Names()) == 0 || g.Picture() == "" {
			t.Fatal("an application without services")
		}
		random := rand.New(rand.NewPCG(1, 2))
		for _, s := range g.Services {
			for i := range s.Endpoints {
				if s.Endpoints[i].Time.Draw(random) < 0 || s.Endpoints[i].Response.Draw(random) < 0 {
					t.Fatal("drew less than nothing")
				}
			}
		}
	})
}

// A picture shows who calls whom; testdata/picture.txt has that of all that can be
// drawn.
func TestPicture(t *testing.T) {
	g := parse(t, `
name: everything
about: all that can be drawn
brokers: {local: {nats: "nats://127.0.0.1:4222"}}
services:
  front:
    sidecar: true
    endpoints:
      - path: /
        time: 5ms
        cpu: true
        response: 4KiB
        failures: 0.1%
        calls:
          - {service: a, path: /, probability: 50%}
          - parallel: [{service: a, path: /}, {service: b, path: /x, optional: true}]
          - {url: "http://127.0.0.1:1/y"}
        publish:
          - {queue: orders.all, broker: local, probability: 10%}
          - {url: "http://127.0.0.1:1/jobs"}
  a: {endpoints: [{path: /, calls: [{service: b, path: /y}]}]}
  b: {endpoints: [{path: "/**"}]}
  worker: {consumes: [{queue: orders.all, broker: local, concurrency: 4, time: 2ms, calls: [{service: b, path: /z}]}, {queue: left, broker: local}]}
`)
	got := g.Picture()
	if *rewrite {
		if err := os.WriteFile("testdata/picture.txt", []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/picture.txt")
	if err != nil || got != string(want) {
		t.Errorf("%v\ngot:\n%s\nwant:\n%s", err, got, want)
	}
}

// docs/topologies.md has each key that a graph may have, and no other; and the
// pictures of the graphs that come with the program.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/topologies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range BuiltinNames() {
		g, _ := Builtin(name)
		if !strings.Contains(string(text), g.Picture()) {
			t.Errorf("the picture of %s is another", name)
		}
	}
	documented := make(map[string][]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)\\.([a-z]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = append(documented[row[1]], row[2])
	}
	for name, of := range map[string]any{
		"graph": Graph{}, "service": Service{}, "endpoint": Endpoint{}, "consume": Consume{}, "call": Call{}, "publish": Publish{},
		"broker": Broker{}, "sidecar": Sidecar{},
	} {
		_, keys := strictyaml.Fields(reflect.TypeOf(of))
		slices.Sort(keys)
		slices.Sort(documented[name])
		if !slices.Equal(keys, documented[name]) {
			t.Errorf("%s: keys are %v, documented are %v", name, keys, documented[name])
		}
	}
}
