package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/valyala/fasthttp"
)

// readTrailer reads the trailer section of a chunked body, with the empty line that
// ends it. It fails with errLargeTrailer if that has more bytes or lines than are allowed.
func readTrailer(br *bufio.Reader, bytesAllowed, linesAllowed int) (fields, error) {
	var f fields
	for left := bytesAllowed; ; {
		line, err := br.ReadSlice('\n')
		left -= len(line)
		switch {
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case left < 0, errors.Is(err, bufio.ErrBufferFull), len(f) == linesAllowed && len(line) > len(crlf):
			return nil, errLargeTrailer
		case err != nil:
			return nil, err
		case !bytes.HasSuffix(line, crlf):
			return nil, errors.New("a line of the trailer ends without CR (RFC 9112 section 2.2)")
		case len(line) == len(crlf):
			return f, nil
		}
		name, value, ok := strings.Cut(string(line[:len(line)-len(crlf)]), ":")
		value = strings.Trim(value, " \t")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return nil, fmt.Errorf("a line of the trailer is no field (RFC 9112 section 5): %.40q", line)
		}
		f = append(f, field{name, value})
	}
}

// errLargeTrailer is a trailer that is larger than a header may be.
var errLargeTrailer = errors.New("the trailer is larger than a header may be")

// setTrailer makes f what fasthttp writes behind the body, in place of what was
// announced, but what can't be in a trailer (RFC 9110 section 6.5.1) and what this hop
// writes.
func setTrailer(h *fasthttp.ResponseHeader, f fields) {
	_ = h.SetTrailer("") // nothing is always good
	for i, line := range f {
		first := i == 0 || !containsName(f[:i], line.name)
		if !first || isWrittenHere(line.name) || hopByHop(line.name) || h.AddTrailer(line.name) != nil {
			continue
		}
		var value strings.Builder
		value.WriteString(line.value)
		for _, more := range f[i+1:] {
			if more.name == line.name { // fasthttp writes one line for each name
				value.WriteString(", " + more.value)
			}
		}
		h.Set(line.name, value.String())
	}
}

// containsName reports whether there is a field of the name as it is spelled.
func containsName(f fields, name string) bool {
	for i := range f {
		if f[i].name == name {
			return true
		}
	}
	return false
}

// appendTrailer appends the lines behind a chunked request body that are meant for
// the app. options are those of the request's Connection.
func (r *request) appendTrailer(head []byte, options string) ([]byte, error) {
	var probe fasthttp.RequestHeader
	for _, line := range r.bodyRead.trailer() {
		if probe.SetTrailer(line.name) != nil {
			return nil, fmt.Errorf("%.40q can't be in a trailer (RFC 9110 section 6.5.1)", line.name)
		}
		if !isWrittenHere(line.name) && !endsHere(line, options, &r.trail, false) {
			head = appendField(head, line.name, line.value)
		}
	}
	return head, nil
}

// announced returns the names that Trailer announces and appendTrailer would pass on.
func (r *request) announced(options string) string {
	list, _ := r.fields.lookup("Trailer")
	var kept []string
	for name := range strings.SplitSeq(list, ",") {
		name = strings.Trim(name, " \t")
		if name != "" && !isWrittenHere(name) && !endsHere(field{name: name}, options, &r.trail, false) {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, ", ")
}

// isToken reports whether s may be the name of a field: RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenBytes = func() (is [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		is[c] = true
	}
	return is
}()

// isFieldValue reports whether s may be the value of a field: RFC 9110 section 5.5.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
