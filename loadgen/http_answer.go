package loadgen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/valyala/fasthttp"
)

const (
	// readBuffer is read at a time.
	readBuffer = 64 << 10
	// largestHeader is the largest response header that is read.
	largestHeader = 64 << 10
)

// answer is one answer while it comes, in whatever pieces. The zero value takes one; it
// is not used for another.
type answer struct {
	toHead bool // of a request with the method HEAD
	job    bool // the request posts a job
	// success are the statuses that are one; nil is 2xx.
	success []Statuses

	stage   stage
	head    []byte // of a header that has not come whole
	left    int64  // of the body in stageBody
	chunks  chunkReader
	size    int64 // of the body so far, without the framing
	outcome Outcome
	last    bool // none follows it on its connection
}

// stage is the part of an answer that comes next.
type stage uint8

const (
	stageHeader stage = iota
	stageBody         // of a known length
	stageChunks
	stageToEnd // of the connection
)

// errNoStatus is what a connection ends with whose answer is none of HTTP/1.
var errNoStatus = errors.New("loadgen: an answer without a status line of HTTP/1")

// errLargeHeader is what a connection ends with whose header is above largestHeader.
var errLargeHeader = errors.New("loadgen: an answer with a header of over 64 KiB")

// take takes the next bytes. When the answer is whole, rest is what follows it.
func (a *answer) take(data []byte, r *headerReader) (rest []byte, whole bool, err error) {
	for a.stage == stageHeader {
		if data, whole, err = a.takeHeader(data, r); whole || err != nil || a.stage == stageHeader && len(data) == 0 {
			return data, whole, err
		}
	}
	switch a.stage {
	case stageChunks:
		rest, n, whole, err := a.chunks.take(data)
		a.size += n
		return rest, whole, err
	case stageToEnd:
		a.size += int64(len(data))
		return nil, false, nil
	default:
		n := min(a.left, int64(len(data)))
		a.left -= n
		a.size += n
		return data[n:], a.left == 0, nil
	}
}

// takeHeader takes data up to the end of one header. An interim one (RFC 9110, section
// 15.2) is followed by another.
func (a *answer) takeHeader(data []byte, r *headerReader) (rest []byte, whole bool, err error) {
	block, rest, complete := a.cutHeader(data)
	// The library takes any version, and the status 000 for 200.
	if len(block) >= len("HTTP/1.1 2") && (string(block[:7]) != "HTTP/1." || block[9] < '1' || block[9] > '9') {
		return nil, false, errNoStatus
	}
	switch {
	case len(block) > largestHeader:
		return nil, false, errLargeHeader
	case !complete:
		return nil, false, nil
	}
	h, err := r.read(block)
	if err != nil {
		return nil, false, fmt.Errorf("loadgen: an answer with a broken header: %w", err)
	}
	a.head = a.head[:0]
	if status := h.StatusCode(); status >= 200 || status == fasthttp.StatusSwitchingProtocols {
		a.last = lastOnConnection(block)
		whole = a.begin(h)
	}
	return rest, whole, nil
}

// cutHeader returns the header so far, and what follows it if it is complete.
func (a *answer) cutHeader(data []byte) (block, rest []byte, complete bool) {
	if len(a.head) == 0 {
		if end := headerEnd(data, 0); end > 0 {
			return data[:end], data[end:], true
		}
		a.head = append(a.head, data...)
		return a.head, nil, false
	}
	before := len(a.head)
	a.head = append(a.head, data...)
	if end := headerEnd(a.head, max(before-2, 0)); end > 0 {
		return a.head[:end], data[end-before:], true
	}
	return a.head, nil, false
}

// headerEnd returns where the header ends that b begins with: after the first empty
// line. from is where to begin to look. It returns -1 if the end is not in b.
func headerEnd(b []byte, from int) int {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		switch after := b[from:]; {
		case len(after) > 0 && after[0] == '\n':
			return from + 1
		case len(after) > 1 && after[0] == '\r' && after[1] == '\n':
			return from + 2
		}
	}
}

// begin judges the answer by its header, and tells how its body ends (RFC 9112, section
// 6.3). It reports whether there is none.
func (a *answer) begin(h *fasthttp.ResponseHeader) (whole bool) {
	a.outcome = judgeAnswer(h, a.job, a.success)
	status, length := h.StatusCode(), h.ContentLength()
	a.last = a.last || status == fasthttp.StatusSwitchingProtocols
	switch {
	case a.toHead || status < 200 || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified || length == 0:
		return true
	case length > 0:
		a.stage, a.left = stageBody, int64(length)
	case length == -1:
		a.stage = stageChunks
	default:
		a.stage, a.left, a.last = stageToEnd, math.MaxInt64, true
	}
	return false
}

// lastOnConnection reports whether a header says that its connection ends after the answer
// (RFC 9112, section 9.3). The library says so of every answer without a length, also of
// those to HEAD, and takes the field for one option.
func lastOnConnection(block []byte) bool {
	oneShot, keep := bytes.HasPrefix(block, []byte("HTTP/1.0")), false
	for line := range bytes.Lines(block) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, []byte(fasthttp.HeaderConnection)) {
			continue
		}
		for option := range bytes.SplitSeq(value, []byte(",")) {
			option = bytes.TrimSpace(option)
			if bytes.EqualFold(option, []byte("close")) {
				return true
			}
			keep = keep || bytes.EqualFold(option, []byte("keep-alive"))
		}
	}
	return oneShot && !keep
}

// endsWithConnection reports whether the end of the connection is that of the answer.
func (a *answer) endsWithConnection() bool { return a.stage == stageToEnd }

// judged returns the outcome of an answer that is whole.
func (a *answer) judged() Outcome {
	o := a.outcome
	o.Bytes = a.size
	return o
}

// judgeAnswer says what a complete answer with this header means.
func judgeAnswer(h *fasthttp.ResponseHeader, job bool, success []Statuses) Outcome {
	status := h.StatusCode()
	var o Outcome
	if status/100 == 2 {
		o = classifyStatus(status, "", job, success)
	} else {
		o = classifyStatus(status, string(h.Peek(HeaderReason)), job, success)
	}
	if job && o.Kind == OutcomeOK {
		o.Location = string(h.Peek(fasthttp.HeaderLocation))
	}
	for _, field := range h.PeekAll(headerServerTiming) {
		if o.Queue = queueTime(string(field)); o.Queue >= 0 {
			break
		}
	}
	return o
}

// headerReader reads headers that have come whole. One serves many connections.
type headerReader struct {
	block  *bytes.Reader
	in     *bufio.Reader
	header fasthttp.ResponseHeader
}

func newHeaderReader() headerReader {
	block := bytes.NewReader(nil)
	return headerReader{block: block, in: bufio.NewReaderSize(block, largestHeader)}
}

// read returns the header in block. It is valid until the next.
func (r *headerReader) read(block []byte) (*fasthttp.ResponseHeader, error) {
	r.block.Reset(block)
	r.in.Reset(r.block)
	err := r.header.Read(r.in)
	if reason := errors.Unwrap(err); reason != nil {
		err = reason // what is around it has the whole header
	}
	return &r.header, err
}
