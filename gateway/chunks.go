package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
)

// chunks reads a chunked body (RFC 9112 section 7.1) up to its trailer section, which is
// left unread. It takes one reading of it alone: lines end in CRLF, and sizes have at
// most 60 bits.
type chunks struct {
	br     *bufio.Reader
	left   int64 // bytes of the present chunk
	ends   bool  // the end of a chunk is to be read before the next begins
	excess int   // bytes that were not data, beyond what comes with so much data
	err    error
}

// Read implements io.Reader. It waits for no more than it can return, and returns an
// error alone.
func (c *chunks) Read(p []byte) (n int, err error) {
	for n < len(p) && c.err == nil {
		if c.left == 0 {
			if n > 0 && !c.canBegin() {
				break
			}
			c.err = c.begin()
			continue
		}
		m, err := c.br.Read(p[n : n+int(min(int64(len(p)-n), c.left))])
		n += m
		c.left -= int64(m)
		c.ends = c.left == 0
		c.err = noEOF(err)
		if c.left > 0 {
			break
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, c.err
}

// chunkedBody is a chunked body with its trailer section, which is known when the body
// has been read.
type chunkedBody struct {
	chunks
	trailer fields
	ended   bool
	// bytesAllowed and linesAllowed bound the trailer.
	bytesAllowed, linesAllowed int
}

// Read implements io.Reader.
func (b *chunkedBody) Read(p []byte) (int, error) {
	n, err := b.chunks.Read(p)
	if err == io.EOF && !b.ended {
		b.ended = true
		if b.trailer, err = readTrailer(b.br, b.bytesAllowed, b.linesAllowed); err == nil {
			err = io.EOF
		}
		b.err = err
	}
	return n, err
}

// canBegin reports whether all that begin reads is there.
func (c *chunks) canBegin() bool {
	ahead, _ := c.br.Peek(c.br.Buffered())
	if c.ends && len(ahead) >= len(crlf) {
		ahead = ahead[len(crlf):]
	}
	return bytes.IndexByte(ahead, '\n') >= 0
}

// begin reads the end of a chunk, and the size of the next. It returns io.EOF for the
// last chunk.
func (c *chunks) begin() error {
	if c.ends {
		end, err := c.br.Peek(len(crlf))
		if err != nil {
			return noEOF(err)
		}
		if !bytes.Equal(end, crlf) {
			return errors.New("a chunk does not end where its size says")
		}
		_, _ = c.br.Discard(len(crlf)) // they are there
		c.ends = false
	}
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		return noEOF(err)
	}
	if c.left, err = chunkSize(line); err != nil {
		return err
	}
	// What is sent for no data is as much as for much data, to those who read it.
	const perChunk, allowed = 16, 16 << 10
	if c.excess = max(0, c.excess+len(line)-perChunk-2*int(min(c.left, allowed))); c.excess > allowed {
		return errors.New("the chunks are more framing than data")
	}
	if c.left == 0 {
		return io.EOF
	}
	return nil
}

// chunkSize returns the size that a line gives to the chunk behind it. What extensions
// say is for this hop, and known to nobody.
func chunkSize(line []byte) (int64, error) {
	text, ok := bytes.CutSuffix(line, crlf)
	if !ok || !isFieldValue(alias(text)) {
		return 0, errors.New("the line of a chunk's size does not end in CRLF, or has control bytes")
	}
	digits, _, _ := bytes.Cut(text, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	const most = 15 // of 4 bits each
	size, err := strconv.ParseUint(alias(digits), 16, 63)
	if err != nil || len(digits) > most {
		return 0, fmt.Errorf("%.20q is not the size of a chunk", digits)
	}
	return int64(size), nil
}

// noEOF returns err, where the end comes too early.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// behind returns what fasthttp reads a request's body from. It does not give that away,
// and its own reading of trailers takes folded lines and those that end in a bare LF,
// and tells them from no others.
func behind(stream io.Reader) *bufio.Reader {
	return (*bufio.Reader)(reflect.ValueOf(stream).Elem().FieldByName("reader").UnsafePointer())
}
