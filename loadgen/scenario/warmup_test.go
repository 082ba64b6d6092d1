package scenario

import (
	"reflect"
	"testing"
	"time"
)

// Another warm-up than the file's is the same as writing it there: phases, ramps,
// steps, bursts and recordings still begin when it ends.
func TestOpenWithAnotherWarmup(t *testing.T) {
	text := func(warmup string) []byte {
		return []byte("warmup: " + warmup + `
target: http://h
phases:
  - {name: calm, duration: 10s}
  - {name: crowd, duration: 5s, rates: {steady: 3x}}
classes:
  - {name: steady, rate: 10/s, path: /}
  - {name: ramp, ramp: {from: 10/s, to: 40/s, over: 15s}, path: /}
  - {name: steps, steps: [{rate: 1/s, for: 1s}, {rate: 5/s, for: 1s}], path: /}
  - {name: bursts, bursts: {size: 7, every: 5s, first: 1s}, path: /}
  - {name: replay, replay: {file: good.csv, class: batch}}
`)
	}
	for _, warmup := range []time.Duration{0, 12 * time.Second} {
		got, problems := read("mine.yaml", text("2s"), Changes{Warmup: &warmup}, lookup, openRecording)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		want, _ := read("mine.yaml", text(warmup.String()), Changes{}, lookup, openRecording)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("warm-up %v\ngot  %+v\nwant %+v", warmup, got, want)
		}
		// Of a steady rate, too: 10 of the 15 s are calm.
		for from, rate := range map[time.Duration]float64{0: 10, 10 * time.Second: 30} {
			if due := got.Classes[0].Arrivals.Mean(warmup+from, warmup+from+5*time.Second); due != rate {
				t.Errorf("warm-up %v: %v/s are due %v after it, want %v", warmup, due, from, rate)
			}
		}
	}
}
