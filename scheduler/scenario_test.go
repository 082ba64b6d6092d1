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
//	config limit=N [servers=N] [adaptive=MIN-MAX] [dry_run] class=NAME [objective=D] [reserve=N|N%|auto]
//	    [floor=N%] [max_waiting=N] [max_bytes=N] [max_wait=D] [keep_order] class=...
//	arrive NAME CLASS [flow=NAME] [bytes=N] [deadline=D] [kept]    b1..b9 for NAME is nine arrivals
//	release NAME             it has done its work
//	serve N                  N times: the one that started first has done its work
//	withdraw NAME            its client has left
//	advance D                and shed what is expired then
//	limit N
//	down N, up N             a server
//	share N P                server N offers P percent of its limit
//	probe N                  all but the most urgent class may use N slots of the first server
//	history N CLASS D        N pieces of work of the class took D each, one after the other
//	drain
//	show                     what runs and what waits
//
// In a dry run arrivals say what would have become of them; release and show work.
// The following run an app in front of which the core is, in a simulation:
//
//	app N CLASS=RATE*D ...   it has N workers, each class so many arrivals per second that take D
//	workers N                from now on
//	run D                    and what the limit and the classes came to
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
	cfg     Config
	player  *player
	dry     *dryRun // instead of the player
	works   map[string]*dryWork
	places  map[string]int
	sim     *simulation
	ran     time.Duration // simulated
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
		switch key {
		case "limit":
			cfg.Limit = s.number(value)
			continue
		case "servers":
			cfg.Servers = s.number(value)
			continue
		case "dry_run":
			cfg.DryRun = true
			continue
		case "adaptive":
			least, most, _ := strings.Cut(value, "-")
			cfg.Adaptive = &AdaptiveConfig{Min: s.number(least), Max: s.number(most)}
			continue
		}
		class := &cfg.Classes[len(cfg.Classes)-1]
		percent, isShare := strings.CutSuffix(value, "%")
		switch {
		case key == "objective":
			class.Objective = s.duration(value)
		case key == "keep_order":
			class.KeepOrder = true
		case key == "reserve" && value == "auto":
			class.AutoReserve = true
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
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s.cfg, s.player = cfg, newPlayer(cfg)
	if cfg.DryRun {
		s.dry, s.works, s.places = newDryRun(s.player.core), make(map[string]*dryWork), make(map[string]int)
	}
	return s
}

func (s *stage) play(args []string, out *strings.Builder) {
	switch args[0] {
	case "arrive":
		s.arrive(args[1:], out)
	case "app", "workers", "run":
		s.simulate(args, out)
	case "release":
		if s.dry != nil {
			s.dry.release(s.works[args[1]], s.places[args[1]], Done, s.player.now)
			s.dry.core.dispatch(s.player.now)
			s.dry.core.decided = nil
			return
		}
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
	case "down", "up":
		s.print(s.player.apply(op{kind: opDown, place: place{which: s.number(args[1])}, down: args[0] == "down"}), out)
	case "share":
		s.print(s.player.apply(op{kind: opShare, place: place{which: s.number(args[1]), share: BasisPoints(100 * s.number(args[2]))}}), out)
	case "probe":
		limit := s.player.core.servers[0].limit
		s.print(s.player.apply(op{kind: opResize, place: place{limit: limit, narrow: s.number(args[1])}}), out)
	case "history":
		class := slices.Index(s.classes, args[2])
		for range s.number(args[1]) {
			s.names = append(s.names, "")
			s.player.apply(op{kind: opArrive, class: class})
			s.player.apply(op{kind: opAdvance, by: s.duration(args[3])})
			s.player.apply(op{kind: opRelease, which: len(s.player.running) - 1})
		}
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
	if s.dry != nil {
		s.arriveDry(s.series(args[0]), o.class, out)
		return
	}
	for _, name := range s.series(args[0]) {
		s.names = append(s.names, name)
		all = append(all, s.player.apply(o)...)
		id := len(s.names) - 1
		if slices.ContainsFunc(s.player.waiting, func(t *ticket) bool { return s.player.numbers[t] == id }) {
			all = append(all, fate{id: id, reason: waitsOn})
		}
	}
	s.print(all, out)
}

func (s *stage) arriveDry(names []string, class int, out *strings.Builder) {
	for _, name := range names {
		s.works[name], s.places[name] = s.dry.acquire(ticket{class: class}, s.player.now)
		s.dry.core.decided = nil
		fate := "would wait"
		switch w := s.works[name]; w.state {
		case started:
			fate = "starts"
		case shed:
			fate = "would be shed, " + w.reason.String()
		}
		fmt.Fprintf(out, "%s runs on server %d: %s\n", name, s.places[name], fate)
	}
}

// simulate runs the stage's configuration in front of a simulated app.
func (s *stage) simulate(args []string, out *strings.Builder) {
	switch args[0] {
	case "app":
		loads := make([]load, len(s.classes))
		for _, arg := range args[2:] {
			class, rest, _ := strings.Cut(arg, "=")
			perSecond, takes, _ := strings.Cut(rest, "*")
			loads[slices.Index(s.classes, class)] = load{perSecond: float64(s.number(perSecond)), service: s.duration(takes)}
		}
		s.sim = newSimulation(s.cfg, appModel{workers: s.number(args[1])}, loads, 1)
	case "workers":
		s.sim.app.workers = s.number(args[1])
	case "run":
		done, shed := slices.Clone(s.sim.done), slices.Clone(s.sim.shed)
		s.ran += s.duration(args[1])
		s.sim.run(0, s.ran)
		fmt.Fprintf(out, "limit %d\n", s.sim.core.limit)
		for i, class := range s.classes {
			fmt.Fprintf(out, "%s: %d done, %d shed\n", class, s.sim.done[i]-done[i], s.sim.shed[i]-shed[i])
		}
	}
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
	if s.dry != nil {
		for i, class := range s.classes {
			c := &s.dry.core.classes[i]
			fmt.Fprintf(out, "%s: %d slots in use, %d would wait, %d would have been shed\n", class, c.running, c.waiting.n, c.counts.ShedBy(QueueFull))
		}
		return
	}
	fmt.Fprintf(out, "%d of %d slots in use:", len(s.player.running), s.player.core.limit)
	for _, r := range s.player.running {
		out.WriteString(" " + s.names[r.id])
		if s.cfg.Servers > 1 {
			fmt.Fprintf(out, " on %d", r.server)
		}
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
