package loadgen

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// takeAll gives an answer to a new reader in pieces of at most size bytes.
func takeAll(data []byte, size int, toHead bool) (a answer, rest int, whole bool, err error) {
	a.toHead = toHead
	r := newHeaderReader()
	for begin := 0; begin < len(data); {
		end := min(begin+size, len(data))
		left, whole, err := a.take(data[begin:end], &r)
		if whole || err != nil {
			return a, len(data) - end + len(left), whole, err
		}
		begin = end
	}
	return a, 0, false, nil
}

// An answer is the same in whatever pieces it comes.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		okAnswer, okAnswer + okAnswer,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okAnswer,
		"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\nX-Sum: 5\r\n\r\n" + okAnswer,
		"HTTP/1.1 204 No Content\r\n\r\nx", "HTTP/1.0 200 OK\r\n\r\nto the end",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00", "220 smtp.example.org\r\n\r\n", "HTTP/1.1 000\r\n\r\n",
		"HTTP/1.1 503 No\r\nOvertake-Reason: queue_full\r\nServer-Timing: queue;dur=3\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(answer), uint8(1), false)
		f.Add([]byte(answer), uint8(7), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8, toHead bool) {
		a, rest, whole, err := takeAll(data, max(len(data), 1), toHead)
		b, restB, wholeB, errB := takeAll(data, max(int(size), 1), toHead)
		if whole != wholeB || whole && rest != restB || (err == nil) != (errB == nil) {
			t.Fatalf("at once: whole %v, %d left, %v; in pieces of %d: whole %v, %d left, %v", whole, rest, err, size, wholeB, restB, errB)
		}
		if err == nil && (a.size != b.size || a.last != b.last || a.stage != b.stage || a.judged() != b.judged()) {
			t.Errorf("at once %+v, in pieces of %d %+v", a, size, b)
		}
	})
}

// The reader of chunks finds the end that the one of the standard library finds.
func FuzzChunkedAnswer(f *testing.F) {
	for _, body := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\nrest", "3;a=\"b\"\r\nyou\r\n00\r\nA: b\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n",
		"5\nhello\n0\n\n", "x\r\n", "0 0\r\n\r\n", "0 ;a\r\n\r\n", "-1\r\n\r\n", "5\r\nhelloX\r\n", "ffffffffffffffff\r\n", strings.Repeat("0", 20) + "\r\n\r\n", "1 \r\na\r\n0\r\n\r\n",
	} {
		f.Add([]byte(body), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		in := bufio.NewReader(bytes.NewReader(data))
		body, err := io.ReadAll(httputil.NewChunkedReader(in))
		want := int64(len(body))
		var c chunkReader
		var n int64
		var whole bool
		var ours error
		for rest := data; len(rest) > 0 && !whole && ours == nil; {
			part := rest[:min(max(int(size), 1), len(rest))]
			rest = rest[len(part):]
			var got int64
			_, got, whole, ours = c.take(part)
			n += got
		}
		if err == nil && ours == nil && n != want {
			t.Errorf("%q: %d bytes, the standard library has %d", data, n, want)
		}
		// The standard library takes no whitespace before an extension (RFC 9112,
		// section 7.1.1), and no more than 16 digits.
		if err != nil && whole && !bytes.ContainsAny(data, " \t") && !boundedChunks(data) {
			t.Errorf("%q: whole after %d bytes, the standard library says %v", data, n, err)
		}
		if err == nil && ours != nil && !boundedChunks(data) {
			t.Errorf("%q: %v, the standard library has %d bytes", data, ours, want)
		}
	})
}

// boundedChunks reports whether the bounds of the two readers may make the difference.
func boundedChunks(data []byte) bool {
	return len(data) > longestChunkLine || bytes.Contains(data, []byte("0000"))
}

// What is no answer, or has no end, does not fill the memory.
func TestAnswersThatNeverEnd(t *testing.T) {
	for name, test := range map[string]struct{ begin, more string }{
		"header":    {"HTTP/1.1 200 OK\r\nX: ", "x"},
		"chunk":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x"},
		"trailer":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n"},
		"no status": {"HTTP/1.1 ", "0"},
	} {
		a, r := answer{}, newHeaderReader()
		_, _, err := a.take([]byte(test.begin), &r)
		for n := 0; err == nil && n <= 2*largestHeader; n += len(test.more) {
			_, _, err = a.take([]byte(test.more), &r)
		}
		if err == nil || len(a.head) > largestHeader+1 {
			t.Errorf("%s: %v, %d bytes are kept", name, err, len(a.head))
		}
	}
}
