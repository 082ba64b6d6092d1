package live

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"overtake/loadgen"
)

// terminal is a screen that does what the view asks for, and keeps what has
// scrolled out at its top.
type terminal struct {
	t             *testing.T
	columns, rows int
	lines         [][]rune // of the screen and above it
	top           int      // first line of the screen
	row, column   int      // row counts from line 0
	coloured      bool
}

var control = regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`)

func (s *terminal) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		if m := control.FindStringSubmatch(text); m != nil {
			s.control(m[2], m[1])
			text = text[len(m[0]):]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch r {
		case '\r':
			s.column = 0
		case '\n':
			s.row, s.column = s.row+1, 0
			s.top = max(s.top, s.row-s.rows+1)
		case '\x1b':
			s.t.Fatalf("a control sequence that is none: %q", text)
		default:
			if s.column >= s.columns {
				s.t.Fatalf("a line is wrapped: %q", string(s.line()))
			}
			line := s.line()
			for len(line) <= s.column {
				line = append(line, ' ')
			}
			line[s.column] = r
			s.lines[s.row] = line
			s.column++
		}
	}
	return len(p), nil
}

func (s *terminal) line() []rune {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
	return s.lines[s.row]
}

func (s *terminal) control(name, argument string) {
	switch name {
	case "A":
		n, _ := strconv.Atoi(argument)
		s.row = max(s.row-n, s.top) // the cursor does not leave the screen
	case "K":
		if line := s.line(); len(line) > s.column {
			s.lines[s.row] = line[:s.column]
		}
	case "J":
		s.line()
		s.lines = s.lines[:s.row]
	case "m":
		s.coloured = true
	default:
		s.t.Fatalf("control sequence %s%s", argument, name)
	}
}

func (s *terminal) String() string {
	var lines []string
	for _, line := range s.lines {
		lines = append(lines, strings.TrimRight(string(line), " "))
	}
	return strings.Join(lines, "\n")
}

func (s *terminal) size() (columns, rows int) { return s.columns, s.rows }

// moment is the progress of a run of 30 s with two classes.
func moment(elapsed time.Duration) loadgen.Progress {
	ms := elapsed.Milliseconds()
	return loadgen.Progress{
		Condition: "class order", Elapsed: elapsed, Total: 30 * time.Second, Warmup: elapsed < 2*time.Second,
		Lag: 400 * time.Microsecond, Verdict: loadgen.Verdict{State: loadgen.Valid},
		Classes: []loadgen.ClassProgress{
			{Name: "interactive", Sent: ms / 5, DonePerSecond: 200, P50: 6500 * time.Microsecond, P99: 21 * time.Millisecond},
			{Name: "batch-reports-of-the-night", Sent: ms / 7, DonePerSecond: 137.4, P50: 2 * time.Second, P99: time.Duration(1+ms%4000/500) * time.Second, Shed: ms / 100},
		},
	}
}

// play shows a run up to and with a moment, in steps of half a second.
func play(v *View, to time.Duration) {
	for at := 500 * time.Millisecond; at <= to; at += 500 * time.Millisecond {
		v.Progress(moment(at))
	}
}

func TestViewOnTerminal(t *testing.T) {
	for _, c := range []struct {
		columns int
		want    string
	}{
		{120, `$ overtake loadgen
shop: class order, run 1 of 2
[================                        ] 12 of 30 s, 18 s left; done/s, p50, p99: lately
class                       sent  done/s  p50 ms  p99 ms  shed  failed  skipped  p99 lately
interactive                 2400     200    6.50    21.0     0       0        0  ████████████████████████
batch-reports-of-the-night  1714     137   2,000   1,000   120       0        0  ▃▄▅▆▇██▂▃▄▅▆▇██▂▃▄▅▆▇██▂
generator so far: VALID, requests start 0.40 ms late (p99)`},
		{80, `$ overtake loadgen
shop: class order, run 1 of 2
[===========                  ] 12 of 30 s, 18 s left; done/s, p50, p99: lately
class                       sent  done/s  p50 ms  p99 ms  shed  p99 lately
interactive                 2400     200    6.50    21.0     0  ███████████████
batch-reports-of-the-night  1714     137   2,000   1,000   120  ▄▅▆▇██▂▃▄▅▆▇██▂
generator so far: VALID, requests start 0.40 ms late (p99)`},
		{30, `$ overtake loadgen
shop: class order, run 1 of 2
12 of 30 s, 18 s left
class          done/s  p99 ms
interactive       200    21.0
batch-report…     137   1,000
generator so far: VALID, req…`},
	} {
		screen := &terminal{t: t, columns: c.columns, rows: 24}
		fmt.Fprintln(screen, "$ overtake loadgen")
		v := New(screen, Options{Size: screen.size, Scenario: "shop", Runs: 2})
		play(v, 12*time.Second)
		if got := screen.String(); got != c.want {
			t.Errorf("%d columns:\n%s\nwant\n%s", c.columns, got, c.want)
		}
		if screen.coloured {
			t.Error("it has colours that nobody allowed")
		}
	}
}

// Whatever the size, no line is wrapped, nothing above is overwritten, and what
// is left in the end is a line for each run.
func TestViewFitsEverySize(t *testing.T) {
	for columns := 2; columns <= 140; columns += 3 {
		for _, rows := range []int{2, 5, 7, 24} {
			screen := &terminal{t: t, columns: columns, rows: rows}
			fmt.Fprintln(screen, "$")
			v := New(screen, Options{Size: screen.size, Colour: true, Runs: 2})
			for range 2 {
				play(v, 3*time.Second)
				last := moment(30 * time.Second)
				last.Final = true
				v.Progress(last)
			}
			lines := strings.Split(screen.String(), "\n")
			if len(lines) != 3 || lines[0] != "$" {
				t.Fatalf("%d columns, %d rows: left is\n%s", columns, rows, screen)
			}
			if columns >= 137 && !strings.HasPrefix(lines[2], "class order, run 2 of 2 30/30s done | interactive: sent 6000 | batch-reports") {
				t.Errorf("the last line is %q", lines[2])
			}
			if screen.column != 0 || screen.row != 3 {
				t.Errorf("%d columns, %d rows: the cursor is left at line %d, column %d", columns, rows, screen.row, screen.column)
			}
		}
	}
}

func TestViewTellsOfTrouble(t *testing.T) {
	screen := &terminal{t: t, columns: 100, rows: 24}
	v := New(screen, Options{Size: screen.size, Colour: true})
	p := moment(time.Second)
	v.Progress(p)
	if got := screen.String(); !strings.Contains(got, "class order, warm-up\n") || !strings.HasSuffix(got, "\ngenerator: nothing is measured yet") {
		t.Errorf("warm-up:\n%s", got)
	}
	p = moment(10 * time.Second)
	p.Phase, p.Verdict = "crowd", loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{"requests started late"}}
	p.Classes[0].Failed, p.Classes[1].Skipped = 3, 12
	v.Progress(p)
	got := screen.String()
	for _, want := range []string{"class order, phase crowd\n", "  failed  skipped  ", "\ngenerator so far: GENERATOR-BOUND: requests started late"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if !screen.coloured {
		t.Error("it has no colours")
	}
	p = moment(31 * time.Second)
	v.Progress(p)
	if got := screen.String(); !strings.Contains(got, "class order, waiting for answers\n[========================================] 30 of 30 s; done/s, p50, p99: lately\n") {
		t.Errorf("after the last request:\n%s", got)
	}
}

// A terminal with few rows shows the first classes and how many there are more.
func TestViewOfManyClasses(t *testing.T) {
	screen := &terminal{t: t, columns: 60, rows: 10}
	p := moment(10 * time.Second)
	p.Classes = nil
	for i := range 12 {
		p.Classes = append(p.Classes, loadgen.ClassProgress{Name: fmt.Sprint("c", i)})
	}
	v := New(screen, Options{Size: screen.size})
	v.Progress(p)
	v.Progress(p)
	got := screen.String()
	if !strings.Contains(got, "\nc3 ") || strings.Contains(got, "\nc4 ") || !strings.Contains(got, "\nand 8 more\n") {
		t.Errorf("on the screen is\n%s", got)
	}
}

// A window that is made smaller gets narrower lines from the next draw on.
func TestViewFollowsTheWindow(t *testing.T) {
	screen := &terminal{t: t, columns: 120, rows: 24}
	v := New(screen, Options{Size: screen.size})
	play(v, 5*time.Second)
	screen.columns = 40
	for i := range screen.lines { // a terminal that cuts
		screen.lines[i] = screen.lines[i][:min(len(screen.lines[i]), 40)]
	}
	v.Progress(moment(6 * time.Second))
	if got := screen.String(); strings.Count(got, "class order") != 1 || !strings.Contains(got, "6 of 30 s") {
		t.Errorf("on the screen is\n%s", got)
	}
}

func TestTitle(t *testing.T) {
	for _, c := range []struct {
		opts      Options
		condition string
		want      string
	}{
		{Options{}, "run", "run"},
		{Options{Runs: 1}, "class order", "class order"},
		{Options{Scenario: "shop"}, "run", "shop"},
		{Options{Scenario: "shop"}, "class order", "shop: class order"},
		{Options{Runs: 3}, "run", "run 1 of 3"},
		{Options{Scenario: "shop", Runs: 3}, "class order", "shop: class order, run 1 of 3"},
	} {
		var b strings.Builder
		New(&b, c.opts).Progress(loadgen.Progress{Condition: c.condition, Total: time.Second})
		if want := c.want + " 0/1s\n"; b.String() != want {
			t.Errorf("wrote %q, want %q", b.String(), want)
		}
	}
}

func TestViewWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	v := New(&b, Options{Runs: 2, Colour: true})
	at := func(elapsed time.Duration, final bool) loadgen.Progress {
		p := moment(elapsed)
		p.Warmup, p.Final, p.Classes = false, final, p.Classes[1:]
		p.Classes[0].Name = "batch"
		return p
	}
	for range 2 {
		for ms := 500; ms <= 4500; ms += 500 {
			v.Progress(at(time.Duration(ms)*time.Millisecond, false))
		}
		v.Progress(at(31*time.Second, true))
	}
	want := `class order, run 1 of 2 0/30s | batch: sent 71, lately done 137/s, p50 2,000 p99 2,000 ms, shed 5
class order, run 1 of 2 2/30s | batch: sent 285, lately done 137/s, p50 2,000 p99 5,000 ms, shed 20
class order, run 1 of 2 4/30s | batch: sent 571, lately done 137/s, p50 2,000 p99 1,000 ms, shed 40
class order, run 1 of 2 30/30s done | batch: sent 4428, shed 310
`
	want += strings.ReplaceAll(want, "run 1", "run 2")
	if b.String() != want {
		t.Errorf("it wrote\n%s\nwant\n%s", b.String(), want)
	}
}
