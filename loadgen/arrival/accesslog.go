package arrival

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// logEntry is what a line of an access log tells about an arrival.
type logEntry struct {
	Time   time.Time `json:"time"` // of the end
	Total  *float64  `json:"total_ms"`
	Method string    `json:"method"`
	Target string    `json:"target"`
	Class  string    `json:"class"`
}

// ReadAccessLog reads the arrivals of an access log of the gateway, in the format
// json or text. A line has the time at which its request ended and how long that
// took, so the arrival is the one less the other. The earliest of the file is time
// 0. class, if it is not empty, selects arrivals; those of other classes count for
// the earliest all the same, so that the classes of one log keep in step.
//
// Left out are lines about what was no request, and requests that can't be repeated:
// CONNECT, OPTIONS *, methods that are not in capital letters, and what was asked of
// the gateway itself, such as how a job is doing. What a target
// should have had %-encoded is. An error names the line and the remedy.
func ReadAccessLog(r io.Reader, class string) ([]Arrival, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	rec := newRecording(class)
	n := 1
	for ; lines.Scan(); n++ {
		line := lines.Bytes()
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		var entry logEntry
		var err error
		if line[0] == '{' {
			err = entry.fromJSON(line)
		} else {
			err = entry.fromText(lines.Text())
		}
		if err == nil {
			err = rec.addEntry(entry)
		}
		if err != nil {
			return nil, fmt.Errorf("arrival: line %d: %w", n, err)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("arrival: line %d: longer than %d bytes; is it an access log?", n, maxLine)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("arrival: line %d: %w", n, err)
	}
	return rec.finish()
}

// addEntry adds a line, if it is about a request that can be repeated.
func (r *recording) addEntry(e logEntry) error {
	if e.Method == "" && e.Target == "" && e.Total == nil && !e.Time.IsZero() {
		return nil // what could not be read as a request
	}
	if e.Time.IsZero() || e.Total == nil || e.Method == "" || e.Target == "" {
		return errors.New("not a line with time, method, target and total_ms; want an access log of the gateway")
	}
	if total := *e.Total; !(total >= 0 && total <= float64(maxRecording.Milliseconds())) {
		return fmt.Errorf("total_ms is %v, want 0 or more, and less than a year", total)
	}
	if e.Time.Year() < 1971 {
		return fmt.Errorf("time %s is before 1971; want an access log of the gateway", e.Time.Format(time.RFC3339))
	}
	if e.Method == "CONNECT" || e.Target == "*" || strings.ContainsFunc(e.Method, notInMethod) || len(e.Method) > maxMethod {
		return nil
	}
	if e.Target[0] != '/' { // RFC 9112 section 3.2.2: proxies are sent the absolute form
		u, err := url.Parse(e.Target)
		if err != nil || u.Host == "" {
			return fmt.Errorf("target %q is neither a path nor a URL", short(e.Target))
		}
		e.Target = u.RequestURI()
	}
	if strings.HasPrefix(e.Target, ownPrefix) {
		return nil
	}
	e.Target = encoded(e.Target)
	took := time.Duration(math.Round(*e.Total * float64(time.Millisecond)))
	return r.add(0, e.Time.Add(-took), e.Method, e.Target, e.Class)
}

// ownPrefix is what the gateway answers itself: its jobs are others by now.
const ownPrefix = "/_overtake/"

// encoded returns a target with what it may not have %-encoded (RFC 3986, section
// 2.1): anybody can send anything, and it is in the log as it came.
func encoded(target string) string {
	if !strings.ContainsFunc(target, notInTarget) {
		return target
	}
	var b strings.Builder
	for i := range len(target) {
		if c := target[i]; notInTarget(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (e *logEntry) fromJSON(line []byte) error {
	err := json.Unmarshal(line, e)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not a JSON object (%w); was the line cut off?", err)
	case err != nil:
		return fmt.Errorf("%w; want an access log of the gateway", err)
	}
	return nil
}

// fromText reads name=value pairs as slog writes them.
func (e *logEntry) fromText(line string) error {
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeft(rest, " ") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok || strings.Contains(name, " ") {
			return fmt.Errorf("%q is not name=value; want an access log of the gateway", short(rest))
		}
		value, after, err := textValue(after)
		if err != nil {
			return fmt.Errorf("%s: %w", short(name), err)
		}
		if err := e.set(name, value); err != nil {
			return fmt.Errorf("%s is %q: %w", name, short(value), err)
		}
		rest = after
	}
	return nil
}

// textValue cuts a value from the front of text.
func textValue(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, _ = strings.Cut(text, " ")
		return value, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", errors.New("its quotes don't end; was the line cut off?")
	}
	value, err = strconv.Unquote(quoted)
	return value, text[len(quoted):], err
}

func (e *logEntry) set(name, value string) (err error) {
	switch name {
	case "time":
		e.Time, err = time.Parse(time.RFC3339, value)
	case "total_ms":
		var total float64
		total, err = strconv.ParseFloat(value, 64)
		e.Total = &total
	case "method":
		e.Method = value
	case "target":
		e.Target = value
	case "class":
		e.Class = value
	}
	return err
}
