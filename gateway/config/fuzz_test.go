package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overtake/classifier/strictyaml"
)

// FuzzParse: no input panics or runs away, every error is Problems with
// something to say, and what is accepted survives being written and read.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, test := range strings.Split(string(text), "=== ")[1:] {
			_, rest, _ := strings.Cut(test, "\n")
			input, _, _ := strings.Cut(rest, "----\n")
			f.Add([]byte(input))
		}
	}
	contract, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(contract)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8<<10 || bytes.Contains(data, []byte("tls")) {
			return // the parser is slow on long input; files are not ours to read
		}
		c, err := Parse("overtake.yaml", data, lookup)
		if err != nil {
			problems, ok := errors.AsType[strictyaml.Problems](err)
			if !ok || len(problems) == 0 || problems[0].Text == "" {
				t.Fatalf("error is %#v", err)
			}
			checkQueues(t, data, nil, len(problems))
			return
		}
		checkQueues(t, data, c, 0)
		if _, elsewhere, err := read("overtake.yaml", data, lookup).requests(); err != nil || len(elsewhere) > 0 {
			t.Fatalf("the file is right, and read as wrong: %v %v", elsewhere, err)
		}
		text, err := c.Redacted()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse("overtake.yaml", text, lookup)
		if err != nil {
			t.Fatalf("what Redacted writes is refused:\n%v\n%s", err, text)
		}
		again, err := back.Redacted()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, text) {
			t.Fatalf("second time\n%s\nfirst time\n%s", again, text)
		}
	})
}
