package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// ok is a success that told nothing of a queue.
var ok = Outcome{Kind: OutcomeOK, Queue: -1}

func TestHistogramOfKnownValues(t *testing.T) {
	h := newHistogram()
	for i := 1; i <= 1000; i++ {
		h.record(time.Duration(i) * time.Millisecond)
	}
	s := h.summary()
	if s.Count != 1000 || near(s.P50, 500) || near(s.P90, 900) || near(s.P99, 990) || near(s.P999, 999) || near(s.Max, 1000) {
		t.Errorf("summary %+v", s)
	}
	curve := h.curve()
	if len(curve) != 62 || curve[0].Percentile != 0 || near(curve[0].Latency, 1) || curve[60].Percentile != 99.9 ||
		curve[61] != (CurvePoint{Percentile: 100, Latency: s.Max}) {
		t.Errorf("curve of %d points from %+v to %+v", len(curve), curve[0], curve[len(curve)-1])
	}
	var total int64
	last := Millis(0)
	for _, b := range h.distribution() {
		if b.UpTo <= last {
			t.Errorf("bucket %v after %v", b.UpTo, last)
		}
		total, last = total+b.Count, b.UpTo
	}
	if total != 1000 || last < 1000 || last > 1300 {
		t.Errorf("distribution of %d values up to %v ms", total, last)
	}
}

func TestHistogramTakesAnything(t *testing.T) {
	h := newHistogram()
	if h.curve() != nil || h.distribution() != nil || h.summary() != (Latency{}) {
		t.Error("an empty histogram has figures")
	}
	h.record(-time.Second)
	h.record(100 * time.Hour)
	if h.count() != 2 || h.quantile(1) < time.Hour {
		t.Errorf("count %d, max %v", h.count(), h.quantile(1))
	}
}

// Throughput and series go by the time of the answer, figures by the intended
// start.
func TestRecorderWindow(t *testing.T) {
	r := newRecorder(time.Second, 3*time.Second, 0, nil)
	for _, x := range []struct{ intended, at time.Duration }{
		{100 * time.Millisecond, 900 * time.Millisecond},   // all in the warm-up
		{900 * time.Millisecond, 1100 * time.Millisecond},  // from the warm-up, answered in the window
		{1200 * time.Millisecond, 1300 * time.Millisecond}, // all in the window
		{2900 * time.Millisecond, 4500 * time.Millisecond}, // answered after the window
	} {
		r.start(x.intended, x.intended)
		r.finish(&Call{intended: x.intended, started: x.intended}, ok, x.at)
	}
	got := r.result(Class{}, 2*time.Second, "")
	if got.Sent != 2 || got.OK != 2 || got.Latency.Count != 2 || got.DonePerSecond != 1 {
		t.Errorf("sent %d, ok %d, %d latencies, %v/s", got.Sent, got.OK, got.Latency.Count, got.DonePerSecond)
	}
	var done []int64
	for _, s := range got.Series {
		done = append(done, s.Done)
	}
	if fmt.Sprint(done) != "[2 0 0 1]" || near(got.Series[0].P99, 200) {
		t.Errorf("series %+v", got.Series)
	}
}

// The target chooses the reasons: they must not fill the memory.
func TestCausesAreBounded(t *testing.T) {
	r := newRecorder(0, time.Minute, 0, nil)
	for i := range 1000 {
		r.finish(&Call{}, Outcome{Kind: OutcomeShed, Cause: fmt.Sprint("reason ", i)}, 0)
		r.finish(&Call{}, Outcome{Kind: OutcomeFailed, Cause: strings.Repeat("x", 65+i)}, 0)
	}
	got := r.result(Class{}, time.Minute, "")
	if len(got.Shed) != maxCauses+1 || got.ShedTotal() != 1000 || got.Failed["other"] != 1000 {
		t.Errorf("%d reasons, %d shed, failed %v", len(got.Shed), got.ShedTotal(), got.Failed)
	}
}

func TestClassifyError(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)} }
	for _, test := range []struct {
		err  error
		want string
	}{
		{dial(syscall.ECONNREFUSED), FailConnect},
		{dial(syscall.EADDRNOTAVAIL), FailSockets},
		{dial(syscall.ETIMEDOUT), FailTimeout},
		{&net.OpError{Op: "socket", Err: os.NewSyscallError("socket", syscall.EMFILE)}, FailSockets},
		{context.DeadlineExceeded, FailTimeout},
		{fasthttp.ErrConnectionClosed, FailRead},
		{io.ErrUnexpectedEOF, FailRead},
		{errors.New("anything"), FailRead},
	} {
		if got := classifyError(test.err); got.Kind != OutcomeFailed || got.Cause != test.want {
			t.Errorf("%v: %+v, want %s", test.err, got, test.want)
		}
	}
}

// What waited for longer in a queue than it took in all is as good as not told.
func TestImpossibleQueueTimeIsNotTold(t *testing.T) {
	r := newRecorder(0, time.Minute, 0, nil)
	for _, queue := range []time.Duration{2 * time.Millisecond, time.Hour} {
		o := ok
		o.Queue = queue
		r.start(0, 0)
		r.finish(&Call{}, o, 4*time.Millisecond)
	}
	got := r.result(Class{}, time.Minute, "")
	if got.Queue.Count != 1 || got.QueueShare != 0.5 || near(got.Series[0].Queue, 2) {
		t.Errorf("%d queue times, share %v, mean of the second %v", got.Queue.Count, got.QueueShare, got.Series[0].Queue)
	}
	for _, s := range got.Slowest {
		if s.Queue > s.Service {
			t.Errorf("slowest %+v", s)
		}
	}
}

// What is shown while a run goes on counts what its report counts: the last line has
// the numbers of the table. Until something is measured, it is the warm-up.
func TestProgressCountsWhatTheReportCounts(t *testing.T) {
	r := newRecorder(time.Second, 3*time.Second, 0, nil)
	send := func(intended time.Duration) {
		r.start(intended, intended)
		r.finish(&Call{intended: intended, started: intended}, Outcome{Kind: OutcomeOK}, intended+time.Millisecond)
		r.skip(intended, 1)
	}
	send(100 * time.Millisecond)
	send(200 * time.Millisecond)
	if p := r.progress(Class{}, 500*time.Millisecond); p.Sent != 2 || p.OK != 2 || p.Skipped != 2 {
		t.Errorf("in the warm-up: %+v", p)
	}
	if p := r.progress(Class{}, time.Second); p.Sent != 0 || p.OK != 0 || p.Skipped != 0 {
		t.Errorf("at its end: %+v", p)
	}
	send(1500 * time.Millisecond)
	p, got := r.progress(Class{}, 4*time.Second), r.result(Class{}, 2*time.Second, "")
	if p.Sent != 1 || p.Sent != got.Sent || p.OK != got.OK || p.Skipped != got.Skipped {
		t.Errorf("in the end: %+v, and the report has %+v", p, got.Counts)
	}
}
