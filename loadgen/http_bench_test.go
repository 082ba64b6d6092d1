package loadgen

import (
	"testing"
	"time"

	"overtake/loadgen/content"
)

// silent is a connection that takes everything.
type silent struct{}

func (silent) write([]byte, *httpContent) (bool, error) { return true, nil }
func (silent) catchUp()                                 {}
func (silent) close()                                   {}

// BenchmarkRequest is what a request costs here, beside its system calls and its figures:
// with so many others on their way.
func BenchmarkRequest(b *testing.B) {
	const others = 1000
	s := &httpSender{target: target{host: "127.0.0.1:8080"}}
	p := newPool(s, &loop{base: time.Now()}, Connections{})
	class := Class{Name: "a"}
	request := &content.Request{Method: "GET", Target: "/work?ms=5"}
	var conns []*conn
	for range others {
		c := &conn{pool: p, stream: silent{}}
		p.conns[c] = struct{}{}
		p.release(c)
		conns = append(conns, c)
	}
	call := NewCall("a/1", &class, request, time.Minute, func(*Call, Outcome) {}, nil)
	for range others - 1 {
		p.send(call)
	}
	answer := []byte(okAnswer)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.send(call)
		conns[i%others].received(answer, nil)
	}
}
