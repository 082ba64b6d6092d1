package arrival

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadCSV(t *testing.T) {
	for name, test := range map[string]struct {
		text, class string
		want        []Arrival
	}{
		"seconds": {"at,method,path,class\n0.5,GET,/b?x=1,interactive\n0.25,POST,/a,batch\n", "", []Arrival{
			{250 * time.Millisecond, "POST", "/a"}, {500 * time.Millisecond, "GET", "/b?x=1"}}},
		"class": {"class,at\nbatch,1\ninteractive,2.000000001\n", "interactive", []Arrival{{At: 2*time.Second + 1}}},
		"times": {"at,path,class\n2026-01-02T10:00:01.5+01:00,/b,batch\n2026-01-02T09:00:00Z,/a,interactive\n", "batch", []Arrival{
			{At: 1500 * time.Millisecond, Target: "/b"}}},
		"excel": {"\ufeffat, path\r\n0, \"/a,b\"\r\n", "", []Arrival{{Target: "/a,b"}}},
		"plain": {"at\n3\n1\n", "", []Arrival{{At: time.Second}, {At: 3 * time.Second}}},
	} {
		got, err := ReadCSV(strings.NewReader(test.text), test.class)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
}

func TestReadCSVMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "arrival: the file is empty; its first line names the columns: at,method,path,class",
		"at\n":                          "arrival: no arrivals are recorded in it",
		"when,path\n":                   `arrival: line 1: "when" is not a column; the first line names them: at, method, path, class`,
		"at,at\n":                       `arrival: line 1: column "at" is there twice; keep one of them`,
		"path\n":                        "arrival: line 1: no column at; it has the time of the arrival, in seconds or as 2006-01-02T15:04:05Z",
		"at,path\n1,/a\n2\n":            "arrival: line 3: not as many fields as the first line names; empty ones need their comma",
		"at,path\n1,\"/a\n":             "arrival: line 2: extraneous or missing \" in quoted-field; put a field with a quote or a comma in quotes, and double its quotes",
		"at\nnoon\n":                    `arrival: line 2: at "noon" is no time; write seconds such as 0.25, or 2006-01-02T15:04:05.25Z`,
		"at\n1767344400\n":              `arrival: line 2: at "1767344400" is not within a year after the start; count seconds from the start of the replay, or write a time such as 2006-01-02T15:04:05.25Z`,
		"at\n-1\n":                      "arrival: line 2: -1s is not within a year after the start; count seconds from the start of the replay, or write the times as 2006-01-02T15:04:05.000Z",
		"at\n1\n2026-01-02T09:00:00Z\n": "arrival: line 3: seconds and times of day are mixed; write the same in all rows",
		"at,method\n1,get\n":            `arrival: line 2: method "get" is not 1 to 32 capital letters; write it as in GET`,
		"at,path\n1,products\n":         `arrival: line 2: path "products" is not a path with its query; it begins with '/', has up to 65536 bytes, and spaces, '#' and all but ASCII are %-encoded`,
		"at\n2024-01-02T09:00:00Z\n2026-01-02T09:00:00Z\n": "arrival: the arrivals from 2024-01-02T09:00:00Z to 2026-01-02T09:00:00Z are more than a year; cut the file into parts",
	} {
		_, err := ReadCSV(strings.NewReader(text), "")
		if err == nil || err.Error() != want {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		}
	}
	_, err := ReadCSV(strings.NewReader("at\n1\n"), "batch")
	if err == nil || !strings.Contains(err.Error(), "no column class") {
		t.Errorf("class without a column: %v", err)
	}
	_, err = ReadCSV(strings.NewReader("at,class\n1,batch\n2,interactive\n"), "standard")
	if err == nil || err.Error() != `arrival: no arrival of class "standard"; there are some of ["batch" "interactive"]` {
		t.Errorf("class that is not there: %v", err)
	}
}

// What nginx and Apache log is no CSV file, and is not told what to quote.
func TestReadCommonLog(t *testing.T) {
	const want = "arrival: line 1 looks like the common or combined format of nginx and Apache, whose times are whole seconds;" +
		" want an access log of the gateway, or a CSV file with columns at, method, path, class"
	for _, line := range []string{
		`203.0.113.9 - - [22/Nov/2026:12:26:05 +0000] "GET /products/7?page=2 HTTP/1.1" 200 2326 "-" "curl/8.5.0"` + "\n",
		`::1 - frank [02/Jan/2026:01:02:03 -0700] "POST / HTTP/1.0" 201 0`,
		`203.0.113.9 - Frank Miller [02/Jan/2026:01:02:03 -0700] "GET / HTTP/1.0" 200 1`,
	} {
		if _, err := Read(strings.NewReader(line), ""); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", line, err, want)
		}
	}
	if got, err := Read(strings.NewReader("at,path\n1,\"/a - - [22/Nov/2026:12:26:05 +0000]\"\n"), ""); err == nil || strings.Contains(err.Error(), "nginx") {
		t.Errorf("a CSV file: %v, %v", got, err)
	}
}

// logLines writes lines as the gateway does.
func logLines(t testing.TB, text bool, write func(line func(at time.Time, attributes ...any))) string {
	var out bytes.Buffer
	o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey || a.Key == slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}
	var h slog.Handler = slog.NewJSONHandler(&out, o)
	if text {
		h = slog.NewTextHandler(&out, o)
	}
	write(func(at time.Time, attributes ...any) {
		r := slog.NewRecord(at, slog.LevelInfo, "", 0)
		r.Add(attributes...)
		if err := h.Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	})
	return out.String()
}

// A log has its lines by the end of requests, and the arrivals by their beginning.
func TestReadAccessLog(t *testing.T) {
	start := time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)
	write := func(line func(at time.Time, attributes ...any)) {
		entry := func(ended time.Duration, took float64, class, method, target string) {
			line(start.Add(ended), "client", "127.0.0.1:1234", "listener", "public", "method", method, "host", "shop.example",
				"target", target, "status", 200, "class", class, "rule", "", "total_ms", took, "user_agent", `a "b" c=d`)
		}
		entry(900*time.Millisecond, 100, "interactive", "GET", "/quick")
		line(start.Add(time.Second), "client", "127.0.0.1:1", "listener", "public", "status", 400, "reason", "bad_request")
		entry(2*time.Second, 1999.5, "batch", "POST", `/slow?q="a b"`)
		entry(3*time.Second, 1000, "interactive", "GET", "http://shop.example/whole?x=1")
		entry(3*time.Second, 10, "interactive", "CONNECT", "shop.example:443")
		entry(3*time.Second, 10, "interactive", "OPTIONS", "*")
		entry(3*time.Second, 10, "interactive", "get", "/small")
		entry(3*time.Second, 2900, "", "GET", "/_overtake/jobs/0123")
		entry(4*time.Second, 0, "interactive", "GET", "/\x01é#")
	}
	all := []Arrival{
		{0, "POST", `/slow?q="a%20b"`},
		{799500 * time.Microsecond, "GET", "/quick"},
		{1999500 * time.Microsecond, "GET", "/whole?x=1"},
		{3999500 * time.Microsecond, "GET", "/%01%C3%A9%23"},
	}
	for _, text := range []bool{false, true} {
		log := logLines(t, text, write)
		got, err := Read(strings.NewReader(log), "")
		if err != nil || !slices.Equal(got, all) {
			t.Errorf("text %t: %+v, %v; want\n%+v\n%s", text, got, err, all, log)
		}
		got, err = Read(strings.NewReader(log), "interactive")
		if err != nil || !slices.Equal(got, all[1:]) {
			t.Errorf("text %t, interactive: %+v, %v; want\n%+v", text, got, err, all[1:])
		}
	}
}

func TestReadAccessLogMistakes(t *testing.T) {
	const good = `{"time":"2026-01-02T09:00:00Z","method":"GET","target":"/","class":"batch","total_ms":1}` + "\n"
	for text, want := range map[string]string{
		"":                                     "arrival: no arrivals are recorded in it",
		good + `{"time":"20`:                   "arrival: line 2: not a JSON object (unexpected end of JSON input); was the line cut off?",
		good + "\n" + "hello":                  `arrival: line 3: "hello" is not name=value; want an access log of the gateway`,
		`{"a":1}`:                              "arrival: line 1: not a line with time, method, target and total_ms; want an access log of the gateway",
		`time=2026-01-02T09:00:00Z method="GE`: "arrival: line 1: method: its quotes don't end; was the line cut off?",
		`time=noon`:                            `arrival: line 1: time is "noon": parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006"`,
		`{"time":"1907-01-02T09:00:00Z","method":"GET","target":"/","total_ms":1}`:  "arrival: line 1: time 1907-01-02T09:00:00Z is before 1971; want an access log of the gateway",
		`{"time":"2026-01-02T09:00:00Z","method":"GET","target":"/","total_ms":-1}`: "arrival: line 1: total_ms is -1, want 0 or more, and less than a year",
		`{"time":"2026-01-02T09:00:00Z","method":"GET","target":"x","total_ms":1}`:  `arrival: line 1: target "x" is neither a path nor a URL`,
		good + strings.Repeat("x", maxLine+1):                                       fmt.Sprintf("arrival: line 2: longer than %d bytes; is it an access log?", maxLine),
	} {
		_, err := ReadAccessLog(strings.NewReader(text), "")
		if err == nil || err.Error() != want {
			t.Errorf("%.100q\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// What is read makes a plan that can be opened, and errors name their package.
func checkRead(t *testing.T, arrivals []Arrival, err error) {
	if err != nil {
		if !strings.HasPrefix(err.Error(), "arrival: ") {
			t.Fatalf("error %q", err)
		}
		return
	}
	plan := Plan{Replay: Replay{Arrivals: arrivals}}
	if err := plan.Check(); err != nil {
		t.Fatal(err)
	}
	for _, a := range arrivals {
		if a.At > maxRecording || a.Target != "" && a.Target[0] != '/' || strings.ContainsFunc(a.Target, notInTarget) || strings.ContainsFunc(a.Method, notInMethod) {
			t.Fatalf("%+v", a)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("at,method,path,class\n0.5,GET,/b?x=1,interactive\n0.25,POST,/a,batch\n", "")
	f.Add("at\n2026-01-02T10:00:01.5+01:00\n", "")
	f.Add("class,at\nbatch,-0\n", "batch")
	f.Fuzz(func(t *testing.T, text, class string) {
		arrivals, err := ReadCSV(strings.NewReader(text), class)
		checkRead(t, arrivals, err)
	})
}

func FuzzReadAccessLog(f *testing.F) {
	for _, text := range []bool{false, true} {
		f.Add(logLines(f, text, func(line func(at time.Time, attributes ...any)) {
			line(time.Unix(1.8e9, 0), "method", "GET", "target", "/a b", "class", "x y", "total_ms", 1.5)
		}), "")
	}
	f.Fuzz(func(t *testing.T, text, class string) {
		arrivals, err := ReadAccessLog(strings.NewReader(text), class)
		checkRead(t, arrivals, err)
	})
}

// endless is a row that does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestReadCSVEndlessRow(t *testing.T) {
	for _, begin := range []string{"", "at\n1\n", "at\n\""} {
		_, err := ReadCSV(io.MultiReader(strings.NewReader(begin), endless{}), "")
		if err == nil || !strings.Contains(err.Error(), "a row is longer than 1048576 bytes") {
			t.Errorf("after %q: %v", begin, err)
		}
	}
}
