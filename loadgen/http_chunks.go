package loadgen

import (
	"errors"
	"math"
)

// errChunk is what a connection ends with whose framing is broken.
var errChunk = errors.New("loadgen: an answer with broken chunks")

// longestChunkLine bounds the line before a chunk, with its extensions and any zeros
// before its size.
const longestChunkLine = 4 << 10

// chunkReader finds the end of a chunked body (RFC 9112, section 7.1), in whatever
// pieces it comes. The zero value takes one; it is not used for another.
type chunkReader struct {
	stage chunkStage
	left  int64 // of the chunk; while its line comes, the size so far
	digit bool  // the size has one
	blank bool  // follows the size
	line  int   // length of the line so far
	total int   // length of the trailer so far
	cr    bool  // the line ends with the next byte
}

type chunkStage uint8

const (
	chunkSize      chunkStage = iota // digits, to the end of the line or to extensions
	chunkExtension                   // to the end of the line
	chunkData
	chunkEnd     // the line break after the data
	chunkTrailer // lines, to an empty one
)

// take takes the next bytes of which n were of the body itself. When the body is whole,
// rest is what follows it.
func (c *chunkReader) take(data []byte) (rest []byte, n int64, whole bool, err error) {
	for len(data) > 0 {
		if c.stage == chunkData {
			part := min(c.left, int64(len(data)))
			c.left -= part
			n += part
			data = data[part:]
			if c.left == 0 {
				c.stage, c.line = chunkEnd, 0
			}
			continue
		}
		b := data[0]
		data = data[1:]
		if whole, err = c.step(b); whole || err != nil {
			return data, n, whole, err
		}
	}
	return nil, n, false, nil
}

// step takes one byte of what is not data.
func (c *chunkReader) step(b byte) (whole bool, err error) {
	if c.line++; c.line > longestChunkLine {
		return false, errChunk
	}
	if c.stage == chunkTrailer {
		return c.stepTrailer(b)
	}
	// A line break is CR LF, and neither of the two is anything else.
	if c.cr != (b == '\n') {
		return false, errChunk
	}
	if c.cr = b == '\r'; c.cr {
		if c.stage == chunkSize && !c.digit {
			return false, errChunk
		}
		return false, nil
	}
	switch {
	case b == '\n' && c.stage == chunkEnd:
		c.stage, c.line, c.digit, c.blank = chunkSize, 0, false, false
	case b == '\n':
		c.sized()
	case c.stage == chunkEnd:
		return false, errChunk
	case c.stage == chunkSize:
		return false, c.stepSize(b)
	}
	return false, nil
}

// stepSize takes one byte of the size of a chunk, or the first that follows it.
func (c *chunkReader) stepSize(b byte) error {
	var digit byte
	switch {
	case b >= '0' && b <= '9':
		digit = b - '0'
	case b >= 'a' && b <= 'f':
		digit = b - 'a' + 10
	case b >= 'A' && b <= 'F':
		digit = b - 'A' + 10
	case c.digit && b == ';':
		c.stage = chunkExtension
		return nil
	case c.digit && (b == ' ' || b == '\t'): // bad whitespace, to be parsed all the same
		c.blank = true
		return nil
	default:
		return errChunk
	}
	if c.blank || c.left > math.MaxInt64>>4 {
		return errChunk
	}
	c.digit = true
	c.left = c.left<<4 | int64(digit)
	return nil
}

// stepTrailer takes one byte after the last chunk. It reports whether that was the last.
func (c *chunkReader) stepTrailer(b byte) (whole bool, err error) {
	switch c.total++; {
	case c.total > largestHeader:
		return false, errChunk
	case b == '\r':
		c.line-- // a line of this only is empty
	case b == '\n':
		whole = c.line == 1
		c.line = 0
	}
	return whole, nil
}

// sized goes on after the line before a chunk.
func (c *chunkReader) sized() {
	c.line = 0
	if c.stage = chunkData; c.left == 0 {
		c.stage = chunkTrailer
	}
}
