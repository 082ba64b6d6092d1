package scheduler

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output in testdata/*.txt")

// TestScenarios plays the stories in testdata. Each is a sequence of commands, a
// line of dashes, and what came of them up to a blank line. Lines that begin
// with # tell the story. The commands, with times in simulated time:
//
//	config limit=N class=NAME [reserve=N|N%] [floor=N%] [max_waiting=N] [max_bytes=N] [max_wait=D] class=...
//	arrive NAME CLASS [flow=NAME] [bytes=N] [deadline=D] [kept]    b1..b9 for NAME is nine arrivals
//	release NAME             it has done its work
//	serve N                  N times: the one that started first has done its work
//	withdraw NAME            its client has left
//	advance D                and shed what is expired then
//	limit N
//	drain
//	show                     what runs and what waits
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScenario(t, string(want))
			if *rewrite {
				err = os.WriteFile(file, []byte(got), 0o644)
			} else if got != string(want) {
				t.Errorf("%s went otherwise; if this is right, run go test with -rewrite:\n%s", file, got)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// playScenario returns the text with the output that its commands have now.
func playScenario(t *testing.T, text string) string {
	var got, out strings.Builder
	var s *stage
	inOutput := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "----":
			inOutput = true
			fmt.Fprintf(&got, "----\n%s", out.String())
			out.Reset()
			continue
		case inOutput && line != "":
			continue // old output
		case line != "" && !strings.HasPrefix(line, "#"):
			args := strings.Fields(line)
			if args[0] == "config" {
				s = newStage(t, args[1:])
			} else {
				s.play(args, &out)
			}
		}
		inOutput = false
		fmt.Fprintln(&got, line)
	}
	return got.String()
}

// stage is a core whose classes, flows and tickets have names.
type stage struct {
	t       *testing.T
	player  *player
	classes []string
	names   []string // by number of arrival, from 1
	flows   []string
}

func newStage(t *testing.T, args []string) *stage {
	s := &stage{t: t, names: []string{""}, flows: []string{""}}
	var cfg Config
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		if key == "class" {
			s.classes = append(s.classes, value)
			cfg.Classes = append(cfg.Classes, ClassConfig{MaxWaiting: 100})
			continue
		}
		if key == "limit" {
			cfg.Limit = s.number(value)
			continue
		}
		class := &cfg.Classes[len(cfg.Classes)-1]
		percent, isShare := strings.CutSuffix(value, "%")
		switch {
		case key == "reserve" && isShare:
			class.ReserveShare = BasisPoints(100 * s.number(percent))
		case key == "reserve":
			class.Reserve = s.number(value)
		case key == "floor":
			class.Floor = BasisPoints(100 * s.number(percent))
		case key == "max_waiting":
			class.MaxWaiting = s.number(value)
		case key == "max_bytes":
			class.MaxWaitingBytes = int64(s.number(value))
		case key == "max_wait":
			class.MaxWait = s.duration(value)
		default:
			t.Fatalf("config: %q is unknown", arg)
		}
	}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	s.player = newPlayer(cfg)
	return s
}

func (s *stage) play(args []string, out *strings.Builder) {
	switch args[0] {
	case "arrive":
		s.arrive(args[1:], out)
	case "release":
		id := slices.Index(s.names, args[1])
		i := slices.IndexFunc(s.player.running, func(r use) bool { return r.id == id })
		if i < 0 {
			s.t.Fatalf("release: %s has no slot", args[1])
		}
		s.print(s.player.apply(op{kind: opRelease, which: i}), out)
	case "serve":
		var all []fate
		for range s.number(args[1]) {
			all = append(all, s.player.apply(op{kind: opRelease})...)
		}
		s.print(all, out)
	case "withdraw":
		id := slices.Index(s.names, args[1])
		i := slices.IndexFunc(s.player.waiting, func(t *ticket) bool { return s.player.numbers[t] == id })
		if i < 0 {
			s.t.Fatalf("withdraw: %s does not wait", args[1])
		}
		s.print(s.player.apply(op{kind: opWithdraw, which: i}), out)
	case "advance":
		s.player.apply(op{kind: opAdvance, by: s.duration(args[1])})
		s.print(s.player.apply(op{kind: opExpire}), out)
	case "limit":
		limit := s.number(args[1])
		s.print(s.player.apply(op{kind: opResize, place: place{limit: limit, narrow: limit}}), out)
	case "drain":
		s.print(s.player.apply(op{kind: opDrain}), out)
	case "show":
		s.show(out)
	default:
		s.t.Fatalf("command %q is unknown", args[0])
	}
}

func (s *stage) arrive(args []string, out *strings.Builder) {
	o := op{kind: opArrive, class: slices.Index(s.classes, args[1])}
	if o.class < 0 {
		s.t.Fatalf("arrive: class %q is unknown", args[1])
	}
	for _, arg := range args[2:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "flow":
			if !slices.Contains(s.flows, value) {
				s.flows = append(s.flows, value)
			}
			o.flow = uint64(slices.Index(s.flows, value))
		case "bytes":
			o.bytes = int64(s.number(value))
		case "deadline":
			o.until = s.duration(value)
		case "kept":
			o.kept = true
		default:
			s.t.Fatalf("arrive: %q is unknown", arg)
		}
	}
	var all []fate
	for _, name := range s.series(args[0]) {
		s.names = append(s.names, name)
		all = append(all, s.player.apply(o)...)
		id := len(s.names) - 1
		if slices.ContainsFunc(s.player.waiting, func(t *ticket) bool { return s.player.numbers[t] == id }) {
			all = append(all, fate{id, waitsOn})
		}
	}
	s.print(all, out)
}

// waitsOn stands for no fate yet.
const waitsOn = numReasons

// series expands b1..b9.
func (s *stage) series(name string) []string {
	first, last, ok := strings.Cut(name, "..")
	if !ok {
		return []string{name}
	}
	stem := strings.TrimRight(first, "0123456789")
	var names []string
	for n := s.number(first[len(stem):]); n <= s.number(strings.TrimPrefix(last, stem)); n++ {
		names = append(names, stem+strconv.Itoa(n))
	}
	return names
}

// print writes a line for each run of equal fates.
func (s *stage) print(fates []fate, out *strings.Builder) {
	for i, f := range fates {
		if i == 0 || f.reason != fates[i-1].reason {
			if i > 0 {
				out.WriteByte('\n')
			}
			switch f.reason {
			case 0:
				out.WriteString("starts:")
			case waitsOn:
				out.WriteString("waits:")
			default:
				fmt.Fprintf(out, "shed, %v:", f.reason)
			}
		}
		out.WriteString(" " + s.names[f.id])
	}
	if len(fates) > 0 {
		out.WriteByte('\n')
	}
}

func (s *stage) show(out *strings.Builder) {
	fmt.Fprintf(out, "%d of %d slots in use:", len(s.player.running), s.player.core.limit)
	for _, r := range s.player.running {
		out.WriteString(" " + s.names[r.id])
	}
	for i, class := range s.classes {
		fmt.Fprintf(out, "\n%s, reserve %d, waiting:", class, s.player.core.classes[i].reserve/unit)
		for _, t := range s.player.waiting {
			if t.class == i {
				out.WriteString(" " + s.names[s.player.numbers[t]])
			}
		}
	}
	out.WriteByte('\n')
}

func (s *stage) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}
