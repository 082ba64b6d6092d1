package socket

import (
	"testing"
	"time"
)

// BenchmarkSet measures what it costs that a connection's class changes, by what
// the classes name.
func BenchmarkSet(b *testing.B) {
	other, own := offeredHere(b)
	for _, bc := range []struct {
		name string
		one  Options
		two  Options
	}{
		{"priority", Options{Priority: new(6)}, Options{}},
		{"dscp+priority", Options{DSCP: new(18), Priority: new(6)}, Options{}},
		{"mark", Options{Mark: new(uint32(1))}, Options{}},
		{"congestion", Options{Congestion: other}, Options{Congestion: own}},
		{"notsent_lowat", Options{NotSentLowat: 16 << 10}, Options{}},
		{"max_pacing_rate", Options{MaxPacingRate: 1 << 20}, Options{}},
		{"user_timeout", Options{UserTimeout: time.Minute}, Options{}},
		{"all", Options{
			Priority: new(6), DSCP: new(18), Mark: new(uint32(1)), Congestion: other, NotSentLowat: 16 << 10, MaxPacingRate: 1 << 20, UserTimeout: time.Minute,
		}, Options{}},
	} {
		for _, k := range []int{0, 2} { // an IPv6 socket has two options for the code point
			b.Run(bc.name+"/"+kinds[k].name, func(b *testing.B) {
				s := quietSetter(b, bc.one, bc.two)
				server, _ := connect(b, kinds[k].listen, kinds[k].dial)
				withFD(b, server, func(fd int) {
					b.ReportAllocs()
					class := 0
					for b.Loop() {
						s.Set(fd, class)
						class = 1 - class
					}
				})
			})
		}
	}
}

// BenchmarkGroup measures the comparison by which a caller finds that nothing
// changes.
func BenchmarkGroup(b *testing.B) {
	s := quietSetter(b, Options{Priority: new(6)}, Options{}, Options{Priority: new(1)})
	b.ReportAllocs()
	for present := s.Group(1); b.Loop(); {
		if s.Group(1) != present {
			b.Fatal("it changed")
		}
	}
}
