package arrival

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// MaxRecorded is how many arrivals a recording may have, of all classes.
	MaxRecorded = 5_000_000
	// maxRecording is how long a recording may be.
	maxRecording = 366 * 24 * time.Hour
	// maxLine bounds a line of an access log, maxTarget a request target and
	// maxMethod a method.
	maxLine, maxTarget, maxMethod = 1 << 20, 64 << 10, 32
)

// Read reads recorded arrivals from what is either a CSV file, as [ReadCSV] reads
// it, or an access log, as [ReadAccessLog] does.
func Read(r io.Reader, class string) ([]Arrival, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	begin, err := b.Peek(4 << 10)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("arrival: %w", err)
	}
	line, _, _ := strings.Cut(string(begin), "\n")
	switch {
	case strings.HasPrefix(line, "{"), strings.HasPrefix(line, "time="):
		return ReadAccessLog(b, class)
	case commonLog.MatchString(line):
		return nil, errors.New("arrival: line 1 looks like the common or combined format of nginx and Apache, whose times are whole seconds;" +
			" want an access log of the gateway, or a CSV file with columns at, method, path, class")
	}
	return ReadCSV(b, class)
}

// commonLog is how a line of the Common Log Format begins, and of the combined one:
// host, identity, user and time.
var commonLog = regexp.MustCompile(`^\S+ \S+ .*\[\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\]`)

// recording collects what a file has about one class.
type recording struct {
	class   string // "" takes all
	entries int
	kept    []Arrival
	times   []time.Time // of kept, where those are absolute
	first   time.Time   // the earliest of all entries
	known   map[string]string
	classes map[string]bool // that there are, up to a few
}

func newRecording(class string) *recording {
	return &recording{class: class, known: make(map[string]string), classes: make(map[string]bool)}
}

// add takes an entry, of which one of since, counted from the start of the replay,
// and at, on the clock of those who recorded it, is given.
func (r *recording) add(since time.Duration, at time.Time, method, target, class string) error {
	if r.entries++; r.entries > MaxRecorded {
		return fmt.Errorf("more than %d arrivals; cut the file into parts", MaxRecorded)
	}
	if at.IsZero() && (since < 0 || since > maxRecording) {
		return fmt.Errorf("%v is not within a year after the start; count seconds from the start of the replay,"+
			" or write the times as 2006-01-02T15:04:05.000Z", since)
	}
	if !at.IsZero() && (r.first.IsZero() || at.Before(r.first)) {
		r.first = at
	}
	if len(r.classes) < 20 {
		r.classes[class] = true
	}
	if r.class != "" && class != r.class {
		return nil
	}
	if strings.ContainsFunc(method, notInMethod) || len(method) > maxMethod {
		return fmt.Errorf("method %q is not 1 to %d capital letters; write it as in GET", short(method), maxMethod)
	}
	if target != "" && (target[0] != '/' || len(target) > maxTarget || strings.ContainsFunc(target, notInTarget)) {
		return fmt.Errorf("path %q is not a path with its query; it begins with '/', has up to %d bytes,"+
			" and spaces, '#' and all but ASCII are %%-encoded", short(target), maxTarget)
	}
	r.kept = append(r.kept, Arrival{At: since, Method: r.same(method), Target: r.same(target)})
	if !at.IsZero() {
		r.times = append(r.times, at)
	}
	return nil
}

// same returns one copy of equal texts: recordings repeat them.
func (r *recording) same(text string) string {
	if known, ok := r.known[text]; ok {
		return known
	}
	text = strings.Clone(text)
	r.known[text] = text
	return text
}

// finish returns the arrivals in order.
func (r *recording) finish() ([]Arrival, error) {
	if len(r.kept) == 0 {
		if r.entries > 0 && r.class != "" {
			there := slices.Sorted(maps.Keys(r.classes))
			return nil, fmt.Errorf("arrival: no arrival of class %q; there are some of %q", r.class, there)
		}
		return nil, errors.New("arrival: no arrivals are recorded in it")
	}
	for i, at := range r.times {
		since := at.Sub(r.first)
		if since > maxRecording {
			return nil, fmt.Errorf("arrival: the arrivals from %s to %s are more than a year; cut the file into parts",
				r.first.Format(time.RFC3339), at.Format(time.RFC3339))
		}
		r.kept[i].At = since
	}
	slices.SortStableFunc(r.kept, byTime)
	return r.kept, nil
}

// short is text as errors quote it.
func short(text string) string {
	if len(text) > 80 {
		return text[:80] + "..."
	}
	return text
}

func notInMethod(r rune) bool { return r < 'A' || r > 'Z' }
func notInTarget(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }
