package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// cleanResponse makes a header that was read from an upstream fit for the
// client: hop-by-hop fields go, what an Overtake behind this one tells its own
// clients too, the protocol is ours, and one without a Date gets it (RFC 9110 section
// 6.6.1).
func cleanResponse(h *fasthttp.ResponseHeader) {
	h.ResetConnectionClose()
	h.SetProtocol([]byte("HTTP/1.1"))
	if !printable(h.StatusMessage()) {
		h.SetStatusMessage(nil) // fasthttp writes the standard one
	}
	if !cleanOrdinary(h) {
		cleanAny(h)
	}
	if h.StatusCode() == fasthttp.StatusNoContent {
		h.Del("Content-Length") // RFC 9110 section 8.6: MUST NOT
	}
	if h.StatusCode() >= fasthttp.StatusOK && !isDated(h) {
		setDate(h, time.Now())
	}
}

// setDate adds the Date. fasthttp takes none, but for its own, which would replace an
// app's: so the field is renamed where it lies.
func setDate(h *fasthttp.ResponseHeader, now time.Time) {
	const stand = "Dat-"
	h.SetBytesV(stand, fasthttp.AppendHTTPDate(nil, now))
	for name := range h.All() {
		if alias(name) == stand {
			name[len(stand)-1] = 'e'
		}
	}
}

func isDated(h *fasthttp.ResponseHeader) bool {
	for name := range h.All() {
		if strings.EqualFold(alias(name), "Date") {
			return true
		}
	}
	return false
}

// cleanOrdinary is cleanAny in one pass for what most responses are: without lines for
// this hop but Connection, which lists no fields, and Keep-Alive. It reports whether h
// is such a one, and leaves it alone otherwise.
func cleanOrdinary(h *fasthttp.ResponseHeader) bool {
	const connection = "Connection"
	var spelled [len(connection)]byte
	lines, timed := 0, false
	for name, value := range h.All() {
		switch n := alias(name); {
		case n == "Keep-Alive":
			timed = true
		case len(n) == len(connection) && strings.EqualFold(n, connection):
			v := alias(value)
			if lines > 0 && n != string(spelled[:]) || !strings.EqualFold(v, "keep-alive") && !strings.EqualFold(v, "close") {
				return false
			}
			copy(spelled[:], n)
			lines++
		case !keptByFasthttp(n) && hopByHop(n), strings.EqualFold(n, "Latency-Class"), strings.EqualFold(n, "Overtake-Reason"):
			return false
		}
	}
	if lines > 0 {
		h.DelBytes(spelled[:])
	}
	if timed {
		h.Del("Keep-Alive")
	}
	return true
}

// keptByFasthttp reports whether fasthttp has a field in its own state: the length and
// the trailer's names.
func keptByFasthttp(name string) bool {
	return strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Trailer")
}

// cleanAny drops the lines that are for this hop alone, and those of an Overtake behind
// this one.
func cleanAny(h *fasthttp.ResponseHeader) {
	var options []byte
	exposed := false
	for name, value := range h.All() {
		switch n := alias(name); {
		case strings.EqualFold(n, "Connection"):
			options = append(append(options, ','), value...)
		case strings.EqualFold(n, "Latency-Class"):
			exposed = true
		}
	}
	refused := isRefusal(h)
	var drop [][]byte
	var timings []string
	for name, value := range h.All() {
		n := alias(name)
		ours := strings.EqualFold(n, "Latency-Class") || !refused && strings.EqualFold(n, "Overtake-Reason")
		if exposed && strings.EqualFold(n, "Server-Timing") {
			ours = true
			if !isOwnTiming(alias(value)) {
				timings = append(timings, string(value))
			}
		}
		if ours || (!keptByFasthttp(n) && (hopByHop(n) || listed(alias(options), n))) {
			drop = append(drop, append([]byte(nil), name...))
		}
	}
	for _, name := range drop {
		h.DelBytes(name)
	}
	for _, value := range timings {
		h.Add("Server-Timing", value)
	}
}

// isRefusal reports whether a response is what an Overtake refuses with. An app may
// write the same: then it is the app that refuses, and nothing here counts it as a
// refusal of this hop.
func isRefusal(h *fasthttp.ResponseHeader) bool {
	known, lines := false, 0
	for name, value := range h.All() {
		if strings.EqualFold(alias(name), "Overtake-Reason") {
			_, known = details[string(value)]
			lines++
		}
	}
	return known && lines == 1 && h.StatusCode() >= 400 && strings.EqualFold(alias(h.ContentType()), problemType)
}

// keepTrailers takes names out of the line of a response that announces trailers: those
// that can't be one, for which fasthttp would refuse the response, and those that this
// hop writes in the header, which would be left out there.
func keepTrailers(line []byte) {
	_, list, _ := bytes.Cut(bytes.TrimSuffix(line, crlf), []byte(":"))
	kept := make([]byte, 0, len(list))
	for name := range bytes.SplitSeq(list, []byte(",")) {
		var probe fasthttp.ResponseHeader
		if name = bytes.Trim(name, " \t"); len(name) > 0 && !isWrittenHere(alias(name)) && probe.SetTrailerBytes(name) == nil {
			if len(kept) > 0 {
				kept = append(kept, ',')
			}
			kept = append(kept, name...)
		}
	}
	for i := copy(list, kept); i < len(list); i++ {
		list[i] = ' '
	}
}

// isWrittenHere reports whether a field of a response is for this hop to write, so that
// it can't be a trailer.
func isWrittenHere(name string) bool {
	for _, ours := range []string{"Latency-Class", "Overtake-Reason", "Server-Timing", "Via", "Date", "Server"} {
		if strings.EqualFold(name, ours) {
			return true
		}
	}
	return false
}

// isOwnTiming reports whether a line of Server-Timing is one that expose writes. With
// Latency-Class, which goes with it, that tells it from what an app measured.
func isOwnTiming(line string) bool {
	queue, upstream, more := strings.Cut(line, ", ")
	return isMetric(queue, "queue;dur=") && (!more || isMetric(upstream, "upstream;dur="))
}

func isMetric(s, prefix string) bool {
	number, ok := strings.CutPrefix(s, prefix)
	whole, thousandths, dot := strings.Cut(number, ".")
	return ok && dot && whole != "" && len(thousandths) == 3 && strings.Trim(whole+thousandths, "0123456789") == ""
}

// printable reports whether a reason phrase can be shown to people: RFC 9112 section 4
// has no control bytes in it, and what is not ASCII has no meaning.
func printable(phrase []byte) bool {
	for _, c := range phrase {
		if (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return true
}

// checkHeader waits until a whole response header can be read from br, and refuses
// what fasthttp would wait on for ever or read as something else: lines that end in a
// bare LF (RFC 9112 section 2.2 allows that), a status that is none, lines that are no
// field, and two ways of framing the body. Any other failure shows when the header is
// read, unless nothing came. What is announced as a trailer and can't be one goes. It
// reports whether the server will take another request on the connection: fasthttp sees
// "close" only alone in the last Connection field.
func checkHeader(br *bufio.Reader) (keep bool, err error) {
	checked, status := 0, false
	var framing responseFraming
	for {
		b, err := br.Peek(br.Buffered())
		if err != nil {
			return false, err
		}
		for {
			i := bytes.IndexByte(b[checked:], '\n')
			if i < 0 {
				break
			}
			line := b[checked : checked+i+1]
			checked += i + 1
			switch {
			case !bytes.HasSuffix(line, crlf):
				return false, errors.New("a line of the response's header ends without CR (RFC 9112 section 2.2)")
			case len(line) > len(crlf) && !status:
				status = true
				if err := checkStatus(line); err != nil {
					return false, err
				}
				framing.old = line[len("HTTP/1.")] == '0'
			case len(line) == len(crlf) && status:
				return framing.keep(), framing.check()
			case status:
				if err := framing.add(line); err != nil {
					return false, err
				}
			}
		}
		_, err = br.Peek(br.Buffered() + 1)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return false, nil // reading the header fails as well, and says how far it came
		case err != nil && br.Buffered() > 0 && hungUpErr(err):
			return false, io.ErrUnexpectedEOF // the server has worked on the request
		case err != nil:
			return false, err
		}
	}
}

var crlf = []byte("\r\n")

// responseFraming is what the lines of a response's header say about its body, and
// about what comes behind it.
type responseFraming struct{ old, length, coded, closes, keeps bool }

// add notes a line, which must be a field: what is folded has two readings.
func (f *responseFraming) add(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(alias(name)) {
		return fmt.Errorf("a line of the response's header is no field (RFC 9112 section 5): %.40q", line)
	}
	if strings.EqualFold(alias(name), fasthttp.HeaderTrailer) {
		keepTrailers(line)
	}
	f.length = f.length || strings.EqualFold(alias(name), fasthttp.HeaderContentLength)
	f.coded = f.coded || strings.EqualFold(alias(name), fasthttp.HeaderTransferEncoding)
	if strings.EqualFold(alias(name), fasthttp.HeaderConnection) {
		options := alias(bytes.TrimSuffix(value, crlf))
		f.closes = f.closes || listed(options, "close")
		f.keeps = f.keeps || listed(options, "keep-alive")
	}
	return nil
}

// keep reports whether the connection persists, RFC 9112 section 9.3.
func (f *responseFraming) keep() bool { return !f.closes && (!f.old || f.keeps) }

// check refuses what RFC 9112 section 6.1 calls faulty.
func (f *responseFraming) check() error {
	switch {
	case f.coded && f.length:
		return errors.New("Content-Length and Transfer-Encoding in one response (RFC 9112 section 6.1)")
	case f.coded && f.old:
		return errors.New("Transfer-Encoding in a response of HTTP/1.0 (RFC 9112 section 6.1)")
	}
	return nil
}

// checkStatus refuses a first line that is none, as whoever wrote it may wait for a
// line of ours, and status codes that are none: RFC 9110 section 15 has clients take
// them for a server's error, which is what the client gets then.
func checkStatus(line []byte) error {
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code := bytes.TrimLeft(rest, " ")
	if end := bytes.IndexAny(code, " \r"); end >= 0 {
		code = code[:end]
	}
	switch {
	case !bytes.HasPrefix(version, []byte("HTTP/1.")) || len(version) != len("HTTP/1.1") || len(code) != 3 || len(bytes.Trim(code, "0123456789")) > 0:
		return fmt.Errorf("the response is not HTTP: %.40q", line)
	case code[0] < '1' || code[0] > '5':
		return fmt.Errorf("the response's status %s is not from 100 to 599 (RFC 9110 section 15)", code)
	}
	return nil
}
