//go:build e2e

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a request with a small body may cost in the processor, as parts of what it
// costs others, and what idle connections may hold, in MiB.
var goalProxyCPU = map[string]float64{"nginx": 1.0, "HAProxy": 1.1, "Caddy": 0.25}

const (
	goalIdle        = 150
	idleConnections = 10000
)

var (
	proxyConnections = []int{64, 1000}
	proxyBodies      = []int{100, 10 << 10, 1 << 20}
)

// manyBytes is from which size on a body's bytes cost more than its request.
const manyBytes = 1 << 20

// proxyCell is what was measured of one side with so many connections and bytes of
// body, round by round.
type proxyCell struct {
	Connections int       `json:"connections"`
	Body        int       `json:"body_bytes"`
	CPU         []float64 `json:"cpu_us_per_request"`
	Share       []float64 `json:"processor_used"` // 1: all the time
	PerSec      []float64 `json:"requests_per_second"`
	P50         []float64 `json:"p50_ms"`
	P99         []float64 `json:"p99_ms"`
	RSS         []float64 `json:"rss_mib"`
	Trouble     []string  `json:"trouble,omitempty"` // why a round is no result
}

// TestBenchProxy compares the gateway with other proxies: each on one processor, with
// the upstream and the client on another, in turns.
func TestBenchProxy(t *testing.T) {
	if os.Getenv(childOfTest) != "" {
		t.Fatal(serveBodies())
	}
	if runtime.NumCPU() < 2 {
		t.Fatal("the comparison needs two processors: one for the proxy, one for the rest")
	}
	for command, remedy := range map[string]string{
		"nginx": "apt-get install nginx", "haproxy": "apt-get install haproxy", "bin/caddy": "task setup:caddy",
	} {
		if _, err := exec.LookPath(command); err != nil {
			t.Fatalf("%s is missing: %s", command, remedy)
		}
	}
	sides := proxySides()
	upstream := startUpstream(t)
	var b strings.Builder
	t.Run("load", func(t *testing.T) {
		benchProxyLoad(t, sides, upstream)
		b.WriteString(proxyTable(sides))
		proxyPicture(t, sides)
	})
	t.Run("idle", func(t *testing.T) {
		for _, s := range sides {
			if s.Name != "HAProxy" { // wants two descriptors for each, more than there may be
				s.benchIdle(t, upstream)
			}
		}
		b.WriteString(idleTable(sides))
	})
	fmt.Print("\n" + b.String())
	saveBench(t, "proxy", b.String(), sides)
}

func benchProxyLoad(t *testing.T, sides []*proxySide, upstream string) {
	for _, s := range sides {
		s.run = s.start(t, upstream)
	}
	for _, body := range proxyBodies {
		for _, connections := range proxyConnections {
			for _, s := range sides {
				s.Cells = append(s.Cells, &proxyCell{Connections: connections, Body: body})
				s.load(t, time.Second) // warm
			}
			for round := range *benchRounds {
				for i := range sides {
					s := sides[(round+i)%len(sides)]
					cell := s.Cells[len(s.Cells)-1]
					trouble := "not measured"
					for try := 0; try < loadTries && trouble != ""; try++ {
						trouble = s.round(t, cell)
					}
					if trouble != "" {
						cell.Trouble = append(cell.Trouble, fmt.Sprintf("round %d: %s", round+1, trouble))
					}
				}
			}
		}
	}
}

// wrkFigures are what wrk prints.
type wrkFigures struct {
	requests, p50, p99 float64
	trouble            string
}

// load sends requests for so long, as fast as the cell's connections get answers.
func (s *proxySide) load(t *testing.T, turn time.Duration) wrkFigures {
	t.Helper()
	cell := s.Cells[len(s.Cells)-1]
	out, _ := tool(t, "taskset", "-c", otherCPU, "wrk", "-t1", fmt.Sprintf("-c%d", cell.Connections), fmt.Sprintf("-d%ds", int(turn.Seconds())),
		"--latency", "--timeout", "10s", "-H", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"-H", "Accept: text/html,application/xhtml+xml", "-H", "Accept-Encoding: gzip, deflate, br", fmt.Sprintf("%s/bodies/%d", s.run.url, cell.Body))
	figure := func(pattern string) float64 {
		m := regexp.MustCompile(pattern).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no %q in what wrk says\n%s", pattern, out)
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if len(m) > 2 {
			n *= map[string]float64{"us": 0.001, "ms": 1, "s": 1000}[m[2]]
		}
		return n
	}
	f := wrkFigures{requests: figure(`(\d+) requests in `), p50: figure(`50%\s+([\d.]+)(us|ms|s)`), p99: figure(`99%\s+([\d.]+)(us|ms|s)`)}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "Socket errors") || strings.Contains(line, "Non-2xx") {
			f.trouble += strings.TrimSpace(line)
		}
	}
	return f
}

// round measures the side once. A round with trouble is not noted.
func (s *proxySide) round(t *testing.T, c *proxyCell) (trouble string) {
	t.Helper()
	before, began := s.run.cpu(t), time.Now()
	f := s.load(t, *benchTurn)
	used, took := s.run.cpu(t)-before, time.Since(began)
	perSec, each := f.requests/benchTurn.Seconds(), used.Seconds()*1e6/f.requests
	fmt.Printf("%d connections, %d B: %s: %.0f/s, %.1f us each, p50 %.2f ms, p99 %.2f ms %s\n",
		c.Connections, c.Body, s.Name, perSec, each, f.p50, f.p99, f.trouble)
	if f.trouble == "" {
		c.CPU, c.Share, c.PerSec = append(c.CPU, each), append(c.Share, used.Seconds()/took.Seconds()), append(c.PerSec, perSec)
		c.P50, c.P99, c.RSS = append(c.P50, f.p50), append(c.P99, f.p99), append(c.RSS, s.run.mib(t))
	}
	return f.trouble
}

// mib returns the memory that the process has resident.
func (p proxyProgram) mib(t *testing.T) float64 {
	t.Helper()
	return float64(p.memory(t, "VmRSS")) / 1024
}

// benchIdle measures a new process's memory before and with connections that have
// had one answer each.
func (s *proxySide) benchIdle(t *testing.T, upstream string) {
	p := s.start(t, upstream)
	address := strings.TrimPrefix(p.url, "http://")
	s.Idle = append(s.Idle, p.mib(t))
	for range idleConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "GET /bodies/%d HTTP/1.1\r\nHost: idle.example\r\n\r\n", proxyBodies[0]); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(proxyBodies[0]) {
			t.Fatalf("%d bytes, error %v", n, err)
		}
	}
	s.Idle = append(s.Idle, p.mib(t))
	fmt.Printf("%d idle connections: %s: %.0f MiB, without %.0f\n", idleConnections, s.Name, s.Idle[1], s.Idle[0])
}
