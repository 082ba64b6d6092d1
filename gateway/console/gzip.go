package console

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"sync"
)

// gzipped is what is known of a stream of RFC 1952 that is being written. What is
// compressed in it is compressed once for all streams that it is written to: it refers
// to nothing before it, and ends at a byte.
type gzipped struct {
	crc  uint32
	size uint32
}

// gzipHead begins a stream: RFC 1952 section 2.3, without a name, a time and a system.
var gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// compressors are *flate.Writer: each has a megabyte of tables.
var compressors = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // which is a level
	return w
}}

// deflate compresses text into blocks that do not end a stream (RFC 1951 section 3.2.3).
func deflate(text []byte) []byte {
	var b bytes.Buffer
	w := compressors.Get().(*flate.Writer)
	defer compressors.Put(w)
	w.Reset(&b)
	_, _ = w.Write(text) // into memory
	_ = w.Flush()
	return b.Bytes()
}

// add counts text, of which what deflate returned is written.
func (g *gzipped) add(text []byte) {
	g.crc = crc32.Update(g.crc, crc32.IEEETable, text)
	g.size += uint32(len(text))
}

// end is the end of the stream: an empty block, the last one, and RFC 1952 section 2.3.1.
func (g *gzipped) end() []byte {
	end := []byte{1, 0, 0, 0xff, 0xff}
	end = binary.LittleEndian.AppendUint32(end, g.crc)
	return binary.LittleEndian.AppendUint32(end, g.size)
}
