//go:build e2e

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// answered is how an answer begins.
func answered(status int) string { return fmt.Sprintf("HTTP/1.1 %d ", status) }

const (
	getA     = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
	postA    = "POST /a HTTP/1.1\r\nHost: a\r\n"
	chunkedA = postA + "Transfer-Encoding: chunked\r\n\r\n"
)

// says sends text at once.
func says(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) { _, _ = io.WriteString(c, text) } // it may be refused meanwhile
}

// goesOn sends text, and then more until the gateway has had enough, with a pause
// after each.
func goesOn(text, more string, pause time.Duration) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, err := io.WriteString(c, text)
		for err == nil {
			time.Sleep(pause) // this is how it attacks
			_, err = io.WriteString(c, more)
		}
	}
}

// resets sends text and leaves without a goodbye.
func resets(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, text)
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// halfCloses sends text and says that nothing more comes.
func halfCloses(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, text)
		_ = c.CloseWrite()
	}
}

// attacks are those of TestE2EHostileClients.
var attacks = []attack{
	{name: "says nothing", does: says("")},
	{name: "header byte by byte", does: goesOn("GET / HTTP/1.1\r\nX: ", "x", 50*time.Millisecond), sees: answered(408)},
	{name: "header line by line", does: goesOn("GET / HTTP/1.1\r\nHost: a\r\n", "X: 1\r\n", 100*time.Millisecond), sees: answered(408)},
	{name: "header without end", does: goesOn("GET / HTTP/1.1\r\nHost: a\r\n", strings.Repeat("X: 1\r\n", 1000), 0), sees: answered(431)},
	{name: "header of 1 MiB", does: says("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), sees: answered(431)},
	{name: "10,000 fields", does: says("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X:\r\n", 10_000) + "\r\n"), sees: answered(431)},
	{name: "101 fields", does: says("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X:\r\n", 100) + "\r\n"), sees: answered(431)},
	{name: "target of 1 MiB", does: says("GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: a\r\n\r\n"), sees: answered(431)},
	{name: "garbage", does: func(c *net.TCPConn) {
		text := make([]byte, 64<<10)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(text)
		_, _ = c.Write(text)
	}, sees: answered(400)},
	{name: "HTTP/2", does: says("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"), sees: answered(400)},
	{name: "TLS where there is none", does: says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 600) + "\r\n\r\n"), sees: answered(400)},

	{name: "body that never comes", does: says(postA + "Content-Length: 1000000\r\n\r\n"), sees: answered(408)},
	{name: "small body that never comes", does: says(postA + "Content-Length: 10\r\n\r\n"), sees: answered(408)},
	{name: "body that is asked for and never comes", does: says(postA + "Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"), sees: answered(100)},
	{name: "body byte by byte", does: goesOn(postA+"Content-Length: 1000000\r\n\r\n", "x", 100*time.Millisecond), sees: answered(408)},
	{name: "chunks byte by byte", does: goesOn(chunkedA, "1\r\nx\r\n", 100*time.Millisecond), sees: answered(408)},
	{name: "chunks without end", does: goesOn(chunkedA, "4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 0), sees: answered(413)},
	{name: "chunks of one byte without end", does: goesOn(chunkedA, strings.Repeat("1\r\nx\r\n", 1000), 0), sees: "HTTP/1.1 "},
	{name: "chunk that is not there", does: says(chunkedA + "ffffff\r\nx"), sees: answered(408)},
	{name: "empty chunks", does: says(chunkedA + strings.Repeat("0\r\n", 100_000)), sees: answered(400)},
	{name: "chunk extension of 1 MiB", does: says(chunkedA + "1;" + strings.Repeat("x", 1<<20) + "\r\nx\r\n0\r\n\r\nGET\r\n\r\n"), sees: "HTTP/1.1 "},
	{name: "chunk extension without end", does: goesOn(chunkedA+"1;", strings.Repeat("x", 1000), time.Millisecond), sees: "HTTP/1.1 4"},
	{name: "chunk size without end", does: goesOn(chunkedA, "0", 0), sees: answered(400)},
	{name: "trailers of 1 MiB", does: says(chunkedA + "1\r\nx\r\n0\r\n" + strings.Repeat("X: "+strings.Repeat("x", 100)+"\r\n", 10_000) + "\r\n"), sees: "HTTP/1.1 4"},
	{name: "trailer that never ends", does: goesOn(chunkedA+"1\r\nx\r\n0\r\nX: ", "x", 100*time.Millisecond), sees: answered(408)},
	{name: "length beyond numbers", does: says(postA + "Content-Length: 99999999999999999999999999\r\n\r\nx"), sees: answered(400)},
	{name: "length beyond the limit", does: says(postA + "Content-Length: 1000000000000\r\n\r\nx"), sees: answered(413)},
	{name: "half a body, and then the end", does: halfCloses(postA + "Content-Length: 100000\r\n\r\nhalf"), sees: answered(400)},
	{name: "half a header, and then the end", does: halfCloses("GET / HTTP/1.1\r\nHost: a\r\n"), sees: "HTTP/1.1 4"},

	{name: "leaves in the header", does: resets("GET / HTTP/1.1\r\nHost: a\r\n"), deaf: true},
	{name: "leaves in the body", does: resets(postA + "Content-Length: 1000000\r\n\r\nhalf"), deaf: true},
	{name: "leaves in the answer", does: resets("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"), deaf: true},
	{name: "leaves in 1,000 requests", does: resets(strings.Repeat(getA, 1000)), deaf: true},
	{name: "comes and goes", does: func(c *net.TCPConn) {
		for range 200 {
			if again, err := net.Dial("tcp", c.RemoteAddr().String()); err == nil {
				_ = again.Close()
			}
		}
	}, deaf: true},

	{name: "never reads", does: says("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"), deaf: true},
	{name: "never reads 10,000 answers", does: says(strings.Repeat(getA, 10_000)), deaf: true},
	{name: "reads byte by byte", does: func(c *net.TCPConn) {
		_ = c.SetReadBuffer(1)
		_, err := io.WriteString(c, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
		for n := 0; n < 500 && err == nil; n++ {
			_, err = c.Read(make([]byte, 1))
			time.Sleep(10 * time.Millisecond) // this is how it attacks
		}
	}, deaf: true},
	{name: "1,000 requests at once", does: says(strings.Repeat(getA, 1000)), sees: answered(200), times: 1000},
	{name: "stays after a request", does: says(getA), sees: answered(200), times: 1},

	{name: "half a handshake", on: "tls", does: says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
	{name: "a handshake byte by byte", on: "tls", does: goesOn("\x16\x03\x01\x02\x00\x01\x00", "\x00", 50*time.Millisecond)},
	{name: "a handshake and nothing more", on: "tls", does: func(c *net.TCPConn) {
		_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
	}, deaf: true},
	{name: "HTTP to TLS", on: "tls", does: says(getA)},
	{name: "half a PROXY line", on: "proxied", does: says("PROXY TCP4 203.0.113.7")},
	{name: "a PROXY line byte by byte", on: "proxied", does: goesOn("PROXY", " ", 100*time.Millisecond)},
	{name: "a PROXY header of 64 KiB", on: "proxied", does: says("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + strings.Repeat("x", 65535))},
	{name: "a PROXY header and half a request", on: "proxied", does: says("PROXY UNKNOWN\r\nGET / HT"), sees: answered(408)},
	{name: "more connections than allowed", on: "few", does: says(getA), sees: "HTTP/1.1 "},
}
